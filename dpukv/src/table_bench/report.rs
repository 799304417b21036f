//! What a comparison came to.

use serde::Serialize;

/// One subject with one mix. What it has not is `None`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) subject: String,
    pub(crate) keys: u64,
    pub(crate) key_size: usize,
    pub(crate) value_size: usize,
    pub(crate) operation: String,
    pub(crate) gets: f64,
    pub(crate) distribution: String,
    pub(crate) threads: usize,
    pub(crate) mode: String,
    pub(crate) pages: String,
    #[serde(flatten)]
    pub(crate) spread: Spread,
    pub(crate) lines_per_op: Option<f64>,
    pub(crate) bytes_per_item: Option<f64>,
    pub(crate) kept_share: Option<f64>,
    pub(crate) limit_mlines: f64,
    pub(crate) ratio_to_limit: f64,
}

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
        let median = f64::midpoint(sorted[last / 2], sorted[last.div_ceil(2)]);
        Self { mops_median: median, mops_min: sorted[0], mops_max: sorted[last], mops: mops.to_vec() }
    }
}

impl Row {
    /// The row as people read it.
    pub(crate) fn line(&self) -> String {
        let optional = |value: Option<f64>, digits| value.map_or("-".to_owned(), |value| format!("{value:.digits$}"));
        format!(
            "{:<10} {:>5.2} {:<9} {:>8.2} Mops ({:.2} to {:.2}) {:>7.1} ns   lines {:>4}   bytes/item {:>5}   kept {:>6}   {:.3} of the limit",
            self.subject,
            self.gets,
            self.distribution,
            self.spread.mops_median,
            self.spread.mops_min,
            self.spread.mops_max,
            self.threads as f64 * 1e3 / self.spread.mops_median,
            optional(self.lines_per_op, 2),
            optional(self.bytes_per_item, 1),
            optional(self.kept_share, 4),
            self.ratio_to_limit,
        )
    }
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
