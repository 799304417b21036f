//! Repeated measurements of one thing.

use serde::Serialize;

/// Million operations a second over all repetitions.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Spread {
    pub(crate) mops_median: f64,
    pub(crate) mops_min: f64,
    pub(crate) mops_max: f64,
    /// Every repetition, in the order in which they were made.
    pub(crate) mops: Vec<f64>,
}

impl Spread {
    /// Of at least one repetition.
    pub(crate) fn of(mops: &[f64]) -> Self {
        let mut sorted = mops.to_vec();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len() - 1;
        Self { mops_median: median(mops), mops_min: sorted[0], mops_max: sorted[last], mops: mops.to_vec() }
    }
}

/// The one in the middle of at least one.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len() - 1;
    f64::midpoint(sorted[last / 2], sorted[last.div_ceil(2)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]).mops_median, 2.0);
        let even = Spread::of(&[4.0, 1.0, 2.0, 9.0]);
        assert_eq!((even.mops_median, even.mops_min, even.mops_max), (3.0, 1.0, 9.0));
        assert_eq!(Spread::of(&[5.0]).mops_median, 5.0);
    }
}
