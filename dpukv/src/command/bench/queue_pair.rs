//! `dpukv bench queue-pair`: ways of batching on this machine, in one run: the paper's stop and wait, ours with batches of the
//! same size, four and eight in flight, and ours as it is configured by default; or the adaptive flush beside fixed ones.

use std::path::PathBuf;
use std::time::Duration;

use arch::TickRate;
use kv_core::engine::{FlushLaw, FlushPolicy};
use kv_core::ring::CopySpan;
use serde::Serialize;
use shell_io::clock::MonotonicClock;
use shell_io::config::QueuePairSection;

use super::{above_zero, at_least_one, print_line};
use crate::exit::{Exit, Failure};
use crate::measure::{Report, Spread, median};
use crate::queue_pair_bench::{Ask, Outcome, Setting, measure};

/// What `bench queue-pair` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Requests of each frame, and so of each batch that is one frame
    #[arg(long, value_name = "COUNT", default_value_t = 16)]
    requests_per_frame: usize,

    /// Frames outstanding: loads, from light to heavy
    #[arg(long, value_name = "COUNTS", value_delimiter = ',', default_values_t = [1, 64])]
    windows: Vec<usize>,

    /// Compare the adaptive flush with fixed ones
    #[arg(long)]
    flush: bool,

    /// Microseconds that each copy takes beside its own time
    #[arg(long, value_name = "US", default_value_t = 2)]
    added_us: u64,

    /// Let both sides take turns on one core, and count its CPU time: for machines with other work
    #[arg(long)]
    one_core: bool,

    /// Seconds of each repetition
    #[arg(long, value_name = "SECONDS", default_value_t = 0.3)]
    seconds: f64,

    /// Repetitions, of which the median counts
    #[arg(long, value_name = "COUNT", default_value_t = 7)]
    repeat: usize,

    /// Write the results to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// All repetitions of a setting under a load. What is no throughput is the median of the repetitions'.
#[derive(Debug, Serialize)]
struct QueuePairRun {
    setting: &'static str,
    window: usize,
    cores: usize,
    added_us: u64,
    requests_per_frame: usize,
    #[serde(flatten)]
    spread: Spread,
    p50_us: f64,
    p99_us: f64,
    requests_per_batch: f64,
    copied_bytes_per_request: f64,
}

/// Runs the command.
///
/// # Errors
/// Its [`Failure`].
pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    above_zero("seconds", args.seconds, 3600.0)?;
    at_least_one("repeat", args.repeat, 1000)?;
    at_least_one("requests-per-frame", args.requests_per_frame, 64)?;
    for window in &args.windows {
        at_least_one("windows", *window, 512)?;
    }
    let rate = MonotonicClock::start().map_err(|error| Failure::Usage(error.to_string()))?.rate();
    let settings = if args.flush { flushes(rate).to_vec() } else { ways(rate).to_vec() };
    let mut runs = Vec::new();
    for window in &args.windows {
        let first = runs.len();
        runs.extend(args.measure(&settings, *window, rate)?);
        print(&runs[first..]);
    }
    if let Some(path) = &args.json {
        Report { runs }.write(path).map_err(|source| Failure::File { path: path.clone(), source })?;
    }
    Ok(Exit::Done)
}

/// The paper's way and ours. The first one is what the others are compared with.
fn ways(rate: TickRate) -> [Setting; 4] {
    let flush = |len| FlushPolicy { len, ..default_flush(rate) };
    let ours = Setting { name: "default", ..default_setting(rate) };
    [
        // The prototype's buffers have 2049 bytes.
        Setting { name: "stop-and-wait", depth: 1, slot_lens: (2048, 2048), copy: CopySpan::Whole, flush: flush(1) },
        Setting { name: "frame-a-batch", flush: flush(1), ..ours },
        Setting { name: "8-in-flight", depth: 8, flush: flush(1), ..ours },
        ours,
    ]
}

/// The adaptive flush and fixed ones, on the default queue pair.
fn flushes(rate: TickRate) -> [Setting; 6] {
    let fixed = |name, us| {
        let flush = FlushPolicy { ticks: rate.ticks_in_us(us), law: FlushLaw::Fixed, ..default_flush(rate) };
        Setting { name, flush, ..default_setting(rate) }
    };
    let adaptive = Setting { name: "adaptive", ..default_setting(rate) };
    [adaptive, fixed("0 us", 0), fixed("1 us", 1), fixed("2 us", 2), fixed("5 us", 5), fixed("10 us", 10)]
}

fn default_flush(rate: TickRate) -> FlushPolicy {
    QueuePairSection::default().flush_policy(rate)
}

/// The queue pair of a configuration that says nothing.
fn default_setting(rate: TickRate) -> Setting {
    let section = QueuePairSection::default();
    Setting {
        name: "default",
        depth: section.depth.get(),
        slot_lens: (section.request_slot_len.get(), section.response_slot_len.get()),
        copy: CopySpan::Used,
        flush: section.flush_policy(rate),
    }
}

impl Args {
    /// All settings under one load, one after the other in each repetition, so that whatever else the machine does hits
    /// them alike.
    fn measure(&self, settings: &[Setting], window: usize, rate: TickRate) -> Result<Vec<QueuePairRun>, Failure> {
        let ask = Ask {
            requests_per_frame: self.requests_per_frame,
            window,
            added_ticks: rate.ticks_in_us(self.added_us),
            duration: Duration::from_secs_f64(self.seconds),
            is_on_one_core: self.one_core,
        };
        let mut outcomes: Vec<Vec<Outcome>> = settings.iter().map(|_| Vec::new()).collect();
        for _ in 0..self.repeat {
            for (setting, outcomes) in settings.iter().zip(&mut outcomes) {
                outcomes.push(measure(setting, &ask, rate).map_err(|error| Failure::Usage(error.to_string()))?);
            }
        }
        let runs = settings.iter().zip(&outcomes);
        Ok(runs.map(|(setting, outcomes)| self.run_of(setting, window, outcomes)).collect())
    }

    fn run_of(&self, setting: &Setting, window: usize, outcomes: &[Outcome]) -> QueuePairRun {
        let each = |of: &dyn Fn(&Outcome) -> f64| outcomes.iter().map(of).collect::<Vec<_>>();
        let quantile_us =
            |quantile| median(&each(&|outcome| outcome.latency_ns.value_at_quantile(quantile) as f64 / 1e3));
        QueuePairRun {
            setting: setting.name,
            window,
            cores: if self.one_core { 1 } else { 2 },
            added_us: self.added_us,
            requests_per_frame: self.requests_per_frame,
            spread: Spread::of(&each(&|outcome| outcome.mops)),
            p50_us: quantile_us(0.5),
            p99_us: quantile_us(0.99),
            requests_per_batch: median(&each(&|outcome| outcome.requests_per_batch)),
            copied_bytes_per_request: median(&each(&|outcome| outcome.copied_bytes_per_request)),
        }
    }
}

fn print(runs: &[QueuePairRun]) {
    let base = runs.first().map_or(1.0, |run| run.spread.mops_median);
    for run in runs {
        let Spread { mops_median, mops_min, mops_max, .. } = run.spread;
        print_line(&format!(
            "window {:<3} {:<14} {mops_median:6.2} Mops ({mops_min:.2} to {mops_max:.2})  {:5.2} times  p50 {:.2} us  p99 {:.2} us  {:.1} a batch  {:.1} bytes a request",
            run.window,
            run.setting,
            mops_median / base,
            run.p50_us,
            run.p99_us,
            run.requests_per_batch,
            run.copied_bytes_per_request,
        ));
    }
}
