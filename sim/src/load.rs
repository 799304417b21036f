//! How fast queue pairs are, and how late their answers, in virtual time.
//!
//! The very engines of `kv-core` run here on cores whose work takes time by [`Costs`], beside a card whose copies take
//! longer the more there are. Nothing goes wrong and nothing is random but the arrivals, so a difference between two runs
//! is the difference between their settings.
//!
//! Each DPU core gets requests of its own, one to a frame as the paper's clients send them, at an exponential pace or as
//! fast as they are answered.

mod card;
mod copier;
mod core_time;
mod cost;
mod keys;
mod port;
pub mod sweep;

use std::cell::RefCell;
use std::rc::Rc;

use arch::Tick;
use kv_core::counters::Counter;
use kv_core::design::QueuePairId;
use kv_core::dma::COPY_ALIGN;
use kv_core::engine::{Communicate, Engine, FlushPolicy, HotKeys, HotSet, Policy, Prefix, Process, QueuePairEnd};
use kv_core::hash::Secret;
use kv_core::partition::{Partition, Store};
use kv_core::ring::{CopySpan, QueuePairGeometry, ResponseWay, RingGeometry};
use kv_core::sync::AtomicU64;
use kv_core::table::{ITEM_LEN_HINT_DEFAULT, Mode, Table, TableConfig};

use self::card::Card;
use self::copier::{Copier, Work};
use self::core_time::CoreTime;
use self::keys::KeySource;
use self::port::{Arrivals, LoadPort, Measured};
use crate::clock::Clock;
use crate::fault::FaultPlan;
use crate::physics::Physics;
use crate::window::SimWindow;

pub use self::cost::{Costs, GIGA};

/// How requests come to each DPU core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// This many frames a second, at random moments; a full receive ring loses what comes.
    Open(u64),
    /// This many frames at once, and another one for each answer.
    Closed(usize),
}

/// What is asked for, after each key was set once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// All keys, one after the other.
    InTurn {
        /// How many.
        count: u64,
    },
    /// Keys by Zipf's law.
    Zipf {
        /// How many.
        count: u64,
        /// The exponent, in percent.
        exponent_percent: u64,
    },
}

impl Keys {
    /// How many keys there are.
    pub const fn count(self) -> u64 {
        match self {
            Self::InTurn { count } | Self::Zipf { count, .. } => count,
        }
    }
}

/// What is simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// DPU cores, each with a queue pair.
    pub dpu_cores: u8,
    /// Host cores: as many, as in `lat`, or one for all, as in `sav`.
    pub host_cores: u8,
    /// Slots of each ring.
    pub depth: u32,
    /// Bytes of a request slot and of a response slot.
    pub slot_lens: (u32, u32),
    /// How much of each slot is copied.
    pub copy: CopySpan,
    /// When a batch leaves; ticks are nanoseconds.
    pub flush: FlushPolicy,
    /// How requests come to each DPU core.
    pub pace: Pace,
    /// Requests of each frame.
    pub requests_per_frame: usize,
    /// What is asked for.
    pub keys: Keys,
    /// The cache of hot keys in each DPU core, in sets; 0 for none. Not in `sav`.
    pub hot_set_count: usize,
    /// What work takes.
    pub costs: Costs,
    /// Frames that each core answers before anything is measured, the table being filled meanwhile, and after that.
    pub frame_counts: (usize, usize),
    /// Decides the arrivals.
    pub seed: u64,
}

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Requests answered a second, of all cores together, in millions.
    pub mops: f64,
    /// Microseconds from a frame's arrival to its answer's departure, on average.
    pub mean_us: f64,
    /// The same for half of the answers and for 99 % of them.
    pub p50_us: f64,
    /// The latter.
    pub p99_us: f64,
    /// Share of the arrived frames that found the receive ring full.
    pub lost: f64,
    /// Mean requests of a batch.
    pub requests_per_batch: f64,
    /// Share of all GETs that the DPU answered by itself.
    pub hot_share: f64,
}

const TABLE_WORDS: usize = 64 * 1_024;
const SECRET: Secret = Secret { k0: 1, k1: 2 };
const STALL_NS: u64 = 1_000_000_000;
/// No run lasts longer: what is so slow that it gets here is measured by what it answered.
const RUN_NS_MAX: u64 = 400_000_000;

type DpuCore = Communicate<'static, LoadPort, Copier, SimWindow>;
type HostCore<'m> = Process<'m, Copier, SimWindow>;

/// One core of either side, and when it goes on.
struct Actor<E> {
    engine: Box<E>,
    time: CoreTime,
    next_turn: Tick,
}

impl<E: Engine> Actor<E> {
    fn new(engine: Box<E>, time: CoreTime, index: u64) -> Self {
        Self { engine, time, next_turn: Tick(index) }
    }

    fn turn(&mut self, costs: &Costs) {
        self.time.begin(self.next_turn);
        let turn = self.engine.turn(self.next_turn);
        if turn.work == 0 {
            self.time.spend(costs.idle_turn_ns);
        }
        self.next_turn = self.time.now().max(self.next_turn.after(1));
    }
}

impl Load {
    /// One DPU core and one host core, a request to a frame, with the calibrated costs.
    pub fn lat(flush: FlushPolicy, pace: Pace) -> Self {
        Self {
            dpu_cores: 1,
            host_cores: 1,
            depth: 4,
            slot_lens: (16_384, 65_536),
            copy: CopySpan::Used,
            flush,
            pace,
            requests_per_frame: 1,
            keys: Keys::InTurn { count: 256 },
            hot_set_count: 0,
            costs: Costs::BLUEFIELD_3,
            frame_counts: (4_000, 12_000),
            seed: 1,
        }
    }

    fn geometry(&self) -> QueuePairGeometry {
        let ring = |slot_len| RingGeometry::new(self.depth, slot_len).expect("valid sizes");
        QueuePairGeometry {
            request: ring(self.slot_lens.0),
            response: ring(self.slot_lens.1),
            way: ResponseWay::Push,
            copy: self.copy,
        }
    }

    /// Runs it.
    ///
    /// # Panics
    /// When sizes are not valid, or a queue pair is given up, which nothing here gives cause for.
    pub fn run(&self) -> Outcome {
        let tables: Vec<Vec<AtomicU64>> =
            (0..self.host_cores).map(|_| (0..TABLE_WORDS).map(|_| AtomicU64::new(0)).collect()).collect();
        let mut stage = Stage::new(self, &tables);
        stage.play();
        stage.outcome()
    }
}

/// A run while it lasts.
struct Stage<'m> {
    load: Load,
    physics: Physics,
    dpu: Vec<Actor<DpuCore>>,
    host: Vec<Actor<HostCore<'m>>>,
    measured: Vec<Rc<RefCell<Measured>>>,
}

impl<'m> Stage<'m> {
    fn new(load: &Load, tables: &'m [Vec<AtomicU64>]) -> Self {
        let physics = Physics::new(load.seed, FaultPlan::NONE);
        let card = Card::new(load.costs);
        let mut stage = Self { load: *load, physics, dpu: Vec::new(), host: Vec::new(), measured: Vec::new() };
        for (index, words) in tables.iter().enumerate() {
            let engine = Box::new(Process::new(store(words), Clock::rate(), false));
            stage.host.push(Actor::new(engine, CoreTime::default(), 7 * index as u64 + 3));
        }
        for index in 0..load.dpu_cores {
            stage.join(index, &card);
        }
        stage
    }

    /// Adds a DPU core and joins it to its host core.
    fn join(&mut self, index: u8, card: &Card) {
        let (load, time) = (self.load, CoreTime::default());
        let geometry = load.geometry();
        let (host_window, dpu_window) =
            (SimWindow::new(geometry.host_window_len()), SimWindow::new(geometry.dpu_window_len()));
        let copier = |time: &CoreTime, work, window: &SimWindow, buf_len| {
            let buf_count = load.depth as usize + 2;
            Copier::new(&self.physics, card, time, work, window.clone(), (buf_len, buf_count), load.costs)
        };
        let end = |engine, window: &SimWindow| QueuePairEnd {
            id: QueuePairId(index),
            epoch: 1,
            geometry,
            engine,
            window: window.clone(),
            torn_ticks: STALL_NS,
            stall_ticks: STALL_NS,
        };
        let host = usize::from(index % load.host_cores);
        let to_host = copier(&time, Work::Communicate, &host_window, geometry.request.slot_len());
        let to_dpu = copier(&self.host[host].time, Work::Process, &dpu_window, geometry.response.slot_len());
        let measured = Rc::new(RefCell::new(Measured::default()));
        let arrivals = Arrivals::new(&load, self.physics.stream("arrivals", u64::from(index)));
        let keys = KeySource::new(load.keys, self.physics.stream("keys", u64::from(index)));
        let port = LoadPort::new(&load, arrivals, keys, &time, &measured);
        let mut engine = Box::new(Communicate::new(port, policy(), load.flush, Clock::rate()));
        assert!(load.hot_set_count == 0 || load.host_cores == load.dpu_cores, "in `sav`, writes take other ways, too");
        engine.set_hot_keys(HotKeys::new(vec![HotSet::EMPTY; load.hot_set_count].leak()));
        engine.attach(end(to_host, &dpu_window));
        self.host[host].engine.attach(end(to_dpu, &host_window)).expect("as many queue pairs as cores");
        self.dpu.push(Actor::new(engine, time, u64::from(index)));
        self.measured.push(measured);
    }

    /// Lets whoever is first go on, until all have answered enough.
    fn play(&mut self) {
        let costs = self.load.costs;
        while !self.measured.iter().all(|measured| measured.borrow().is_done()) {
            let dpu = self.dpu.iter_mut().min_by_key(|actor| actor.next_turn).expect("there is a core");
            let host = self.host.iter_mut().min_by_key(|actor| actor.next_turn).expect("there is a core");
            let at = dpu.next_turn.min(host.next_turn);
            if at.0 > RUN_NS_MAX {
                break;
            }
            self.physics.advance(at);
            if dpu.next_turn <= host.next_turn { dpu.turn(&costs) } else { host.turn(&costs) }
        }
        for actor in &self.dpu {
            assert_eq!(actor.engine.fault(), None, "nothing goes wrong here");
        }
    }

    fn outcome(&mut self) -> Outcome {
        let mut latencies = Vec::new();
        let (mut per_ns, mut lost, mut arrived) = (0.0, 0, 0);
        for measured in &self.measured {
            let measured = measured.borrow();
            per_ns += measured.frames_per_ns();
            lost += measured.lost;
            arrived += measured.arrived;
            latencies.extend_from_slice(&measured.latencies_ns);
        }
        latencies.sort_unstable();
        let quantile = |percent: usize| {
            let index = (latencies.len() * percent / 100).min(latencies.len().saturating_sub(1));
            latencies.get(index).map_or(0.0, |ns| *ns as f64 / 1e3)
        };
        let (mut requests, mut batches, mut hot) = (0, 0, 0);
        for actor in &mut self.dpu {
            let counters = actor.engine.counters();
            requests += counters.get(Counter::Requests);
            batches += counters.get(Counter::BatchesReceived);
            hot += counters.get(Counter::HotHits);
        }
        let set = self.load.keys.count() as f64 * self.dpu.len() as f64;
        Outcome {
            mops: per_ns * 1e3 * self.load.requests_per_frame as f64,
            mean_us: latencies.iter().sum::<u64>() as f64 / (latencies.len() as f64).max(1.0) / 1e3,
            p50_us: quantile(50),
            p99_us: quantile(99),
            lost: lost as f64 / (arrived as f64).max(1.0),
            requests_per_batch: (requests - hot) as f64 / (batches as f64).max(1.0),
            hot_share: hot as f64 / (requests as f64 - set).max(1.0),
        }
    }
}

fn store(words: &[AtomicU64]) -> Store<'_> {
    let config =
        TableConfig { mode: Mode::Store, concurrent_read: false, secret: SECRET, item_len_hint: ITEM_LEN_HINT_DEFAULT };
    let mut store = Store::new(SECRET);
    let table = Table::format(words, &config).expect("the sizes suit a table");
    store.push(Partition::Owned(table)).expect("the first partition");
    store
}

fn policy() -> Policy {
    let mut policy = Policy { reply_len_max: port::FRAME_LEN, ..Policy::default() };
    let everybody = Prefix::new([0, 0, 0, 0].into(), 0).expect("a prefix");
    policy.listed.push(everybody).expect("an empty list has room");
    policy
}

const _: () = assert!(COPY_ALIGN == 64, "the card's costs are those of copies in units of 64 bytes");

#[cfg(test)]
mod tests;
