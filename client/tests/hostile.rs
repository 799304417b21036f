//! Whatever arrives, a session ends each request at most once, never panics, and goes on.

mod fake;

use client::session::ServerId;
use client::{Operation, Outcome, ResultCode};
use fake::network::{World, address, config, server};
use proptest::prelude::*;

/// What an attacker does to bytes that he has seen.
#[derive(Clone, Debug)]
enum Damage {
    /// Sends something else.
    Replace(Vec<u8>),
    /// Changes some bytes.
    Change(Vec<(usize, u8)>),
    /// Cuts the end off.
    Cut(usize),
    /// Adds something.
    Extend(Vec<u8>),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..64).prop_map(Damage::Replace),
        proptest::collection::vec((any::<usize>(), any::<u8>()), 1..4).prop_map(Damage::Change),
        any::<usize>().prop_map(Damage::Cut),
        proptest::collection::vec(any::<u8>(), 1..32).prop_map(Damage::Extend),
    ]
}

fn apply(damage: &Damage, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    match damage {
        Damage::Replace(other) => bytes.clone_from(other),
        Damage::Change(changes) => {
            for (index, byte) in changes {
                let index = index % bytes.len();
                bytes[index] = *byte;
            }
        }
        Damage::Cut(len) => bytes.truncate(len % bytes.len()),
        Damage::Extend(more) => bytes.extend(more),
    }
    bytes
}

/// Asks for 20 keys and for the server's identity while `damages` of the answers arrive.
fn check_hostile_answers(damages: &[Damage]) {
    let mut world = World::connected(&config(1), vec![server(&[7600, 7601])]);
    for tag in 0..20_u64 {
        let operation = match tag % 3 {
            0 => Operation::Get,
            1 => Operation::Set { value: b"value", ttl: None },
            _ => Operation::Increment { delta: 1 },
        };
        world.submit(&tag.to_le_bytes(), operation, tag).expect("room in the window");
    }
    world.session.flush(world.now);
    let mut answers = Vec::new();
    while let Some(departure) = world.session.departure(world.now) {
        let (to, payload) = (departure.address, departure.payload.to_vec());
        world.session.departed(world.now);
        answers.push((to, world.servers[0].answer(to.port(), &payload).expect("an answer")));
    }
    for damage in damages {
        for (from, answer) in &answers {
            let bytes = apply(damage, answer);
            world.deliver(*from, &bytes);
            world.deliver_identity(ServerId(0), &bytes);
        }
    }
    world.finish();
    let mut tags: Vec<u64> = world.ends.iter().map(|end| end.tag).collect();
    tags.sort_unstable();
    assert_eq!(tags, (0..20).collect::<Vec<u64>>(), "each request ends once");
    let end = world.ask(b"after", Operation::Set { value: b"v", ttl: None });
    assert_eq!(end.outcome, Outcome::Answered(ResultCode::Success), "the session goes on");
}

/// Delivers damaged answers to the question who the server is.
fn check_hostile_identities(damages: &[Damage]) {
    let mut world = World::new(&config(1), vec![server(&[7600, 7601])], 11);
    let mut taken = 0;
    for damage in damages {
        let Some(departure) = world.session.departure(world.now) else { break };
        let payload = departure.payload.to_vec();
        world.session.departed(world.now);
        let answer = world.servers[0].answer(7600, &payload).expect("an answer");
        let bytes = apply(damage, &answer);
        world.deliver_identity(ServerId(0), &bytes);
        // A believable identity may say that nothing fits its frames.
        taken += usize::from(world.submit(b"k", Operation::Get, 1).is_ok());
        world.run_for(std::time::Duration::from_millis(250));
    }
    world.finish();
    assert_eq!(world.ends.len(), taken);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn damaged_answers_end_no_request_twice(damages in proptest::collection::vec(damage(), 0..6)) {
        check_hostile_answers(&damages);
    }

    #[test]
    fn a_damaged_identity_stops_nothing(damages in proptest::collection::vec(damage(), 1..4)) {
        check_hostile_identities(&damages);
    }

    #[test]
    fn arbitrary_bytes_are_no_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut world = World::connected(&config(1), vec![server(&[7600])]);
        world.submit(b"k", Operation::Get, 1).expect("room in the window");
        world.deliver(address(0), &bytes);
        world.deliver_identity(ServerId(0), &bytes);
        assert_eq!(world.ends, []);
        world.finish();
        assert_eq!(world.ends[0].outcome, Outcome::Answered(ResultCode::NotFound));
    }
}
