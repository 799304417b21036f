//! What a run came to, as people and as programs read it.

use std::fs;
use std::io;
use std::path::Path;

use serde::Serialize;

use super::Measured;
use crate::workload::Distribution;

/// All runs of one command.
#[derive(Debug, Serialize)]
pub(crate) struct Report<R = Run> {
    /// In the order in which they were made.
    pub(crate) runs: Vec<R>,
}

/// One measured phase. What was not looked at is `None`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Run {
    pub(crate) design: String,
    pub(crate) workload: String,
    pub(crate) distribution: String,
    pub(crate) ops: u64,
    pub(crate) seconds: f64,
    pub(crate) mops: f64,
    pub(crate) latency_us: LatencyUs,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) lost: u64,
    pub(crate) errors: u64,
    #[serde(flatten)]
    pub(crate) cost: Cost,
}

/// Latency quantiles in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct LatencyUs {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
}

/// What a request cost the server, from its counters.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Cost {
    /// Busy nanoseconds a request: turns that found work.
    pub(crate) host_cpu_ns_per_op: Option<f64>,
    pub(crate) dpu_cpu_ns_per_op: Option<f64>,
    /// CPU nanoseconds a request as the operating system counts them, idle polling included.
    pub(crate) host_thread_cpu_ns_per_op: Option<f64>,
    pub(crate) dpu_thread_cpu_ns_per_op: Option<f64>,
    /// Used bytes of the queue pair's slots, before rounding to 64.
    pub(crate) qp_request_bytes_per_op: Option<f64>,
    pub(crate) qp_response_bytes_per_op: Option<f64>,
    /// Copies in both directions.
    pub(crate) dma_copies_per_op: Option<f64>,
}

impl Run {
    /// The run of a phase.
    pub(crate) fn new(
        design: &str,
        workload: &str,
        distribution: Distribution,
        measured: &Measured,
        cost: Cost,
    ) -> Self {
        Self {
            design: design.to_owned(),
            workload: workload.to_owned(),
            distribution: distribution.name(),
            ops: measured.ops,
            seconds: measured.seconds,
            mops: measured.mops(),
            latency_us: LatencyUs {
                p50: measured.latency_us(0.5),
                p99: measured.latency_us(0.99),
                p999: measured.latency_us(0.999),
            },
            hits: measured.hits,
            misses: measured.misses,
            lost: measured.lost,
            errors: measured.errors,
            cost,
        }
    }
}

impl<R: Serialize> Report<R> {
    /// A report of nothing yet.
    pub(crate) const fn new() -> Self {
        Self { runs: Vec::new() }
    }

    /// Writes the report as JSON.
    ///
    /// # Errors
    /// Of the file system.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        fs::write(path, text)
    }
}
