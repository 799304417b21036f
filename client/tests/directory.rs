//! Clients that find their servers in a directory, and follow its changes.

mod fake;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use client::{Client, Config, ConnectError, Operation, Outcome, Pipeline, ResultCode, Source};
use directory::{Directory, Embedded, Endpoint, Entry, Held};
use fake::udp::UdpServer;
use kv_core::hash::KeyHash;
use qp_wire::net::MacAddr;

const PATIENCE: Duration = Duration::from_secs(60);
const TTL: Duration = Duration::from_secs(600);

struct Registry {
    embedded: Embedded,
    directory: Directory,
    source: Source,
}

impl Registry {
    fn start() -> Self {
        let embedded =
            Embedded::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), "/mica", Duration::ZERO).expect("a directory");
        let source: Source = format!("http://{}", embedded.address()).parse().expect("a source");
        Self { embedded, directory: Directory::new(&source), source }
    }

    fn add(&self, name: &str, server: &UdpServer) {
        let endpoint =
            Endpoint { owner: 0, mac: MacAddr([0; 6]), ipv4: Ipv4Addr::LOCALHOST, udp_port: server.address().port() };
        let entry =
            Entry { concurrent_read: false, concurrent_write: false, partitions: vec![0], endpoints: vec![endpoint] };
        self.directory.register(&mut Held::default(), name, &entry.to_json(), TTL).expect("a registration");
    }

    fn remove(&self, name: &str) {
        self.directory.remove(&mut Held::default(), name).expect("a removal");
    }

    fn config(&self) -> Config {
        Config {
            connect_timeout: PATIENCE,
            timeout: PATIENCE,
            attempts_max: u32::MAX,
            ..Config::of_directory(self.source.clone())
        }
    }
}

fn keys() -> impl Iterator<Item = [u8; 4]> {
    (0_u32..64).map(u32::to_le_bytes)
}

/// Polls until the list of servers has so many.
fn wait_for_servers(pipeline: &mut Pipeline, count: usize) {
    let deadline = Instant::now() + PATIENCE;
    while pipeline.config().servers.len() != count {
        assert!(Instant::now() < deadline, "the list has not changed");
        pipeline.poll(Duration::from_millis(10), &mut |_| {});
    }
}

fn set_all(pipeline: &mut Pipeline) {
    for (tag, key) in (0..).zip(keys()) {
        pipeline.submit(&key, Operation::Set { value: &key, ttl: None }, tag).expect("room");
    }
    while pipeline.outstanding() > 0 {
        pipeline.poll(Duration::from_secs(1), &mut |answer| {
            assert_eq!(answer.outcome, Outcome::Answered(ResultCode::Success));
        });
    }
}

/// Each server has exactly the keys that MICA2's client would send to it.
fn check_shares(servers: &[&UdpServer]) {
    for (index, server) in servers.iter().enumerate() {
        for key in keys() {
            let is_its = usize::from(KeyHash::of(&key).server(servers.len() as u16)) == index;
            assert_eq!(server.server().items.contains_key(&key[..]), is_its, "server {index}, key {key:?}");
        }
    }
}

fn forget(server: &UdpServer) {
    server.server().items.clear();
}

#[test]
fn keys_are_shared_out_by_the_order_of_names() {
    let (registry, a, b, c) = (Registry::start(), UdpServer::start(1), UdpServer::start(2), UdpServer::start(1));
    registry.add("c-1", &c);
    registry.add("a-1", &a);
    registry.add("b-1", &b);
    let mut client = Client::with_config(&registry.config()).expect("servers");
    let items: Vec<_> = keys().map(|key| (key, key)).collect();
    client.set_many(&items).expect("stored");
    check_shares(&[&a, &b, &c]);
}

#[test]
fn a_server_that_joins_and_one_that_leaves_are_followed() {
    let (registry, a, b) = (Registry::start(), UdpServer::start(1), UdpServer::start(1));
    registry.add("b-1", &b);
    let mut pipeline = Pipeline::connect(&registry.config()).expect("a server");
    set_all(&mut pipeline);
    check_shares(&[&b]);
    forget(&b);
    registry.add("a-1", &a);
    wait_for_servers(&mut pipeline, 2);
    set_all(&mut pipeline);
    check_shares(&[&a, &b]);
    forget(&a);
    registry.remove("b-1");
    wait_for_servers(&mut pipeline, 1);
    set_all(&mut pipeline);
    check_shares(&[&a]);
    assert_eq!(pipeline.statistics().server_lists, 2);
    assert!(pipeline.statistics().requests_sent >= 3 * 64, "what earlier fleets counted still counts");
}

#[test]
fn what_is_under_way_ends_where_it_began() {
    let (registry, a, b) = (Registry::start(), UdpServer::start(1), UdpServer::start(1));
    registry.add("b-1", &b);
    let mut pipeline = Pipeline::connect(&registry.config()).expect("a server");
    b.set_faults(fake::network::Faults { loss: 100, ..fake::network::Faults::NONE });
    pipeline.submit(b"k", Operation::Set { value: b"v", ttl: None }, 7).expect("room");
    registry.remove("b-1");
    registry.add("a-1", &a);
    let deadline = Instant::now() + PATIENCE;
    let moved = a.address();
    while pipeline.config().servers != [moved] {
        assert!(Instant::now() < deadline, "the list has not changed");
        assert_eq!(pipeline.poll(Duration::from_millis(10), &mut |_| {}), 0);
    }
    assert_eq!((pipeline.outstanding(), pipeline.window_room()), (1, pipeline.config().window - 1));
    b.set_faults(fake::network::Faults::NONE);
    let mut ended = None;
    while pipeline.outstanding() > 0 {
        pipeline.poll(Duration::from_secs(1), &mut |answer| ended = Some((answer.tag, answer.outcome)));
    }
    assert_eq!(ended, Some((7, Outcome::Answered(ResultCode::Success))));
    assert!(b.server().items.contains_key(&b"k"[..]) && a.server().items.is_empty());
}

#[test]
fn a_directory_that_goes_away_takes_nobody_with_it() {
    let (registry, a) = (Registry::start(), UdpServer::start(1));
    registry.add("a-1", &a);
    let mut client = Client::with_config(&registry.config()).expect("a server");
    drop(registry.embedded);
    client.set(b"k", b"v").expect("stored");
    assert_eq!(client.get(b"k"), Ok(Some(b"v".to_vec())));
}

#[test]
fn a_directory_that_tells_nothing_is_named() {
    let registry = Registry::start();
    let config = Config { connect_timeout: Duration::from_millis(1), ..registry.config() };
    let nobody = Client::with_config(&config).expect_err("nobody is there");
    assert!(matches!(nobody, ConnectError::NoServer { .. }), "{nobody}");
    assert!(nobody.to_string().contains(&registry.source.to_string()), "{nobody}");
    drop(registry.embedded);
    let away = Client::with_config(&config).expect_err("nothing is there");
    assert!(matches!(away, ConnectError::Directory(_)), "{away}");
}
