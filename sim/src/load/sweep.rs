//! The adaptive flush beside fixed ones, over designs and loads.

use kv_core::engine::{FlushLaw, FlushPolicy};

use super::{Load, Outcome, Pace};

/// Cores that share one card: so many of the DPU's, and as many of the host's or one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The design that divides work so.
    pub design: &'static str,
    /// DPU cores.
    pub dpu_cores: u8,
    /// Host cores.
    pub host_cores: u8,
    /// What all of them answer at most, in requests a second: the load is a share of this.
    pub capacity: u64,
}

/// From one queue pair, where the cores are all there is to wait for, to eight on one card and to eight at one host core.
pub const SHAPES: [Shape; 4] = [
    Shape { design: "lat", dpu_cores: 1, host_cores: 1, capacity: 5_000_000 },
    Shape { design: "lat", dpu_cores: 4, host_cores: 4, capacity: 20_000_000 },
    Shape { design: "lat", dpu_cores: 8, host_cores: 8, capacity: 40_000_000 },
    Shape { design: "sav", dpu_cores: 8, host_cores: 1, capacity: 19_000_000 },
];

/// Fixed waits, in nanoseconds. The longest is stop and wait: no round trip takes so long.
pub const FIXED_NS: [u64; 11] = [0, 500, 1_000, 1_500, 2_000, 3_000, 4_000, 5_000, 7_000, 10_000, 20_000];

/// Bytes at which a batch leaves in any case.
const FLUSH_LEN: usize = 1_024;

/// The longest wait of the adaptive flush, the default of `flush_us`.
const ADAPTIVE_NS_MAX: u64 = 20_000;

/// Up to this share of the capacity, in percent, the answer's delay is what users see. Beyond it, chance decides how long
/// requests wait for cores.
const CALM_PERCENT_MAX: u64 = 90;

/// One load on one shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Who shares the card.
    pub shape: Shape,
    /// The load, in percent of the capacity.
    pub percent: u64,
    /// With each of [`FIXED_NS`].
    pub fixed: Vec<Outcome>,
    /// With the adaptive flush.
    pub adaptive: Outcome,
}

impl Point {
    /// Measures one.
    pub fn measure(shape: Shape, percent: u64, frame_counts: (usize, usize)) -> Self {
        let run = |law, ticks| {
            let flush = FlushPolicy { len: FLUSH_LEN, ticks, law };
            let rate = shape.capacity * percent / 100 / u64::from(shape.dpu_cores);
            let Shape { dpu_cores, host_cores, .. } = shape;
            Load { dpu_cores, host_cores, frame_counts, ..Load::lat(flush, Pace::Open(rate)) }.run()
        };
        let fixed = FIXED_NS.map(|ns| run(FlushLaw::Fixed, ns)).to_vec();
        Self { shape, percent, fixed, adaptive: run(FlushLaw::Adaptive, ADAPTIVE_NS_MAX) }
    }

    /// Whether the load leaves cores some time, so that the median delay counts, and not only the throughput.
    pub fn is_calm(&self) -> bool {
        self.percent <= CALM_PERCENT_MAX
    }

    /// The least median delay of a fixed wait, in microseconds.
    pub fn best_p50_us(&self) -> f64 {
        self.fixed.iter().map(|outcome| outcome.p50_us).fold(f64::INFINITY, f64::min)
    }

    /// The highest throughput of a fixed wait, in millions a second.
    pub fn best_mops(&self) -> f64 {
        self.fixed.iter().map(|outcome| outcome.mops).fold(0.0, f64::max)
    }

    /// The adaptive flush's median delay, as a share of the best fixed one's.
    pub fn p50_ratio(&self) -> f64 {
        self.adaptive.p50_us / self.best_p50_us()
    }

    /// The adaptive flush's throughput, as a share of the best fixed one's.
    pub fn mops_ratio(&self) -> f64 {
        self.adaptive.mops / self.best_mops()
    }
}
