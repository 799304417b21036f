//! Whatever comes, each buffer is given back.

use std::sync::atomic::AtomicU64;

use arch::{Tick, TickRate};
use kv_core::counters::Counter;
use kv_core::engine::{Engine, Policy, Prefix, Prefixes, Serve};
use kv_core::framed::Framed;
use kv_core::hash::Secret;
use kv_core::partition::{Partition, Store};
use kv_core::port::{BURST_COUNT_MAX, Burst, DropCounts, RawFrame, RawPort};
use kv_core::table::{Mode, Table, TableConfig};
use qp_wire::net::{HEADERS_LEN, Local, MacAddr};
use qp_wire::{DropReason, Opcode, mica};
use shell_io::port::dpdk::{DpdkConfig, DpdkPort, register_thread};

use crate::apart;
use crate::frames::{CLIENT, SERVER_IP, config, mica_frame, opened, server};

/// Takes ten seconds in a build that is hardly optimised.
const REQUEST_COUNT: u64 = 10_000_000;

const SECRET: Secret = Secret { k0: 1, k1: 2 };

pub(crate) fn store(memory: &[AtomicU64]) -> Store<'_> {
    let config = TableConfig { mode: Mode::Store, concurrent_read: false, secret: SECRET, item_len_hint: 16 };
    let mut store = Store::new(SECRET);
    store.push(Partition::Owned(Table::format(memory, &config).expect("a table"))).expect("the first partition");
    store
}

/// The sources that get whole answers: all of the tests'.
pub(crate) fn listed() -> Prefixes {
    let mut listed = Prefixes::new();
    listed.push(Prefix::new([10, 0, 0, 0].into(), 8).expect("a prefix")).expect("room");
    listed
}

/// A core that serves, and the port of another one that plays the client: a ring brings everything back.
struct World<'m> {
    engine: Serve<'m, Framed<DpdkPort>>,
    client: DpdkPort,
    mac: MacAddr,
    now: u64,
}

impl<'m> World<'m> {
    fn new(memory: &'m [AtomicU64]) -> Self {
        let config = DpdkConfig { buffers: 512, ..config("net_ring0", 2) };
        let mut device = opened(&config);
        let client = device.ports.pop().expect("two ports");
        let server = device.ports.pop().expect("two ports");
        let rate = TickRate::from_hz(1_000_000_000).expect("not zero");
        let local = Local { mac: device.mac, ipv4: SERVER_IP, port: 0 };
        let policy = Policy { listed: listed(), reply_len_max: 1472, ..Policy::default() };
        let engine = Serve::new(Framed::new(server, local, rate), store(memory), policy, rate);
        Self { engine, client, mac: device.mac, now: 0 }
    }

    fn turn(&mut self) {
        self.now += 10_000;
        self.engine.turn(Tick(self.now));
    }

    /// Frames that the server has dropped so far, for whatever reason.
    fn dropped(&mut self) -> u64 {
        let drops = self.engine.counters().drops;
        DropReason::ALL.into_iter().map(|reason| drops.get(reason)).sum()
    }

    /// Gives a burst of equal frames to the client's port; how many it took.
    fn offer(&mut self, frame: &[u8], count: usize) -> u64 {
        let mut burst = Burst::new();
        for _ in 0..count.min(burst.room()) {
            let Some(mut empty) = self.client.alloc() else { break };
            empty.buf()[..frame.len()].copy_from_slice(frame);
            empty.set_len(frame.len());
            burst.push(empty).expect("room for a burst");
        }
        let count = burst.count();
        self.client.transmit(&mut burst, &mut DropCounts::default());
        (count - burst.count()) as u64
    }

    /// Takes what is there for the client; how many frames, each of which must be a response.
    fn take_answers(&mut self) -> u64 {
        let mut burst = Burst::new();
        self.client.receive(&mut burst, &mut DropCounts::default());
        for frame in burst.iter() {
            assert_eq!(frame.bytes().get(HEADERS_LEN), Some(&mica::MAGIC_RESPONSE));
        }
        burst.count() as u64
    }

    /// Turns the server until nothing is under way; how many answers came.
    fn drain(&mut self) -> u64 {
        let mut answered = 0;
        // For a request on its way over the ring, for its answer, and for that one's way to the client.
        let mut quiet_turns = 0;
        while quiet_turns < 4 {
            self.turn();
            let count = self.take_answers();
            quiet_turns = if count == 0 { quiet_turns + 1 } else { 0 };
            answered += count;
        }
        answered
    }

    fn pools(&self) -> [(usize, &'static str, usize); 2] {
        let server = self.engine.port().raw();
        [(server.free_count(), "of", server.pool_size()), (self.client.free_count(), "of", self.client.pool_size())]
    }
}

/// SETs and GETs in turn, all answered. What is free afterwards is what was free after the first of so many.
fn many_requests(world: &mut World<'_>) {
    const CHUNK: u64 = REQUEST_COUNT / 10;
    let frames: Vec<Vec<u8>> = (0..1024u32)
        .map(|index| {
            let (opcode, value) =
                if index / 32 % 2 == 0 { (Opcode::Set, &b"a value!"[..]) } else { (Opcode::Get, &[][..]) };
            mica_frame(&server(world.mac, 0), opcode, &u64::from(index % 32).to_le_bytes(), value, index)
        })
        .collect();
    let mut level = None;
    for _ in 0..10 {
        let (mut sent, mut answered) = (0, 0);
        for index in (0..CHUNK).step_by(BURST_COUNT_MAX) {
            sent += world.offer(&frames[index as usize / BURST_COUNT_MAX % frames.len()], BURST_COUNT_MAX);
            world.turn();
            answered += world.take_answers();
        }
        answered += world.drain();
        assert_eq!((sent, answered, world.dropped()), (CHUNK, CHUNK, 0));
        let pools = world.pools();
        assert_eq!(*level.get_or_insert(pools), pools, "each chunk leaves as many frames as the one before");
    }
    let counters = world.engine.counters();
    assert_eq!(counters.get(Counter::Requests), REQUEST_COUNT);
    assert_eq!(counters.get(Counter::Misses), 0);
}

/// A good frame cut everywhere and with every byte changed, and noise: each is answered or counted under one reason.
fn malformed_and_unknown(world: &mut World<'_>) {
    let good = mica_frame(&server(world.mac, 0), Opcode::Set, b"12345678", b"a value!", 0);
    let cut = (0..good.len()).map(|len| good[..len].to_vec());
    let changed = (0..good.len()).map(|offset| {
        let mut other = good.clone();
        other[offset] ^= 0xff;
        other
    });
    let noise =
        (0..10_000u32).map(|index| (0..60 + index % 1400).map(|byte| (byte.wrapping_mul(index) >> 3) as u8).collect());
    let (mut sent, mut answered, before) = (0, 0, world.dropped());
    for frame in cut.chain(changed).chain(noise).collect::<Vec<Vec<u8>>>() {
        sent += world.offer(&frame, 1);
        answered += world.drain();
    }
    assert_eq!(sent, 2 * good.len() as u64 + 10_000);
    assert_eq!(world.dropped() - before + answered, sent);
    assert!(answered < good.len() as u64, "nobody answers to noise: {answered}");
}

/// More than twice what is answered, and nobody who takes the answers half of the time. Nothing is lost without having
/// been counted.
fn overload(world: &mut World<'_>) {
    let frame = mica_frame(&server(world.mac, 0), Opcode::Set, b"12345678", b"a value!", 0);
    let (mut offered, mut taken, mut answered, before) = (0, 0, 0, world.dropped());
    for round in 0..100_000 {
        offered += BURST_COUNT_MAX as u64;
        taken += world.offer(&frame, BURST_COUNT_MAX);
        if round % 4 == 0 {
            world.turn();
        }
        if round % 10_000 < 5_000 {
            answered += world.take_answers();
        }
    }
    answered += world.drain();
    let dropped = world.dropped() - before;
    assert!(offered > 2 * answered, "{offered} offered, {answered} answered");
    assert!(answered > offered / 20, "{offered} offered, {answered} answered");
    assert_eq!(taken, answered + dropped, "{offered} offered");
}

/// Leaves frames at every place where there can be some.
fn fill(world: &mut World<'_>) {
    let frame = mica_frame(&server(world.mac, 0), Opcode::Set, b"12345678", b"a value!", 0);
    for round in 0..20_000 {
        world.offer(&frame, BURST_COUNT_MAX);
        if round % 64 == 0 {
            world.turn();
        }
    }
}

#[test]
fn every_buffer_comes_back() {
    apart("memory::every_buffer_comes_back", || {
        let _registration = register_thread();
        let memory: Vec<AtomicU64> = (0..1 << 18).map(|_| AtomicU64::new(0)).collect();
        let mut world = World::new(&memory);
        assert_eq!(CLIENT.port, 1, "the other core's");
        many_requests(&mut world);
        malformed_and_unknown(&mut world);
        overload(&mut world);
        fill(&mut world);
        let server = world.engine.port().raw();
        let pools = [
            (server.free_count_afterwards(), server.pool_size()),
            (world.client.free_count_afterwards(), world.client.pool_size()),
        ];
        assert!(pools.iter().any(|(free, size)| free() + 1000 < *size), "much is under way");
        drop(world);
        // The core is as it was left in the middle of its work.
        for (free, size) in &pools {
            assert_eq!((free(), "free"), (*size, "free"));
        }
    });
}
