//! The three roles over the real port and the real copy engine: right answers, and no call of the allocator in their
//! loops. One thread plays client, DPU core and host core in turn, so nothing depends on speed.

#![cfg(not(loom))]

mod counting;

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use arch::{Tick, TickRate};
use counting::calls_during;
use kv_core::counters::Counter;
use kv_core::design::QueuePairId;
use kv_core::engine::{Communicate, Engine, FlushLaw, FlushPolicy, Policy, Prefix, Process, QueuePairEnd, Serve};
use kv_core::hash::{KeyHash, Secret};
use kv_core::partition::{Partition, Store};
use kv_core::ring::{CopySpan, QueuePairGeometry, ResponseWay, RingGeometry};
use kv_core::sync::AtomicU64;
use kv_core::table::{Mode, Table, TableConfig};
use qp_wire::batch::RequestWriter;
use qp_wire::native::{FrameHeader, FrameKind, HEADER_LEN, ResponseBody, ResponseFrame, encode_header};
use qp_wire::{Operation, RawRequest, Request, ResultCode, mica};
use shell_io::dma::{SharedMemoryEngine, SharedWindow};
use shell_io::memory::Region;
use shell_io::port::{UdpConfig, UdpPort};

const SECRET: Secret = Secret { k0: 1, k1: 2 };
const EPOCH: u32 = 5;

fn rate() -> TickRate {
    TickRate::from_hz(1_000_000_000).expect("not zero")
}

fn memory() -> Vec<AtomicU64> {
    (0..128 * 1024).map(|_| AtomicU64::new(0)).collect()
}

fn store(memory: &[AtomicU64]) -> Store<'_> {
    let config = TableConfig { mode: Mode::Store, concurrent_read: false, secret: SECRET, item_len_hint: 16 };
    let mut store = Store::new(SECRET);
    store.push(Partition::Owned(Table::format(memory, &config).expect("a table"))).expect("the first partition");
    store
}

fn port() -> UdpPort {
    let bind = SocketAddr::from(([127, 0, 0, 1], 0));
    UdpPort::open(UdpConfig { bind, buffers: 256, reply_len_max: 1472 }).expect("a port")
}

fn policy() -> Policy {
    let mut policy = Policy { reply_len_max: 1472, ..Policy::default() };
    let loopback = Prefix::new([127, 0, 0, 0].into(), 8).expect("a prefix");
    policy.listed.push(loopback).expect("room for one");
    policy
}

fn geometry(way: ResponseWay) -> QueuePairGeometry {
    let ring = |slot_len| RingGeometry::new(4, slot_len).expect("valid sizes");
    QueuePairGeometry { request: ring(16384), response: ring(65536), way, copy: CopySpan::Used }
}

/// One end of the queue pair, whose window starts its own region and whose engine reaches `towards`.
fn end(
    geometry: QueuePairGeometry,
    own: &Arc<Region>,
    own_len: usize,
    engine: SharedMemoryEngine,
) -> QueuePairEnd<SharedMemoryEngine, SharedWindow> {
    QueuePairEnd {
        id: QueuePairId(0),
        epoch: EPOCH,
        geometry,
        engine,
        window: SharedWindow::open(Arc::clone(own), 0, own_len).expect("a window"),
        torn_ticks: 1_000_000,
        stall_ticks: 1_000_000_000,
    }
}

fn engine(towards: &Arc<Region>, offset: usize, len: usize) -> SharedMemoryEngine {
    SharedMemoryEngine::open(Arc::clone(towards), offset, len, 65536, 10).expect("an engine")
}

/// Both ends of a queue pair.
fn ends(way: ResponseWay) -> [QueuePairEnd<SharedMemoryEngine, SharedWindow>; 2] {
    let geometry = geometry(way);
    let host_len = geometry.host_window_len();
    let host = Arc::new(Region::create(host_len).expect("a region"));
    // A window needs memory even where nothing arrives in it.
    let dpu_len = geometry.dpu_window_len().max(64);
    let dpu = Arc::new(Region::create(dpu_len).expect("a region"));
    let to_host = engine(&host, 0, host_len);
    let to_responses = match way {
        ResponseWay::Push => engine(&dpu, 0, geometry.dpu_window_len()),
        ResponseWay::Pull => engine(&host, geometry.response_offset(), geometry.response.byte_len()),
    };
    [end(geometry, &dpu, dpu_len, to_host), end(geometry, &host, host_len, to_responses)]
}

/// The frames that the client sends, and what it expects back for each.
struct Script {
    frames: Vec<(Vec<u8>, Vec<ResultCode>)>,
}

impl Script {
    fn new() -> Self {
        let key = |index: u8| [index; 8];
        let mut frames = Vec::new();
        for index in 0..8 {
            frames.push((native_set(&key(index)), vec![ResultCode::Success; 16]));
            frames.push((native_get(&key(index)), vec![ResultCode::Success; 16]));
            frames.push((mica_get(&key(index)), vec![ResultCode::Success]));
        }
        frames.push((native_get(b"missing!"), vec![ResultCode::NotFound; 16]));
        Self { frames }
    }
}

fn native(fill: impl Fn(&mut RequestWriter)) -> Vec<u8> {
    let mut writer = RequestWriter::new();
    fill(&mut writer);
    let mut frame = vec![0; HEADER_LEN + writer.encoded_len()];
    encode_header(&mut frame, FrameKind::BatchRequest, 0, FrameHeader { batch_id: 7, timestamp: 8 }).expect("room");
    writer.encode(&mut frame[HEADER_LEN..]).expect("room");
    frame
}

fn native_set(key: &[u8]) -> Vec<u8> {
    let operation = Operation::Set { value: b"a value!", ttl: None };
    native(|writer| (0..16).for_each(|_| writer.push_request(&Request { key, operation }).expect("room")))
}

fn native_get(key: &[u8]) -> Vec<u8> {
    native(|writer| {
        (0..16).for_each(|_| writer.push_request(&Request { key, operation: Operation::Get }).expect("room"));
    })
}

fn mica_get(key: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 256];
    let mut writer = mica::RequestWriter::new(&mut frame).expect("room");
    let raw = RawRequest { operation: 5, key, value: &[] };
    let request = mica::MicaRequest { raw, key_hash: KeyHash::of(key).0, opaque: 9 };
    writer.push(&request).expect("room");
    let len = writer.finish();
    frame.truncate(len);
    frame
}

fn check(response: &[u8], expected: &[ResultCode]) {
    let results: Vec<ResultCode> = match ResponseFrame::decode(response) {
        Ok(ResponseFrame { header, body: ResponseBody::Batch(batch) }) => {
            assert_eq!(header, FrameHeader { batch_id: 7, timestamp: 8 });
            batch.iter().map(|response| response.result).collect()
        }
        _ => {
            let frame = mica::ResponseFrame::decode(response).expect("a response of one of the two protocols");
            frame.responses().map(|response| response.result).collect()
        }
    };
    assert_eq!(results, expected);
}

/// Sends each frame of the script, turns the server until it is answered, and returns how often the server allocated.
fn play(server: SocketAddr, mut turn: impl FnMut(Tick)) -> u64 {
    let client = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    client.set_nonblocking(true).expect("a socket can");
    client.connect(server).expect("loopback");
    let mut calls = 0;
    let mut now = 0;
    let mut response = [0; 2048];
    for (frame, expected) in Script::new().frames {
        client.send(&frame).expect("sent");
        let len = (0..100_000)
            .find_map(|_| {
                now += 1000;
                calls += calls_during(|| turn(Tick(now)));
                client.recv(&mut response).ok()
            })
            .expect("an answer");
        check(&response[..len], &expected);
    }
    calls
}

#[test]
fn serve_answers_without_allocation() {
    let memory = memory();
    let mut serve = Box::new(Serve::new(port(), store(&memory), policy(), rate()));
    let address = serve.port().local_addr();
    let calls = play(address, |now| {
        serve.turn(now);
    });
    assert_eq!(calls, 0);
    let counters = serve.counters();
    assert_eq!(counters.get(Counter::Requests), 8 * (16 + 16 + 1) + 16);
    assert_eq!(counters.get(Counter::Misses), 16);
    assert_eq!(counters.get(Counter::FramesReceived), counters.get(Counter::FramesTransmitted));
    assert_eq!(counters.get(Counter::Items), 8);
}

fn offload(way: ResponseWay) {
    let memory = memory();
    let [dpu_end, host_end] = ends(way);
    let flush = FlushPolicy { len: 1024, ticks: 5000, law: FlushLaw::Adaptive };
    let mut communicate = Box::new(Communicate::new(port(), policy(), flush, rate()));
    let mut process = Box::new(Process::new(store(&memory), rate(), false));
    communicate.attach(dpu_end);
    process.attach(host_end).expect("the first queue pair");
    let address = communicate.port().local_addr();
    let calls = play(address, |now| {
        communicate.turn(now);
        process.turn(now);
    });
    assert_eq!(calls, 0);
    assert_eq!((communicate.fault(), process.fault()), (None, None));
    let batches = communicate.counters().get(Counter::BatchesSent);
    assert_eq!(batches, 8 * 3 + 1, "one batch a frame, as none was in flight");
    assert_eq!(process.counters().get(Counter::BatchesReceived), batches);
    assert_eq!(process.counters().get(Counter::BatchesSent), batches);
    assert_eq!(communicate.counters().get(Counter::BatchesReceived), batches);
    assert_eq!(process.counters().get(Counter::Requests), 8 * (16 + 16 + 1) + 16);
}

#[test]
fn communicate_and_process_answer_without_allocation() {
    offload(ResponseWay::Push);
}

#[test]
fn communicate_and_process_answer_without_allocation_when_responses_are_pulled() {
    offload(ResponseWay::Pull);
}
