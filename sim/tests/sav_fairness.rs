//! One host core that processes three queue pairs, one of which has every trouble that copies can have: the others are
//! answered at the same moments as if it were well.

use arch::Tick;
use kv_core::design::QueuePairId;
use kv_core::dma::{Direction, DmaEngine, Job, Window};
use kv_core::engine::{Engine, Process, QueuePairEnd};
use kv_core::hash::Secret;
use kv_core::partition::{Partition, Store};
use kv_core::ring::{
    CopySpan, QueuePairGeometry, Received, ResponseWay, RingGeometry, SlotReceiver, SlotSender, request_ring,
    response_ring,
};
use kv_core::sync::AtomicU64;
use kv_core::table::{Mode, Table, TableConfig};
use qp_wire::batch::RequestWriter;
use qp_wire::qp::{RUN_HEADER_LEN, SLOT_HEADER_LEN, put_run_header};
use qp_wire::{Operation, Request};
use sim::clock::Clock;
use sim::dma::{DmaGeometry, SimDma};
use sim::fault::FaultPlan;
use sim::physics::Physics;
use sim::window::SimWindow;

const SLOT_LEN: usize = 1024;
const EPOCH: u32 = 1;

/// Nanoseconds from one turn of the core to the next, and how many there are.
const TURN_NS: u64 = 200;
const TURN_COUNT: u64 = 5_000;

/// Longer than any run.
const FOREVER_NS: u64 = 1_000_000_000;

/// The trouble-free ones.
const WELL: [u8; 2] = [0, 2];

/// A queue pair in a world of its own, whose DPU always has a request under way.
struct Pair {
    physics: Physics,
    engine: SimDma,
    window: SimWindow,
    sender: SlotSender,
    receiver: SlotReceiver,
    private: Vec<u8>,
    answered_at: Vec<Tick>,
}

impl Pair {
    fn new(id: QueuePairId, seed: u64, plan: FaultPlan, process: &mut Process<'_, SimDma, SimWindow>) -> Self {
        let ring = RingGeometry::new(4, SLOT_LEN as u32).expect("valid sizes");
        let geometry =
            QueuePairGeometry { request: ring, response: ring, way: ResponseWay::Push, copy: CopySpan::Used };
        let physics = Physics::new(seed, plan);
        let (host, dpu) = (SimWindow::new(geometry.host_window_len()), SimWindow::new(geometry.dpu_window_len()));
        let dma = DmaGeometry { buf_len: SLOT_LEN, buf_count: 5, job_count_max: 4 };
        let end = QueuePairEnd {
            id,
            epoch: EPOCH,
            geometry,
            engine: SimDma::new(&physics, 0, dpu.clone(), dma),
            window: host.clone(),
            torn_ticks: FOREVER_NS,
            stall_ticks: FOREVER_NS,
        };
        process.attach(end).expect("room for a queue pair");
        Self {
            engine: SimDma::new(&physics, 1, host, dma),
            physics,
            window: dpu,
            sender: SlotSender::new(ring, request_ring(id, EPOCH)),
            receiver: SlotReceiver::new(ring, response_ring(id, EPOCH)),
            private: vec![0; SLOT_LEN],
            answered_at: Vec::new(),
        }
    }

    /// What the DPU does at this moment.
    fn step(&mut self, now: Tick) {
        self.physics.advance(now);
        while self.engine.poll().is_some() {}
        if let Received::Slot(slot) = self.receiver.receive(self.window.words(), &mut self.private, now) {
            self.sender.credit(slot.credit).expect("the credit of a host that counts");
            self.answered_at.push(now);
        }
        if self.sender.sent() == self.receiver.taken() {
            self.ask();
        }
    }

    fn ask(&mut self) {
        let Some(mut buf) = self.engine.alloc() else { return };
        let len = put_get(buf.as_mut());
        let Some(sealed) = self.sender.seal(buf.as_mut(), len, self.receiver.taken()) else { return };
        let job = Job { direction: Direction::Push, offset: sealed.offset, len: sealed.copy_len, buf, tag: 0 };
        self.engine.submit(job).expect("an engine with nothing to do has room");
        self.engine.flush();
    }
}

fn put_get(slot: &mut [u8]) -> usize {
    let mut writer = RequestWriter::new();
    writer.push_request(&Request { key: b"key", operation: Operation::Get }).expect("an empty writer has room");
    let body_len = writer.encode(&mut slot[SLOT_HEADER_LEN + RUN_HEADER_LEN..]).expect("it fits");
    put_run_header(&mut slot[SLOT_HEADER_LEN..], body_len, 64).expect("it fits");
    SLOT_HEADER_LEN + RUN_HEADER_LEN + body_len
}

/// When each queue pair's answers came, where this goes wrong with the copies of the one in the middle.
fn answers(memory: &[AtomicU64], seed: u64, plan: FaultPlan) -> [Vec<Tick>; 3] {
    let secret = Secret { k0: 1, k1: 2 };
    let config = TableConfig { mode: Mode::Store, concurrent_read: false, secret, item_len_hint: 16 };
    let mut store = Store::new(secret);
    store.push(Partition::Owned(Table::format(memory, &config).expect("enough memory"))).expect("room");
    let mut process = Box::new(Process::new(store, Clock::rate(), false));
    let mut pairs = [FaultPlan::NONE, plan, FaultPlan::NONE];
    let mut ids = (0..).map(QueuePairId);
    let mut pairs = pairs.each_mut().map(|plan| Pair::new(ids.next().expect("a number"), seed, *plan, &mut process));
    for turn in 1..=TURN_COUNT {
        let now = Tick(turn * TURN_NS);
        pairs.iter_mut().for_each(|pair| pair.step(now));
        process.turn(now);
    }
    pairs.map(|pair| pair.answered_at)
}

#[test]
fn a_queue_pair_in_trouble_delays_no_answer_of_the_others() {
    let memory: Vec<AtomicU64> = (0..8192).map(|_| AtomicU64::new(0)).collect();
    let calm = answers(&memory, 0, FaultPlan::NONE);
    // Two copies of 1.5 us, a turn, and what their ends miss a step by.
    let waits = calm[0].windows(2).map(|pair| pair[1].since(pair[0]));
    assert!(waits.max() <= Some(4_000), "a request and its answer");
    let mut troubled = 0;
    for seed in 0..100 {
        let answers = answers(&memory, seed, FaultPlan::draw(seed));
        for pair in WELL.map(usize::from) {
            assert_eq!(answers[pair], calm[pair], "seed {seed}: queue pair {pair}");
        }
        troubled += u32::from(answers[1].len() < calm[1].len() / 2);
    }
    assert!(troubled > 30, "only {troubled} runs in which it was answered half as often");
}
