//! The demo's results for people.

use std::fmt::Write;

use crate::measure::Run;

const HEAD: &str = "design    mix distribution    Mops |  p50 us  p99 us p99.9 us | host ns  DPU ns | host thr  DPU thr | req B resp B copies |   misses lost errors";

/// The table that grows line by line.
#[derive(Debug)]
pub(crate) struct Table;

impl Table {
    /// The two lines above the first run.
    pub(crate) fn head() -> String {
        format!("{HEAD}\n{}", "-".repeat(HEAD.len()))
    }

    /// One run.
    pub(crate) fn line(run: &Run) -> String {
        let number = |value: Option<f64>| value.unwrap_or(0.0);
        let cost = &run.cost;
        format!(
            "{:<9} {:<3} {:<12} {:>7.3} | {:>7.0} {:>7.0} {:>8.0} | {:>7.0} {:>7.0} | {:>8.0} {:>8.0} | {:>5.1} {:>6.1} {:>6.3} | {:>8} {:>4} {:>6}",
            run.design,
            run.workload,
            run.distribution,
            run.mops,
            run.latency_us.p50,
            run.latency_us.p99,
            run.latency_us.p999,
            number(cost.host_cpu_ns_per_op),
            number(cost.dpu_cpu_ns_per_op),
            number(cost.host_thread_cpu_ns_per_op),
            number(cost.dpu_thread_cpu_ns_per_op),
            number(cost.qp_request_bytes_per_op),
            number(cost.qp_response_bytes_per_op),
            number(cost.dma_copies_per_op),
            run.misses,
            run.lost,
            run.errors,
        )
    }

    /// What the columns mean, and what the runs say together.
    pub(crate) fn verdict(runs: &[Run]) -> String {
        let mut text = String::from(
            "\nhost ns, DPU ns: CPU time of each side per request, in turns that found work. host thr, DPU thr: CPU time of \
             its threads,\nidle polling included. req B, resp B: bytes per request that cross the queue pair; copies: DMA \
             copies per request.\n",
        );
        let mean = |design: &str| {
            let costs: Vec<f64> =
                runs.iter().filter(|run| run.design == design).filter_map(|run| run.cost.host_cpu_ns_per_op).collect();
            (!costs.is_empty()).then(|| costs.iter().sum::<f64>() / costs.len() as f64)
        };
        if let (Some(cpu_only), Some(lat)) = (mean("cpu-only"), mean("lat")) {
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "\nWith lat the host spends {lat:.0} ns a request where cpu-only spends {cpu_only:.0}: {:.0} % of it has \
                 moved away.",
                100.0 * (1.0 - lat / cpu_only)
            );
        }
        let bad: u64 = runs.iter().map(|run| run.errors + run.lost).sum();
        let _ = writeln!(
            text,
            "{}\nThis machine has no DPU: both sides share its CPUs, packets go through the kernel, and shared memory stands \
             in for PCIe.\nThe costs per request and the bytes are real; throughput and latency are those of this machine \
             only.",
            if bad == 0 {
                "Every request got a right answer."
            } else {
                "SOME REQUESTS GOT NO ANSWER OR A WRONG ONE: see `lost` and `errors`."
            }
        );
        text
    }
}
