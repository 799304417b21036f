//! `lat` with a cache of hot keys in its DPU core: what is answered there, and what each side spends on a request.
//!
//! Frames are many, so that keys come as seldom again as their popularity says.

use arch::TickRate;
use kv_core::counters::{Counter, Counters};
use kv_core::engine::{HotSet, Unprofiled};
use kv_core::port::BURST_COUNT_MAX;
use serde::Serialize;
use shell_io::config::ByteSize;

use super::callgrind::Count;
use super::frames::{Frames, Load};
use super::marks::{Marked, Sections, count_marks, count_whole};
use super::rig::{CommunicateRig, HOT_BURSTS_PER_ROUND, Pair, ProcessRig, Rig, Unmeasured};
use super::sampler::Sampler;
use super::timing::ticks_of;
use super::{ProfileError, allocate, loaded, to_count};
use crate::measure::median;
use crate::table_bench::Ours;

/// Bursts for counting instructions.
const COUNTED_BURSTS: usize = 2048;

/// What is to be measured.
#[derive(Clone, Debug)]
pub(crate) struct HotPlan {
    pub(crate) load: Load,
    /// Memory of each cache to compare.
    pub(crate) memories: Vec<ByteSize>,
    /// Requests of each repetition.
    pub(crate) requests: usize,
    pub(crate) repeat: usize,
}

/// What a cache of one size came to.
#[derive(Debug, Serialize)]
pub(crate) struct HotRun {
    pub(crate) memory: ByteSize,
    /// GETs that the DPU answered, of all GETs.
    pub(crate) hit_share: f64,
    /// Requests that the host executed, of all requests.
    pub(crate) host_share: f64,
    /// Bytes of all copies, for each request.
    pub(crate) copied_bytes: f64,
    /// Nanoseconds that the DPU's core takes for a request, in each repetition.
    pub(crate) dpu_ns: Vec<f64>,
    /// Nanoseconds that the host's core takes for a request that comes to the DPU, in each repetition.
    pub(crate) host_ns: Vec<f64>,
}

/// Instructions with a cache of one size.
#[derive(Debug, Serialize)]
pub(crate) struct HotCount {
    pub(crate) memory: ByteSize,
    /// GETs that the DPU answered meanwhile, of all GETs: there are fewer keys than where time is measured.
    pub(crate) hit_share: f64,
    pub(crate) dpu_instructions: f64,
    /// For a request that comes to the DPU.
    pub(crate) host_instructions: f64,
}

impl HotPlan {
    /// The same with a data set for counting.
    fn to_count(&self) -> Self {
        let keys = to_count(self.load.keys);
        Self { load: Load { keys, bursts: COUNTED_BURSTS.min(self.load.bursts), ..self.load }, ..self.clone() }
    }

    fn allocate(&self) -> Result<Ours, ProfileError> {
        allocate(self.load.keys, self.load.values)
    }
}

/// Memory of a cache, for each of two rigs.
fn sets(memory: ByteSize) -> [Vec<HotSet>; 2] {
    let count = memory.bytes() as usize / size_of::<HotSet>();
    [vec![HotSet::EMPTY; count], vec![HotSet::EMPTY; count]]
}

/// `lat` twice, with a cache of the same size: the sides are measured apart from each other.
struct Case<'m> {
    dpu: CommunicateRig<'m, Unprofiled>,
    host: ProcessRig<'m, Unprofiled>,
}

impl<'m> Case<'m> {
    /// Both, after they have answered every frame once.
    fn new(
        frames: &Frames,
        load: &Load,
        [dpu_ours, host_ours]: &'m [Ours; 2],
        [dpu_sets, host_sets]: &'m mut [Vec<HotSet>; 2],
    ) -> Result<Self, ProfileError> {
        let pair = |ours: &'m Ours, sets: &'m mut Vec<HotSet>| {
            Pair::with_hot_keys(frames.clone(), ours.secret(), loaded(ours)?, sets).map_err(ProfileError::Frames)
        };
        let (dpu, host) = (pair(dpu_ours, dpu_sets)?, pair(host_ours, host_sets)?);
        let mut case = Self { dpu: CommunicateRig(dpu), host: ProcessRig(host) };
        for _ in 0..load.bursts / HOT_BURSTS_PER_ROUND {
            case.dpu.round(&mut Unmeasured);
            case.host.round(&mut Unmeasured);
        }
        Ok(case)
    }

    /// What was counted until now.
    fn counts(&mut self) -> Counts {
        let Some([dpu, host]) = self.dpu.counters() else { return Counts::default() };
        let of = |counters: &Counters, counter| counters.get(counter) as f64;
        Counts {
            requests: of(&dpu, Counter::Requests),
            at_host: of(&host, Counter::Requests),
            hits: of(&dpu, Counter::HotHits),
            copied_bytes: of(&dpu, Counter::CopyBytes) + of(&host, Counter::CopyBytes),
        }
    }

    /// What was counted since then.
    fn counts_since(&mut self, before: &Counts) -> Counts {
        let now = self.counts();
        Counts {
            requests: now.requests - before.requests,
            at_host: now.at_host - before.at_host,
            hits: now.hits - before.hits,
            copied_bytes: now.copied_bytes - before.copied_bytes,
        }
    }
}

/// What both ends of a queue pair have counted.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    requests: f64,
    at_host: f64,
    hits: f64,
    copied_bytes: f64,
}

/// Measures all caches by the CPU's counter, one after the other in each repetition, so that whatever else the machine does
/// hits them alike.
///
/// # Errors
/// [`ProfileError`].
pub(crate) fn measure_hot(plan: &HotPlan, rate: TickRate) -> Result<Vec<HotRun>, ProfileError> {
    let frames = Frames::prepare(&plan.load).map_err(ProfileError::Frames)?;
    let tables = plan.memories.iter().map(|_| Ok([plan.allocate()?, plan.allocate()?]));
    let tables = tables.collect::<Result<Vec<_>, ProfileError>>()?;
    let mut caches: Vec<_> = plan.memories.iter().map(|memory| sets(*memory)).collect();
    let cases = tables.iter().zip(&mut caches).map(|(tables, sets)| Case::new(&frames, &plan.load, tables, sets));
    let mut cases = cases.collect::<Result<Vec<_>, _>>()?;
    let befores: Vec<_> = cases.iter_mut().map(Case::counts).collect();
    let rounds = plan.requests.div_ceil(HOT_BURSTS_PER_ROUND * BURST_COUNT_MAX * plan.load.requests_per_frame);
    let stamp_ticks = Sampler::new().stamp_ticks();
    let mut ticks: Vec<[Vec<f64>; 2]> = cases.iter().map(|_| Default::default()).collect();
    for _ in 0..plan.repeat {
        for (case, [of_dpu, of_host]) in cases.iter_mut().zip(&mut ticks) {
            of_dpu.push(ticks_of(rounds, stamp_ticks, |meter| case.dpu.round(meter)));
            of_host.push(ticks_of(rounds, stamp_ticks, |meter| case.host.round(meter)));
        }
    }
    let ns_per_tick = 1e9 / rate.hz() as f64;
    let runs = plan.memories.iter().zip(&mut cases).zip(befores).zip(ticks);
    Ok(runs
        .map(|(((memory, case), before), [of_dpu, of_host])| {
            let counts = case.counts_since(&before);
            let host_share = counts.at_host / counts.requests;
            HotRun {
                memory: *memory,
                hit_share: counts.hits / (counts.requests * plan.load.gets),
                host_share,
                copied_bytes: counts.copied_bytes / counts.requests,
                dpu_ns: of_dpu.iter().map(|ticks| ticks * ns_per_tick).collect(),
                host_ns: of_host.iter().map(|ticks| ticks * ns_per_tick * host_share).collect(),
            }
        })
        .collect())
}

impl HotRun {
    /// Million requests a second that the slower one of the two cores does.
    pub(crate) fn mops(&self) -> f64 {
        1e3 / median(&self.dpu_ns).max(median(&self.host_ns))
    }
}

/// Runs everything between marks, for callgrind: the marks themselves first, then each cache, the DPU's core before the
/// host's.
///
/// # Errors
/// [`ProfileError`].
pub(crate) fn mark_hot(plan: &HotPlan) -> Result<Vec<Marked>, ProfileError> {
    let mut all = vec![count_marks()];
    each_counted(plan, |case| {
        let (mut dpu, mut host) = (Sections::default(), Sections::default());
        count_whole(&mut dpu, |meter| case.dpu.round(meter));
        count_whole(&mut host, |meter| case.host.round(meter));
        all.push(Marked { role: dpu, table: Some(host), ..Marked::default() });
    })?;
    Ok(all)
}

/// What was counted, with the shares that go with it: the same requests again, without callgrind.
///
/// # Errors
/// [`ProfileError`].
pub(crate) fn count_hot(plan: &HotPlan, counts: &[Count]) -> Result<Vec<HotCount>, ProfileError> {
    let mut shares = Vec::new();
    each_counted(plan, |case| {
        let before = case.counts();
        count_whole(&mut Sections::default(), |meter| case.dpu.round(meter));
        let counts = case.counts_since(&before);
        shares.push((counts.hits / (counts.requests * plan.load.gets), counts.at_host / counts.requests));
    })?;
    let all = plan.memories.iter().zip(shares).zip(counts);
    Ok(all
        .map(|((memory, (hit_share, host_share)), count)| HotCount {
            memory: *memory,
            hit_share,
            dpu_instructions: count.instructions_per_op,
            host_instructions: count.table_instructions_per_op.unwrap_or_default() * host_share,
        })
        .collect())
}

fn each_counted(plan: &HotPlan, mut count: impl FnMut(&mut Case<'_>)) -> Result<(), ProfileError> {
    let plan = plan.to_count();
    let frames = Frames::prepare(&plan.load).map_err(ProfileError::Frames)?;
    for memory in &plan.memories {
        let (tables, mut sets) = ([plan.allocate()?, plan.allocate()?], sets(*memory));
        count(&mut Case::new(&frames, &plan.load, &tables, &mut sets)?);
    }
    Ok(())
}
