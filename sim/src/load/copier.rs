//! A core's way to the card: a copy engine whose copies take time of the core and of the card.

use std::collections::VecDeque;

use arch::Tick;
use kv_core::dma::{Completion, CopyOutcome, DmaEngine, Job};
use qp_wire::qp::{SLOT_HEADER_LEN, SlotHeader, response_runs};

use super::card::Card;
use super::core_time::CoreTime;
use super::cost::Costs;
use crate::bus::{Access, AccessKind, Owner};
use crate::physics::Physics;
use crate::pool::{Pool, Pooled};
use crate::window::SimWindow;

/// What a core has done for a slot before it posts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// It has batched frames, which its port has accounted for.
    Communicate,
    /// It has taken a slot out and executed its requests.
    Process,
}

/// The copy engine of one core towards one window. It pushes only.
#[derive(Debug)]
pub(super) struct Copier {
    owner: Owner,
    physics: Physics,
    card: Card,
    time: CoreTime,
    work: Work,
    window: SimWindow,
    pool: Pool,
    job_count_max: usize,
    costs: Costs,
    /// What is under way, with the time of its completion: the card keeps the order.
    running: VecDeque<(Tick, Job<Pooled>)>,
}

impl Copier {
    /// An engine with so long buffers, and so many.
    pub(super) fn new(
        physics: &Physics,
        card: &Card,
        time: &CoreTime,
        work: Work,
        window: SimWindow,
        (buf_len, buf_count): (usize, usize),
        costs: Costs,
    ) -> Self {
        Self {
            owner: Owner::default(),
            physics: physics.clone(),
            card: card.clone(),
            time: time.clone(),
            work,
            window,
            pool: Pool::new(buf_len, buf_count),
            job_count_max: buf_count,
            costs,
            running: VecDeque::new(),
        }
    }
}

/// How many responses a sealed slot holds.
fn response_count(slot: &[u8]) -> u64 {
    let word = |index: usize| slot.get(index * 8..).and_then(|rest| rest.first_chunk()).map(|b| u64::from_le_bytes(*b));
    let (Some(first), Some(second)) = (word(0), word(1)) else { return 0 };
    let len = SlotHeader::from_words([first, second]).len as usize;
    let runs = slot.get(SLOT_HEADER_LEN..len).and_then(|runs| response_runs(runs).ok());
    runs.map_or(0, |runs| runs.into_iter().map(|run| run.batch.count() as u64).sum())
}

impl DmaEngine for Copier {
    type Buf = Pooled;

    fn room(&self) -> usize {
        self.job_count_max - self.running.len()
    }

    fn alloc(&mut self) -> Option<Pooled> {
        self.pool.take()
    }

    fn submit(&mut self, job: Job<Pooled>) -> Result<(), Job<Pooled>> {
        if self.room() == 0 || job.len > job.buf.as_ref().len() || job.offset + job.len > self.window.len() {
            return Err(job);
        }
        if self.work == Work::Process {
            let count = response_count(job.buf.as_ref());
            self.time.spend(self.costs.slot_ns + count * self.costs.process_ns);
        }
        self.time.spend(self.costs.post_ns);
        let seen = self.card.write(job.len, self.time.now());
        let words: Vec<u64> =
            job.buf.as_ref()[..job.len].as_chunks().0.iter().map(|b| u64::from_le_bytes(*b)).collect();
        let kind = AccessKind::Write(words);
        let access = Access { owner: self.owner.mark(), window: self.window.clone(), index: job.offset / 8, kind };
        self.physics.bus().plan(seen, access);
        self.running.push_back((seen, job));
        Ok(())
    }

    fn flush(&mut self) {}

    fn poll(&mut self) -> Option<Completion<Pooled>> {
        let now = self.time.now();
        let (_, job) = self.running.pop_front_if(|(seen, _)| *seen <= now)?;
        // For each of its batches, a communicating core takes out a slot of answers too.
        let slot_ns = if self.work == Work::Communicate { self.costs.slot_ns } else { 0 };
        self.time.spend(self.costs.poll_ns + slot_ns);
        Some(Completion { job, outcome: CopyOutcome::Copied })
    }
}
