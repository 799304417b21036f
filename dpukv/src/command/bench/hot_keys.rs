//! `dpukv bench hot-keys`: what a cache of hot keys in the DPU's core answers and saves, beside `lat` without one.

use std::path::PathBuf;

use serde::Serialize;
use shell_io::clock::MonotonicClock;
use shell_io::config::ByteSize;

use super::{DataSet, at_least_one, print_line};
use crate::exit::{Exit, Failure};
use crate::measure::median;
use crate::profile::{HotCount, HotPlan, HotRun, Load, Wire, count_all, count_hot, mark_hot, measure_hot};
use crate::workload::{Distribution, Workload};

/// What `bench hot-keys` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Memory of the cache: sizes to compare, the first one as the base
    #[arg(long, value_name = "SIZES", value_delimiter = ',', default_value = "0B,64KiB,256KiB,1MiB,4MiB")]
    memory: Vec<ByteSize>,

    /// How requests and responses are written
    #[arg(long, value_enum, default_value = "native")]
    wire: Wire,

    /// YCSB workload
    #[arg(long, value_enum, default_value = "c")]
    workload: Workload,

    /// Requests in each frame
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    requests_per_frame: usize,

    #[command(flatten)]
    data_set: DataSet,

    /// Popularity of keys: uniform, zipf (0.99) or zipf:THETA
    #[arg(long, value_parser = Distribution::parse, default_value = "zipf")]
    distribution: Distribution,

    /// Different bursts of 32 frames, which come again in the same order
    #[arg(long, value_name = "COUNT", default_value_t = 32_768)]
    bursts: usize,

    /// Requests of each repetition
    #[arg(long, value_name = "COUNT", default_value_t = 200_000)]
    requests: usize,

    /// Repetitions, of which the median counts
    #[arg(long, value_name = "COUNT", default_value_t = 7)]
    repeat: usize,

    /// What all random choices follow from
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Do not count instructions, which takes valgrind and a minute
    #[arg(long)]
    no_instructions: bool,

    /// Write the results to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Run between marks for callgrind, and print what was marked
    #[arg(long, hide = true)]
    marks: bool,
}

/// All caches.
#[derive(Debug, Serialize)]
struct Report {
    runs: Vec<HotRun>,
    counts: Vec<HotCount>,
}

/// Runs the command.
///
/// # Errors
/// Its [`Failure`].
pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let plan = args.plan()?;
    if args.marks {
        let text = serde_json::to_string(&mark_hot(&plan)?).map_err(|error| Failure::Usage(error.to_string()))?;
        print_line(&text);
        return Ok(Exit::Done);
    }
    let rate = MonotonicClock::start().map_err(|error| Failure::Usage(error.to_string()))?.rate();
    let runs = measure_hot(&plan, rate)?;
    print_runs(&runs);
    let counts = if args.no_instructions { Vec::new() } else { counts(&plan)? };
    print_counts(&counts);
    if let Some(path) = &args.json {
        let report = Report { runs, counts };
        let text = serde_json::to_string_pretty(&report).map_err(|error| Failure::Usage(error.to_string()))?;
        std::fs::write(path, text + "\n").map_err(|source| Failure::File { path: path.clone(), source })?;
    }
    Ok(Exit::Done)
}

/// Instructions, or a line that says why there are none.
fn counts(plan: &HotPlan) -> Result<Vec<HotCount>, Failure> {
    match count_all("--marks") {
        Ok(counts) => Ok(count_hot(plan, &counts)?),
        Err(error) => {
            eprintln!("dpukv: instructions are not counted: {error}");
            Ok(Vec::new())
        }
    }
}

impl Args {
    fn plan(&self) -> Result<HotPlan, Failure> {
        at_least_one("requests-per-frame", self.requests_per_frame, 255)?;
        at_least_one("bursts", self.bursts, 1 << 20)?;
        at_least_one("requests", self.requests, 1 << 30)?;
        at_least_one("repeat", self.repeat, 1000)?;
        let (keys, values) = self.data_set.shapes()?;
        let load = Load {
            wire: self.wire,
            requests_per_frame: self.requests_per_frame,
            keys,
            values,
            distribution: self.distribution,
            gets: self.workload.gets(),
            bursts: self.bursts,
            seed: self.seed,
        };
        Ok(HotPlan { load, memories: self.memory.clone(), requests: self.requests, repeat: self.repeat })
    }
}

fn print_runs(runs: &[HotRun]) {
    let base = runs.first().map_or(1.0, HotRun::mops);
    for run in runs {
        let range = |ns: &[f64]| {
            let (min, max) = (ns.iter().copied().fold(f64::MAX, f64::min), ns.iter().copied().fold(0.0, f64::max));
            format!("{:6.1} ns ({min:.1} to {max:.1})", median(ns))
        };
        print_line(&format!(
            "{:>6}  {:5.1} % of GETs answered by the DPU, {:5.1} % of requests by the host  {:5.1} bytes copied  DPU {}  host {}  {:5.2} Mops, {:.2} times",
            run.memory.to_string(),
            run.hit_share * 100.0,
            run.host_share * 100.0,
            run.copied_bytes,
            range(&run.dpu_ns),
            range(&run.host_ns),
            run.mops(),
            run.mops() / base,
        ));
    }
}

fn print_counts(counts: &[HotCount]) {
    for count in counts {
        print_line(&format!(
            "{:>6}  instructions a request, with {:.1} % of GETs answered by the DPU: DPU {:.0}, host {:.0}",
            count.memory.to_string(),
            count.hit_share * 100.0,
            count.dpu_instructions,
            count.host_instructions,
        ));
    }
}
