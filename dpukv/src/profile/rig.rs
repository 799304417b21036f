//! The engines, each with what it needs around it: a cable, a copy engine, and the other side.
//!
//! Everything happens on one thread, in turn. A rig hands each turn of its own role to a [`Meter`]; what comes before and
//! after, the prepared frames, the copies and the other side's turns, nobody measures.

use arch::{Tick, TickRate};
use kv_core::counters::{Counter, Counters};
use kv_core::design::QueuePairId;
use kv_core::engine::{
    Communicate, Engine, FlushLaw, FlushPolicy, HotKeys, HotSet, Policy, Prefix, Process, Profile, QueuePairEnd, Serve,
    Unprofiled,
};
use kv_core::framed::Framed;
use kv_core::hash::Secret;
use kv_core::partition::{Partition, Store};
use kv_core::table::Table;
use shell_io::config::QueuePairSection;

use super::TABLE_BURST_COUNT;
use super::cable::Cable;
use super::copies::{Copies, SharedWords};
use super::frames::{CLIENT, Frames, Load, PAYLOAD_LEN_MAX, SERVER};
use crate::table_bench::{Mix, Operation, Owner, Stream, Worker};

/// Buffers of a cable: a burst that arrives and all that is under way in a queue pair.
const BUFFERS: usize = 1024;

/// Bursts that come before the host's turn where a part of them never gets there.
pub(super) const HOT_BURSTS_PER_ROUND: usize = 4;

/// How long anything may take before a queue pair is given up, in ticks: longer than any run.
const PATIENCE_TICKS: u64 = u64::MAX / 2;

/// Who measures a turn.
pub(super) trait Meter {
    /// Runs one turn, and nothing else.
    fn measure(&mut self, turn: &mut dyn FnMut());
}

/// A profile that is told when turns begin and end, since what lies between two belongs to no stage.
pub(super) trait Turned: Profile {
    /// A turn begins.
    fn begin_turn(&mut self) {}

    /// A turn has ended.
    fn end_turn(&mut self) {}
}

impl Turned for Unprofiled {}

/// A role at work.
pub(super) trait Rig {
    /// Is asked this from now on.
    ///
    /// # Errors
    /// A sentence, when so many requests do not fit a frame.
    fn set_load(&mut self, load: &Load) -> Result<(), String>;

    /// Brings work and turns the role until it is done; how many requests that were.
    fn round(&mut self, meter: &mut dyn Meter) -> u64;

    /// What the two ends of the queue pair have counted: first the DPU's, then the host's. Nothing without one.
    fn counters(&mut self) -> Option<[Counters; 2]> {
        None
    }
}

/// The rig of a role that tells somebody its stages.
pub(super) trait Profiled<L>: Rig {
    /// Who is told.
    fn profile(&mut self) -> &mut L;
}

fn rate() -> TickRate {
    // Only time-outs and times to live follow from it, and there are none.
    arch::rate_from_cpu().unwrap_or(TickRate::from_hz(1_000_000_000).expect("not 0"))
}

fn policy() -> Policy {
    let mut policy = Policy { reply_len_max: PAYLOAD_LEN_MAX, ..Policy::default() };
    let client = Prefix::new(CLIENT.ipv4.into(), 32).expect("as long as an address");
    // There is room for one.
    let _ = policy.listed.push(client);
    policy
}

fn store(secret: Secret, table: Table<'_>) -> Store<'_> {
    let mut store = Store::new(secret);
    // There is room for one.
    let _ = store.push(Partition::Owned(table));
    store
}

fn port(frames: Frames) -> (Cable, Framed<Cable>) {
    let cable = Cable::new(frames, BUFFERS);
    (cable.clone(), Framed::new(cable, SERVER, rate()))
}

/// `Serve`: both engines on one core.
pub(super) struct ServeRig<'m, L> {
    cable: Cable,
    serve: Box<Serve<'m, Framed<Cable>, L>>,
}

impl<'m, L: Turned> ServeRig<'m, L> {
    pub(super) fn new(load: &Load, secret: Secret, table: Table<'m>, profile: L) -> Result<Self, String> {
        let (cable, port) = port(Frames::prepare(load)?);
        let serve = Serve::with_profile(port, store(secret, table), policy(), rate(), profile);
        Ok(Self { cable, serve: Box::new(serve) })
    }
}

impl<L: Turned> Rig for ServeRig<'_, L> {
    fn set_load(&mut self, load: &Load) -> Result<(), String> {
        self.cable.set_source(Frames::prepare(load)?);
        Ok(())
    }

    fn round(&mut self, meter: &mut dyn Meter) -> u64 {
        self.cable.fill();
        let before = requests(self.serve.counters());
        let now = arch::now();
        meter.measure(&mut || {
            self.serve.profile().begin_turn();
            self.serve.turn(now);
            self.serve.profile().end_turn();
        });
        requests(self.serve.counters()) - before
    }
}

impl<L: Turned> Profiled<L> for ServeRig<'_, L> {
    fn profile(&mut self) -> &mut L {
        self.serve.profile()
    }
}

/// Both sides of `lat`, of which one is measured.
pub(super) struct Pair<'m, D, H> {
    cable: Cable,
    communicate: Box<Communicate<'m, Framed<Cable>, Copies, SharedWords, D>>,
    process: Box<Process<'m, Copies, SharedWords, H>>,
    to_host: Copies,
    to_dpu: Copies,
    /// Bursts of frames that the DPU takes before the host's turn.
    bursts_per_round: usize,
}

impl<'m, D: Turned, H: Turned> Pair<'m, D, H> {
    fn new(frames: Frames, secret: Secret, table: Table<'m>, dpu: D, host: H) -> Result<Self, String> {
        let (cable, port) = port(frames);
        let rate = rate();
        // That of a configuration that says nothing.
        let queue_pair = QueuePairSection::default();
        let geometry = queue_pair.geometry().map_err(|finding| finding.to_string())?;
        let (host_window, dpu_window) =
            (SharedWords::new(geometry.host_window_len()), SharedWords::new(geometry.dpu_window_len()));
        let depth = 2 * geometry.request.slot_count() as usize;
        let to_host = Copies::new(&host_window, geometry.request.slot_len(), depth);
        let to_dpu = Copies::new(&dpu_window, geometry.response.slot_len(), depth);
        let end = |engine: &Copies, window| QueuePairEnd {
            id: QueuePairId(0),
            epoch: 1,
            geometry,
            engine: engine.clone(),
            window,
            torn_ticks: PATIENCE_TICKS,
            stall_ticks: PATIENCE_TICKS,
        };
        // Batches that are the same in each run, for counts that are.
        let flush = FlushPolicy { law: FlushLaw::Fixed, ..queue_pair.flush_policy(rate) };
        let mut communicate = Box::new(Communicate::with_profile(port, policy(), flush, rate, dpu));
        let mut process = Box::new(Process::with_profile(store(secret, table), rate, false, host));
        communicate.attach(end(&to_host, dpu_window));
        // There is room for one.
        let _ = process.attach(end(&to_dpu, host_window));
        Ok(Self { cable, communicate, process, to_host, to_dpu, bursts_per_round: 1 })
    }

    /// One turn of the DPU, after which its copies are done; how many slots are on the host then.
    fn turn_dpu(&mut self, now: Tick, meter: &mut dyn Meter) -> usize {
        let communicate = &mut self.communicate;
        meter.measure(&mut || {
            communicate.profile().begin_turn();
            communicate.turn(now);
            communicate.profile().end_turn();
        });
        self.to_host.perform()
    }

    /// So many turns of the host, after which its copies are done.
    fn turn_host(&mut self, now: Tick, count: usize, meter: &mut dyn Meter) {
        let process = &mut self.process;
        for _ in 0..count {
            meter.measure(&mut || {
                process.profile().begin_turn();
                process.turn(now);
                process.profile().end_turn();
            });
        }
        self.to_dpu.perform();
    }

    /// Brings so many bursts and turns both sides until they are done.
    fn round(&mut self, dpu: &mut dyn Meter, host: &mut dyn Meter) {
        let now = arch::now();
        let mut slots = 0;
        for _ in 0..self.bursts_per_round {
            self.cable.fill();
            slots += self.turn_dpu(now, dpu);
        }
        self.turn_host(now, slots, host);
    }

    fn counters(&mut self) -> [Counters; 2] {
        [self.communicate.counters().clone(), self.process.counters().clone()]
    }
}

impl<'m> Pair<'m, Unprofiled, Unprofiled> {
    /// The same for these frames, with a cache of hot keys in the DPU's core.
    pub(super) fn with_hot_keys(
        frames: Frames,
        secret: Secret,
        table: Table<'m>,
        sets: &'m mut [HotSet],
    ) -> Result<Self, String> {
        let mut pair = Self::new(frames, secret, table, Unprofiled, Unprofiled)?;
        pair.communicate.set_hot_keys(HotKeys::new(sets));
        // What goes to the host are batches of the usual length then, too, though it be a part only.
        pair.bursts_per_round = HOT_BURSTS_PER_ROUND;
        Ok(pair)
    }
}

/// Nobody measures.
pub(super) struct Unmeasured;

impl Meter for Unmeasured {
    fn measure(&mut self, turn: &mut dyn FnMut()) {
        turn();
    }
}

/// `Communicate`: the DPU's side of `lat`.
pub(super) struct CommunicateRig<'m, L>(pub(super) Pair<'m, L, Unprofiled>);

impl<'m, L: Turned> CommunicateRig<'m, L> {
    pub(super) fn new(load: &Load, secret: Secret, table: Table<'m>, profile: L) -> Result<Self, String> {
        Pair::new(Frames::prepare(load)?, secret, table, profile, Unprofiled).map(Self)
    }
}

impl<L: Turned> Rig for CommunicateRig<'_, L> {
    fn set_load(&mut self, load: &Load) -> Result<(), String> {
        self.0.cable.set_source(Frames::prepare(load)?);
        Ok(())
    }

    fn round(&mut self, meter: &mut dyn Meter) -> u64 {
        let pair = &mut self.0;
        let before = requests(pair.communicate.counters());
        pair.round(meter, &mut Unmeasured);
        requests(pair.communicate.counters()) - before
    }

    fn counters(&mut self) -> Option<[Counters; 2]> {
        Some(self.0.counters())
    }
}

impl<L: Turned> Profiled<L> for CommunicateRig<'_, L> {
    fn profile(&mut self) -> &mut L {
        self.0.communicate.profile()
    }
}

/// `Process`: the host's side of `lat`.
pub(super) struct ProcessRig<'m, L>(pub(super) Pair<'m, Unprofiled, L>);

impl<'m, L: Turned> ProcessRig<'m, L> {
    pub(super) fn new(load: &Load, secret: Secret, table: Table<'m>, profile: L) -> Result<Self, String> {
        Pair::new(Frames::prepare(load)?, secret, table, Unprofiled, profile).map(Self)
    }
}

impl<L: Turned> Rig for ProcessRig<'_, L> {
    fn set_load(&mut self, load: &Load) -> Result<(), String> {
        self.0.cable.set_source(Frames::prepare(load)?);
        Ok(())
    }

    fn round(&mut self, meter: &mut dyn Meter) -> u64 {
        let pair = &mut self.0;
        let before = requests(pair.process.counters());
        pair.round(&mut Unmeasured, meter);
        requests(pair.process.counters()) - before
    }

    fn counters(&mut self) -> Option<[Counters; 2]> {
        Some(self.0.counters())
    }
}

impl<L: Turned> Profiled<L> for ProcessRig<'_, L> {
    fn profile(&mut self) -> &mut L {
        self.0.process.profile()
    }
}

/// The table alone, in batches as `bench table` makes them.
pub(super) struct TableRig<'m> {
    owner: Owner<'m>,
    stream: Stream,
    at: usize,
}

impl<'m> TableRig<'m> {
    pub(super) fn new(load: &Load, owner: Owner<'m>) -> Self {
        Self { owner, stream: stream(load), at: 0 }
    }
}

impl Rig for TableRig<'_> {
    fn set_load(&mut self, load: &Load) -> Result<(), String> {
        (self.stream, self.at) = (stream(load), 0);
        Ok(())
    }

    fn round(&mut self, meter: &mut dyn Meter) -> u64 {
        let count = TABLE_BURST_COUNT.min(self.stream.count() - self.at);
        meter.measure(&mut || {
            std::hint::black_box(self.owner.run(&self.stream, self.at, count));
        });
        self.at = (self.at + count) % self.stream.count();
        count as u64
    }
}

fn stream(load: &Load) -> Stream {
    let Load { keys, distribution, gets, seed, .. } = *load;
    Stream::draw(&Mix { keys, distribution, operation: Operation::Mix, gets }, seed)
}

fn requests(counters: &Counters) -> u64 {
    counters.get(Counter::Requests)
}
