//! `Process`: the processing engine. Batches from one or more queue pairs, table, batches back.
//!
//! # Fairness
//!
//! A turn looks at each queue pair once and takes at most one slot out of it, in an order that changes only when a queue
//! pair comes or goes. So between two looks at a queue pair each of the others is served one slot at most: with n queue
//! pairs, the next slot of a ring waits for n − 1 others, which hold up to 1024 requests each (W-Q-5). To begin each turn
//! with another queue pair would not be fairer: whoever was first and becomes last waits for all others twice.
//!
//! Nothing that a queue pair's peer or copies do makes the others wait longer:
//!
//! | a queue pair that | costs the others, in each turn |
//! |---|---|
//! | has nothing, or was given up | one load, or none |
//! | has copies that do not end | nothing: without a buffer for the answer its slot is not taken out |
//! | has a slot that stays torn | a copy of that slot and its checksum, until it is given up after `torn_ticks` |
//! | has copies that fail | their repetitions, at most three for each of its buffers |

use arch::{Tick, TickRate};
use heapless::Vec;
use qp_wire::batch::{ResponseColumns, ResponseWriter};
use qp_wire::qp::{RUN_HEADER_LEN, RequestRuns, SLOT_HEADER_LEN, put_run_header, request_runs};

use super::execute::execute;
use super::link::{Fault, Link, QueuePairEnd};
use super::lookahead::{Incoming, Lookahead};
use super::stage::{Profile, Stage, Unprofiled};
use super::{Engine, Turn, Waiting};
use crate::counters::{Counter, Counters};
use crate::design::{CORE_COUNT_MAX, QueuePairId, Side};
use crate::dma::{DmaEngine, Window};
use crate::partition::Store;
use crate::ring::SLOT_LEN_MAX;
use crate::table::Millis;

/// The processing engine: it executes what arrives in its queue pairs, one slot of each in turn.
pub struct Process<'m, D: DmaEngine, W, L = Unprofiled> {
    store: Store<'m>,
    rate: TickRate,
    may_reset: bool,
    links: Vec<Link<D, W>, CORE_COUNT_MAX>,
    private: [u8; SLOT_LEN_MAX as usize],
    columns: ResponseColumns,
    counters: Counters,
    profile: L,
}

impl<D: DmaEngine, W, L> core::fmt::Debug for Process<'_, D, W, L> {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        out.debug_struct("Process")
            .field("store", &self.store)
            .field("links", &self.links.len())
            .finish_non_exhaustive()
    }
}

impl<'m, D: DmaEngine, W: Window> Process<'m, D, W> {
    /// A core that executes requests on `store`. `rate` is that of the ticks given to [`turn`](Engine::turn); the
    /// store's time starts at tick 0.
    ///
    /// Sources are known to the communication engine only, which lets RESET through for administrators; `may_reset`
    /// says whether there are any.
    pub fn new(store: Store<'m>, rate: TickRate, may_reset: bool) -> Self {
        Self::with_profile(store, rate, may_reset, Unprofiled)
    }
}

impl<'m, D: DmaEngine, W: Window, L: Profile> Process<'m, D, W, L> {
    /// The same core, with somebody who is told of its stages.
    pub fn with_profile(store: Store<'m>, rate: TickRate, may_reset: bool, profile: L) -> Self {
        Self {
            store,
            rate,
            may_reset,
            links: Vec::new(),
            private: [0; SLOT_LEN_MAX as usize],
            columns: ResponseColumns::new(),
            counters: Counters::default(),
            profile,
        }
    }

    /// Who is told of its stages.
    pub fn profile(&mut self) -> &mut L {
        &mut self.profile
    }

    /// Begins an epoch of a queue pair. An earlier one of the same queue pair ends.
    ///
    /// # Errors
    /// The end, when there are [`CORE_COUNT_MAX`] queue pairs already.
    pub fn attach(&mut self, end: QueuePairEnd<D, W>) -> Result<(), QueuePairEnd<D, W>> {
        self.detach(end.id);
        if self.links.is_full() {
            return Err(end);
        }
        self.counters.set(Counter::Epoch, u64::from(end.epoch));
        // There is room.
        let _ = self.links.push(Link::new(end, Side::Host));
        Ok(())
    }

    /// Ends the present epoch of a queue pair, if it has one. What is still in its rings is never executed.
    pub fn detach(&mut self, id: QueuePairId) {
        if let Some(index) = self.links.iter().position(|link| link.id() == id) {
            self.links.swap_remove(index).count(&mut self.counters);
            self.counters.add(Counter::QueuePairResets, 1);
            self.counters.set(Counter::Epoch, 0);
        }
    }

    /// The first queue pair that was given up, and why. It stays silent until it is attached anew.
    pub fn fault(&self) -> Option<(QueuePairId, Fault)> {
        self.links.iter().find_map(|link| link.fault().map(|fault| (link.id(), fault)))
    }
}

impl<D: DmaEngine, W: Window, L: Profile> Engine for Process<'_, D, W, L> {
    fn turn(&mut self, now: Tick) -> Turn {
        self.profile.enter(Stage::Others);
        let mut work = 0;
        let mut core = Core {
            store: &mut self.store,
            now: Millis(self.rate.ms(now.0)),
            may_reset: self.may_reset,
            columns: &mut self.columns,
            counters: &mut self.counters,
            profile: &mut self.profile,
        };
        for link in &mut self.links {
            if link.fault().is_none() && core.serve_one(link, &mut self.private, now) {
                work += 1;
            }
        }
        self.profile.enter(Stage::Others);
        Turn { work, waiting: Waiting::Copies }
    }

    fn counters(&mut self) -> &mut Counters {
        super::gauge(&self.store, &mut self.counters);
        for link in &mut self.links {
            link.count(&mut self.counters);
        }
        &mut self.counters
    }
}

/// What an execution needs beside the slot.
struct Core<'c, 'm, L> {
    store: &'c mut Store<'m>,
    now: Millis,
    may_reset: bool,
    columns: &'c mut ResponseColumns,
    counters: &'c mut Counters,
    profile: &'c mut L,
}

impl<L: Profile> Core<'_, '_, L> {
    /// Takes one slot out of a queue pair and answers it; whether there was one.
    fn serve_one<D: DmaEngine, W: Window>(&mut self, link: &mut Link<D, W>, private: &mut [u8], now: Tick) -> bool {
        self.profile.enter(Stage::Wait);
        // The host pulls nothing, so no buffer comes back.
        let _ = link.complete(now, self.counters);
        // A slot is only taken out when its answer has a buffer: nothing has to be undone.
        let Some(mut buf) = link.alloc() else { return false };
        let Some(slot) = link.receive(private, now, self.counters) else {
            link.check_torn(now);
            return false;
        };
        if slot.runs.is_empty() {
            // It only brought credits (W-Q-8).
            return true;
        }
        self.profile.enter(Stage::Parse);
        let Some(len) = request_runs(slot.runs).ok().and_then(|runs| self.answer_runs(runs, buf.as_mut())) else {
            self.counters.add(Counter::SlotsMalformed, 1);
            link.give_up(Fault::Malformed);
            return true;
        };
        self.profile.enter(Stage::Post);
        link.send(buf, len, self.counters);
        true
    }

    /// Executes a slot's requests and returns the length of the response slot; `None` when the peer promised answers
    /// more room than a slot has.
    fn answer_runs(&mut self, runs: RequestRuns<'_>, slot: &mut [u8]) -> Option<usize> {
        let room: usize = runs.iter().map(|run| RUN_HEADER_LEN + run.response_len_max).sum();
        if SLOT_HEADER_LEN + room > slot.len() {
            return None;
        }
        let may_reset = self.may_reset;
        let requests = runs.iter().flat_map(|run| run.batch.iter()).map(move |raw| Incoming {
            raw,
            claimed_hash: None,
            may_reset,
        });
        let mut lookahead = Lookahead::new(requests);
        lookahead.begin(self.store, self.profile);
        let mut len = SLOT_HEADER_LEN;
        for run in runs {
            let body = slot.get_mut(len + RUN_HEADER_LEN..)?.get_mut(..run.response_len_max)?;
            let mut writer = ResponseWriter::new(body, self.columns, run.batch.count())?;
            for _ in 0..run.batch.count() {
                let prepared = lookahead.next(self.store, self.profile)?;
                execute(prepared, self.store, self.now, &mut writer, self.counters, self.profile);
            }
            let body_len = writer.finish();
            put_run_header(slot.get_mut(len..)?, body_len, 0)?;
            len += RUN_HEADER_LEN + body_len;
        }
        Some(len)
    }
}
