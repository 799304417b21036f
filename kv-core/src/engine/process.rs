//! `Process`: the processing engine. Batches from one or more queue pairs, table, batches back.
//!
//! # Fairness
//!
//! A turn goes round the queue pairs and takes at most one slot out of each, in an order that changes only when a queue
//! pair comes or goes; where there are few, it goes round again, until a burst is full or a round has found nothing. So between two looks at a queue pair each of the others is served one slot at most: with n queue
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
use qp_wire::ResultCode;
use qp_wire::batch::{ResponseColumns, ResponseWriter};
use qp_wire::qp::{RUN_HEADER_LEN, RequestRuns, SLOT_HEADER_LEN, put_response_run_header, request_runs};

use super::execute::{Answer, execute};
use super::inbound::Requests;
use super::link::{Fault, Link, QueuePairEnd};
use super::lookahead::Lookahead;
use super::stage::{Profile, Stage, Unprofiled};
use super::{Engine, Turn, Waiting};
use crate::counters::{Counter, Counters};
use crate::design::{CORE_COUNT_MAX, QueuePairId, Side};
use crate::dma::{DmaEngine, Window};
use crate::partition::Store;
use crate::ring::SLOT_LEN_MAX;
use crate::table::Millis;

/// Most slots whose requests go through one pipeline. It runs empty behind them, for which a slot of MICA2's single-request
/// frames, some dozens, would pay about a tenth of its time alone (`dpukv bench table --burst`).
const BURST_SLOT_COUNT: usize = 4;

/// The processing engine: it executes what arrives in its queue pairs, one slot of each in turn.
pub struct Process<'m, D: DmaEngine, W, L = Unprofiled> {
    store: Store<'m>,
    rate: TickRate,
    may_reset: bool,
    links: Vec<Link<D, W>, CORE_COUNT_MAX>,
    /// Where the slots of a burst are copied to before anything in them is believed.
    private: [[u8; SLOT_LEN_MAX as usize]; BURST_SLOT_COUNT],
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
            private: [[0; SLOT_LEN_MAX as usize]; BURST_SLOT_COUNT],
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

impl<D: DmaEngine, W: Window, L: Profile> Process<'_, D, W, L> {
    /// Takes one slot out of a queue pair, if it has one, and puts it into the burst; whether it had one.
    fn take_out(&mut self, index: usize, burst: &mut SlotBurst<D::Buf>, now: Tick) -> bool {
        let Self { links, private, counters, .. } = self;
        let (Some(link), Some(private)) = (links.get_mut(index), private.get_mut(burst.len())) else { return false };
        if link.fault().is_some() {
            return false;
        }
        // The host pulls nothing, so no buffer comes back.
        let _ = link.complete(now, counters);
        if link.fault().is_some() {
            // What is taken out now would be executed and never answered.
            return false;
        }
        // A slot is only taken out when its answer has a buffer: nothing has to be undone.
        let held = burst.iter().filter(|taken| taken.index == index).count();
        let Some(buf) = link.alloc_beside(held) else { return false };
        let Some(slot) = link.receive(private, now, counters) else {
            link.check_torn(now);
            return false;
        };
        // A slot without runs only brings credits (W-Q-8).
        if !slot.runs.is_empty() {
            // There is a place for it.
            let _ = burst.push(Taken { index, runs_len: slot.runs.len(), buf });
        }
        true
    }

    /// Executes the requests of a burst in one pipeline, and answers each slot when its last request is done.
    fn answer(&mut self, burst: &mut SlotBurst<D::Buf>, now: Millis) {
        let Self { links, store, private, columns, counters, profile, may_reset, .. } = self;
        profile.enter(Stage::Parse);
        let all_runs: Vec<Option<RequestRuns<'_>>, BURST_SLOT_COUNT> =
            burst.iter().zip(private.iter()).map(|(taken, slot)| taken.runs_in(slot)).collect();
        let runs = all_runs.iter().flatten().flat_map(RequestRuns::iter);
        let mut lookahead = Lookahead::new(runs.map(|run| Requests::of_batch(run.batch, *may_reset)));
        lookahead.begin(store, profile);
        for (mut taken, runs) in core::mem::take(burst).into_iter().zip(&all_runs) {
            let Some(link) = links.get_mut(taken.index) else { continue };
            let mut core = Core { store, now, columns, counters, profile };
            let Some(len) = runs.and_then(|runs| core.answer_runs(runs, &mut lookahead, taken.buf.as_mut())) else {
                counters.add(Counter::SlotsMalformed, 1);
                link.give_up(Fault::Malformed);
                continue;
            };
            profile.enter(Stage::Post);
            // A queue pair that was given up meanwhile stays silent.
            if link.fault().is_none() {
                link.send(taken.buf, len, counters);
            }
        }
    }
}

impl<D: DmaEngine, W: Window, L: Profile> Engine for Process<'_, D, W, L> {
    fn turn(&mut self, now: Tick) -> Turn {
        let (mut work, mut burst) = (0, SlotBurst::new());
        let now_ms = Millis(self.rate.ms(now.0));
        let link_count = self.links.len();
        for _ in 0..(BURST_SLOT_COUNT / link_count.max(1)).max(1) {
            let work_before = work;
            for index in 0..link_count {
                self.profile.enter(Stage::Wait);
                work += u32::from(self.take_out(index, &mut burst, now));
                if burst.is_full() {
                    self.answer(&mut burst, now_ms);
                }
            }
            if work == work_before {
                break;
            }
        }
        if !burst.is_empty() {
            self.answer(&mut burst, now_ms);
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

/// Slots that were taken out, in the order of their places in the private memory.
type SlotBurst<B> = Vec<Taken<B>, BURST_SLOT_COUNT>;

/// A slot that was taken out, and the buffer for its answer.
struct Taken<B> {
    /// Which queue pair it came from.
    index: usize,
    runs_len: usize,
    buf: B,
}

impl<B: AsRef<[u8]>> Taken<B> {
    /// The slot's runs; `None` when they are none, or when the peer promised their answers more room than a slot has.
    fn runs_in<'s>(&self, slot: &'s [u8]) -> Option<RequestRuns<'s>> {
        let runs = request_runs(slot.get(SLOT_HEADER_LEN..)?.get(..self.runs_len)?).ok()?;
        (SLOT_HEADER_LEN + runs.responses_len_max() <= self.buf.as_ref().len()).then_some(runs)
    }
}

/// What an execution needs beside the slot.
struct Core<'c, 'm, L> {
    store: &'c mut Store<'m>,
    now: Millis,
    columns: &'c mut ResponseColumns,
    counters: &'c mut Counters,
    profile: &'c mut L,
}

impl<L: Profile> Core<'_, '_, L> {
    /// Executes a slot's requests and returns the length of the response slot. `None` for runs that [`Taken::runs_in`]
    /// would not have given.
    fn answer_runs<'a>(
        &mut self,
        runs: RequestRuns<'_>,
        lookahead: &mut Lookahead<'a, impl Iterator<Item = Requests<'a>>>,
        slot: &mut [u8],
    ) -> Option<usize> {
        let mut len = SLOT_HEADER_LEN;
        for run in runs.promises() {
            let body = slot.get_mut(len + RUN_HEADER_LEN..)?.get_mut(..run.response_len_max)?;
            let writer = ResponseWriter::new(body, self.columns, run.count)?;
            let mut answers = RunAnswers { writer, may_expire: false };
            for _ in 0..run.count {
                let prepared = lookahead.next(self.store, self.profile)?;
                execute(prepared, self.store, self.now, &mut answers, self.counters, self.profile);
            }
            let RunAnswers { writer, may_expire } = answers;
            let body_len = writer.finish();
            put_response_run_header(slot.get_mut(len..)?, body_len, may_expire)?;
            len += RUN_HEADER_LEN + body_len;
        }
        Some(len)
    }
}

/// The answers of one run.
struct RunAnswers<'b> {
    writer: ResponseWriter<'b>,
    /// Whether one of them is the value of an item with a time to live (rule W-Q-7).
    may_expire: bool,
}

impl Answer for RunAnswers<'_> {
    #[inline]
    fn value_buf(&mut self) -> &mut [u8] {
        self.writer.value_buf()
    }

    #[inline]
    fn push(&mut self, result: ResultCode, value_len: Option<usize>) {
        Answer::push(&mut self.writer, result, value_len);
    }

    #[inline]
    fn push_word(&mut self, word: [u8; 8]) -> bool {
        Answer::push_word(&mut self.writer, word)
    }

    #[inline]
    fn note_expiry(&mut self) {
        self.may_expire = true;
    }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use qp_wire::batch::RequestWriter;
    use qp_wire::qp::{put_run_header, response_runs};
    use qp_wire::{Operation, Request};

    use super::*;
    use crate::hash::{Key, Secret};
    use crate::partition::Partition;
    use crate::sync::AtomicU64;
    use crate::table::{Mode, Table, TableConfig};

    const SECRET: Secret = Secret { k0: 1, k1: 2 };

    fn run(requests: &[Request<'_>]) -> Vec<u8> {
        let mut writer = RequestWriter::new();
        requests.iter().for_each(|request| writer.push_request(request).expect("a short run"));
        let mut run = vec![0; RUN_HEADER_LEN + writer.encoded_len()];
        let body_len = writer.encode(&mut run[RUN_HEADER_LEN..]).expect("room");
        put_run_header(&mut run, body_len, 128).expect("room");
        run
    }

    /// W-Q-7
    #[test]
    fn a_run_says_whether_something_in_it_may_expire() {
        let memory: Vec<_> = (0..8192).map(|_| AtomicU64::new(0)).collect();
        let config = TableConfig { mode: Mode::Store, concurrent_read: false, secret: SECRET, item_len_hint: 16 };
        let mut table = Table::format(&memory, &config).expect("enough memory");
        table.set(&Key::new(&SECRET, b"stays"), b"value", None, Millis(1));
        table.set(&Key::new(&SECRET, b"goes"), b"value", Some(Millis(9)), Millis(1));
        let mut store = Store::new(SECRET);
        store.push(Partition::Owned(table)).expect("room for one");

        let of = |key, operation| Request { key, operation };
        let (stays, goes) = (of(b"stays", Operation::Get), of(b"goes", Operation::Get));
        let other = of(b"goes", Operation::Ttl);
        let bytes = [run(&[stays]), run(&[stays, goes, stays]), run(&[other, stays]), run(&[goes])].concat();
        let runs = request_runs(&bytes).expect("good runs");
        let mut lookahead = Lookahead::new(runs.iter().map(|run| Requests::of_batch(run.batch, false)));
        lookahead.begin(&store, &mut Unprofiled);
        let mut core = Core {
            store: &mut store,
            now: Millis(2),
            columns: &mut ResponseColumns::new(),
            counters: &mut Counters::default(),
            profile: &mut Unprofiled,
        };
        let mut slot = vec![0; SLOT_HEADER_LEN + runs.responses_len_max()];
        let len = core.answer_runs(runs, &mut lookahead, &mut slot).expect("room for all answers");
        let answers = response_runs(&slot[SLOT_HEADER_LEN..len]).expect("good runs");
        assert_eq!(answers.iter().map(|run| run.may_expire).collect::<Vec<_>>(), [false, true, false, true]);
    }
}
