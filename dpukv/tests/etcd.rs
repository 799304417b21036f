//! Servers that register in a real etcd; `ci/etcd.sh` runs them.

#[path = "../../directory/tests/etcd_process/mod.rs"]
mod etcd_process;
mod server;

use std::process::Command;

use client::{Client, Config};
use directory::{Directory, Servers};
use kv_core::design::Design;

use self::etcd_process::{Etcd, until};
use self::server::{DPU, DPUKV, HOST, PATIENCE, Server};

fn registered(etcd: &Etcd, scheme: &str, design: Design, name: &str) -> Server {
    let version = if scheme == "etcd" { 3 } else { 2 };
    let source = etcd.source("http").to_string();
    let url = source.trim_end_matches("/mica");
    let section = format!("kind = \"etcd\"\nurl = \"{url}\"\nversion = {version}\nname = \"{name}\"");
    Server::start(design, &format!("memory = \"16MiB\"\n[directory]\n{section}\nttl_s = 2\nrefresh_ms = 200\n"))
}

fn names(servers: &Servers) -> Vec<&str> {
    servers.keys().map(String::as_str).collect()
}

/// Two servers share keys; the etcd dies and comes back; one server stops, the other is killed.
fn check(scheme: &str) {
    let mut etcd = Etcd::start();
    let (source, directory) = (etcd.source(scheme), Directory::new(&etcd.source(scheme)));
    let (mut a, b) = (registered(&etcd, scheme, Design::Lat, "a"), registered(&etcd, scheme, Design::Shrd, "b"));
    until(|| directory.servers().ok().filter(|servers| names(servers) == ["a", "b"]));
    let config = Config { timeout: PATIENCE, connect_timeout: PATIENCE, ..Config::of_directory(source.clone()) };
    let mut client = Client::with_config(&config).expect("servers");
    let keys: Vec<_> = (0_u32..200).map(u32::to_le_bytes).collect();
    let items: Vec<_> = keys.iter().map(|key| (key, key)).collect();
    client.set_many(&items).expect("stored");
    etcd.kill();
    let found = client.get_many(&keys).expect("servers that need no directory to serve");
    assert!(found.iter().zip(&keys).all(|(value, key)| value.as_deref() == Some(&key[..])));
    etcd.start_again();
    until(|| directory.servers().ok().filter(|servers| names(servers) == ["a", "b"]));
    let set = Command::new(DPUKV).args(["--directory", &source.to_string(), "set", "greeting", "hello"]).status();
    assert!(set.expect("the command starts").success());
    b.stop();
    assert_eq!(names(&directory.servers().expect("a list")), ["a"]);
    a.kill(DPU);
    a.kill(HOST);
    until(|| directory.servers().ok().filter(Servers::is_empty));
}

#[test]
#[ignore = "needs an etcd, and seconds"]
fn servers_share_keys_by_v2() {
    check("http");
}

#[test]
#[ignore = "needs an etcd, and seconds"]
fn servers_share_keys_by_v3() {
    check("etcd");
}
