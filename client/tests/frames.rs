//! How requests share frames, and what happens to those that a server does not take.

mod fake;

use std::time::Duration;

use client::{Config, Operation, Outcome, ResultCode, SubmitError, TooLarge};
use fake::network::{World, address, config, server};

const SET: Operation<'static> = Operation::Set { value: b"v", ttl: None };
const DONE: Outcome = Outcome::Answered(ResultCode::Success);

fn world(config: &Config) -> World {
    World::connected(config, vec![server(&[7600])])
}

/// A server with values of `len` bytes under the keys 0 to 63, and its client.
fn world_of_values(len: usize) -> World {
    let mut world = world(&config(1));
    for number in 0..64_u64 {
        world.servers[0].items.insert(number.to_le_bytes().to_vec(), (vec![number as u8; len], u64::MAX));
    }
    world
}

fn get_all(world: &mut World, len: usize) {
    for number in 0..64_u64 {
        world.submit(&number.to_le_bytes(), Operation::Get, number).expect("room in the window");
    }
    world.finish();
    let ends = std::mem::take(&mut world.ends);
    assert_eq!(ends.len(), 64);
    for end in ends {
        assert_eq!(end.outcome, DONE, "request {}", end.tag);
        assert_eq!(end.value, Some(vec![end.tag as u8; len]));
    }
}

#[test]
fn a_full_frame_leaves_by_itself_and_the_rest_when_it_is_flushed() {
    let mut world = world(&Config { requests_per_frame: 8, ..config(1) });
    for tag in 0..20 {
        world.submit(&[tag], SET, u64::from(tag)).expect("room in the window");
    }
    assert!(world.session.has_departure());
    for _ in 0..2 {
        assert!(world.session.departure(world.now).is_some());
        world.session.departed(world.now);
    }
    assert!(world.session.departure(world.now).is_none(), "four requests wait for company");
    world.session.flush(world.now);
    assert!(world.session.departure(world.now).is_some());
    world.session.departed(world.now);
    assert_eq!(world.session.statistics().requests_sent, 20);
}

#[test]
fn a_request_waits_for_company_as_long_as_it_lingers() {
    let mut world = world(&config(1));
    world.submit(b"k", SET, 0).expect("room in the window");
    let linger = world.session.config().linger;
    let submitted = world.now;
    world.session.flush_lingering(submitted.after(linger - Duration::from_nanos(1)));
    assert!(!world.session.has_departure());
    world.session.flush_lingering(submitted.after(linger));
    assert!(world.session.has_departure());
}

#[test]
fn frames_keep_within_what_the_server_takes() {
    let mut world = world(&Config { requests_per_frame: 1024, window: 5000, ..config(1) });
    for tag in 0..5000_u64 {
        world.submit(&tag.to_le_bytes(), Operation::Set { value: &[7; 100], ttl: None }, tag).expect("room");
    }
    world.finish();
    assert!(world.ends.iter().all(|end| end.outcome == DONE));
    // 16 bytes of frame header, 8 of body header, and 108 for each request, of 1472.
    assert_eq!(world.servers[0].requests_per_frame_max, 13);
}

#[test]
fn frames_keep_within_what_their_answers_may_take() {
    let mut world = world_of_values(100);
    // Nothing is known of the values before the first one comes.
    assert_eq!(world.ask(&0_u64.to_le_bytes(), Operation::Get).outcome, DONE);
    world.ends.clear();
    get_all(&mut world, 100);
    // 16 bytes of frame header, 8 of body header, and 103 for each answer, of 1472.
    assert_eq!(world.servers[0].requests_per_frame_max, 14);
}

#[test]
fn operands_that_have_to_be_written_share_frames_with_those_that_are_there() {
    let mut world = world(&config(1));
    let operations = [
        Operation::Set { value: &7_u64.to_le_bytes(), ttl: None },
        Operation::Increment { delta: 5 },
        Operation::CompareAndSet { expected: &12_u64.to_le_bytes(), new: b"new", ttl: None },
        Operation::Append { suffix: b"er" },
        Operation::Touch { ttl: None },
        Operation::Get,
    ];
    for (tag, operation) in (0..).zip(operations) {
        world.submit(b"k", operation, tag).expect("room in the window");
    }
    world.finish();
    assert!(world.ends.iter().all(|end| end.outcome == DONE), "{:?}", world.ends);
    assert_eq!(world.ends[5].value.as_deref(), Some(&b"newer"[..]));
    assert_eq!(world.servers[0].requests_per_frame_max, 6);
}

#[test]
fn a_full_window_takes_no_more() {
    let mut world = world(&Config { window: 3, ..config(1) });
    for tag in 0..3 {
        assert_eq!(world.submit(b"k", SET, tag), Ok(()));
    }
    assert_eq!(world.submit(b"k", SET, 3), Err(SubmitError::Full));
    assert_eq!((world.session.outstanding(), world.session.window_room()), (3, 0));
    world.finish();
    assert_eq!(world.session.window_room(), 3);
    assert_eq!(world.submit(b"k", SET, 3), Ok(()));
}

#[test]
fn what_the_server_would_refuse_is_not_sent() {
    let mut server = server(&[7600]);
    server.spec.key_len_max = 16;
    server.spec.value_len_max = 1460;
    let mut world = World::connected(&config(1), vec![server]);
    let set = |value| Operation::Set { value, ttl: None };
    assert_eq!(world.submit(b"", Operation::Get, 0), Err(SubmitError::NoKey));
    assert_eq!(world.submit(&[1; 17], Operation::Get, 0), Err(TooLarge::Key { len: 17, max: 16 }.into()));
    assert_eq!(world.submit(b"k", set(&[0; 1461]), 0), Err(TooLarge::Value { len: 1461, max: 1460 }.into()));
    assert_eq!(world.submit(b"k", set(&[0; 1448]), 0), Err(TooLarge::Frame { len: 1473, max: 1472 }.into()));
    let compare = |expected| Operation::CompareAndSet { expected, new: b"", ttl: None };
    assert_eq!(world.submit(b"k", compare(&[0; 70_000]), 0), Err(TooLarge::Value { len: 70_000, max: 1460 }.into()));
    assert_eq!(world.submit(b"k", compare(&[0; 1446]), 0), Err(TooLarge::Frame { len: 1473, max: 1472 }.into()));
    // The same for one that would share a frame.
    assert_eq!(world.submit(b"k", SET, 0), Ok(()));
    assert_eq!(world.submit(b"", Operation::Get, 1), Err(SubmitError::NoKey));
    assert_eq!(world.submit(&[1; 17], Operation::Get, 1), Err(TooLarge::Key { len: 17, max: 16 }.into()));
    assert_eq!(world.submit(b"k", set(&[0; 1461]), 1), Err(TooLarge::Value { len: 1461, max: 1460 }.into()));
    assert_eq!(world.submit(b"k", set(&[0; 1448]), 1), Err(TooLarge::Frame { len: 1473, max: 1472 }.into()));
    world.finish();
    assert_eq!(world.session.outstanding(), 0);
    assert_eq!(world.ask(b"k", set(&[0; 1447])).outcome, DONE);
    assert_eq!(world.ask(&[1; 16], SET).outcome, DONE);
}

#[test]
fn values_that_do_not_fit_one_answer_come_in_several() {
    let mut world = world_of_values(400);
    get_all(&mut world, 400);
    let refusals = world.session.statistics().refusals;
    // The answers to two frames of 32 requests have room for 3 values each. Then it is known how long they are.
    assert_eq!(refusals, 2 * 29);
    let frames = world.session.statistics().frames_sent;
    get_all(&mut world, 400);
    assert_eq!(world.session.statistics().refusals, refusals, "then frames ask for what an answer can hold");
    assert_eq!(world.session.statistics().frames_sent, frames + 64_u64.div_ceil(3), "and for no less");
    assert_eq!(world.session.statistics().frames_resent, 0);
}

#[test]
fn a_client_that_the_server_does_not_know_still_gets_long_values() {
    let mut world = world(&config(1));
    world.servers[0].items.insert(b"k".to_vec(), (vec![3; 1400], u64::MAX));
    world.servers[0].answers_are_limited = true;
    let end = world.ask(b"k", Operation::Get);
    assert_eq!((end.outcome, end.value.map(|value| value.len())), (DONE, Some(1400)));
    assert!(end.latency < Duration::from_millis(1), "padded at once: {:?}", end.latency);
    let refusals = world.session.statistics().refusals;
    let end = world.ask(b"k", Operation::Get);
    assert_eq!((end.outcome, end.attempts), (DONE, 1));
    assert_eq!(world.session.statistics().refusals, refusals, "the next request is padded from the beginning");
    // It is sent from the memory of the padded one.
    let end = world.ask(b"k", Operation::Set { value: &[3; 100], ttl: None });
    assert_eq!((end.outcome, end.attempts), (DONE, 1));
}

#[test]
fn the_next_life_of_a_server_may_know_the_client() {
    let mut world = world(&config(1));
    world.servers[0].items.insert(b"k".to_vec(), (vec![3; 1400], u64::MAX));
    world.servers[0].answers_are_limited = true;
    assert_eq!(world.ask(b"k", Operation::Get).outcome, DONE);
    // Refusals lead to the question who the server is.
    world.servers[0].answers_are_limited = false;
    world.servers[0].spec.server_id = 2;
    world.servers[0].refuses_with = Some(ResultCode::Rejected);
    world.submit(b"k", Operation::Get, 1).expect("room in the window");
    world.run_for(Duration::from_millis(300));
    world.servers[0].refuses_with = None;
    world.finish();
    world.servers[0].request_len_max = 0;
    assert_eq!(world.ask(b"k", Operation::Get).outcome, DONE);
    assert_eq!(world.servers[0].request_len_max, 25, "a frame with a GET of a 1-byte key");
}

#[test]
fn a_client_that_has_seen_long_answers_does_not_pad() {
    let mut world = world(&config(1));
    world.servers[0].items.insert(b"k".to_vec(), (vec![3; 1400], u64::MAX));
    assert_eq!(world.ask(b"k", Operation::Get).outcome, DONE);
    world.servers[0].refuses_with = Some(ResultCode::NotProcessed);
    world.submit(b"k", Operation::Get, 1).expect("room in the window");
    world.run_for(Duration::from_millis(200));
    world.servers[0].refuses_with = None;
    world.finish();
    assert_eq!(world.ends[0].outcome, DONE);
    assert_eq!(world.servers[0].request_len_max, 25, "a frame with a GET of a 1-byte key");
}

#[test]
fn requests_of_one_frame_end_each_in_its_own_time() {
    let mut world = world(&config(1));
    world.is_dead[0] = true;
    world.submit(b"a", Operation::Increment { delta: 1 }, 0).expect("room in the window");
    // Long after, and still in the same frame.
    world.now = world.now.after(Duration::from_secs(1));
    world.submit(b"b", Operation::Increment { delta: 1 }, 1).expect("room in the window");
    world.finish();
    let latencies: Vec<Duration> = world.ends.iter().map(|end| end.latency).collect();
    assert_eq!(latencies, [Duration::from_secs(5); 2]);
}

#[test]
fn short_requests_of_an_unknown_client_show_room_for_their_results() {
    let mut world = world(&config(1));
    world.servers[0].answers_are_limited = true;
    for round in 0..2 {
        for key in 0..64 {
            world.submit(&[key], Operation::Delete, u64::from(key)).expect("room in the window");
        }
        world.finish();
        assert!(world.ends.iter().all(|end| end.outcome == Outcome::Answered(ResultCode::NotFound)), "round {round}");
        assert_eq!(std::mem::take(&mut world.ends).len(), 64);
    }
    assert!(world.session.statistics().refusals <= 64, "the second round is padded from the beginning");
}

#[test]
fn many_long_values_reach_an_unknown_client() {
    let mut world = world_of_values(300);
    world.servers[0].answers_are_limited = true;
    get_all(&mut world, 300);
    get_all(&mut world, 300);
}

#[test]
fn a_server_that_keeps_refusing_is_told_as_such() {
    for result in [ResultCode::NotProcessed, ResultCode::Rejected] {
        let mut world = world(&config(1));
        world.servers[0].refuses_with = Some(result);
        let end = world.ask(b"n", Operation::Increment { delta: 1 });
        assert_eq!(end.outcome, Outcome::Answered(result), "it was certainly not executed");
        assert_eq!(end.attempts, 20);
        assert!(end.latency > Duration::from_secs(1), "with pauses: {:?}", end.latency);
    }
}

#[test]
fn a_refused_request_succeeds_when_the_server_takes_it() {
    let mut world = world(&config(1));
    world.servers[0].items.insert(b"n".to_vec(), (vec![0; 8], u64::MAX));
    world.servers[0].refuses_with = Some(ResultCode::NotProcessed);
    world.submit(b"n", Operation::Increment { delta: 5 }, 1).expect("room in the window");
    world.run_for(Duration::from_millis(500));
    world.servers[0].refuses_with = None;
    world.finish();
    assert_eq!(world.ends[0].outcome, DONE);
    assert_eq!(world.ends[0].value.as_deref(), Some(&5_u64.to_le_bytes()[..]));
}

#[test]
fn without_an_answer_a_request_ends_in_its_time() {
    let mut world = world(&config(1));
    world.is_dead[0] = true;
    world.submit(b"k", Operation::Get, 0).expect("room in the window");
    world.submit(b"k", SET, 1).expect("room in the window");
    world.submit(b"k", Operation::Increment { delta: 1 }, 2).expect("room in the window");
    world.finish();
    world.ends.sort_by_key(|end| end.tag);
    let outcomes: Vec<Outcome> = world.ends.iter().map(|end| end.outcome).collect();
    assert_eq!(outcomes, [Outcome::TimedOut, Outcome::Unknown, Outcome::Unknown]);
    assert!(world.ends.iter().all(|end| end.latency <= Duration::from_secs(5)));
    assert_eq!(world.ends[2].attempts, 1, "an increment is sent once");
    assert_eq!(world.ends[1].attempts, 20);
    assert_eq!((world.session.statistics().timed_out, world.session.statistics().unknown), (1, 2));
    assert_eq!(world.session.outstanding(), 0);
}

#[test]
fn what_was_never_sent_has_changed_nothing() {
    let mut world = World::new(&config(1), vec![server(&[7600])], 5);
    world.is_dead[0] = true;
    let end = world.ask(b"k", SET);
    assert_eq!((end.outcome, end.attempts), (Outcome::TimedOut, 0));
    assert_eq!(end.latency, Duration::from_secs(5));
}

#[test]
fn a_late_answer_to_any_attempt_counts() {
    let mut world = world(&config(1));
    world.submit(b"k", SET, 1).expect("room in the window");
    world.session.flush(world.now);
    let first = world.session.departure(world.now).map(|departure| departure.payload.to_vec()).expect("a frame");
    world.session.departed(world.now);
    let answer = world.servers[0].answer(7600, &first).expect("an answer");
    world.is_dead[0] = true;
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.ends, []);
    world.deliver(address(0), &answer);
    assert_eq!(world.ends.len(), 1);
    assert_eq!(world.ends[0].outcome, DONE);
}

#[test]
fn batch_ids_of_two_sessions_differ() {
    let first_frame = |seed| {
        let mut world = World::new(&config(1), vec![server(&[7600])], seed);
        world.run_for(Duration::from_millis(1));
        world.submit(b"k", SET, 1).expect("room in the window");
        world.session.flush(world.now);
        let departure = world.session.departure(world.now).expect("a frame");
        (departure.payload[4..8].to_vec(), departure.payload[8..16].to_vec())
    };
    let (ids, stamps): (Vec<_>, Vec<_>) = (1..=3).map(first_frame).unzip();
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2], "{ids:?}");
    assert!(stamps[0] != stamps[1] && stamps[1] != stamps[2] && stamps[0] != stamps[2], "{stamps:?}");
}

/// One flight is used again and again, past the end of its 16 bits of generations.
#[test]
fn generations_wrap_around() {
    let mut world = world(&config(1));
    for _ in 0..70_000 {
        assert_eq!(world.ask(b"k", SET).outcome, DONE);
    }
    assert_eq!(world.session.statistics().duplicates, 0);
    assert_eq!(world.session.statistics().malformed, 0);
}
