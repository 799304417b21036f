//! Ticks: a role as it is, and in turn with it one whose stages are stamped now and then.

use std::time::{Duration, Instant};

use kv_core::engine::Stage;

use super::Rigs;
use super::rig::{Meter, Rig};
use super::sampler::{PerStage, STRETCH_ROUNDS, Stretch};
use crate::measure::median;

/// Stretches before those that count.
const WARM_STRETCHES: usize = 2;

/// Stretches at least, however long they take.
const STRETCHES_MIN: usize = 9;

/// What a role takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// Ticks a request, without a profile.
    pub(crate) ticks_per_op: f64,
    /// The share of each stage.
    pub(crate) shares: PerStage,
    /// What sampling adds, as a share.
    pub(crate) cost_of_sampling: f64,
    /// Ticks an operation of the table alone, if that was asked for.
    pub(crate) table_ticks_per_op: Option<f64>,
}

/// Runs stretches of all in turn for so long. Whatever else the machine does hits all alike, and of all stretches the
/// median counts.
pub(super) fn time(rigs: &mut Rigs<'_>, duration: Duration) -> Timing {
    let Rigs { plain, sampled, table } = rigs;
    let (mut plains, mut ratios, mut tables) = (Vec::new(), Vec::new(), Vec::new());
    let stamp_ticks = sampled.profile().stamp_ticks();
    let mut sampled = Stretch::new(sampled.as_mut());
    let begin = Instant::now();
    for stretch in 0.. {
        if stretch >= WARM_STRETCHES + STRETCHES_MIN && begin.elapsed() > duration {
            break;
        }
        // Whoever comes first finds caches that the others have filled, so the two take turns at that.
        let mut of_plain = || ticks_per_op(stamp_ticks, |meter| plain.round(meter));
        let early = (stretch % 2 == 0).then(&mut of_plain);
        let with_samples = ticks_per_op(stamp_ticks, |meter| sampled.round(meter));
        let plain = early.unwrap_or_else(of_plain);
        let of_table = table.as_mut().map(|table| ticks_per_op(stamp_ticks, |meter| table.round(meter)));
        if stretch < WARM_STRETCHES {
            sampled.samples.clear();
            continue;
        }
        plains.push(plain);
        ratios.push(with_samples / plain);
        tables.extend(of_table);
    }
    Timing {
        ticks_per_op: median(&plains),
        shares: shares(&mut sampled.samples),
        cost_of_sampling: median(&ratios) - 1.0,
        table_ticks_per_op: (!tables.is_empty()).then(|| median(&tables)),
    }
}

/// Sums up ticks of turns.
struct Ticks {
    sum: f64,
    stamp_ticks: f64,
}

impl Meter for Ticks {
    fn measure(&mut self, turn: &mut dyn FnMut()) {
        let begin = arch::now();
        turn();
        self.sum += arch::now().since(begin) as f64 - self.stamp_ticks;
    }
}

/// One stretch.
fn ticks_per_op(stamp_ticks: f64, round: impl FnMut(&mut dyn Meter) -> u64) -> f64 {
    ticks_of(STRETCH_ROUNDS, stamp_ticks, round)
}

/// Ticks a request of so many rounds. `stamp_ticks` is what two readings of the counter take.
pub(super) fn ticks_of(rounds: usize, stamp_ticks: f64, mut round: impl FnMut(&mut dyn Meter) -> u64) -> f64 {
    let mut ticks = Ticks { sum: 0.0, stamp_ticks };
    let requests: u64 = (0..rounds).map(|_| round(&mut ticks)).sum();
    ticks.sum / requests as f64
}

/// What each stage takes of all, of those rounds in which nothing came between: the faster half.
fn shares(samples: &mut [PerStage]) -> PerStage {
    let sum = |sample: &PerStage| sample.iter().sum::<f64>();
    samples.sort_by(|a, b| sum(a).total_cmp(&sum(b)));
    let mut shares = [0.0; Stage::ALL.len()];
    for sample in &samples[..samples.len().div_ceil(2)] {
        for (share, ticks) in shares.iter_mut().zip(sample) {
            *share += ticks;
        }
    }
    shares_of(shares)
}

/// What each part is of the whole. A stage shorter than the error of its stamps can come out below 0.
pub(super) fn shares_of(parts: PerStage) -> PerStage {
    let parts = parts.map(|part| part.max(0.0));
    let whole: f64 = parts.iter().sum();
    parts.map(|part| if whole > 0.0 { part / whole } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_parts_of_the_faster_rounds() {
        let sample = |parse: f64, process: f64| {
            let mut sample = [0.0; Stage::ALL.len()];
            (sample[Stage::Parse as usize], sample[Stage::Process as usize]) = (parse, process);
            sample
        };
        let shares = shares(&mut [sample(1.0, 1e9), sample(1.0, 3.0), sample(1e9, 0.0), sample(2.0, 3.0)]);
        assert_eq!(shares[Stage::Parse as usize], 3.0 / 9.0);
        assert_eq!(shares[Stage::Process as usize], 6.0 / 9.0);
    }
}
