//! Neither a client nor a server over DPDK's ports calls the allocator once it is open. What DPDK itself takes comes from
//! its pools; its own calls of C's allocator are not seen here.

use std::sync::atomic::AtomicU64;

use arch::{Tick, TickRate};
use client::frames::{FrameClient, FrameClientConfig, FrameDirectory, FrameEndpoint, Wire};
use kv_core::counters::Counter;
use kv_core::engine::{Engine, IdentityBytes, Policy, Serve};
use kv_core::framed::Framed;
use qp_wire::native::{Endpoint, Identity};
use qp_wire::net::Local;
use qp_wire::{Opcode, ResultCode};
use shell_io::port::dpdk::{DpdkConfig, register_thread};

use crate::apart;
use crate::counting::calls_during;
use crate::frames::{CLIENT, SERVER_IP, config, opened, server};
use crate::memory::{listed, store};

const ROUND_COUNT: u64 = 1000;

/// Requests of one round: more frames than a burst, and more requests than a frame, with both wires.
const REQUEST_COUNT: u64 = 200;

fn identity() -> IdentityBytes {
    let identity = Identity {
        server_id: 1,
        epoch: 1,
        design: 0,
        concurrent_read: false,
        complete: true,
        frame_len_max: 1472,
        value_len_max: 1442,
        key_len_max: 255,
        owners: &[0],
        endpoints: &[Endpoint::new(0, SERVER_IP.octets(), 0)],
    };
    let mut bytes = IdentityBytes::new();
    bytes.resize_default(bytes.capacity()).expect("its capacity");
    let len = identity.encode(&mut bytes).expect("room");
    bytes.truncate(len);
    bytes
}

fn asks_without_allocation(wire: Wire, requests_per_frame: u16) {
    let _registration = register_thread();
    let memory: Vec<AtomicU64> = (0..1 << 18).map(|_| AtomicU64::new(0)).collect();
    let mut device = opened(&DpdkConfig { buffers: 512, ..config("net_ring0", 2) });
    let client_port = device.ports.pop().expect("two ports");
    let rate = TickRate::from_hz(1_000_000).expect("not zero");
    let local = Local { mac: device.mac, ipv4: SERVER_IP, port: 0 };
    let policy = Policy { listed: listed(), reply_len_max: 1472, ..Policy::default() };
    let port = Framed::new(device.ports.pop().expect("two ports"), local, rate);
    let mut engine = Box::new(Serve::new(port, store(&memory), policy, rate));
    engine.set_identity(identity());
    let directory = FrameDirectory {
        concurrent_read: false,
        concurrent_write: false,
        owners: vec![0],
        endpoints: vec![FrameEndpoint { owner: 0, remote: server(device.mac, 0) }],
    };
    let config = FrameClientConfig::new(wire, requests_per_frame);
    let mut client = FrameClient::new([(client_port, CLIENT)], directory, config, rate);
    let (mut now, mut answered, mut right) = (0, 0, 0);
    let mut round = |connect: bool| {
        if connect {
            client.probe();
        }
        for index in 0..if connect { 0 } else { REQUEST_COUNT } {
            let key = index.to_le_bytes();
            let (opcode, value) = if index % 3 == 0 { (Opcode::Get, &[][..]) } else { (Opcode::Set, &key[..]) };
            client.submit(Tick(now), opcode, &key, value, index).expect("room");
        }
        client.flush(Tick(now));
        for _ in 0..20 {
            now += 1;
            engine.turn(Tick(now));
            client.poll(Tick(now), &mut |answer| {
                answered += 1;
                right += u64::from(matches!(answer.result, ResultCode::Success | ResultCode::NotFound));
            });
        }
        client.is_connected()
    };
    assert!(round(true), "connected");
    assert_eq!(calls_during(|| (0..ROUND_COUNT).for_each(|_| assert!(round(false)))), 0);
    assert_eq!((answered, right), (ROUND_COUNT * REQUEST_COUNT, ROUND_COUNT * REQUEST_COUNT));
    assert!(engine.counters().get(Counter::FramesReceived) > ROUND_COUNT);
}

#[test]
fn mica2s_wire_allocates_nothing() {
    apart("allocations::mica2s_wire_allocates_nothing", || asks_without_allocation(Wire::Mica, 1));
}

#[test]
fn the_native_wire_allocates_nothing() {
    apart("allocations::the_native_wire_allocates_nothing", || asks_without_allocation(Wire::Native, 16));
}

#[test]
fn the_allocator_is_seen_at_work() {
    assert_eq!(calls_during(|| drop(std::hint::black_box(Box::new(1)))), 2);
}
