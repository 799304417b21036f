//! The communication engine between clients that send whatever they like and a host that answers whatever it likes.
//!
//! The script is the network, the host, the memory that it writes and the copy engine. Frames are told apart from the moment
//! they are taken until they leave: each is answered once, dropped under one reason or held. An answer is one to what
//! was asked, and no longer than its source may get. What crosses to the host is what an honest host takes. As long as the
//! script plays an honest host, the queue pair is not given up, and in the end every frame is answered or dropped.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use arch::{Tick, TickRate};
use kv_core::counters::{Counter, Counters};
use kv_core::design::QueuePairId;
use kv_core::dma::CopyOutcome;
use kv_core::engine::{
    Communicate, Engine as _, Fault, FlushLaw, FlushPolicy, HotKeys, HotSet, IdentityBytes, Policy, QueuePairEnd,
};
use kv_core::ring::{
    CopySpan, QueuePairGeometry, ResponseWay, RingGeometry, RingIdentity, request_ring, response_ring,
};
use qp_wire::batch::{Response, response_len_min};
use qp_wire::qp::{RUN_HEADER_LEN, RequestRun, SLOT_HEADER_LEN, request_runs};
use qp_wire::{Opcode, ResultCode};

use crate::batches::encode_responses;
use crate::datagrams::{check_answer, datagram, identity, policy};
use crate::memory::{Engine, EngineSize, Memory, Push, Wire};
use crate::script::Script;
use crate::slots::{Content, Place, content, put_run, sealed};

const QUEUE_PAIR: QueuePairId = QueuePairId(3);

/// How long batches may stay unanswered, and the next slot torn, in ticks.
const STALL_TICKS: u64 = 5000;
const TORN_TICKS: u64 = 100;

/// The shortest slots that hold every frame and every answer.
const REQUEST_SLOT_LEN: u32 = 9088;
const RESPONSE_SLOT_LEN: u32 = 10_176;

/// A script for the clients and the host of a communication engine.
///
/// Returns how many frames were answered.
pub fn check_communicate_hostile(data: &[u8]) -> usize {
    let mut script = Script::new(data);
    let mut hot_sets = [HotSet::EMPTY, HotSet::EMPTY];
    let mut check = Check::new(script.u8(), script.u8(), &mut hot_sets);
    while !script.is_over() {
        check.step(&mut script);
    }
    check.finish();
    check.answered_count
}

struct Check<'m> {
    communicate: Box<Communicate<'m, Wire, Engine, Memory>>,
    wire: Wire,
    policy: Policy,
    host: Host,
    now: u64,
    frame_room: usize,
    answered_count: usize,
    /// Whether an administrator has sent anything.
    may_reset: bool,
    /// Batches that came back in earlier epochs.
    batches_before: u64,
}

impl<'m> Check<'m> {
    fn new(shape: u8, flush: u8, hot_sets: &'m mut [HotSet]) -> Self {
        let geometry = QueuePairGeometry {
            request: RingGeometry::new(1 << (shape & 3), REQUEST_SLOT_LEN).expect("valid sizes"),
            response: RingGeometry::new(1 << (shape >> 2 & 3), RESPONSE_SLOT_LEN).expect("valid sizes"),
            way: if shape & 16 == 0 { ResponseWay::Push } else { ResponseWay::Pull },
            copy: CopySpan::Used,
        };
        let wire = Wire::default();
        let policy = policy(if shape & 32 == 0 { 1472 } else { 8972 });
        let law = if shape & 128 == 0 { FlushLaw::Fixed } else { FlushLaw::Adaptive };
        let flush = FlushPolicy { len: 64 << (flush & 7), ticks: u64::from(flush >> 3), law };
        let rate = TickRate::from_hz(1_000_000).expect("a rate");
        let mut communicate = Box::new(Communicate::new(wire.clone(), policy.clone(), flush, rate));
        communicate.set_identity(IdentityBytes::from_slice(&identity()).expect("room for the longest identity"));
        let has_cache = shape & 64 != 0;
        if has_cache {
            communicate.set_hot_keys(HotKeys::new(hot_sets));
        }
        let host = Host::new(geometry, 1);
        communicate.attach(host.end());
        Self {
            communicate,
            wire,
            policy,
            host,
            now: 0,
            frame_room: if has_cache { 9000 } else { 1472 },
            answered_count: 0,
            may_reset: false,
            batches_before: 0,
        }
    }

    fn step(&mut self, script: &mut Script<'_>) {
        match script.u8() % 16 {
            0..=3 => {
                let (source, payload) = datagram(script);
                self.may_reset |= self.policy.may_reset(source.ip());
                self.wire.arrive(source, &payload, self.frame_room);
            }
            4 => self.wire.take(usize::from(script.u8() & 63), usize::from(script.u8() & 3)),
            5 => self.host.finish_copy(script.u8(), CopyOutcome::Copied),
            6 => self.host.fail_copy(script.u8()),
            7 => self.host.write_anywhere(script),
            8 => self.host.forge(script),
            9 => self.host.answer(Defect::of(script), script.u8()),
            10 => self.host.answer(Defect::None, script.u8()),
            11 => {
                self.communicate.detach();
                self.attach();
            }
            12 => self.turn(u64::from(script.u16() % 2000)),
            13 => {
                self.wire.take(32, 0);
                self.play_honestly(script.u8());
            }
            _ => self.turn(1),
        }
    }

    fn attach(&mut self) {
        self.batches_before = self.counters().get(Counter::BatchesReceived);
        self.host = Host::new(self.host.geometry, self.host.epoch.wrapping_add(1));
        self.communicate.attach(self.host.end());
    }

    fn counters(&mut self) -> &mut Counters {
        self.communicate.counters()
    }

    /// A turn with a host and a copy engine that do what they should.
    fn play_honestly(&mut self, seed: u8) {
        self.turn(1);
        while self.host.engine.started_count() > 0 {
            self.host.finish_copy(0, CopyOutcome::Copied);
        }
        while self.host.has_arrived() {
            self.host.answer(Defect::None, seed);
        }
    }

    fn turn(&mut self, ticks: u64) {
        self.now += ticks;
        let batches_at_begin = self.batches();
        self.communicate.turn(Tick(self.now));
        self.check_frames();
        let batches = batches_at_begin..=self.batches();
        for push in self.host.engine.take_pushes() {
            self.host.submitted(&push, &batches, self.may_reset);
        }
        assert!(self.host.engine.is_flushed(), "a copy was accepted and never started");
        self.check_fault();
    }

    /// Slots that this epoch has taken out.
    fn batches(&mut self) -> u32 {
        (self.counters().get(Counter::BatchesReceived) - self.batches_before) as u32
    }

    /// Every frame is in one place, and every answer is one.
    fn check_frames(&mut self) {
        for answer in self.wire.take_answers() {
            check_answer(&self.policy, answer.source, answer.room, &answer.request, &answer.payload);
            self.answered_count += 1;
        }
        let counts = self.wire.counts();
        let counters = self.communicate.counters();
        assert_eq!(counters.drops.total(), counts.dropped, "a dropped frame is counted under exactly one reason");
        assert_eq!(counters.get(Counter::FramesReceived), counts.received);
        assert_eq!(counters.get(Counter::FramesTransmitted), counts.transmitted);
    }

    fn check_fault(&self) {
        let Some((id, fault)) = self.communicate.fault() else { return };
        assert_eq!(id, QUEUE_PAIR);
        assert_eq!(self.communicate.epoch(), None);
        match fault {
            Fault::Stalled => assert!(self.now > STALL_TICKS, "nothing has waited that long"),
            // Or the copy never ended.
            Fault::CopyFailed if self.now > STALL_TICKS => {}
            Fault::Credit | Fault::Malformed | Fault::Torn | Fault::CopyFailed => {
                assert!(self.host.is_hostile, "{fault:?} from an honest host");
            }
        }
    }

    /// Lets everything that can still happen happen: nothing is held for ever.
    fn finish(&mut self) {
        let rounds = 20 * (10 + self.wire.counts().held() + self.wire.arriving_count() as u64);
        for _ in 0..rounds {
            self.wire.take(32, 0);
            if self.host.is_hostile { self.turn(1) } else { self.play_honestly(0) }
        }
        if !self.host.is_hostile && self.communicate.fault().is_none() {
            return assert_eq!(self.wire.counts().held(), 0, "an honest host answers, and frames wait on");
        }
        // A silent host is given up after a while. A shell then begins a new epoch. Answers that lie in the window already
        // are found first; where they are pulled, that takes some turns for each.
        for _ in 0..24 {
            while self.host.engine.started_count() > 0 {
                self.host.finish_copy(0, CopyOutcome::Copied);
            }
            self.turn(STALL_TICKS);
        }
        if self.communicate.fault().is_none() {
            assert_eq!(self.wire.counts().held(), 0, "frames wait for a host that will never answer");
        }
        self.communicate.detach();
        for _ in 0..rounds {
            self.turn(1);
        }
        assert_eq!((self.wire.counts().held(), self.wire.arriving_count()), (0, 0), "without a host, frames wait on");
    }
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Defect {
    None,
    /// As many runs, one of them with one response too many.
    Count,
    /// No last run.
    RunMissing,
    /// The first run twice.
    RunTwice,
    /// Values longer than was granted.
    TooLong,
    /// It says that it took out more than was sent.
    Credit,
    /// Flags that have no meaning.
    Flags,
    /// Runs of nothing.
    Empty,
}

impl Defect {
    fn of(script: &mut Script<'_>) -> Self {
        const ALL: [Defect; 8] = [
            Defect::None,
            Defect::Count,
            Defect::RunMissing,
            Defect::RunTwice,
            Defect::TooLong,
            Defect::Credit,
            Defect::Flags,
            Defect::Empty,
        ];
        ALL[usize::from(script.u8()) % ALL.len()]
    }
}

/// The host's side of the queue pair.
struct Host {
    geometry: QueuePairGeometry,
    epoch: u32,
    engine: Engine,
    /// What the DPU's core looks at.
    dpu_window: Memory,
    /// What the DPU's engine reaches.
    host_window: Memory,
    /// Slots that were submitted, by their sequence number, whether or not they have arrived.
    submitted: BTreeMap<u32, Vec<u8>>,
    /// Those that have arrived, with their credit and runs.
    arrived: BTreeMap<u32, (u32, Vec<u8>)>,
    /// Slots that the DPU has sent, and that were answered here.
    sent: u32,
    taken: u32,
    answered: u32,
    /// Whether it has done anything that an honest host and its copy engine do not do.
    is_hostile: bool,
}

impl Host {
    fn new(geometry: QueuePairGeometry, epoch: u32) -> Self {
        let engine = Engine::new(EngineSize {
            buf_len: geometry.request.slot_len().max(geometry.response.slot_len()),
            buf_count: 2 * geometry.request.slot_count() as usize + 2,
            job_count: 2 * geometry.request.slot_count() as usize + 2,
            window_len: geometry.host_window_len(),
        });
        Self {
            geometry,
            epoch,
            engine,
            dpu_window: Memory::new(geometry.dpu_window_len()),
            host_window: Memory::new(geometry.host_window_len()),
            submitted: BTreeMap::new(),
            arrived: BTreeMap::new(),
            sent: 0,
            taken: 0,
            answered: 0,
            is_hostile: false,
        }
    }

    fn end(&self) -> QueuePairEnd<Engine, Memory> {
        QueuePairEnd {
            id: QUEUE_PAIR,
            epoch: self.epoch,
            geometry: self.geometry,
            engine: self.engine.clone(),
            window: self.dpu_window.clone(),
            torn_ticks: TORN_TICKS,
            stall_ticks: STALL_TICKS,
        }
    }

    /// The memory with the response ring, and where that begins.
    fn response_memory(&self) -> (&Memory, usize) {
        match self.geometry.way {
            ResponseWay::Push => (&self.dpu_window, 0),
            ResponseWay::Pull => (&self.host_window, self.geometry.response_offset()),
        }
    }

    fn request_place(&self, sequence: u32) -> Place {
        let RingIdentity { queue_pair, epoch } = request_ring(QUEUE_PAIR, self.epoch);
        Place { queue_pair, epoch, index: self.geometry.request.index(sequence), sequence }
    }

    /// Looks at a slot that the DPU sends: an honest host has to be able to take it and to answer it.
    fn submitted(&mut self, push: &Push, batches: &RangeInclusive<u32>, may_reset: bool) {
        let sequence = u32::from_le_bytes(std::array::from_fn(|byte| push.bytes[8 + byte]));
        if let Some(before) = self.submitted.get(&sequence) {
            return assert_eq!(*before, push.bytes, "a copy was repeated with other bytes");
        }
        self.sent = self.sent.wrapping_add(1);
        assert_eq!(sequence, self.sent, "W-Q-3");
        assert_eq!(push.offset, self.geometry.request.offset(sequence));
        let Content::Whole { credit, runs } = content(&push.bytes, self.request_place(sequence)) else {
            panic!("a slot that its reader cannot take");
        };
        // A batch that is alone leaves before the next slot is taken out, and only a hostile host has one then.
        assert!(batches.contains(&credit) && (self.is_hostile || credit == *batches.end()), "W-Q-4");
        assert!(push.bytes.len() - SLOT_HEADER_LEN - runs.len() < 64, "more was copied than was sealed");
        let runs = request_runs(&runs).expect("W-Q-5, W-Q-6");
        assert!(!runs.is_empty(), "a slot for nothing");
        let room: usize = runs.iter().map(|run| RUN_HEADER_LEN + run.response_len_max).sum();
        assert!(SLOT_HEADER_LEN + room <= self.geometry.response.slot_len(), "more room was promised than a slot has");
        let resets = |raw: qp_wire::RawRequest<'_>| raw.operation == Opcode::Reset.to_wire();
        assert!(may_reset || !runs.iter().any(|run| run.batch.iter().any(resets)), "RESET from a stranger");
        if !self.is_hostile {
            assert!(sequence - self.taken <= self.geometry.request.slot_count(), "a slot over one in use");
            assert!(sequence - credit <= self.geometry.response.slot_count(), "an answer would have no place");
        }
        self.submitted.insert(sequence, push.bytes.clone());
    }

    fn finish_copy(&mut self, number: u8, outcome: CopyOutcome) {
        let Some(push) = self.engine.finish(number, outcome, &self.host_window) else { return };
        self.host_window.write(push.offset, &push.bytes);
        let sequence = u32::from_le_bytes(std::array::from_fn(|byte| push.bytes[8 + byte]));
        if let Content::Whole { credit, runs } = content(&push.bytes, self.request_place(sequence)) {
            self.arrived.insert(sequence, (credit, runs));
        }
    }

    fn fail_copy(&mut self, number: u8) {
        self.is_hostile = true;
        self.finish_copy(number, CopyOutcome::Failed);
    }

    fn write_anywhere(&mut self, script: &mut Script<'_>) {
        self.is_hostile = true;
        self.response_memory().0.write_word(usize::from(script.u16()), script.u64());
    }

    /// A slot for the place that the DPU looks at next, with whatever runs and credit the script has.
    fn forge(&mut self, script: &mut Script<'_>) {
        self.is_hostile = true;
        let credit = self.taken.wrapping_add(u32::from(script.u8())).wrapping_sub(1);
        self.respond(script.string(), credit);
    }

    fn respond(&mut self, runs: &[u8], credit: u32) {
        self.answered = self.answered.wrapping_add(1);
        let ring = self.geometry.response;
        let RingIdentity { queue_pair, epoch } = response_ring(QUEUE_PAIR, self.epoch);
        let place = Place { queue_pair, epoch, index: ring.index(self.answered), sequence: self.answered };
        let slot = sealed(runs, place, credit);
        if slot.len() <= ring.slot_len() {
            let (memory, start) = self.response_memory();
            memory.write(start + ring.offset(self.answered), &slot);
        }
    }

    /// Whether the next slot to answer is there.
    fn has_arrived(&self) -> bool {
        self.arrived.contains_key(&self.taken.wrapping_add(1))
    }

    /// Answers the next slot, if it has arrived.
    fn answer(&mut self, defect: Defect, seed: u8) {
        let next = self.taken.wrapping_add(1);
        let Some((_, asked)) = self.arrived.remove(&next) else { return };
        self.is_hostile |= defect != Defect::None;
        self.taken = next;
        let mut bodies: Vec<Vec<u8>> = Vec::new();
        for run in request_runs(&asked).expect("checked when it was submitted") {
            bodies.push(respond_to(&run, defect, seed));
        }
        match defect {
            Defect::RunMissing => drop(bodies.pop()),
            Defect::RunTwice => bodies.extend(bodies.first().cloned()),
            Defect::Empty => bodies.clear(),
            _ => {}
        }
        let mut runs = Vec::new();
        for body in &bodies {
            let may_expire = usize::from(seed >> 7);
            put_run(&mut runs, body, if defect == Defect::Flags { 2 } else { may_expire });
        }
        let credit = if defect == Defect::Credit { self.sent.wrapping_add(1) } else { self.taken };
        self.respond(&runs, credit);
    }
}

/// The body of an answer to a run: some values, some misses, some refusals.
fn respond_to(run: &RequestRun<'_>, defect: Defect, seed: u8) -> Vec<u8> {
    let count = run.batch.count();
    let room = run.response_len_max - response_len_min(count);
    let value_len = match defect {
        Defect::TooLong => room / count + 64,
        _ => (room / count).min(usize::from(seed)),
    };
    let value = vec![seed; value_len];
    let mut responses: Vec<Response<'_>> = (0..count)
        .map(|index| match index.wrapping_add(usize::from(seed)) % 4 {
            0 => Response { result: ResultCode::NotFound, value: None },
            1 => Response { result: ResultCode::NotProcessed, value: None },
            _ => Response { result: ResultCode::Success, value: Some(&value) },
        })
        .collect();
    if defect == Defect::Count {
        responses.extend(responses.first().copied());
    }
    encode_responses(&responses)
}
