//! One core that processes several queue pairs: how long each waits for the others, whatever those do.

#![cfg(not(loom))]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use arch::{Tick, TickRate};
use kv_core::design::QueuePairId;
use kv_core::dma::{Completion, CopyOutcome, DmaEngine, Job, Window};
use kv_core::engine::{Engine as _, Fault, Process, QueuePairEnd};
use kv_core::hash::Secret;
use kv_core::partition::{Partition, Store};
use kv_core::ring::{CopySpan, QueuePairGeometry, ResponseWay, RingGeometry, SlotSender, request_ring};
use kv_core::sync::{AtomicU64, Ordering};
use kv_core::table::{Mode, Table, TableConfig};
use qp_wire::batch::RequestWriter;
use qp_wire::qp::{RUN_HEADER_LEN, SLOT_HEADER_LEN, put_run_header};
use qp_wire::{Operation, Request};

const SLOT_LEN: usize = 1024;
const SLOT_COUNT: u32 = 4;
const EPOCH: u32 = 1;
const TORN_TICKS: u64 = 100;
const STALL_TICKS: u64 = 200;

/// What the core did, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Looked(QueuePairId),
    Answered(QueuePairId),
}

type Log = Rc<RefCell<Vec<Event>>>;

/// How a queue pair's copies end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Copies {
    End,
    Fail,
    NeverEnd,
}

/// A copy engine that moves no bytes.
#[derive(Debug)]
struct TestEngine {
    id: QueuePairId,
    log: Log,
    copies: Copies,
    ended: VecDeque<Completion<Vec<u8>>>,
    buf_count: usize,
}

impl DmaEngine for TestEngine {
    type Buf = Vec<u8>;

    fn room(&self) -> usize {
        self.buf_count
    }

    fn alloc(&mut self) -> Option<Vec<u8>> {
        (self.buf_count > 0).then(|| vec![0; SLOT_LEN])
    }

    fn submit(&mut self, job: Job<Vec<u8>>) -> Result<(), Job<Vec<u8>>> {
        self.log.borrow_mut().push(Event::Answered(self.id));
        match self.copies {
            Copies::End => self.ended.push_back(Completion { job, outcome: CopyOutcome::Copied }),
            Copies::Fail => self.ended.push_back(Completion { job, outcome: CopyOutcome::Failed }),
            Copies::NeverEnd => self.buf_count -= 1,
        }
        Ok(())
    }

    fn flush(&mut self) {}

    fn poll(&mut self) -> Option<Completion<Vec<u8>>> {
        self.ended.pop_front()
    }
}

/// A window that notes when it is looked at.
#[derive(Clone, Debug)]
struct TestWindow {
    id: QueuePairId,
    log: Log,
    words: Rc<[AtomicU64]>,
}

impl Window for TestWindow {
    fn words(&self) -> &[AtomicU64] {
        self.log.borrow_mut().push(Event::Looked(self.id));
        &self.words
    }
}

/// The other end of a queue pair.
struct Peer {
    window: TestWindow,
    sender: SlotSender,
}

impl Peer {
    /// Fills its ring up with slots of one request each. `answered` were answered, and their answers taken.
    fn ask(&mut self, answered: u32) {
        self.sender.credit(answered).expect("no more answers than requests");
        while self.sender.room() > 0 {
            let mut slot = [0; SLOT_LEN];
            let len = put_get(&mut slot);
            let sealed = self.sender.seal(&mut slot, len, answered).expect("there is room");
            let words = &self.window.words[sealed.offset / 8..];
            for (word, bytes) in words.iter().zip(slot.as_chunks().0) {
                word.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
            }
        }
    }

    /// Spoils a byte of each slot.
    fn tear(&self) {
        for slot in self.window.words.chunks(SLOT_LEN / 8) {
            slot[3].fetch_xor(1, Ordering::Relaxed);
        }
    }
}

fn put_get(slot: &mut [u8]) -> usize {
    let mut writer = RequestWriter::new();
    writer.push_request(&Request { key: b"key", operation: Operation::Get }).expect("an empty writer has room");
    let body_len = writer.encode(&mut slot[SLOT_HEADER_LEN + RUN_HEADER_LEN..]).expect("it fits");
    put_run_header(&mut slot[SLOT_HEADER_LEN..], body_len, 64).expect("it fits");
    SLOT_HEADER_LEN + RUN_HEADER_LEN + body_len
}

fn table_memory() -> Vec<AtomicU64> {
    (0..8192).map(|_| AtomicU64::new(0)).collect()
}

/// A core and the peers of its queue pairs, whose copies end like this.
struct Scene<'m> {
    process: Box<Process<'m, TestEngine, TestWindow>>,
    peers: Vec<Peer>,
    log: Log,
    now: u64,
}

impl<'m> Scene<'m> {
    fn new(memory: &'m [AtomicU64], copies: &[Copies]) -> Self {
        let ring = RingGeometry::new(SLOT_COUNT, SLOT_LEN as u32).expect("valid sizes");
        let geometry =
            QueuePairGeometry { request: ring, response: ring, way: ResponseWay::Push, copy: CopySpan::Used };
        let secret = Secret { k0: 1, k1: 2 };
        let config = TableConfig { mode: Mode::Store, concurrent_read: false, secret, item_len_hint: 16 };
        let mut store = Store::new(secret);
        store.push(Partition::Owned(Table::format(memory, &config).expect("enough memory"))).expect("room");
        let rate = TickRate::from_hz(1000).expect("a rate");
        let mut process = Box::new(Process::new(store, rate, false));
        let log = Log::default();
        let mut peers = Vec::new();
        for (copies, id) in copies.iter().zip((0..).map(QueuePairId)) {
            let words = (0..geometry.host_window_len() / 8).map(|_| AtomicU64::new(0)).collect();
            let window = TestWindow { id, log: Rc::clone(&log), words };
            let buf_count = SLOT_COUNT as usize + 1;
            let engine = TestEngine { id, log: Rc::clone(&log), copies: *copies, ended: VecDeque::new(), buf_count };
            let end = QueuePairEnd {
                id,
                epoch: EPOCH,
                geometry,
                engine,
                window: window.clone(),
                torn_ticks: TORN_TICKS,
                stall_ticks: STALL_TICKS,
            };
            process.attach(end).expect("room for a queue pair");
            peers.push(Peer { window, sender: SlotSender::new(ring, request_ring(id, EPOCH)) });
        }
        Self { process, peers, log, now: 0 }
    }

    fn turn(&mut self) {
        self.now += 1;
        self.process.turn(Tick(self.now));
    }

    fn answered(&self, id: QueuePairId) -> u32 {
        self.log.borrow().iter().filter(|event| **event == Event::Answered(id)).count() as u32
    }

    /// Lets these peers ask, and the core take a turn.
    fn ask_and_turn(&mut self, ids: &[QueuePairId]) {
        for id in ids {
            let answered = self.answered(*id);
            self.peers[usize::from(id.0)].ask(answered);
        }
        self.turn();
    }
}

const GOOD: [QueuePairId; 2] = [QueuePairId(0), QueuePairId(2)];
const BAD: QueuePairId = QueuePairId(1);

/// Takes turns and asserts that the good queue pairs are answered in each, whatever the bad one does.
fn check_good_ones(scene: &mut Scene<'_>, turns: u32) {
    for _ in 0..turns {
        let before = GOOD.map(|id| scene.answered(id));
        scene.ask_and_turn(&GOOD);
        assert_eq!(GOOD.map(|id| scene.answered(id)), before.map(|count| count + 1), "turn {}", scene.now);
    }
}

/// Between two looks at a queue pair, how often each of the others was answered, at most.
fn longest_wait(log: &[Event], waiting: QueuePairId, other: QueuePairId) -> usize {
    let between = log.split(|event| *event == Event::Looked(waiting));
    between.map(|events| events.iter().filter(|event| **event == Event::Answered(other)).count()).max().unwrap_or(0)
}

#[test]
fn each_queue_pair_waits_for_one_slot_of_each_other_at_most() {
    let memory = table_memory();
    let mut scene = Scene::new(&memory, &[Copies::End; 4]);
    let ids = [0, 1, 2, 3].map(QueuePairId);
    for turn in 1..=20 {
        scene.ask_and_turn(&ids);
        assert_eq!(ids.map(|id| scene.answered(id)), [turn; 4]);
    }
    let log = scene.log.borrow();
    for waiting in ids {
        for other in ids.into_iter().filter(|other| *other != waiting) {
            assert_eq!(longest_wait(&log, waiting, other), 1, "{waiting:?} for {other:?}");
        }
    }
}

#[test]
fn few_queue_pairs_give_as_many_slots_in_a_turn_as_many() {
    let memory = table_memory();
    for (count, slots_of_each) in [(1, 4), (2, 2), (3, 1), (4, 1)] {
        let mut scene = Scene::new(&memory, &vec![Copies::End; count.into()]);
        let ids: Vec<_> = (0..count).map(QueuePairId).collect();
        scene.ask_and_turn(&ids);
        assert!(ids.iter().all(|id| scene.answered(*id) == slots_of_each), "{count} queue pairs");
    }
}

#[test]
fn a_queue_pair_whose_copies_never_end_makes_nobody_wait() {
    let memory = table_memory();
    let mut scene = Scene::new(&memory, &[Copies::End, Copies::NeverEnd, Copies::End]);
    scene.peers[1].ask(0);
    check_good_ones(&mut scene, STALL_TICKS as u32);
    assert_eq!(scene.answered(BAD), SLOT_COUNT);
    check_good_ones(&mut scene, 10);
    assert_eq!(scene.process.fault(), Some((BAD, Fault::CopyFailed)));
}

#[test]
fn a_queue_pair_whose_copies_fail_is_given_up_and_makes_nobody_wait() {
    let memory = table_memory();
    let mut scene = Scene::new(&memory, &[Copies::End, Copies::Fail, Copies::End]);
    scene.peers[1].ask(0);
    check_good_ones(&mut scene, 10);
    assert_eq!(scene.process.fault(), Some((BAD, Fault::CopyFailed)));
    // The answer to one slot, and three repetitions.
    assert!(scene.answered(BAD) >= 4);
}

#[test]
fn a_queue_pair_with_a_torn_slot_makes_nobody_wait() {
    let memory = table_memory();
    let mut scene = Scene::new(&memory, &[Copies::End; 3]);
    scene.peers[1].ask(0);
    scene.peers[1].tear();
    check_good_ones(&mut scene, TORN_TICKS as u32);
    assert_eq!(scene.process.fault(), None, "the slot may still become whole");
    check_good_ones(&mut scene, 10);
    assert_eq!(scene.process.fault(), Some((BAD, Fault::Torn)));
    assert_eq!(scene.answered(BAD), 0);
}

#[test]
fn a_silent_queue_pair_makes_nobody_wait_and_is_served_when_it_speaks() {
    let memory = table_memory();
    let mut scene = Scene::new(&memory, &[Copies::End; 3]);
    check_good_ones(&mut scene, 1000);
    scene.peers[1].ask(0);
    check_good_ones(&mut scene, 1);
    assert_eq!(scene.answered(BAD), 1);
}
