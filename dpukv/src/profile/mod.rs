//! What a core spends on a request, stage by stage, over prepared frames.
//!
//! No network, no device and no privileges. Frames lie in memory, copies between the two sides happen outside of what is
//! measured, and one thread plays all parts in turn; only the turns of the role in question count.
//!
//! * [`frames`]: what is asked. [`cable`]: the port that it comes from. [`copies`]: the copy engine.
//! * [`rig`](mod@rig): the roles of `kv-core`, each with all that around it.
//! * [`hot_keys`]: `lat` with a cache of hot keys in its DPU core.
//! * [`timing`] and [`sampler`]: ticks. [`marks`] and [`callgrind`]: instructions.
//! * [`report`]: what people and programs read.

mod cable;
mod callgrind;
mod copies;
mod frames;
mod hot_keys;
mod marks;
mod report;
mod rig;
mod sampler;
mod timing;

pub(crate) use callgrind::{Count, count_all};
pub(crate) use frames::{Load, Wire};
pub(crate) use hot_keys::{HotCount, HotPlan, HotRun, count_hot, mark_hot, measure_hot};
pub(crate) use report::Report;
pub(crate) use timing::Timing;

use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::ValueEnum;
use kv_core::counters::{Counter, Counters};
use kv_core::engine::Unprofiled;
use kv_core::table::{Table, TableError};
use serde::Serialize;
use shell_io::memory::{AllocateError, HugePages};
use thiserror::Error;

use self::marks::{Marked, Marker, Sections, count_marks, count_stages, count_whole};
use self::rig::{CommunicateRig, Meter, ProcessRig, Profiled, Rig, ServeRig, TableRig, Turned, Unmeasured};
use self::sampler::{Sampler, Stretch};
use self::timing::time;
use crate::measure::Progress;
use crate::table_bench::{Ours, OursConfig, bytes_for};
use crate::workload::{Distribution, KeySpace, ValueShape, Workload};

/// Keys for counting instructions: valgrind takes fifty times as long to load them.
const COUNTED_KEYS_MAX: u64 = 1 << 16;

/// Operations after which the pipeline of the table alone runs empty, as in `bench table`.
const TABLE_BURST_COUNT: usize = 8192;

/// What a core does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Both engines on one core, as in cpu-only
    Serve,
    /// The communication engine, as the DPU's side of lat
    Communicate,
    /// The processing engine, as the host's side of lat
    Process,
}

impl Role {
    /// The name in tables and in JSON.
    const fn name(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::Communicate => "communicate",
            Self::Process => "process",
        }
    }

    /// The design in which it is measured.
    const fn design(self) -> &'static str {
        match self {
            Self::Serve => "cpu-only",
            Self::Communicate | Self::Process => "lat",
        }
    }
}

/// What is to be measured.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) roles: Vec<Role>,
    pub(crate) wires: Vec<Wire>,
    pub(crate) workloads: Vec<Workload>,
    pub(crate) requests_per_frame: usize,
    pub(crate) keys: KeySpace,
    pub(crate) values: ValueShape,
    pub(crate) distribution: Distribution,
    /// How long each run takes.
    pub(crate) duration: Duration,
    pub(crate) seed: u64,
}

/// Why nothing was measured.
#[derive(Debug, Error)]
pub(crate) enum ProfileError {
    /// There is not so much memory.
    #[error(transparent)]
    Memory(#[from] AllocateError),
    /// The memory makes no table.
    #[error(transparent)]
    Table(#[from] TableError),
    /// So many requests do not fit a frame.
    #[error("{0}")]
    Frames(String),
}

/// One role with one wire and one workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    role: Role,
    wire: Wire,
    workload: Workload,
}

impl Plan {
    fn runs(&self) -> impl Iterator<Item = Run> + '_ {
        self.pairs().flat_map(|(role, wire)| self.workloads.iter().map(move |&workload| Run { role, wire, workload }))
    }

    /// How many runs there are.
    pub(crate) fn run_count(&self) -> u64 {
        self.runs().count() as u64
    }

    fn pairs(&self) -> impl Iterator<Item = (Role, Wire)> + '_ {
        self.roles.iter().flat_map(|&role| self.wires.iter().map(move |&wire| (role, wire)))
    }

    fn load(&self, wire: Wire, workload: Workload) -> Load {
        Load {
            wire,
            requests_per_frame: self.requests_per_frame,
            keys: self.keys,
            values: self.values,
            distribution: self.distribution,
            gets: workload.gets(),
            bursts: frames::BURST_COUNT,
            seed: self.seed,
        }
    }

    fn allocate(&self) -> Result<Ours, ProfileError> {
        allocate(self.keys, self.values)
    }

    /// The same with a data set for counting.
    pub(crate) fn to_count(&self) -> Self {
        Self { keys: to_count(self.keys), ..self.clone() }
    }
}

/// Memory for a table of all keys.
fn allocate(keys: KeySpace, values: ValueShape) -> Result<Ours, ProfileError> {
    let memory_len = bytes_for(keys.count(), keys.len() + values.len());
    let burst = TABLE_BURST_COUNT;
    let huge_pages = HugePages::Try;
    let config = OursConfig { keys, values, concurrent_read: false, memory_len, huge_pages, burst };
    Ok(Ours::allocate(config)?)
}

/// As many of the keys as instructions are counted with.
fn to_count(keys: KeySpace) -> KeySpace {
    KeySpace::new(keys.count().min(COUNTED_KEYS_MAX), keys.len()).unwrap_or(keys)
}

/// A table with all keys, and a role that asks it.
fn rig<'m, L: Turned + 'm>(
    role: Role,
    load: &Load,
    ours: &'m Ours,
    profile: L,
) -> Result<Box<dyn Profiled<L> + 'm>, ProfileError> {
    let (table, secret) = (loaded(ours)?, ours.secret());
    let rig: Result<Box<dyn Profiled<L> + 'm>, String> = match role {
        Role::Serve => ServeRig::new(load, secret, table, profile).map(|rig| Box::new(rig) as _),
        Role::Communicate => CommunicateRig::new(load, secret, table, profile).map(|rig| Box::new(rig) as _),
        Role::Process => ProcessRig::new(load, secret, table, profile).map(|rig| Box::new(rig) as _),
    };
    rig.map_err(ProfileError::Frames)
}

fn loaded(ours: &Ours) -> Result<Table<'_>, ProfileError> {
    Ok(ours.load(&Progress::new(0)).map(|(table, _)| table)?)
}

fn table_rig<'m>(load: &Load, ours: &'m Ours) -> Result<TableRig<'m>, ProfileError> {
    Ok(TableRig::new(load, ours.owner(loaded(ours)?)))
}

/// What is compared for a role and a wire: the role as it is, the role with samples, and the table alone where the role asks
/// nothing but that.
struct Rigs<'m> {
    plain: Box<dyn Profiled<Unprofiled> + 'm>,
    sampled: Box<dyn Profiled<Sampler> + 'm>,
    table: Option<TableRig<'m>>,
}

impl<'m> Rigs<'m> {
    fn new(plan: &Plan, (role, wire): (Role, Wire), memories: &'m [Ours; 3]) -> Result<Self, ProfileError> {
        let load = plan.load(wire, plan.workloads[0]);
        Ok(Self {
            plain: rig(role, &load, &memories[0], Unprofiled)?,
            sampled: rig(role, &load, &memories[1], Sampler::new())?,
            table: (role == Role::Process).then(|| table_rig(&load, &memories[2])).transpose()?,
        })
    }

    fn set_load(&mut self, load: &Load) -> Result<(), ProfileError> {
        self.plain.set_load(load).map_err(ProfileError::Frames)?;
        self.sampled.set_load(load).map_err(ProfileError::Frames)?;
        self.table.as_mut().map_or(Ok(()), |table| table.set_load(load)).map_err(ProfileError::Frames)
    }
}

/// Measures all runs by the CPU's counter. `progress` counts them.
///
/// # Errors
/// [`ProfileError`].
pub(crate) fn time_all(plan: &Plan, progress: &Progress) -> Result<Vec<Timing>, ProfileError> {
    let mut timings = Vec::new();
    let memories = [plan.allocate()?, plan.allocate()?, plan.allocate()?];
    for pair in plan.pairs() {
        let mut rigs = Rigs::new(plan, pair, &memories)?;
        for &workload in &plan.workloads {
            rigs.set_load(&plan.load(pair.1, workload))?;
            timings.push(time(&mut rigs, plan.duration));
            progress.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(timings)
}

/// Runs everything between marks, for callgrind: the marks themselves first, then each run.
///
/// # Errors
/// [`ProfileError`].
pub(crate) fn mark_all(plan: &Plan) -> Result<Vec<Marked>, ProfileError> {
    let mut all = vec![count_marks()];
    let memories = [plan.allocate()?, plan.allocate()?, plan.allocate()?];
    let marked_memory = plan.allocate()?;
    for pair in plan.pairs() {
        let mut rigs = Rigs::new(plan, pair, &memories)?;
        let mut marked = rig(pair.0, &plan.load(pair.1, plan.workloads[0]), &marked_memory, Marker::new())?;
        for &workload in &plan.workloads {
            let load = plan.load(pair.1, workload);
            rigs.set_load(&load)?;
            marked.set_load(&load).map_err(ProfileError::Frames)?;
            let Rigs { plain, sampled, table } = &mut rigs;
            let mut role = Sections::default();
            count_whole(&mut role, |meter| plain.round(meter));
            count_stages(marked.as_mut(), &mut role);
            let mut stretch = Stretch::new(sampled.as_mut());
            let counted = |round: &mut dyn FnMut(&mut dyn Meter) -> u64| {
                let mut sections = Sections::default();
                count_whole(&mut sections, round);
                sections
            };
            all.push(Marked {
                role,
                sampled: Some(counted(&mut |meter| stretch.round(meter))),
                table: table.as_mut().map(|table| counted(&mut |meter| table.round(meter))),
            });
        }
    }
    Ok(all)
}

/// What crosses a queue pair for one request, by the counters of its two ends.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Crossing {
    wire: &'static str,
    operation: &'static str,
    requests_per_batch: f64,
    request_bytes_per_op: f64,
    response_bytes_per_op: f64,
    /// After rounding, in both directions.
    dma_bytes_per_op: f64,
    dma_copies_per_op: f64,
}

/// Rounds after which counters are compared.
const CROSSING_ROUNDS: usize = 512;

/// Counts what crosses a queue pair in batches of 32 requests, one a frame.
///
/// # Errors
/// [`ProfileError`].
pub(crate) fn count_crossings(plan: &Plan) -> Result<Vec<Crossing>, ProfileError> {
    let memory = plan.allocate()?;
    let mut crossings = Vec::new();
    for &wire in &plan.wires {
        for (operation, gets) in [("GET", 1.0), ("SET", 0.0)] {
            let load = Load { gets, requests_per_frame: 1, ..plan.load(wire, Workload::C) };
            let mut rig = rig(Role::Communicate, &load, &memory, Unprofiled)?;
            for _ in 0..CROSSING_ROUNDS {
                rig.round(&mut Unmeasured);
            }
            let Some(ends) = rig.counters() else { continue };
            let [dpu, host] = &ends;
            let per_op = |of: &Counters, counter| of.get(counter) as f64 / of.get(Counter::Requests).max(1) as f64;
            let both = |counter| per_op(dpu, counter) + per_op(host, counter);
            crossings.push(Crossing {
                wire: wire.name(),
                operation,
                requests_per_batch: 1.0 / per_op(host, Counter::BatchesReceived),
                request_bytes_per_op: per_op(dpu, Counter::BatchBytesSent),
                response_bytes_per_op: per_op(host, Counter::BatchBytesSent),
                dma_bytes_per_op: both(Counter::CopyBytes),
                dma_copies_per_op: both(Counter::Copies),
            });
        }
    }
    Ok(crossings)
}
