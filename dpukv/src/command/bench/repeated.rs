//! What commands that measure one thing again and again have in common: how often, and of which requests.

use std::path::PathBuf;

use serde::Serialize;

use super::{above_zero, at_least_one, share};
use crate::exit::Failure;
use crate::measure::Report;
use crate::workload::Distribution;

/// How often something is measured, and where the results go.
#[derive(Debug, clap::Args)]
pub(super) struct Repeated {
    /// Seconds of each repetition
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    pub(super) seconds: f64,

    /// Repetitions, of which the median counts
    #[arg(long, value_name = "COUNT", default_value_t = 7)]
    pub(super) repeat: usize,

    /// Write the results to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Repeated {
    /// Asks whether the values are in their ranges.
    ///
    /// # Errors
    /// [`Failure::Usage`].
    pub(super) fn check(&self) -> Result<(), Failure> {
        above_zero("seconds", self.seconds, 3600.0)?;
        at_least_one("repeat", self.repeat, 1000)
    }

    /// Writes the file that was asked for, if one was.
    ///
    /// # Errors
    /// [`Failure::File`].
    pub(super) fn write<R: Serialize>(&self, report: &Report<R>) -> Result<(), Failure> {
        self.json
            .as_ref()
            .map_or(Ok(()), |path| report.write(path).map_err(|source| Failure::File { path: path.clone(), source }))
    }
}

/// Which requests are made: each share of GET with each distribution.
#[derive(Debug, clap::Args)]
pub(super) struct Mixes {
    /// Shares of GET, 0 to 1; the rest is SET
    #[arg(long, value_name = "SHARE[,SHARE..]", value_delimiter = ',', default_value = "1,0.95,0.5")]
    pub(super) gets: Vec<f64>,

    /// Popularity of keys: uniform, zipf (0.99) or zipf:THETA
    #[arg(long, value_parser = Distribution::parse, value_delimiter = ',', default_value = "uniform,zipf")]
    pub(super) distribution: Vec<Distribution>,

    /// What all random choices follow from
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
}

impl Mixes {
    /// Asks whether the shares are shares.
    ///
    /// # Errors
    /// [`Failure::Usage`].
    pub(super) fn check(&self) -> Result<(), Failure> {
        self.gets.iter().try_for_each(|&gets| share("gets", gets))
    }
}
