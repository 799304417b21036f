//! Servers and clients of an embedded directory, over real sockets.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use directory::{Directory, Embedded, Endpoint, Entry, Follower, Held, Registrar, RegistrarConfig, Servers, Source};
use qp_wire::net::MacAddr;

const TTL: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_millis(5);

fn entry(udp_port: u16) -> Entry {
    let endpoint = Endpoint { owner: 0, mac: MacAddr([0; 6]), ipv4: Ipv4Addr::LOCALHOST, udp_port };
    Entry { concurrent_read: false, concurrent_write: false, partitions: vec![0], endpoints: vec![endpoint] }
}

fn start() -> (Embedded, Source) {
    let embedded =
        Embedded::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), "/mica", Duration::ZERO).expect("a directory");
    let source = source_at(embedded.address());
    (embedded, source)
}

fn source_at(address: SocketAddr) -> Source {
    format!("http://{address}").parse().expect("a source")
}

fn registrar(source: &Source, name: &str) -> Registrar {
    let config = RegistrarConfig { source: source.clone(), name: name.to_owned(), ttl: TTL, refresh: SOON };
    Registrar::start(config).expect("a thread")
}

/// Waits for what other threads do.
fn until<T>(mut done: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(done) = done() {
            return done;
        }
        assert!(Instant::now() < deadline, "it did not happen");
        thread::yield_now();
    }
}

fn names(servers: &Servers) -> Vec<&str> {
    servers.keys().map(String::as_str).collect()
}

#[test]
fn a_server_is_listed_from_its_start_to_its_end() {
    let (_embedded, source) = start();
    let directory = Directory::new(&source);
    assert_eq!(directory.servers().expect("an empty list"), Servers::new());
    let (second, first) = (registrar(&source, "b-7600"), registrar(&source, "a-7600"));
    second.publish(&entry(2));
    first.publish(&entry(1));
    let listed = until(|| directory.servers().ok().filter(|servers| servers.len() == 2));
    assert_eq!((names(&listed), &listed["b-7600"]), (vec!["a-7600", "b-7600"], &entry(2)));
    second.publish(&entry(3));
    until(|| directory.servers().ok().filter(|servers| servers["b-7600"] == entry(3)));
    drop(first);
    assert_eq!(names(&directory.servers().expect("a list")), ["b-7600"], "a clean stop removes the entry at once");
}

#[test]
fn a_directory_that_comes_later_or_anew_is_registered_with() {
    let address = {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        taken.local_addr().expect("an address")
    };
    let source = source_at(address);
    let registrar = registrar(&source, "a-7600");
    registrar.publish(&entry(1));
    let directory = Directory::new(&source);
    for _ in 0..2 {
        assert!(directory.servers().is_err_and(|error| error.to_string().contains("start the directory there")));
        let embedded = until(|| Embedded::start(address, "/mica", Duration::ZERO).ok());
        until(|| directory.servers().ok().filter(|servers| servers.len() == 1));
        drop(embedded);
    }
}

#[test]
fn a_follower_keeps_what_it_knows_while_the_directory_is_away_or_empty() {
    let (embedded, source) = start();
    let address = embedded.address();
    let (directory, mut held) = (Directory::new(&source), Held::default());
    directory.register(&mut held, "a-7600", &entry(1).to_json(), TTL).expect("a registration");
    let known = directory.servers().expect("a list");
    let mut follower = Follower::start(Directory::new(&source), known, SOON).expect("a thread");
    directory.register(&mut held, "b-7600", &entry(2).to_json(), TTL).expect("a registration");
    let changed = until(|| follower.changed());
    assert_eq!(names(&changed), ["a-7600", "b-7600"]);
    drop(embedded);
    let _embedded = until(|| Embedded::start(address, "/mica", Duration::ZERO).ok());
    // Empty now: what was known still stands, and the next change is the first server that is there again.
    assert_eq!(directory.servers().expect("an empty list"), Servers::new());
    directory.register(&mut held, "c-7600", &entry(3).to_json(), TTL).expect("a registration");
    assert_eq!(names(&until(|| follower.changed())), ["c-7600"]);
}

#[test]
fn what_a_directory_refuses_is_said_in_its_words() {
    let (_embedded, source) = start();
    let directory = Directory::new(&source);
    let refused = directory.register(&mut Held::default(), "a", "{}", TTL).expect_err("no entry").to_string();
    assert!(refused.contains("/v2/keys/mica/servers/a: status 400: Invalid field: value: "), "{refused}");
    directory.remove(&mut Held::default(), "a").expect("what is not there is removed already");
    let elsewhere: Source =
        format!("{}/other", source.to_string().trim_end_matches("/mica")).parse().expect("a source");
    assert_eq!(Directory::new(&elsewhere).servers().expect("nobody has registered there"), Servers::new());
}

#[test]
fn one_who_says_nothing_keeps_nobody_from_asking() {
    let (embedded, source) = start();
    let silent: Vec<_> = (0..100).map(|_| TcpStream::connect(embedded.address()).expect("a connection")).collect();
    assert_eq!(Directory::new(&source).servers().expect("an empty list"), Servers::new());
    drop(silent);
}

#[test]
fn bytes_that_come_one_by_one_are_a_request_too() {
    let (embedded, _) = start();
    let mut stream = TcpStream::connect(embedded.address()).expect("a connection");
    stream.set_nodelay(true).expect("an option");
    for byte in b"GET /v2/keys/mica/servers/ HTTP/1.1\r\nConnection: close\r\n\r\n" {
        stream.write_all(&[*byte]).expect("a byte");
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n")
            && answer.ends_with("{\"action\":\"get\",\"node\":{\"dir\":true,\"key\":\"/mica/servers\"}}"),
        "{answer}"
    );
}
