//! A copy engine that keeps its contract and nothing more.
//!
//! `kv_core::dma` promises: after a completion the bytes will become visible some time. So a copy is split into chunks
//! of 8, 16, 32 or 64 bytes, which reach the window in any order, at any time, and perhaps long after the completion,
//! perhaps twice, or, of a failed copy, in part. A chunk is whole words: memory writes of a PCIe device are no smaller
//! here. A pull is filled from moments that differ in the same way, but is complete at its completion.
//!
//! Without faults, each copy takes the plan's latency and appears as a whole at its completion.
//!
//! An accepted copy starts at the next [`flush`](DmaEngine::flush) and not before, so an engine that forgets to flush
//! is found out.

use std::collections::BTreeMap;
use std::ops::Range;

use arch::Tick;
use kv_core::dma::{COPY_ALIGN, Completion, CopyOutcome, Direction, DmaEngine, Job};

use crate::bus::{Access, AccessKind, Owner, Staging};
use crate::fault::FaultClass;
use crate::physics::Physics;
use crate::pool::{Pool, Pooled};
use crate::seed::Random;
use crate::trace::Event;
use crate::window::SimWindow;

const WORD_LEN: usize = 8;

/// The engine of one core towards one peer window.
///
/// Dropping it is its process dying: copies under way go on.
#[derive(Debug)]
pub struct SimDma {
    owner: Owner,
    physics: Physics,
    random: Random,
    peer: SimWindow,
    pool: Pool,
    job_count_max: usize,
    accepted: Vec<Job<Pooled>>,
    /// By when they end, then by when they began.
    running: BTreeMap<(Tick, u64), Running>,
    started: u64,
    stalled_until: Tick,
}

/// How long a buffer is, how many there are, and how many copies are in flight at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaGeometry {
    /// Length of each buffer in bytes, a multiple of [`COPY_ALIGN`].
    pub buf_len: usize,
    /// Number of buffers.
    pub buf_count: usize,
    /// Most copies between submission and completion.
    pub job_count_max: usize,
}

#[derive(Debug)]
struct Running {
    job: Job<Pooled>,
    outcome: CopyOutcome,
    /// What a pull has read; empty for a push.
    staging: Staging,
}

/// When the pieces of one copy happen, relative to nothing: absolute times.
struct Timing {
    start: Tick,
    completion: Tick,
    /// The last moment at which a chunk may become visible.
    visible: Tick,
    chunk_len: usize,
    torn: bool,
}

impl SimDma {
    /// An engine that reads and writes `peer`. Engines of one world have different `index`es.
    pub fn new(physics: &Physics, index: u64, peer: SimWindow, geometry: DmaGeometry) -> Self {
        Self {
            owner: Owner::default(),
            physics: physics.clone(),
            random: physics.stream("dma", index),
            peer,
            pool: Pool::new(geometry.buf_len, geometry.buf_count),
            job_count_max: geometry.job_count_max,
            accepted: Vec::new(),
            running: BTreeMap::new(),
            started: 0,
            stalled_until: Tick(0),
        }
    }

    /// Its buffers.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// How many copies it has accepted and not yet reported.
    pub fn job_count(&self) -> usize {
        self.accepted.len() + self.running.len()
    }

    fn start(&mut self, job: Job<Pooled>) {
        let faults = self.physics.faults().clone();
        let plan = faults.plan().copy;
        if faults.strikes(&mut self.random, plan.stall, FaultClass::CopyStalled) {
            self.stalled_until = self.physics.now().after(self.random.within(1..=plan.stall_ns_max));
        }
        let failed = faults.strikes(&mut self.random, plan.failure, FaultClass::CopyFailed);
        let timing = self.draw_timing();
        let range = job.offset / WORD_LEN..(job.offset + job.len) / WORD_LEN;
        let staging = Staging::default();
        match job.direction {
            Direction::Push => {
                self.write(range.clone(), job.buf.as_ref(), &timing, failed);
                if faults.strikes(&mut self.random, plan.duplication, FaultClass::CopyDuplicated) {
                    let again = timing.delayed(self.random.within(1..=plan.duplication_ns_max));
                    self.write(range, job.buf.as_ref(), &again, false);
                }
            }
            Direction::Pull => self.read(range, &timing, failed, &staging),
        }
        let outcome = if failed { CopyOutcome::Failed } else { CopyOutcome::Copied };
        self.running.insert((timing.completion, self.started), Running { job, outcome, staging });
        self.started += 1;
    }

    fn draw_timing(&mut self) -> Timing {
        let faults = self.physics.faults().clone();
        let plan = faults.plan().copy;
        let start = self.physics.now().max(self.stalled_until);
        let latency_ns = if faults.strikes(&mut self.random, plan.reordering, FaultClass::CopyReordered) {
            self.random.within(1..=plan.reordering_ns_max)
        } else {
            plan.latency_ns
        };
        let completion = start.after(latency_ns);
        let late = faults.strikes(&mut self.random, plan.lateness, FaultClass::CopyLate);
        let visible = if late { completion.after(self.random.within(1..=plan.lateness_ns_max)) } else { completion };
        let torn = faults.strikes(&mut self.random, plan.tear, FaultClass::CopyTorn);
        Timing { start, completion, visible, chunk_len: WORD_LEN << self.random.below(4), torn }
    }

    /// Plans the writes of a push. Of a failed one any part is left out.
    fn write(&mut self, range: Range<usize>, bytes: &[u8], timing: &Timing, failed: bool) {
        let first = range.start;
        for chunk in self.chunks(range, timing, failed) {
            let words = (chunk.start - first..chunk.end - first).map(|word| word_of(bytes, word)).collect();
            let at = self.draw_moment(timing, timing.visible);
            self.plan(at, chunk.start, AccessKind::Write(words));
        }
    }

    /// Plans the reads of a pull, all before its completion.
    fn read(&mut self, range: Range<usize>, timing: &Timing, failed: bool, staging: &Staging) {
        staging.borrow_mut().resize(range.len(), 0);
        let base = range.start;
        for chunk in self.chunks(range, timing, failed) {
            let at = self.draw_moment(timing, timing.completion);
            let kind = AccessKind::Read { count: chunk.len(), base, into: Staging::clone(staging) };
            self.plan(at, chunk.start, kind);
        }
    }

    fn plan(&self, at: Tick, index: usize, kind: AccessKind) {
        self.physics.bus().plan(at, Access { owner: self.owner.mark(), window: self.peer.clone(), index, kind });
    }

    /// The pieces into which a copy falls; one, if nothing tears it.
    fn chunks(&mut self, range: Range<usize>, timing: &Timing, failed: bool) -> Vec<Range<usize>> {
        let whole = !timing.torn && !failed;
        let chunk_count = if whole { range.len().max(1) } else { timing.chunk_len / WORD_LEN };
        let mut chunks: Vec<_> =
            range.clone().step_by(chunk_count).map(|start| start..(start + chunk_count).min(range.end)).collect();
        if failed {
            let kept = self.random.within(0..=chunks.len() as u64) as usize;
            for index in (1..chunks.len()).rev() {
                chunks.swap(index, self.random.below(index as u64 + 1) as usize);
            }
            chunks.truncate(kept);
        }
        chunks
    }

    fn draw_moment(&mut self, timing: &Timing, last: Tick) -> Tick {
        if timing.torn { Tick(self.random.within(timing.start.0 + 1..=last.0)) } else { last }
    }

    fn is_in_range(&self, job: &Job<Pooled>) -> bool {
        job.offset.is_multiple_of(COPY_ALIGN)
            && job.len.is_multiple_of(COPY_ALIGN)
            && job.len <= job.buf.as_ref().len()
            && job.offset.checked_add(job.len).is_some_and(|end| end <= self.peer.len())
    }
}

impl Timing {
    fn delayed(&self, ns: u64) -> Self {
        Self {
            start: self.visible,
            completion: self.visible.after(ns),
            visible: self.visible.after(ns),
            chunk_len: self.chunk_len,
            torn: self.torn,
        }
    }
}

fn word_of(bytes: &[u8], index: usize) -> u64 {
    let mut word = [0; WORD_LEN];
    word.copy_from_slice(&bytes[index * WORD_LEN..][..WORD_LEN]);
    u64::from_le_bytes(word)
}

impl DmaEngine for SimDma {
    type Buf = Pooled;

    fn room(&self) -> usize {
        self.job_count_max - self.job_count()
    }

    fn alloc(&mut self) -> Option<Pooled> {
        self.pool.take()
    }

    fn submit(&mut self, job: Job<Pooled>) -> Result<(), Job<Pooled>> {
        if self.room() == 0 || !self.is_in_range(&job) {
            return Err(job);
        }
        self.accepted.push(job);
        Ok(())
    }

    fn flush(&mut self) {
        for job in std::mem::take(&mut self.accepted) {
            self.start(job);
        }
    }

    fn poll(&mut self) -> Option<Completion<Pooled>> {
        let now = self.physics.now();
        let ((at, order), Running { mut job, outcome, staging }) =
            self.running.first_entry().filter(|entry| entry.key().0 <= now)?.remove_entry();
        for (bytes, word) in job.buf.as_mut().chunks_exact_mut(WORD_LEN).zip(staging.borrow().iter()) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        self.physics.trace().add(at, Event::CopyEnded, [order, u64::from(outcome == CopyOutcome::Copied)], &[]);
        Some(Completion { job, outcome })
    }
}

#[cfg(test)]
mod tests;
