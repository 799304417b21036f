//! The processing engine between an honest peer and one that writes whatever it likes.
//!
//! The script is the hostile peer, its window and the host's copy engine towards it. At each turn a naive reading of the
//! window says which slot, if any, the engine must take out, what that slot must lead to, and which fault a wrong one is. The
//! honest peer asks all the while and is answered in the very next turn, whatever happens to the other.

use std::collections::VecDeque;

use arch::{Tick, TickRate};
use kv_core::counters::Counter;
use kv_core::design::QueuePairId;
use kv_core::dma::CopyOutcome;
use kv_core::dma::Window;
use kv_core::engine::{Engine as _, Fault, Process, QueuePairEnd};
use kv_core::hash::Secret;
use kv_core::partition::{Partition, Store};
use kv_core::ring::{
    CopySpan, QueuePairGeometry, ResponseWay, RingGeometry, RingIdentity, clear, request_ring, response_ring,
};
use kv_core::sync::AtomicU64;
use kv_core::table::{Mode, Table, TableConfig};
use qp_wire::batch::RequestWriter;
use qp_wire::qp::{RUN_HEADER_LEN, SLOT_HEADER_LEN, request_runs, response_runs};
use qp_wire::{Opcode, Operation, Request, ResultCode};

use crate::memory::{Engine, EngineSize, Memory, Push};
use crate::script::Script;
use crate::slots::{Content, Place, content, put_run, sealed};

const HOSTILE: QueuePairId = QueuePairId(0);
const HONEST: QueuePairId = QueuePairId(1);

/// How long the next slot may stay torn, in ticks.
const TORN_TICKS: u64 = 20;

/// How often the engine starts a failed copy again.
const COPY_RETRIES: u32 = 3;

/// A script for the peer of a processing engine.
///
/// Returns how many slots of that peer were answered.
pub fn check_process_hostile(data: &[u8]) -> usize {
    let memory: Vec<AtomicU64> = (0..1024 + 8).map(|_| AtomicU64::new(0)).collect();
    let mut script = Script::new(data);
    let shape = script.u8();
    let config = TableConfig {
        mode: if shape & 1 == 0 { Mode::Store } else { Mode::Cache },
        concurrent_read: shape & 2 != 0,
        secret: Secret { k0: 1, k1: 2 },
        item_len_hint: 16,
    };
    let mut store = Store::new(config.secret);
    let table = Table::format(&memory, &config).expect("enough memory");
    store.push(Partition::Owned(table)).expect("room for a partition");
    let rate = TickRate::from_hz(1000).expect("a rate");
    let process = Box::new(Process::new(store, rate, false));
    let mut check = Check::new(process, shape, script.u32());
    while !script.is_over() {
        check.step(&mut script);
    }
    check.turn(1);
    check.hostile.answered_count
}

struct Check<'m> {
    process: Box<Process<'m, Engine, Memory>>,
    hostile: Peer,
    honest: Peer,
    now: u64,
    batches: u64,
}

impl<'m> Check<'m> {
    fn new(process: Box<Process<'m, Engine, Memory>>, shape: u8, epoch: u32) -> Self {
        let geometry = QueuePairGeometry {
            request: RingGeometry::new(1 << (shape >> 2 & 3), 1024).expect("valid sizes"),
            response: RingGeometry::new(1 << (shape >> 4 & 3), 1024).expect("valid sizes"),
            way: ResponseWay::Push,
            copy: CopySpan::Used,
        };
        let (hostile, honest) = (Peer::new(HOSTILE, geometry, epoch), Peer::new(HONEST, geometry, epoch));
        let mut check = Self { process, hostile, honest, now: 0, batches: 0 };
        check.process.attach(check.hostile.end()).expect("room for a queue pair");
        check.process.attach(check.honest.end()).expect("room for a queue pair");
        check
    }

    fn step(&mut self, script: &mut Script<'_>) {
        let hostile = &mut self.hostile;
        match script.u8() % 10 {
            0 => hostile.window.write_word(usize::from(script.u16()), script.u64()),
            1 | 2 => hostile.send(script),
            3 => hostile.send_requests(script),
            4 => {
                let outcome = if script.u8() & 3 == 0 { CopyOutcome::Failed } else { CopyOutcome::Copied };
                hostile.engine.finish(script.u8(), outcome, &hostile.window);
            }
            5 => clear(hostile.window.words()),
            6 => {
                self.process.detach(HOSTILE);
                let epoch = hostile.epoch.wrapping_add(1);
                let window = std::mem::replace(&mut hostile.window, Memory::new(0));
                *hostile = Peer {
                    window,
                    answered_count: hostile.answered_count,
                    ..Peer::new(HOSTILE, hostile.geometry, epoch)
                };
                self.process.attach(hostile.end()).expect("room for a queue pair");
            }
            7 => self.turn(u64::from(script.u8())),
            _ => self.turn(1),
        }
    }

    fn turn(&mut self, ticks: u64) {
        self.now += ticks;
        self.honest.ask();
        let awaited = self.honest.expect(self.now);
        let feared = self.hostile.expect(self.now);
        let fault_before = self.hostile.fault;
        self.process.turn(Tick(self.now));

        let (honest_took, honest_fault) = self.honest.compare(awaited, self.now);
        assert!(honest_took == 1 && honest_fault.is_none(), "an honest peer waits for its answer");
        let (hostile_took, fault) = self.hostile.compare(feared, self.now);
        if fault_before.is_some() {
            assert_eq!(hostile_took, 0, "a queue pair that was given up is still served");
        }
        self.hostile.fault = fault_before.or(fault);
        assert_eq!(self.process.fault(), self.hostile.fault.map(|fault| (HOSTILE, fault)));
        let batches = self.process.counters().get(Counter::BatchesReceived);
        assert_eq!(batches - self.batches, hostile_took + honest_took);
        self.batches = batches;
        self.honest.engine.finish(0, CopyOutcome::Copied, &self.honest.window);
    }
}

/// What the engine finds if it looks now.
struct Expectation {
    content: Content,
    /// Whether it was given up before.
    is_over: bool,
}

/// A queue pair, as its DPU knows it and as the host should.
struct Peer {
    id: QueuePairId,
    epoch: u32,
    geometry: QueuePairGeometry,
    engine: Engine,
    /// The request ring.
    window: Memory,
    fault: Option<Fault>,
    /// Slots that the peer has sent.
    sent: u32,
    /// Slots that the host has taken out, has answered, and may consider taken out by the peer.
    taken: u32,
    answered: u32,
    credited: u32,
    torn_since: Option<u64>,
    /// Answers that were submitted, to compare repeated ones with.
    pushes: VecDeque<Push>,
    answered_count: usize,
}

impl Peer {
    fn new(id: QueuePairId, geometry: QueuePairGeometry, epoch: u32) -> Self {
        let engine = Engine::new(EngineSize {
            buf_len: geometry.response.slot_len(),
            buf_count: 3,
            job_count: 3,
            window_len: geometry.dpu_window_len(),
        });
        let window = Memory::new(geometry.host_window_len());
        let (fault, torn_since, pushes) = (None, None, VecDeque::new());
        let (sent, taken, answered, credited, answered_count) = (0, 0, 0, 0, 0);
        Self {
            id,
            epoch,
            geometry,
            engine,
            window,
            fault,
            sent,
            taken,
            answered,
            credited,
            torn_since,
            pushes,
            answered_count,
        }
    }

    fn end(&self) -> QueuePairEnd<Engine, Memory> {
        QueuePairEnd {
            id: self.id,
            epoch: self.epoch,
            geometry: self.geometry,
            engine: self.engine.clone(),
            window: self.window.clone(),
            torn_ticks: TORN_TICKS,
            // A copy ends when the script says so, or never.
            stall_ticks: u64::MAX,
        }
    }

    fn request_place(&self, sequence: u32) -> Place {
        let RingIdentity { queue_pair, epoch } = request_ring(self.id, self.epoch);
        Place { queue_pair, epoch, index: self.geometry.request.index(sequence), sequence }
    }

    fn response_place(&self, sequence: u32) -> Place {
        let RingIdentity { queue_pair, epoch } = response_ring(self.id, self.epoch);
        Place { queue_pair, epoch, index: self.geometry.response.index(sequence), sequence }
    }

    /// Writes a slot with these runs.
    fn write(&mut self, runs: &[u8], credit: u32) {
        self.sent = self.sent.wrapping_add(1);
        let slot = sealed(runs, self.request_place(self.sent), credit);
        if slot.len() <= self.geometry.request.slot_len() {
            self.window.write(self.geometry.request.offset(self.sent), &slot);
        }
    }

    /// A slot with whatever runs and credit the script has.
    fn send(&mut self, script: &mut Script<'_>) {
        let credit = self.answered.wrapping_add(u32::from(script.u8())).wrapping_sub(1);
        self.sent = self.taken;
        self.write(script.string(), credit);
    }

    /// A slot with one run of well-formed requests that may mean nothing.
    fn send_requests(&mut self, script: &mut Script<'_>) {
        let mut writer = Box::new(RequestWriter::new());
        let (count, key_len, value_len) = (script.u8(), script.u8(), script.u8());
        for index in 0..=count % 32 {
            let (key, value) = (vec![index & 3; usize::from(key_len)], vec![index; usize::from(value_len)]);
            let request = qp_wire::RawRequest { operation: script.u8(), key: &key, value: &value };
            if writer.encoded_len_with(&request) + SLOT_HEADER_LEN + RUN_HEADER_LEN <= 1024 {
                writer.push(&request).expect("a slot is shorter than a frame");
            }
        }
        let mut body = vec![0; writer.encoded_len()];
        let body_len = writer.encode(&mut body).unwrap_or_default();
        let mut runs = Vec::new();
        put_run(&mut runs, &body[..body_len], usize::from(script.u16() % 1100));
        self.sent = self.taken;
        self.write(&runs, self.answered);
    }

    /// What an honest peer does: one slot at a time, with all credit.
    fn ask(&mut self) {
        let mut writer = Box::new(RequestWriter::new());
        for operation in [Operation::NoopRead, Operation::Set { value: b"value", ttl: None }, Operation::Get] {
            let key: &[u8] = if operation == Operation::NoopRead { b"" } else { b"honest" };
            writer.push_request(&Request { key, operation }).expect("room for three requests");
        }
        let mut body = vec![0; writer.encoded_len()];
        writer.encode(&mut body).expect("room for three requests");
        let mut runs = Vec::new();
        put_run(&mut runs, &body, 100);
        self.write(&runs, self.answered);
    }

    fn expect(&self, _: u64) -> Expectation {
        let next = self.taken.wrapping_add(1);
        let ring = self.geometry.request;
        let slot = self.window.read(ring.offset(next), ring.slot_len());
        Expectation { content: content(&slot, self.request_place(next)), is_over: self.fault.is_some() }
    }

    /// Compares what the engine did with what it had to do; how many slots it took out, and the fault that it must see.
    fn compare(&mut self, expected: Expectation, now: u64) -> (u64, Option<Fault>) {
        let pushes = self.engine.take_pushes();
        let failures = self.engine.take_failed_tags();
        let has_looked = self.engine.take_lent() > 0;
        if expected.is_over {
            assert!(pushes.is_empty() && failures.is_empty() && !has_looked, "a queue pair that was given up moves");
            return (0, None);
        }
        assert!(self.engine.is_flushed(), "a copy was accepted and never started");
        let retried = failures.iter().filter(|tag| **tag < COPY_RETRIES).count();
        let copy_failed = (retried < failures.len()).then_some(Fault::CopyFailed);
        let (again, anew) = pushes.split_at(retried.min(pushes.len()));
        assert_eq!(again.len(), retried, "a failed copy was forgotten");
        assert!(again.iter().all(|push| self.pushes.contains(push)), "a copy was repeated with other bytes");

        let (took, fault) = if has_looked { self.look(expected.content, anew, now) } else { (0, None) };
        assert!(has_looked || anew.is_empty());
        self.pushes.extend(anew.iter().cloned());
        while self.pushes.len() > 64 {
            self.pushes.pop_front();
        }
        (took, copy_failed.or(fault))
    }

    /// What a look has to lead to.
    fn look(&mut self, content: Content, pushes: &[Push], now: u64) -> (u64, Option<Fault>) {
        if content == Content::Torn {
            self.torn_since.get_or_insert(now);
        }
        let Content::Whole { credit, runs } = content else {
            assert!(pushes.is_empty(), "an answer to nothing");
            let is_torn = self.torn_since.is_some_and(|since| now - since > TORN_TICKS);
            return (0, is_torn.then_some(Fault::Torn));
        };
        (self.taken, self.torn_since) = (self.taken.wrapping_add(1), None);
        let fault = self.answer_fault(credit, &runs);
        if fault.is_some() || runs.is_empty() {
            assert!(pushes.is_empty(), "an answer to a slot that is {fault:?}");
        } else {
            self.answered = self.answered.wrapping_add(1);
            let [push] = pushes else { panic!("{} answers to one slot", pushes.len()) };
            self.check_response(&runs, push);
            self.answered_count += 1;
        }
        (1, fault)
    }

    /// Why a slot cannot be answered (W-Q-4 to W-Q-6).
    fn answer_fault(&mut self, credit: u32, runs: &[u8]) -> Option<Fault> {
        let in_flight = self.answered.wrapping_sub(self.credited);
        if self.answered.wrapping_sub(credit) > in_flight {
            return Some(Fault::Credit);
        }
        self.credited = credit;
        if runs.is_empty() {
            return None;
        }
        let Ok(runs) = request_runs(runs) else { return Some(Fault::Malformed) };
        let room: usize = runs.iter().map(|run| RUN_HEADER_LEN + run.response_len_max).sum();
        if SLOT_HEADER_LEN + room > self.geometry.response.slot_len() {
            return Some(Fault::Malformed);
        }
        let is_full = self.answered.wrapping_sub(self.credited) == self.geometry.response.slot_count();
        is_full.then_some(Fault::Credit)
    }

    /// An answer is sealed for its place, answers what was asked, and takes no more room than was granted (W-Q-6 to W-Q-8).
    fn check_response(&self, runs: &[u8], push: &Push) {
        let ring = self.geometry.response;
        assert_eq!(push.offset, ring.offset(self.answered));
        let Content::Whole { credit, runs: answers } = content(&push.bytes, self.response_place(self.answered)) else {
            panic!("an answer that its reader cannot take");
        };
        assert_eq!(credit, self.taken, "W-Q-4");
        assert!(push.bytes.len() - SLOT_HEADER_LEN - answers.len() < 64, "more was copied than was sealed");
        let asked = request_runs(runs).expect("only such runs are answered");
        let answers = response_runs(&answers).expect("answers that their reader takes");
        assert_eq!(answers.iter().count(), asked.iter().count());
        for (run, answer) in asked.iter().zip(answers) {
            let batch = answer.batch;
            assert!(batch.bytes().len() <= run.response_len_max, "more than was granted");
            assert_eq!(batch.count(), run.batch.count());
            for (raw, response) in run.batch.iter().zip(batch) {
                let expected = match raw.decode() {
                    Err(result) => Some(result),
                    Ok(request) if request.operation.opcode() == Opcode::Reset => Some(ResultCode::NotSupported),
                    Ok(request) if !request.operation.opcode().has_key() => Some(ResultCode::Success),
                    Ok(_) => None,
                };
                assert_eq!(response.result, expected.unwrap_or(response.result), "{raw:?}");
            }
        }
    }
}
