//! How many ticks each stage takes, in one round of many.

use arch::Tick;
use kv_core::engine::{Profile, Stage};

use super::rig::{Meter, Profiled, Turned};
use crate::measure::median;

/// Stages, by their index.
pub(crate) type PerStage = [f64; Stage::ALL.len()];

/// Rounds of a stretch, of which the last one is sampled. A sampled round takes up to twice as long as others.
pub(super) const STRETCH_ROUNDS: usize = 256;

/// Stamps in a row when their own cost is found, and how often that is done.
const CALIBRATION_STAMPS: usize = 64;
const CALIBRATION_COUNT: usize = 1001;

/// Stamps where stages begin while a round is sampled. Otherwise each costs a branch.
#[derive(Debug)]
pub(super) struct Sampler {
    is_sampling: bool,
    stage: Stage,
    since: Tick,
    ticks: PerStage,
    /// What a stamp itself takes.
    stamp_ticks: f64,
}

impl Sampler {
    /// A sampler that knows its own cost.
    pub(super) fn new() -> Self {
        let ticks = [0.0; Stage::ALL.len()];
        let mut sampler = Self { is_sampling: true, stage: Stage::Others, since: Tick(0), ticks, stamp_ticks: 0.0 };
        let costs: Vec<f64> = (0..CALIBRATION_COUNT)
            .map(|_| {
                let begin = arch::now();
                (0..CALIBRATION_STAMPS).for_each(|_| sampler.stamp(Stage::Others));
                arch::now().since(begin) as f64 / CALIBRATION_STAMPS as f64
            })
            .collect();
        Self { is_sampling: false, stamp_ticks: median(&costs), ticks, ..sampler }
    }

    /// What a stamp takes, in ticks.
    pub(super) fn stamp_ticks(&self) -> f64 {
        self.stamp_ticks
    }

    /// From now on stages are stamped.
    pub(super) fn begin(&mut self) {
        self.is_sampling = true;
        self.ticks = [0.0; Stage::ALL.len()];
    }

    /// Ends a round; what each stage took in it.
    pub(super) fn end(&mut self) -> PerStage {
        self.is_sampling = false;
        self.ticks
    }

    #[cold]
    #[inline(never)]
    fn stamp(&mut self, stage: Stage) {
        let now = arch::now();
        self.ticks[self.stage as usize] += now.since(self.since) as f64 - self.stamp_ticks;
        self.stage = stage;
        self.since = now;
    }
}

/// A role whose rounds are sampled now and then.
pub(super) struct Stretch<'r> {
    rig: &'r mut dyn Profiled<Sampler>,
    round: usize,
    /// What each sampled round has shown.
    pub(super) samples: Vec<PerStage>,
}

impl<'r> Stretch<'r> {
    /// The first round is the first of a stretch.
    pub(super) fn new(rig: &'r mut dyn Profiled<Sampler>) -> Self {
        Self { rig, round: 0, samples: Vec::new() }
    }

    /// The next round; how many requests that were.
    pub(super) fn round(&mut self, meter: &mut dyn Meter) -> u64 {
        self.round = (self.round + 1) % STRETCH_ROUNDS;
        if self.round != 0 {
            return self.rig.round(meter);
        }
        self.rig.profile().begin();
        let requests = self.rig.round(meter);
        self.samples.push(self.rig.profile().end());
        requests
    }
}

impl Profile for Sampler {
    #[inline]
    fn enter(&mut self, stage: Stage) {
        if self.is_sampling {
            self.stamp(stage);
        }
    }
}

impl Turned for Sampler {
    fn begin_turn(&mut self) {
        self.stage = Stage::Others;
        self.since = arch::now();
    }

    fn end_turn(&mut self) {
        self.enter(Stage::Others);
    }
}
