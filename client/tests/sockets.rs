//! The client against servers behind real sockets.

mod fake;

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use client::{
    Client, CompareAndSet, Config, ConnectError, Operation, Outcome, Pipeline, Remaining, RequestError, Resend,
    ResultCode, SubmitError, TooLarge,
};
use fake::network::Faults;
use fake::udp::UdpServer;

const DONE: Outcome = Outcome::Answered(ResultCode::Success);

fn client(server: &UdpServer) -> Client {
    Client::connect(&[server.address()]).expect("the server answers")
}

#[test]
fn every_operation_does_what_it_says() {
    let server = UdpServer::start(2);
    let mut client = client(&server);
    assert_eq!(client.get(b"k"), Ok(None));
    assert_eq!(client.exists(b"k"), Ok(false));
    assert_eq!(client.set(b"k", b"value"), Ok(()));
    assert_eq!(client.get(b"k"), Ok(Some(b"value".to_vec())));
    assert_eq!(client.exists(b"k"), Ok(true));
    assert_eq!(client.add(b"k", b"other"), Ok(false));
    assert_eq!(client.append(b"k", b" and more"), Ok(true));
    assert_eq!(client.append(b"none", b"x"), Ok(false));
    assert_eq!(client.get(b"k"), Ok(Some(b"value and more".to_vec())));
    assert_eq!(client.compare_and_set(b"k", b"value", b"new"), Ok(CompareAndSet::Mismatch));
    assert_eq!(client.compare_and_set(b"k", b"value and more", b"new"), Ok(CompareAndSet::Stored));
    assert_eq!(client.compare_and_set(b"none", b"", b"new"), Ok(CompareAndSet::NotFound));
    assert_eq!(client.increment(b"k", 1), Err(RequestError::WrongValue));
    assert_eq!(client.delete(b"k"), Ok(true));
    assert_eq!(client.delete(b"k"), Ok(false));
    assert_eq!(client.increment(b"n", 1), Ok(None));
    assert_eq!(client.add(b"n", &7_u64.to_le_bytes()), Ok(true));
    assert_eq!(client.increment(b"n", 5), Ok(Some(12)));
    assert_eq!(client.increment(b"n", 1_u64.wrapping_neg()), Ok(Some(11)));
}

#[test]
fn times_to_live_travel_in_milliseconds() {
    let server = UdpServer::start(1);
    let mut client = client(&server);
    assert_eq!(client.ttl(b"k"), Ok(None));
    assert_eq!(client.set(b"k", b""), Ok(()));
    assert_eq!(client.ttl(b"k"), Ok(Some(Remaining::Never)));
    assert_eq!(client.set_with_ttl(b"k", b"", Duration::from_secs(90)), Ok(()));
    assert_eq!(client.ttl(b"k"), Ok(Some(Remaining::Expires(Duration::from_secs(90)))));
    assert_eq!(client.touch(b"k", Some(Duration::from_nanos(1))), Ok(true));
    assert_eq!(client.ttl(b"k"), Ok(Some(Remaining::Expires(Duration::from_millis(1)))), "never less than it can be");
    assert_eq!(client.touch(b"k", None), Ok(true));
    assert_eq!(client.ttl(b"k"), Ok(Some(Remaining::Never)));
    assert_eq!(client.touch(b"none", None), Ok(false));
    assert_eq!(client.add_with_ttl(b"new", b"", Duration::from_millis(1500)), Ok(true));
    assert_eq!(client.ttl(b"new"), Ok(Some(Remaining::Expires(Duration::from_millis(1500)))));
}

#[test]
fn the_latency_of_a_request_runs_from_the_moment_that_was_named() {
    let server = UdpServer::start(1);
    let mut pipeline = Pipeline::connect(&Config::new(&[server.address()])).expect("the server answers");
    let moment = pipeline.now();
    while pipeline.now().since(moment) < Duration::from_millis(20) {
        std::hint::spin_loop();
    }
    pipeline.submit_at(moment, b"early", Operation::Get, 0).expect("room in the window");
    pipeline.submit(b"late", Operation::Get, 1).expect("room in the window");
    let mut latencies = [Duration::ZERO; 2];
    while pipeline.outstanding() > 0 {
        pipeline.poll(Duration::from_secs(1), &mut |answer| latencies[answer.tag as usize] = answer.latency);
    }
    assert!(latencies[0] >= Duration::from_millis(20), "{latencies:?}");
    assert!(latencies[0] - latencies[1] >= Duration::from_millis(20), "{latencies:?}");
}

#[test]
fn keys_and_values_of_every_length_come_back() {
    let server = UdpServer::start(1);
    server.change(|spec| {
        spec.frame_len_max = 8972;
        spec.value_len_max = 8000;
    });
    let mut client = client(&server);
    for key_len in [1, 8, 254, 255] {
        for value_len in [0, 1, 8, 1000, 8000] {
            let (key, value) = (vec![7; key_len], vec![value_len as u8; value_len]);
            assert_eq!(client.set(&key, &value), Ok(()), "{key_len}, {value_len}");
            assert_eq!(client.get(&key), Ok(Some(value)), "{key_len}, {value_len}");
        }
    }
    assert_eq!(client.set(&[7; 256], b""), Err(RequestError::TooLarge(TooLarge::Key { len: 256, max: 255 })));
    assert_eq!(client.set(b"k", &[0; 8001]), Err(RequestError::TooLarge(TooLarge::Value { len: 8001, max: 8000 })));
    assert_eq!(client.set(b"", b""), Err(RequestError::NoKey));
}

#[test]
fn many_keys_at_once_keep_their_order() {
    let servers = [UdpServer::start(2), UdpServer::start(1)];
    let mut client = Client::connect(&[servers[0].address(), servers[1].address()]).expect("both answer");
    let items: Vec<(String, String)> = (0..3000).map(|n| (format!("key {n}"), format!("value {n}"))).collect();
    assert_eq!(client.set_many(&items), Ok(()));
    assert!(servers.iter().all(|server| server.server().items.len() > 1000), "the keys are shared out");
    let mut keys: Vec<String> = items.iter().map(|(key, _)| key.clone()).collect();
    keys.push("none".to_owned());
    let values = client.get_many(&keys).expect("answers");
    for (value, (_, expected)) in values.iter().zip(&items) {
        assert_eq!(value.as_deref(), Some(expected.as_bytes()));
    }
    assert_eq!(values.last(), Some(&None));
}

#[test]
fn one_bad_item_among_many_stops_no_other() {
    let server = UdpServer::start(1);
    let mut client = client(&server);
    let items = [(b"a".to_vec(), vec![1]), (Vec::new(), vec![2]), (b"c".to_vec(), vec![3])];
    assert_eq!(client.set_many(&items), Err(RequestError::NoKey));
    assert_eq!(client.get_many(&[b"a", b"c"]), Ok(vec![Some(vec![1]), Some(vec![3])]));
}

#[test]
fn a_pipeline_gets_every_answer_over_a_lossy_network() {
    let server = UdpServer::start(3);
    server.set_faults(Faults { loss: 10, doubling: 10, delay: 0 });
    let config = Config { window: 256, ..Config::new(&[server.address()]) };
    let mut pipeline = Pipeline::connect(&config).expect("the server answers");
    let (count, mut submitted, mut ended) = (5000_u64, 0, vec![0_u8; 5000]);
    while submitted < count || pipeline.outstanding() > 0 {
        while submitted < count && pipeline.window_room() > 0 {
            let key = submitted.to_le_bytes();
            pipeline.submit(&key, Operation::Set { value: &key, ttl: None }, submitted).expect("room in the window");
            submitted += 1;
        }
        pipeline.poll(Duration::from_secs(1), &mut |answer| {
            assert_eq!(answer.outcome, DONE);
            ended[answer.tag as usize] += 1;
        });
    }
    assert!(ended.iter().all(|&times| times == 1));
    assert_eq!(server.server().items.len(), 5000);
    assert!(pipeline.statistics().frames_resent > 0);
}

#[test]
fn a_full_pipeline_hands_the_request_back() {
    let server = UdpServer::start(1);
    let config = Config { window: 2, ..Config::new(&[server.address()]) };
    let mut pipeline = Pipeline::connect(&config).expect("the server answers");
    assert_eq!(pipeline.submit(b"a", Operation::Get, 1), Ok(()));
    assert_eq!(pipeline.submit(b"b", Operation::Get, 2), Ok(()));
    assert_eq!(pipeline.submit(b"c", Operation::Get, 3), Err(SubmitError::Full));
    let mut tags = Vec::new();
    while pipeline.outstanding() > 0 {
        pipeline.poll(Duration::from_secs(1), &mut |answer| tags.push(answer.tag));
    }
    assert_eq!(tags, [1, 2]);
    assert_eq!(pipeline.poll(Duration::ZERO, &mut |_| panic!("nothing is under way")), 0);
}

#[test]
fn a_client_goes_on_when_its_server_comes_back_elsewhere() {
    let server = UdpServer::start(3);
    let mut client = client(&server);
    assert_eq!(client.set(b"k", b"v"), Ok(()));
    let server = server.restart(2);
    assert_eq!(client.get(b"k"), Ok(Some(b"v".to_vec())));
    assert_eq!(client.servers().next().map(|info| info.endpoints.len()), Some(2));
    drop(server);
}

#[test]
fn without_a_server_a_client_says_so() {
    let address = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    // The socket is closed, so nothing listens there.
    match Client::connect(&[address]) {
        Err(ConnectError::Refused { server }) => assert_eq!(server, address),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_silent_server_is_given_up_in_time() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("a bound socket");
    let waited = Duration::from_millis(60);
    match Client::with_config(&Config { connect_timeout: waited, ..Config::new(&[address]) }) {
        Err(error @ ConnectError::NoAnswer { .. }) => {
            assert!(error.to_string().starts_with(&format!("no server answers at {address} within 60ms")), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_missing_server_of_two_is_named() {
    let server = UdpServer::start(1);
    let missing: SocketAddr = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    match Client::connect(&[server.address(), missing]) {
        Err(ConnectError::Refused { server }) => assert_eq!(server, missing),
        other => panic!("{other:?}"),
    }
}

#[test]
fn another_version_is_printed_with_both_numbers() {
    let server = UdpServer::start(1);
    server.server().version = Some(7);
    match Client::connect(&[server.address()]) {
        Err(error @ ConnectError::Version { .. }) => {
            assert!(error.to_string().contains("speaks version 7 of the protocol, not 1"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn half_a_server_is_not_taken_for_a_whole_one() {
    let server = UdpServer::start(2);
    server.change(|spec| {
        spec.complete = false;
        spec.endpoints.truncate(1);
    });
    let config = Config { connect_timeout: Duration::from_secs(1), ..Config::new(&[server.address()]) };
    match Client::with_config(&config) {
        Err(ConnectError::Incomplete { server: address }) => assert_eq!(address, server.address()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_lost_increment_is_not_counted_twice_behind_the_applications_back() {
    let server = UdpServer::start(1);
    let config = Config { resend: Resend::All, ..Config::new(&[server.address()]) };
    let mut bold = Client::with_config(&config).expect("the server answers");
    assert_eq!(bold.set(b"n", &0_u64.to_le_bytes()), Ok(()));
    let config = Config { timeout: Duration::from_millis(80), ..Config::new(&[server.address()]) };
    let mut client = Client::with_config(&config).expect("the server answers");
    server.set_faults(Faults { loss: 100, ..Faults::NONE });
    assert!(matches!(client.increment(b"n", 1), Err(RequestError::Unknown { .. })));
    assert!(matches!(client.get(b"n"), Err(RequestError::TimedOut { .. })));
    server.set_faults(Faults::NONE);
    assert_eq!(bold.increment(b"n", 1), Ok(Some(1)));
}

#[test]
fn a_server_that_changes_its_version_is_named_as_the_reason() {
    let server = UdpServer::start(1);
    let config = Config { timeout: Duration::from_secs(1), ..Config::new(&[server.address()]) };
    let mut client = Client::with_config(&config).expect("the server answers");
    server.server().version = Some(3);
    let error = client.get(b"k").expect_err("no answer of this version");
    assert!(matches!(error, RequestError::Version { theirs: 3, ours: 1, .. }), "{error:?}");
}
