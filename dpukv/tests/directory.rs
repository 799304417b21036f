//! Servers that register, and clients that find them: processes, sockets, a directory inside one of the servers.

mod server;

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use client::{Client, Config, Source};
use directory::{Directory, Embedded, Entry, Servers};
use kv_core::design::{Design, Plan, Topology};
use kv_core::hash::KeyHash;
use qp_wire::net::MacAddr;

use self::server::{DPUKV, PATIENCE, Server};

/// What every server of these tests has.
const TABLE: &str = "memory = \"16MiB\"";

/// The plan that every server of these tests has.
const TOPOLOGY: Topology =
    Topology { host_cores: 2, dpu_cores: 2, spare_cores: 1, partitions: 4, concurrent_read: false };

/// A directory's port, and how to ask there.
struct Place {
    port: u16,
    source: Source,
    directory: Directory,
}

impl Place {
    fn new() -> Self {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = taken.local_addr().expect("an address").port();
        let source: Source = format!("http://127.0.0.1:{port}").parse().expect("a source");
        Self { port, directory: Directory::new(&source), source }
    }

    /// A server that answers look-ups itself.
    fn start_embedded(&self, design: Design, more: &str) -> Server {
        let port = self.port;
        Server::start(
            design,
            &format!("{TABLE}\n[directory]\nkind = \"embedded\"\nlisten = \"127.0.0.1:{port}\"\n{more}"),
        )
    }

    /// A server that registers in that one.
    fn start_registered(&self, design: Design, more: &str) -> Server {
        let port = self.port;
        Server::start(
            design,
            &format!("{TABLE}\n[directory]\nkind = \"etcd\"\nurl = \"http://127.0.0.1:{port}\"\n{more}"),
        )
    }

    /// Waits until so many servers are listed.
    fn wait_for(&self, count: usize) -> Servers {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let listed = self.directory.servers();
            match listed {
                Ok(servers) if servers.len() == count => return servers,
                listed => assert!(Instant::now() < deadline, "never {count} servers: {listed:?}"),
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn client(&self) -> Client {
        let config = Config::of_directory(self.source.clone());
        Client::with_config(&Config { connect_timeout: PATIENCE, timeout: PATIENCE, ..config }).expect("servers")
    }

    fn command(&self, args: &[&str]) -> Output {
        let source = self.source.to_string();
        let args = ["--directory", &source, "--timeout", "60s"].into_iter().chain(args.iter().copied());
        Command::new(DPUKV).args(args).output().expect("the command starts")
    }
}

fn keys() -> impl Iterator<Item = [u8; 4]> {
    (0_u32..200).map(u32::to_le_bytes)
}

/// What a server of this design publishes when its first endpoint has this port.
fn expected_entry(design: Design, base_port: u16) -> Entry {
    let plan = Plan::new(design, TOPOLOGY).expect("a plan");
    let endpoint = |label: u8| directory::Endpoint {
        owner: label.into(),
        mac: MacAddr([0; 6]),
        ipv4: Ipv4Addr::LOCALHOST,
        udp_port: base_port + u16::from(label),
    };
    Entry {
        concurrent_read: plan.concurrent_read(),
        concurrent_write: false,
        partitions: (0..TOPOLOGY.partitions).map(|partition| plan.label(partition).0.into()).collect(),
        endpoints: plan.endpoints().map(|planned| endpoint(planned.label.0)).collect(),
    }
}

#[test]
fn every_design_publishes_who_serves_what() {
    for design in Design::ALL {
        let place = Place::new();
        let server = place.start_embedded(design, "refresh_ms = 10\n");
        let listed = place.wait_for(1);
        let (name, entry) = listed.first_key_value().expect("a server");
        assert_eq!(*entry, expected_entry(design, server.address().port()), "{}", design.name());
        let first = if design == Design::Shrd { 2 } else { 0 };
        assert!(name.ends_with(&format!("-{}", server.address().port() + first)), "{}: {name}", design.name());
        assert_eq!(place.command(&["set", "greeting", "hello"]).status.code(), Some(0), "{}", design.name());
        let got = place.command(&["get", "greeting"]);
        assert_eq!(String::from_utf8_lossy(&got.stdout), "hello\n", "{}", design.name());
        server.stop();
    }
}

#[test]
fn keys_are_shared_out_over_two_servers_and_one_that_stops_leaves_at_once() {
    let place = Place::new();
    let a = place.start_embedded(Design::Lat, "name = \"a\"\nrefresh_ms = 10\n");
    let b = place.start_registered(Design::Dual, "name = \"b\"\n");
    assert_eq!(place.wait_for(2).keys().collect::<Vec<_>>(), ["a", "b"]);
    let mut client = place.client();
    let items: Vec<_> = keys().map(|key| (key, key)).collect();
    client.set_many(&items).expect("stored");
    let mut shares = [0; 2];
    for (index, server) in [&a, &b].into_iter().enumerate() {
        let mut alone = server.client();
        for key in keys() {
            let is_its = usize::from(KeyHash::of(&key).server(2)) == index;
            assert_eq!(alone.exists(&key).expect("an answer"), is_its, "server {index}, key {key:?}");
            shares[index] += usize::from(is_its);
        }
    }
    assert!(shares[0] > 50 && shares[1] > 50, "{shares:?}");
    b.stop();
    assert_eq!(place.directory.servers().expect("a list").keys().collect::<Vec<_>>(), ["a"]);
    let deadline = Instant::now() + PATIENCE;
    while client.servers().count() != 1 {
        assert!(Instant::now() < deadline, "the client has not noticed");
        // Any request gives it the occasion.
        let _ = client.get(b"nothing");
    }
    client.set_many(&items).expect("stored");
    let mut alone = a.client();
    assert!(keys().all(|key| alone.exists(&key).expect("an answer")), "one server has all keys");
}

#[test]
fn a_server_that_is_killed_leaves_by_its_time_to_live_and_comes_back_under_its_name() {
    let place = Place::new();
    let _a = place.start_embedded(Design::CpuOnly, "name = \"a\"\nrefresh_ms = 10\n");
    let more = "ttl_s = 1\nrefresh_ms = 100\n";
    let mut b = place.start_registered(Design::DpuOnly, more);
    let before = place.wait_for(2);
    b.kill(server::DPU);
    place.wait_for(1);
    b.restart(server::DPU);
    assert_eq!(place.wait_for(2), before);
}

#[test]
fn a_file_names_servers_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("servers.json");
    let section = format!("[directory]\nkind = \"static\"\nfile = \"{}\"\nname = \"a\"\n", file.display());
    let server = Server::start(Design::Sav, &format!("{TABLE}\n{section}"));
    let entry = expected_entry(Design::Sav, server.address().port());
    fs::write(&file, format!("{{\"a\": {}}}", entry.to_json())).expect("a file");
    let source = format!("file:{}", file.display());
    for (args, said) in [(&["set", "greeting", "hello"][..], ""), (&["get", "greeting"], "hello\n")] {
        let output = Command::new(DPUKV).args(["--directory", &source]).args(args).output().expect("it starts");
        assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stdout).as_ref()), (Some(0), said));
    }
    server.stop();
}

#[test]
fn half_a_server_leaves_too() {
    let place = Place::new();
    let embedded =
        Embedded::start((Ipv4Addr::LOCALHOST, place.port).into(), "/mica", Duration::ZERO).expect("a directory");
    let mut server = place.start_registered(Design::Sav, "ttl_s = 1\nrefresh_ms = 100\n");
    let before = place.wait_for(1);
    server.kill(server::HOST);
    place.wait_for(0);
    server.restart(server::HOST);
    assert_eq!(place.wait_for(1), before);
    drop(embedded);
}

#[test]
fn a_directory_without_servers_or_without_anybody_is_said_in_one_line() {
    let place = Place::new();
    let away = place.command(&["get", "k"]);
    let said = String::from_utf8_lossy(&away.stderr);
    assert_eq!((away.status.code(), said.lines().count()), (Some(3), 1), "{said}");
    assert!(said.contains("start the directory there or check the address"), "{said}");
    let _embedded =
        Embedded::start((Ipv4Addr::LOCALHOST, place.port).into(), "/mica", Duration::ZERO).expect("a directory");
    let source = place.source.to_string();
    let nobody = Command::new(DPUKV).args(["get", "k", "--directory", &source, "--timeout", "10ms"]).output();
    let nobody = nobody.expect("the command starts");
    let said = String::from_utf8_lossy(&nobody.stderr);
    assert_eq!((nobody.status.code(), said.lines().count()), (Some(3), 1), "{said}");
    assert!(said.contains("no server is registered in http://"), "{said}");
    let wrong = Command::new(DPUKV).args(["get", "k", "--directory", "etcd.local"]).output().expect("it starts");
    assert_eq!(wrong.status.code(), Some(2));
}
