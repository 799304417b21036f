//! What is promised over a network that loses, doubles and delays.

mod fake;

use std::collections::HashMap;

use client::{Config, Operation, Outcome, Resend, ResultCode};
use fake::network::{Faults, World, config, server};

const LOSSY: Faults = Faults { loss: 30, doubling: 10, delay: 10 };
/// Loses as much and doubles nothing: what happens twice is then the client's doing.
const LOSING: Faults = Faults { loss: 30, doubling: 0, delay: 10 };

fn world(config: &Config, faults: Faults, seed: u64) -> World {
    let servers = config.servers.iter().map(|_| server(&[7600, 7601])).collect();
    let mut world = World::new(config, servers, seed);
    world.faults = faults;
    world
}

/// Submits `count` requests, as many at a time as the window takes, and runs until all have ended.
fn submit_all(world: &mut World, count: u64, mut request: impl FnMut(u64) -> (Vec<u8>, Operation<'static>)) {
    for tag in 0..count {
        while world.session.window_room() == 0 {
            world.session.flush(world.now);
            let limit = world.now.after(std::time::Duration::from_secs(1));
            world.step(limit);
        }
        let (key, operation) = request(tag);
        world.submit(&key, operation, tag).expect("room in the window");
    }
    world.finish();
}

#[test]
fn thirty_percent_loss_each_way_fails_less_than_one_request_in_ten_thousand() {
    let count = 20_000;
    let mut failures = 0;
    for seed in 1..=5 {
        let mut world = world(&config(2), LOSSY, seed);
        submit_all(&mut world, count, |tag| (tag.to_le_bytes().to_vec(), Operation::Set { value: b"v", ttl: None }));
        let mut seen = vec![false; count as usize];
        for end in &world.ends {
            assert!(!std::mem::replace(&mut seen[end.tag as usize], true), "request {} ended twice", end.tag);
            failures += u64::from(end.outcome != Outcome::Answered(ResultCode::Success));
        }
        assert!(seen.iter().all(|&seen| seen), "a request never ended, seed {seed}");
        assert!(world.session.statistics().frames_resent > 0 && world.session.statistics().duplicates > 0);
    }
    assert!(failures * 10_000 < 5 * count, "{failures} of {} requests failed", 5 * count);
}

#[test]
fn every_answer_belongs_to_its_request() {
    for seed in 1..=10 {
        let mut world = world(&Config { requests_per_frame: 5, ..config(2) }, LOSSY, seed);
        let key = |tag: u64| tag.to_string().into_bytes();
        for tag in 0..1000_u64 {
            let server = kv_core::hash::KeyHash::of(&key(tag)).server(2);
            world.servers[usize::from(server)].items.insert(key(tag), (tag.to_le_bytes().to_vec(), u64::MAX));
        }
        submit_all(&mut world, 1000, |tag| (key(tag), Operation::Get));
        for end in &world.ends {
            assert_eq!(end.outcome, Outcome::Answered(ResultCode::Success), "seed {seed}");
            assert_eq!(end.value.as_deref(), Some(&end.tag.to_le_bytes()[..]), "seed {seed}");
        }
    }
}

/// How many increments succeeded, how many are unknown, and what was counted, for one counter.
fn count_increments(resend: Resend, seed: u64) -> (u64, u64, u64) {
    let mut world = world(&Config { resend, requests_per_frame: 3, ..config(1) }, LOSING, seed);
    world.servers[0].items.insert(b"n".to_vec(), (vec![0; 8], u64::MAX));
    submit_all(&mut world, 300, |_| (b"n".to_vec(), Operation::Increment { delta: 1 }));
    let with = |outcome| world.ends.iter().filter(|end| end.outcome == outcome).count() as u64;
    let (done, unknown) = (with(Outcome::Answered(ResultCode::Success)), with(Outcome::Unknown));
    assert_eq!(done + unknown, 300, "an increment that was sent is done or unknown");
    let (value, _) = &world.servers[0].items[&b"n"[..]];
    (done, unknown, u64::from_le_bytes(value[..].try_into().expect("8 bytes")))
}

#[test]
fn an_increment_is_counted_once_or_its_fate_is_unknown() {
    for seed in 1..=10 {
        let (done, unknown, counted) = count_increments(Resend::Harmless, seed);
        assert!(done <= counted && counted <= done + unknown, "{done} done, {unknown} unknown, {counted} counted");
        assert!(unknown > 0, "a third of the frames is lost");
    }
}

#[test]
fn increments_that_may_be_sent_again_are_counted_at_least_once() {
    let mut more_than_once = false;
    for seed in 1..=10 {
        let (done, unknown, counted) = count_increments(Resend::All, seed);
        assert_eq!((done, unknown), (300, 0));
        assert!(counted >= 300);
        more_than_once |= counted > 300;
    }
    assert!(more_than_once, "what is sent again is executed again now and then");
}

#[test]
fn an_add_never_reports_its_own_item_as_somebody_elses() {
    let mut unknown = 0;
    for seed in 1..=10 {
        let mut world = world(&Config { requests_per_frame: 4, ..config(2) }, LOSING, seed);
        submit_all(&mut world, 500, |tag| (tag.to_le_bytes().to_vec(), Operation::Add { value: b"v", ttl: None }));
        for end in &world.ends {
            match end.outcome {
                Outcome::Answered(ResultCode::Success) => {}
                Outcome::Unknown => unknown += 1,
                other => panic!("{other:?} for a key that nobody else adds, seed {seed}"),
            }
        }
    }
    assert!(unknown > 0, "an answer to an add is lost now and then");
}

#[test]
fn mutations_beside_an_increment_are_sent_again_without_it() {
    for seed in 1..=10 {
        let mut world = world(&Config { requests_per_frame: 8, ..config(2) }, LOSING, seed);
        for server in &mut world.servers {
            server.items.insert(b"n".to_vec(), (vec![0; 8], u64::MAX));
        }
        submit_all(&mut world, 400, |tag| {
            if tag % 4 == 0 {
                (b"n".to_vec(), Operation::Increment { delta: 1 })
            } else {
                (tag.to_le_bytes().to_vec(), Operation::Set { value: b"v", ttl: None })
            }
        });
        let ends: HashMap<u64, Outcome> = world.ends.iter().map(|end| (end.tag, end.outcome)).collect();
        assert_eq!(ends.len(), 400);
        let set_failures = (0..400).filter(|tag| tag % 4 != 0 && ends[tag] != Outcome::Answered(ResultCode::Success));
        assert_eq!(set_failures.count(), 0, "seed {seed}");
        let counted: u64 = world.servers.iter().map(|server| counter(&server.items[&b"n"[..]].0)).sum();
        let done = (0..400).filter(|tag| tag % 4 == 0 && ends[tag] == Outcome::Answered(ResultCode::Success)).count();
        assert!(done as u64 <= counted && counted <= 100, "{done} done, {counted} counted");
    }
}

fn counter(value: &[u8]) -> u64 {
    u64::from_le_bytes(value.try_into().expect("8 bytes"))
}
