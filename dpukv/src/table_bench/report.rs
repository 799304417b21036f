//! What a comparison came to.

use serde::Serialize;

use crate::measure::Spread;

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
