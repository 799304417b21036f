//! Which request goes where, and what happens when a server moves.

mod fake;

use std::time::Duration;

use client::session::Readiness;
use client::{Config, Moment, Operation, Outcome, ResultCode};
use fake::network::{Faults, World, address, config, server};
use kv_core::hash::KeyHash;
use qp_wire::native::Endpoint;

const SET: Operation<'static> = Operation::Set { value: b"v", ttl: None };
const DONE: Outcome = Outcome::Answered(ResultCode::Success);

fn key(number: u64) -> [u8; 8] {
    number.to_le_bytes()
}

/// Submits requests for the keys 0 to `count`, and checks that all of them succeed.
fn ask_all(world: &mut World, count: u64, operation: Operation<'_>) {
    for number in 0..count {
        world.submit(&key(number), operation, number).expect("room in the window");
    }
    world.finish();
    let ends = std::mem::take(&mut world.ends);
    assert_eq!(ends.len() as u64, count);
    for end in ends {
        assert_eq!(end.outcome, DONE, "request {}", end.tag);
    }
}

#[test]
fn a_key_lives_on_the_server_that_its_hash_names() {
    let mut world = World::connected(&config(3), vec![server(&[7600]), server(&[7600]), server(&[7600])]);
    ask_all(&mut world, 300, SET);
    for number in 0..300 {
        let home = usize::from(KeyHash::of(&key(number)).server(3));
        for (index, server) in world.servers.iter().enumerate() {
            assert_eq!(server.items.contains_key(&key(number)[..]), index == home, "key {number}, server {index}");
        }
    }
}

#[test]
fn a_request_goes_to_the_endpoint_of_its_partition() {
    let mut world = World::connected(&config(1), vec![server(&[7600, 7601, 7602])]);
    ask_all(&mut world, 300, SET);
    ask_all(&mut world, 300, Operation::Get);
    assert_eq!(world.session.statistics().refusals, 0, "an endpoint would reject what is not its own");
    assert_eq!(world.servers[0].executed.len(), 3);
}

#[test]
fn endpoints_of_one_owner_take_turns() {
    let mut spec = fake::Spec::new(&[7600]);
    spec.endpoints = vec![Endpoint::new(0, [0; 4], 7600), Endpoint::new(0, [0; 4], 7601)];
    let mut world = World::connected(&Config { requests_per_frame: 10, ..config(1) }, vec![fake::Server::new(spec)]);
    ask_all(&mut world, 200, SET);
    assert_eq!(world.servers[0].executed[&7600], 100);
    assert_eq!(world.servers[0].executed[&7601], 100);
}

#[test]
fn concurrent_reads_go_to_every_endpoint_and_writes_to_the_owner() {
    let mut spec = fake::Spec::new(&[7600, 7601]);
    spec.concurrent_read = true;
    spec.owners.fill(1);
    let mut world = World::connected(&Config { requests_per_frame: 10, ..config(1) }, vec![fake::Server::new(spec)]);
    ask_all(&mut world, 100, SET);
    assert_eq!(world.servers[0].executed.get(&7600), None);
    assert_eq!(world.servers[0].executed[&7601], 100);
    ask_all(&mut world, 100, Operation::Get);
    assert_eq!(world.servers[0].executed[&7600], 50);
    assert_eq!(world.servers[0].executed[&7601], 150);
}

#[test]
fn an_endpoint_may_have_an_address_of_its_own() {
    let mut spec = fake::Spec::new(&[7600]);
    spec.endpoints = vec![Endpoint::new(0, [10, 0, 0, 1], 9000)];
    let mut world = World::connected(&config(1), vec![fake::Server::new(spec)]);
    // The server in the network at 10.0.0.1 listens there.
    let mut other = fake::Spec::new(&[9000]);
    other.endpoints = vec![Endpoint::new(0, [0; 4], 9000)];
    world.servers.push(fake::Server::new(other));
    world.is_dead.push(false);
    ask_all(&mut world, 10, SET);
    assert_eq!(world.servers[0].items.len(), 0);
    assert_eq!(world.servers[1].items.len(), 10);
}

#[test]
fn requests_of_moved_partitions_follow_them() {
    let mut world = World::connected(&config(1), vec![server(&[7600, 7601])]);
    ask_all(&mut world, 100, SET);
    // A server that has just told who it is would not be asked again so soon.
    world.run_for(Duration::from_millis(100));
    let spec = &mut world.servers[0].spec;
    spec.owners.reverse();
    spec.epoch += 1;
    ask_all(&mut world, 100, Operation::Get);
    let statistics = *world.session.statistics();
    assert_eq!(statistics.refusals, 100, "each was rejected once, and then waited for the news");
    assert_eq!(statistics.identities, 2);
    ask_all(&mut world, 100, Operation::Get);
    assert_eq!(world.session.statistics().refusals, statistics.refusals, "now the way is known");
}

#[test]
fn a_server_that_comes_back_on_other_ports_is_found() {
    let mut world = World::connected(&config(1), vec![server(&[7700, 7701])]);
    ask_all(&mut world, 100, SET);
    world.is_dead[0] = true;
    for number in 0..100 {
        world.submit(&key(number), Operation::Get, number).expect("room in the window");
    }
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.ends.len(), 0, "nobody answers");
    world.is_dead[0] = false;
    let items = std::mem::take(&mut world.servers[0].items);
    world.servers[0] = server(&[7800, 7801, 7802]);
    world.servers[0].spec.server_id = 2;
    world.servers[0].items = items;
    let back = world.now;
    world.finish();
    assert!(world.ends.iter().all(|end| end.outcome == DONE && end.value.as_deref() == Some(b"v")));
    assert!(world.now.since(back) < Duration::from_millis(500), "took {:?}", world.now.since(back));
    assert_eq!(world.session.servers().next().map(|info| info.endpoints.len()), Some(3));
}

#[test]
fn a_server_that_comes_back_on_the_same_ports_is_used_at_once() {
    let mut world = World::connected(&config(1), vec![server(&[7600])]);
    world.is_dead[0] = true;
    world.submit(b"k", SET, 1).expect("room in the window");
    world.run_for(Duration::from_secs(3));
    world.is_dead[0] = false;
    world.servers[0].spec.server_id = 2;
    let back = world.now;
    world.finish();
    assert_eq!(world.ends[0].outcome, DONE);
    assert!(world.now.since(back) <= Duration::from_millis(201), "took {:?}", world.now.since(back));
}

#[test]
fn an_increment_that_died_with_its_server_ends_as_unknown_when_the_server_is_back() {
    let mut world = World::connected(&config(1), vec![server(&[7600])]);
    world.is_dead[0] = true;
    world.submit(b"n", Operation::Increment { delta: 1 }, 1).expect("room in the window");
    world.submit(b"k", SET, 2).expect("room in the window");
    world.run_for(Duration::from_millis(300));
    world.is_dead[0] = false;
    world.servers[0].spec.server_id = 2;
    let back = world.now;
    world.finish();
    world.ends.sort_by_key(|end| end.tag);
    assert_eq!(world.ends[0].outcome, Outcome::Unknown);
    assert_eq!(world.ends[1].outcome, DONE);
    assert!(world.now.since(back) < Duration::from_millis(500));
    assert_eq!(world.servers[0].executed[&7600], 1, "the increment was not sent again");
}

#[test]
fn requests_to_an_endpoint_that_is_gone_move_to_those_that_are_there() {
    let mut world = World::connected(&config(1), vec![server(&[7700, 7701])]);
    world.servers[0].spec.endpoints = vec![Endpoint::new(0, [0; 4], 7702), Endpoint::new(1, [0; 4], 7703)];
    world.servers[0].spec.epoch += 1;
    world.submit(b"k", SET, 1).expect("room in the window");
    world.submit(b"n", Operation::Increment { delta: 1 }, 2).expect("room in the window");
    world.finish();
    world.ends.sort_by_key(|end| end.tag);
    assert_eq!(world.ends[0].outcome, DONE);
    assert_eq!(world.ends[1].outcome, Outcome::Unknown);
    assert!(world.ends.iter().all(|end| end.latency < Duration::from_millis(500)), "{:?}", world.ends);
}

#[test]
fn an_add_that_moves_to_the_next_life_of_its_server_may_meet_itself_there() {
    // The news come before it would be sent again anyway.
    let resend_after = Duration::from_millis(400);
    let config = Config { resend_after_min: resend_after, resend_after_max: resend_after, ..config(1) };
    let mut world = World::connected(&config, vec![server(&[7600])]);
    world.is_dead[0] = true;
    world.submit(b"other", Operation::Get, 0).expect("room in the window");
    world.submit(b"another", Operation::Get, 0).expect("room in the window");
    world.run_for(Duration::from_millis(1250));
    world.is_dead[0] = false;
    world.servers[0].spec.server_id = 2;
    world.submit(b"k", Operation::Add { value: b"v", ttl: None }, 1).expect("room in the window");
    world.session.flush(world.now);
    let request = world.session.departure(world.now).map(|departure| departure.payload.to_vec()).expect("a frame");
    world.session.departed(world.now);
    assert!(world.servers[0].answer(7600, &request).is_some(), "executed, and the answer is lost");
    world.finish();
    let end = world.ends.iter().find(|end| end.tag == 1).expect("every request ends");
    assert_eq!(end.outcome, Outcome::Unknown);
    assert!(end.latency < resend_after, "{:?}", end.latency);
}

#[test]
fn an_increment_of_a_server_that_only_changed_keeps_waiting_for_its_answer() {
    let mut world = World::connected(&config(1), vec![server(&[7600])]);
    world.servers[0].items.insert(b"n".to_vec(), (vec![0; 8], u64::MAX));
    // The answer takes its time: long enough for the server to be asked, and to say that something has changed.
    world.is_dead[0] = true;
    world.submit(b"n", Operation::Increment { delta: 1 }, 1).expect("room in the window");
    world.submit(b"k", SET, 2).expect("room in the window");
    world.run_for(Duration::from_millis(300));
    world.is_dead[0] = false;
    world.servers[0].spec.epoch += 1;
    world.run_for(Duration::from_millis(500));
    assert_eq!(world.ends.iter().map(|end| end.tag).collect::<Vec<_>>(), [2]);
    world.finish();
    assert_eq!((world.ends[1].tag, world.ends[1].outcome), (1, Outcome::Unknown));
}

#[test]
fn requests_wait_until_their_partition_has_an_endpoint() {
    let mut half = server(&[7600, 7601]);
    half.spec.complete = false;
    half.spec.endpoints.truncate(1);
    let mut world = World::connected(&config(1), vec![half]);
    assert_eq!(world.session.readiness().next(), Some(Readiness::Incomplete));
    for number in 0..100 {
        world.submit(&key(number), SET, number).expect("room in the window");
    }
    world.run_for(Duration::from_millis(500));
    let early = world.ends.len();
    assert!(early > 0 && early < 100, "the half that is there answers: {early}");
    let spec = &mut world.servers[0].spec;
    spec.complete = true;
    spec.epoch += 1;
    spec.endpoints.push(Endpoint::new(1, [0; 4], 7601));
    world.finish();
    assert_eq!(world.session.readiness().next(), Some(Readiness::Ready));
    assert_eq!(world.ends.iter().filter(|end| end.outcome == DONE).count(), 100);
}

#[test]
fn requests_may_be_submitted_before_the_server_is_known() {
    let mut world = World::new(&config(1), vec![server(&[7600, 7601])], 3);
    for number in 0..100 {
        world.submit(&key(number), SET, number).expect("room in the window");
    }
    assert_eq!(world.session.readiness().next(), Some(Readiness::Silent));
    world.finish();
    assert!(world.ends.iter().all(|end| end.outcome == DONE));
    assert_eq!(world.ends.len(), 100);
    assert_eq!(world.session.statistics().refusals, 0, "each goes to the endpoint of its partition");
}

#[test]
fn requests_that_wait_for_company_follow_their_server_too() {
    let mut world = World::new(&config(1), vec![server(&[7600, 7601])], 3);
    world.submit(b"k", SET, 1).expect("room in the window");
    let limit = world.now.after(Duration::from_secs(1));
    while world.session.servers().count() == 0 {
        world.step(limit);
    }
    world.finish();
    assert_eq!(world.ends[0].outcome, DONE);
}

/// 2200 lives with 32 endpoints each are more endpoints than a session can number.
#[test]
fn a_server_may_move_without_end() {
    let mut world = World::connected(&config(1), vec![server(&[7600])]);
    for life in 0..2200_u16 {
        let spec = &mut world.servers[0].spec;
        spec.server_id += 1;
        let [high, low] = life.to_be_bytes();
        spec.endpoints = (0..31).map(|label| Endpoint::new(label + 1, [172, high, low, label], 1)).collect();
        spec.endpoints.push(Endpoint::new(0, [0; 4], 8000 + life));
        assert_eq!(world.ask(b"k", SET).outcome, DONE, "life {life}");
    }
}

#[test]
fn a_server_of_another_version_says_which() {
    let mut foreign = server(&[7600]);
    foreign.version = Some(9);
    let mut world = World::new(&config(2), vec![server(&[7600]), foreign], 3);
    world.run_for(Duration::from_millis(10));
    let readiness: Vec<_> = world.session.readiness().collect();
    assert_eq!(readiness, [Readiness::Ready, Readiness::Foreign { theirs: 9 }]);
}

#[test]
fn a_server_that_is_replaced_by_another_version_is_noticed() {
    let mut world = World::connected(&config(1), vec![server(&[7600])]);
    world.servers[0].version = Some(2);
    let end = world.ask(b"k", SET);
    assert_eq!(end.outcome, Outcome::Unknown, "it was sent, and what became of it is not known");
    assert_eq!(world.session.readiness().next(), Some(Readiness::Foreign { theirs: 2 }));
    world.servers[0].version = None;
    world.run_for(Duration::from_millis(500));
    assert_eq!(world.session.readiness().next(), Some(Readiness::Ready));
    assert_eq!(world.ask(b"k", SET).outcome, DONE);
}

#[test]
fn a_quiet_session_asks_for_no_turn() {
    let mut world = World::connected(&config(1), vec![server(&[7600])]);
    ask_all(&mut world, 10, SET);
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.session.next_turn(), Moment::NEVER);
    assert_eq!(world.session.statistics().identities, 1);
}

/// A world with one request under way, the endpoint's answer to it, and nothing else that arrives.
fn world_with_an_answer() -> (World, Vec<u8>) {
    let mut world = World::connected(&config(1), vec![server(&[7600])]);
    world.faults = Faults { loss: 100, ..Faults::NONE };
    world.submit(b"k", SET, 1).expect("room in the window");
    world.session.flush(world.now);
    let request = world.session.departure(world.now).map(|departure| departure.payload.to_vec()).expect("a frame");
    world.session.departed(world.now);
    let answer = world.servers[0].answer(7600, &request).expect("an answer");
    (world, answer)
}

#[test]
fn a_second_copy_of_an_answer_ends_nothing() {
    let (mut world, answer) = world_with_an_answer();
    world.deliver(address(0), &answer);
    assert_eq!(world.ends.len(), 1);
    world.deliver(address(0), &answer);
    assert_eq!(world.ends.len(), 1);
    assert_eq!(world.session.statistics().duplicates, 1);
    // The same memory carries the next request; the copy is not for it.
    world.submit(b"k", SET, 2).expect("room in the window");
    world.session.flush(world.now);
    assert!(world.session.departure(world.now).is_some());
    world.session.departed(world.now);
    world.deliver(address(0), &answer);
    assert_eq!(world.ends.len(), 1);
    assert_eq!(world.session.statistics().duplicates, 2);
}

#[test]
fn answers_count_only_from_where_they_were_asked() {
    let (mut world, answer) = world_with_an_answer();
    let mut stranger = address(0);
    stranger.set_port(7601);
    world.deliver(stranger, &answer);
    assert_eq!(world.ends, []);
    assert_eq!(world.session.statistics().malformed, 1);
}

#[test]
fn answers_count_only_with_a_stamp_that_was_sent() {
    let (mut world, mut answer) = world_with_an_answer();
    answer[8] ^= 1;
    world.deliver(address(0), &answer);
    assert_eq!(world.ends, []);
    assert_eq!(world.session.statistics().malformed, 1);
    answer[8] ^= 1;
    world.deliver(address(0), &answer);
    assert_eq!(world.ends.len(), 1);
}

#[test]
fn answers_count_only_when_they_answer_every_request() {
    let (mut world, mut answer) = world_with_an_answer();
    // The count of a batch whose results are folded.
    answer[16] = 2;
    world.deliver(address(0), &answer);
    assert_eq!(world.ends, []);
    assert_eq!(world.session.statistics().malformed, 1);
}
