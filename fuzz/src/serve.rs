//! The serving engine and clients that send whatever they like.
//!
//! The script is the network. Each frame is answered, dropped under one reason, or held while the wire is full; an answer is
//! one to what was asked, and no longer than its source may get.

use arch::{Tick, TickRate};
use kv_core::counters::Counter;
use kv_core::engine::{Engine as _, IdentityBytes, Policy, Serve};
use kv_core::hash::Secret;
use kv_core::partition::{Partition, Store};
use kv_core::sync::AtomicU64;
use kv_core::table::{Mode, Table, TableConfig};

use crate::datagrams::{check_answer, datagram, identity, policy};
use crate::memory::Wire;
use crate::script::Script;

/// A script for the clients of a serving engine with one partition of its own and one elsewhere.
///
/// Returns how many frames were answered.
pub fn check_serve_hostile(data: &[u8]) -> usize {
    let memory: Vec<AtomicU64> = (0..1024 + 8).map(|_| AtomicU64::new(0)).collect();
    let mut script = Script::new(data);
    let shape = script.u8();
    let secret = Secret { k0: 3, k1: 4 };
    let mode = if shape & 1 == 0 { Mode::Store } else { Mode::Cache };
    let config = TableConfig { mode, concurrent_read: shape & 2 != 0, secret, item_len_hint: 16 };
    let mut store = Store::new(secret);
    store
        .push(Partition::Owned(Table::format(&memory, &config).expect("enough memory")))
        .expect("room for a partition");
    store.push(Partition::Elsewhere).expect("room for a partition");

    let wire = Wire::default();
    let policy = policy(if shape & 4 == 0 { 1472 } else { 8972 });
    let rate = TickRate::from_hz(1000).expect("a rate");
    let mut serve = Box::new(Serve::new(wire.clone(), store, policy.clone(), rate));
    serve.set_identity(IdentityBytes::from_slice(&identity()).expect("room for the longest identity"));
    let mut check = Check { serve, wire, policy, now: 0, answered_count: 0 };
    let frame_room = if shape & 8 == 0 { 1472 } else { 9000 };
    while !script.is_over() {
        match script.u8() % 8 {
            0..=4 => {
                let (source, payload) = datagram(&mut script);
                check.wire.arrive(source, &payload, frame_room);
            }
            5 => check.wire.take(usize::from(script.u8() & 63), usize::from(script.u8() & 3)),
            6 => check.turn(u64::from(script.u8())),
            _ => {
                check.wire.take(32, 0);
                check.turn(1);
            }
        }
    }
    check.finish();
    check.answered_count
}

struct Check<'m> {
    serve: Box<Serve<'m, Wire>>,
    wire: Wire,
    policy: Policy,
    now: u64,
    answered_count: usize,
}

impl Check<'_> {
    fn turn(&mut self, ticks: u64) {
        self.now += ticks;
        self.serve.turn(Tick(self.now));
        for answer in self.wire.take_answers() {
            check_answer(&self.policy, answer.source, answer.room, &answer.request, &answer.payload);
            self.answered_count += 1;
        }
        let counts = self.wire.counts();
        let counters = self.serve.counters();
        assert_eq!(counters.drops.total(), counts.dropped, "a dropped frame is counted under exactly one reason");
        assert_eq!(counters.get(Counter::FramesReceived), counts.received);
        assert_eq!(counters.get(Counter::FramesTransmitted), counts.transmitted);
    }

    /// With a wire that takes everything, nothing stays.
    fn finish(&mut self) {
        for _ in 0..2 + self.wire.arriving_count() {
            self.wire.take(64, 0);
            self.turn(1);
        }
        assert_eq!((self.wire.counts().held(), self.wire.arriving_count()), (0, 0));
    }
}
