//! Both engines of a queue pair over DOCA's interface, in one thread and virtual time, with somebody who does what the
//! control channel does: a broken queue pair gets a new epoch.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use arch::{Tick, TickRate};
use kv_core::counters::{Counter, Counters};
use kv_core::design::QueuePairId;
use kv_core::dma::Window;
use kv_core::engine::{Communicate, Engine, FlushLaw, FlushPolicy, Policy, Prefix, Process, QueuePairEnd};
use kv_core::hash::Secret;
use kv_core::partition::{Partition, Store};
use kv_core::port::{Burst, DropCounts, Frame, PacketPort};
use kv_core::ring::{self, CopySpan, QueuePairGeometry, ResponseWay, RingGeometry};
use kv_core::sync::AtomicU64;
use kv_core::table::{Mode, Table, TableConfig};
use shell_io::dma::SharedWindow;
use shell_io::dma::doca::{Device, DocaEngine, DocaError, Exported, MemoryMap, Target};
use shell_io::memory::Region;

use crate::stand_in::DEVICE;

/// Longest payload.
pub(crate) const PAYLOAD_LEN_MAX: usize = 512;

/// Nanoseconds before the control channel does something again.
const PAUSE_NS: u64 = 20_000;

/// Nanoseconds of a torn slot, and of a batch without an answer, that end an epoch.
const PATIENCE_NS: (u64, u64) = (100_000, 400_000);

const BUF_COUNT: usize = 6;

/// What goes over the network, both ways.
#[derive(Clone, Debug, Default)]
pub(crate) struct Net {
    pub(crate) requests: VecDeque<Vec<u8>>,
    pub(crate) responses: VecDeque<Vec<u8>>,
}

/// A port whose other end a test has.
#[derive(Debug, Default)]
pub(crate) struct TestPort {
    net: std::rc::Rc<std::cell::RefCell<Net>>,
}

/// A datagram.
#[derive(Debug)]
pub(crate) struct TestFrame {
    buf: Vec<u8>,
    len: usize,
}

impl Frame for TestFrame {
    fn payload(&self) -> &[u8] {
        &self.buf[..self.len]
    }

    fn source(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 4000))
    }

    fn reply_buf(&mut self) -> &mut [u8] {
        &mut self.buf
    }

    fn set_reply(&mut self, len: usize) {
        self.len = len.min(self.buf.len());
    }
}

impl PacketPort for TestPort {
    type Frame = TestFrame;

    fn receive(&mut self, into: &mut Burst<TestFrame>, _: &mut DropCounts) {
        while into.room() > 0
            && let Some(payload) = self.net.borrow_mut().requests.pop_front()
        {
            let len = payload.len();
            let mut buf = payload;
            buf.resize(PAYLOAD_LEN_MAX, 0);
            into.push(TestFrame { buf, len }).expect("there is room");
        }
    }

    fn transmit(&mut self, from: &mut Burst<TestFrame>, _: &mut DropCounts) {
        while let Some(frame) = from.pop() {
            self.net.borrow_mut().responses.push_back(frame.payload().to_vec());
        }
    }
}

type Dpu = Communicate<'static, TestPort, DocaEngine, SharedWindow>;

/// What a run has seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) epochs: u64,
    pub(crate) refused: u64,
    pub(crate) deaths: u64,
}

/// A host core and a DPU core with their queue pair.
pub(crate) struct Server<'m> {
    device: Arc<Device>,
    geometry: QueuePairGeometry,
    host: Box<Process<'m, DocaEngine, SharedWindow>>,
    dpu: Box<Dpu>,
    net: std::rc::Rc<std::cell::RefCell<Net>>,
    host_region: Arc<Region>,
    dpu_region: Arc<Region>,
    exports: Vec<Arc<MemoryMap<Exported>>>,
    epoch: u32,
    is_attached: bool,
    next_attempt: u64,
    pub(crate) seen: Seen,
    /// What engines that are gone have counted.
    gone: Vec<Counters>,
}

/// Memory for a table.
pub(crate) fn memory() -> Vec<AtomicU64> {
    (0..64 * 1024).map(|_| AtomicU64::new(0)).collect()
}

fn rate() -> TickRate {
    TickRate::from_hz(1_000_000_000).expect("not zero")
}

fn new_dpu(net: &std::rc::Rc<std::cell::RefCell<Net>>) -> Box<Dpu> {
    let mut policy = Policy { reply_len_max: PAYLOAD_LEN_MAX, ..Policy::default() };
    let loopback = Prefix::new([127, 0, 0, 0].into(), 8).expect("a prefix");
    policy.listed.push(loopback).expect("room for one");
    let flush = FlushPolicy { len: 1024, ticks: 5000, law: FlushLaw::Adaptive };
    Box::new(Communicate::new(TestPort { net: std::rc::Rc::clone(net) }, policy, flush, rate()))
}

impl<'m> Server<'m> {
    pub(crate) fn new(directory: &Path, memory: &'m [AtomicU64], way: ResponseWay) -> Self {
        let secret = Secret { k0: 1, k1: 2 };
        let config = TableConfig { mode: Mode::Store, concurrent_read: false, secret, item_len_hint: 64 };
        let mut store = Store::new(secret);
        store.push(Partition::Owned(Table::format(memory, &config).expect("a table"))).expect("the first partition");
        let ring = |slot_len| RingGeometry::new(4, slot_len).expect("valid sizes");
        let geometry = QueuePairGeometry { request: ring(2048), response: ring(4096), way, copy: CopySpan::Used };
        let region = |len: usize| Arc::new(Region::create(len.max(64)).expect("a region"));
        let net = std::rc::Rc::default();
        Self {
            device: Device::open(Some(directory), DEVICE).expect("a device"),
            geometry,
            host: Box::new(Process::new(store, rate(), false)),
            dpu: new_dpu(&net),
            net,
            host_region: region(geometry.host_window_len()),
            dpu_region: region(geometry.dpu_window_len()),
            exports: Vec::new(),
            epoch: 0,
            is_attached: false,
            next_attempt: 0,
            seen: Seen::default(),
            gone: Vec::new(),
        }
    }

    pub(crate) fn net(&self) -> std::rc::Rc<std::cell::RefCell<Net>> {
        std::rc::Rc::clone(&self.net)
    }

    /// Turns one of the engines.
    pub(crate) fn turn(&mut self, is_host: bool, now: u64) {
        if is_host {
            self.host.turn(Tick(now));
        } else {
            self.dpu.turn(Tick(now));
        }
    }

    /// The DPU's process dies, and another one takes its place.
    pub(crate) fn kill_dpu(&mut self, now: u64) {
        self.gone.push(self.dpu.counters().clone());
        self.dpu = new_dpu(&self.net);
        self.seen.deaths += 1;
        self.detach(now);
    }

    /// What the control channel does.
    pub(crate) fn supervise(&mut self, now: u64) {
        if self.is_attached && (self.host.fault().is_some() || self.dpu.fault().is_some()) {
            self.detach(now);
        }
        if !self.is_attached && now >= self.next_attempt {
            self.next_attempt = now + PAUSE_NS;
            match self.attach() {
                Ok(()) => self.is_attached = true,
                Err(_) => self.seen.refused += 1,
            }
        }
    }

    fn detach(&mut self, now: u64) {
        self.dpu.detach();
        self.host.detach(QueuePairId(0));
        self.is_attached = false;
        self.next_attempt = now + PAUSE_NS;
    }

    fn attach(&mut self) -> Result<(), DocaError> {
        self.exports.clear();
        for region in [&self.host_region, &self.dpu_region] {
            let window = SharedWindow::open(Arc::clone(region), 0, region.data_len()).expect("a window");
            ring::clear(window.words());
            self.exports.push(Arc::new(MemoryMap::export(&self.device, region)?));
        }
        let [host_export, dpu_export] = &self.exports[..] else { return Ok(()) };
        let to_host = Arc::new(MemoryMap::import(&self.device, &host_export.descriptor()?)?);
        let to_dpu = Arc::new(MemoryMap::import(&self.device, &dpu_export.descriptor()?)?);
        let QueuePairGeometry { request, response, way, .. } = self.geometry;
        let (target, offset) = match way {
            ResponseWay::Push => (Target::Peer(to_dpu), 0),
            ResponseWay::Pull => (Target::Own(Arc::clone(host_export)), self.geometry.response_offset()),
        };
        let open =
            |target, offset, len, buf_len| DocaEngine::open(&self.device, target, offset, len, buf_len, BUF_COUNT);
        let of_host = open(target, offset, response.byte_len(), response.slot_len())?;
        let buf_len = request.slot_len().max(response.slot_len());
        let of_dpu = open(Target::Peer(to_host), 0, self.geometry.host_window_len(), buf_len)?;
        self.epoch += 1;
        self.seen.epochs += 1;
        let host_end = self.end(of_host, &self.host_region);
        let dpu_end = self.end(of_dpu, &self.dpu_region);
        self.host.attach(host_end).expect("the only queue pair");
        self.dpu.attach(dpu_end);
        Ok(())
    }

    fn end(&self, engine: DocaEngine, own: &Arc<Region>) -> QueuePairEnd<DocaEngine, SharedWindow> {
        QueuePairEnd {
            id: QueuePairId(0),
            epoch: self.epoch,
            geometry: self.geometry,
            engine,
            window: SharedWindow::open(Arc::clone(own), 0, own.data_len()).expect("a window"),
            torn_ticks: PATIENCE_NS.0,
            stall_ticks: PATIENCE_NS.1,
        }
    }

    /// What to look at when something is wrong.
    pub(crate) fn state(&mut self) -> String {
        let faults = (self.host.fault(), self.dpu.fault());
        let shown = |counters: &Counters| {
            let set = Counter::ALL.iter().filter(|counter| counters.get(**counter) > 0);
            set.map(|counter| format!("{} {}", counter.name(), counters.get(*counter))).collect::<Vec<_>>().join(", ")
        };
        let (host, dpu) = (shown(self.host.counters()), shown(self.dpu.counters()));
        format!("{:?} attached {} {faults:?}\nhost: {host}\ndpu: {dpu}\n{:?}", self.seen, self.is_attached, self.dpu)
    }

    /// A counter of both sides together.
    pub(crate) fn total(&mut self, counter: Counter) -> u64 {
        let gone: u64 = self.gone.iter().map(|counters| counters.get(counter)).sum();
        gone + self.host.counters().get(counter) + self.dpu.counters().get(counter)
    }
}
