//! Whatever comes, each buffer is given back.

use std::sync::atomic::AtomicU64;

use arch::{Tick, TickRate};
use kv_core::counters::Counter;
use kv_core::engine::{Engine, Policy, Prefix, Serve};
use kv_core::framed::Framed;
use kv_core::hash::Secret;
use kv_core::partition::{Partition, Store};
use kv_core::table::{Mode, Table, TableConfig};
use qp_wire::net::{HEADERS_LEN, Local, MacAddr};
use qp_wire::{DropReason, Opcode};
use shell_io::port::dpdk::{DpdkConfig, DpdkPort, register_thread};

use crate::apart;
use crate::frames::{CLIENT, SERVER_IP, config, mica_frame, opened, receive, send, server};

const SECRET: Secret = Secret { k0: 1, k1: 2 };

fn store(memory: &[AtomicU64]) -> Store<'_> {
    let config = TableConfig { mode: Mode::Store, concurrent_read: false, secret: SECRET, item_len_hint: 16 };
    let mut store = Store::new(SECRET);
    store.push(Partition::Owned(Table::format(memory, &config).expect("a table"))).expect("the first partition");
    store
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
        let mut policy = Policy { reply_len_max: 1472, ..Policy::default() };
        policy.listed.push(Prefix::new([10, 0, 0, 0].into(), 8).expect("a prefix")).expect("room");
        let engine = Serve::new(Framed::new(server, local, rate), store(memory), policy, rate);
        Self { engine, client, mac: device.mac, now: 0 }
    }

    fn turn(&mut self) {
        self.now += 10_000;
        self.engine.turn(Tick(self.now));
    }

    fn drops(&mut self, reason: DropReason) -> u64 {
        self.engine.counters().drops.get(reason)
    }

    fn ask(&mut self, opcode: Opcode, key: &[u8], value: &[u8], opaque: u32) {
        let frame = mica_frame(&server(self.mac, 0), opcode, key, value, opaque);
        assert!(send(&mut self.client, &frame));
    }
}

fn many_requests(world: &mut World<'_>) {
    let mut answered = 0;
    for index in 0..20_000u32 {
        let opcode = if index % 2 == 0 { Opcode::Set } else { Opcode::Get };
        let key = u64::from(index / 2).to_le_bytes();
        world.ask(opcode, &key, if index % 2 == 0 { b"a value!" } else { b"" }, index);
        // For the request on its way over the ring, for its answer, and for that one's way to the client.
        (0..3).for_each(|_| world.turn());
        for answer in receive(&mut world.client) {
            answered += 1;
            assert_eq!(answer[HEADERS_LEN + 7], 0, "success");
        }
    }
    assert_eq!(answered, 20_000);
    assert_eq!(world.engine.counters().get(Counter::Hits), 10_000);
}

fn malformed_and_unknown(world: &mut World<'_>) {
    let good = mica_frame(&server(world.mac, 0), Opcode::Set, b"12345678", b"a value!", 0);
    for len in 0..good.len() {
        send(&mut world.client, &good[..len]);
        world.turn();
    }
    let short = world.drops(DropReason::Short) + world.drops(DropReason::Long) + world.drops(DropReason::NotUdp);
    assert!(short >= good.len() as u64 - 1, "each of them is counted: {short}");
    for offset in 0..good.len() {
        let mut other = good.clone();
        other[offset] ^= 0xff;
        send(&mut world.client, &other);
        world.turn();
    }
    for index in 0..1000u32 {
        let noise: Vec<u8> = (0..60 + index % 1400).map(|byte| (byte.wrapping_mul(index) >> 3) as u8).collect();
        send(&mut world.client, &noise);
        world.turn();
    }
    while !receive(&mut world.client).is_empty() {}
}

/// More than there is room for anywhere, and nobody who takes the answers.
fn overload(world: &mut World<'_>) {
    let frame = mica_frame(&server(world.mac, 0), Opcode::Set, b"12345678", b"a value!", 0);
    for round in 0..50_000 {
        send(&mut world.client, &frame);
        if round % 64 == 0 {
            world.turn();
        }
    }
    assert!(world.drops(DropReason::Backpressure) + world.drops(DropReason::Transmit) > 0);
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
        let server = world.engine.port().raw();
        let pools = [
            (server.free_count_afterwards(), server.pool_size()),
            (world.client.free_count_afterwards(), world.client.pool_size()),
        ];
        assert!(pools.iter().any(|(free, size)| free() < *size), "the overload has left something");
        drop(world);
        // The core is as it was left in the middle of its work.
        for (free, size) in &pools {
            assert_eq!((free(), "free"), (*size, "free"));
        }
    });
}
