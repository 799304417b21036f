//! Registrations in a real etcd, by both of its APIs; `ci/etcd.sh` runs them. Leases run out in real time.

mod etcd_process;

use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use directory::{Directory, Endpoint, Entry, Follower, Held, Registrar, RegistrarConfig, Servers, Source};
use qp_wire::net::MacAddr;

use self::etcd_process::{Etcd, PAUSE, until};

/// Etcd grants no less.
const TTL: Duration = Duration::from_secs(2);
const REFRESH: Duration = Duration::from_millis(200);

fn entry(udp_port: u16) -> Entry {
    let endpoint = Endpoint { owner: 0, mac: MacAddr([0; 6]), ipv4: Ipv4Addr::LOCALHOST, udp_port };
    Entry { concurrent_read: true, concurrent_write: false, partitions: vec![0; 256], endpoints: vec![endpoint; 32] }
}

fn registrar(source: &Source, name: &str) -> Registrar {
    let config = RegistrarConfig { source: source.clone(), name: name.to_owned(), ttl: TTL, refresh: REFRESH };
    Registrar::start(config).expect("a thread")
}

/// Waits until these servers are registered and no others.
fn wait_for(directory: &Directory, expected: &[(&str, u16)]) {
    let expected: Servers = expected.iter().map(|(name, port)| ((*name).to_owned(), entry(*port))).collect();
    until(|| directory.servers().ok().filter(|servers| *servers == expected));
}

/// A server is there while it refreshes and gone at once when it stops.
fn check_life(scheme: &str) {
    let etcd = Etcd::start();
    let source = etcd.source(scheme);
    let directory = Directory::new(&source);
    assert_eq!(directory.servers().expect("an empty list"), Servers::new());
    let (b, a) = (registrar(&source, "b-7600"), registrar(&source, "a-7600"));
    a.publish(&entry(1));
    b.publish(&entry(2));
    wait_for(&directory, &[("a-7600", 1), ("b-7600", 2)]);
    b.publish(&entry(3));
    wait_for(&directory, &[("a-7600", 1), ("b-7600", 3)]);
    let lives = Instant::now() + 2 * TTL;
    while Instant::now() < lives {
        assert_eq!(directory.servers().expect("a list").len(), 2, "a server that refreshes stays");
        thread::sleep(PAUSE);
    }
    drop(a);
    assert_eq!(directory.servers().expect("a list").len(), 1, "a server that stops is gone at once");
    b.lapse();
    wait_for(&directory, &[]);
    b.publish(&entry(4));
    wait_for(&directory, &[("b-7600", 4)]);
}

/// Registrations and lists outlast the directory.
fn check_restart(scheme: &str) {
    let mut etcd = Etcd::start();
    let source = etcd.source(scheme);
    let directory = Directory::new(&source);
    let a = registrar(&source, "a-7600");
    a.publish(&entry(1));
    wait_for(&directory, &[("a-7600", 1)]);
    let mut follower =
        Follower::start(Directory::new(&source), directory.servers().expect("a list"), REFRESH).expect("a thread");
    etcd.kill();
    until(|| directory.servers().err());
    a.publish(&entry(2));
    etcd.start_again();
    wait_for(&directory, &[("a-7600", 2)]);
    let changed = until(|| follower.changed());
    assert_eq!(changed["a-7600"], entry(2));
}

/// What is registered by nobody any more goes by itself.
fn check_expiry(scheme: &str) {
    let etcd = Etcd::start();
    let directory = Directory::new(&etcd.source(scheme));
    let mut held = Held::default();
    directory.register(&mut held, "a-7600", &entry(1).to_json(), TTL).expect("a registration");
    wait_for(&directory, &[("a-7600", 1)]);
    wait_for(&directory, &[]);
    directory.register(&mut held, "a-7600", &entry(2).to_json(), TTL).expect("a registration after the first is gone");
    wait_for(&directory, &[("a-7600", 2)]);
    // A process that was started anew knows nothing of its predecessor's registration, which ends in its time.
    let mut successor = Held::default();
    let end = Instant::now() + 2 * TTL;
    while Instant::now() < end {
        directory.register(&mut successor, "a-7600", &entry(3).to_json(), TTL).expect("a registration");
        assert_eq!(directory.servers().expect("a list")["a-7600"], entry(3));
        thread::sleep(REFRESH);
    }
    directory.remove(&mut successor, "a-7600").expect("a removal");
    directory.remove(&mut held, "a-7600").expect("what is gone is removed already");
    wait_for(&directory, &[]);
}

#[test]
#[ignore = "needs an etcd, and seconds"]
fn a_server_lives_in_v2_as_long_as_it_refreshes() {
    check_life("http");
}

#[test]
#[ignore = "needs an etcd, and seconds"]
fn a_server_lives_in_v3_as_long_as_it_refreshes() {
    check_life("etcd");
}

#[test]
#[ignore = "needs an etcd, and seconds"]
fn a_restart_of_the_directory_is_outlasted_in_v2() {
    check_restart("http");
}

#[test]
#[ignore = "needs an etcd, and seconds"]
fn a_restart_of_the_directory_is_outlasted_in_v3() {
    check_restart("etcd");
}

#[test]
#[ignore = "needs an etcd, and seconds"]
fn who_is_killed_leaves_v2_by_its_time_to_live() {
    check_expiry("http");
}

#[test]
#[ignore = "needs an etcd, and seconds"]
fn who_is_killed_leaves_v3_by_its_lease() {
    check_expiry("etcd");
}

#[test]
#[ignore = "needs an etcd, and seconds"]
fn what_is_no_entry_is_named_by_both() {
    let etcd = Etcd::start();
    for scheme in ["http", "etcd"] {
        let directory = Directory::new(&etcd.source(scheme));
        directory.register(&mut Held::default(), "a-7600", "{}", TTL).expect("etcd takes any text");
        let shown = directory.servers().expect_err("no entry").to_string();
        assert!(shown.starts_with("server a-7600: ") && shown.contains("missing field"), "{shown}");
    }
}
