//! `dpukv bench queue-pair`: ways of batching on this machine, in one run: the paper's stop and wait, ours with batches of the
//! same size, four and eight in flight, and ours as it is configured by default.

use std::path::PathBuf;
use std::time::Duration;

use arch::TickRate;
use hdrhistogram::Histogram;
use kv_core::engine::{FlushLaw, FlushPolicy};
use kv_core::ring::CopySpan;
use serde::Serialize;
use shell_io::clock::MonotonicClock;

use super::{above_zero, at_least_one, print_line};
use crate::exit::{Exit, Failure};
use crate::measure::{Report, Spread};
use crate::queue_pair_bench::{Ask, Setting, measure};

/// What `bench queue-pair` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Requests of each frame, and so of each batch that is one frame
    #[arg(long, value_name = "COUNT", default_value_t = 16)]
    requests_per_frame: usize,

    /// Frames outstanding under load; light load is one
    #[arg(long, value_name = "COUNT", default_value_t = 64)]
    window: usize,

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

/// All repetitions of a setting. Latencies are medians of the repetitions'.
#[derive(Debug, Serialize)]
struct QueuePairRun {
    setting: &'static str,
    added_us: u64,
    requests_per_frame: usize,
    window: usize,
    cores: usize,
    #[serde(flatten)]
    spread: Spread,
    p50_us: f64,
    p99_us: f64,
    light_p50_us: f64,
    light_p99_us: f64,
    requests_per_batch: f64,
    copied_bytes_per_request: f64,
}

/// What repetitions have come to so far.
#[derive(Debug, Default)]
struct Repeated {
    mops: Vec<f64>,
    quantiles: [Vec<f64>; 4],
    requests_per_batch: Vec<f64>,
    copied_bytes_per_request: Vec<f64>,
}

/// Runs the command.
///
/// # Errors
/// Its [`Failure`].
pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    above_zero("seconds", args.seconds, 3600.0)?;
    at_least_one("repeat", args.repeat, 1000)?;
    at_least_one("window", args.window, 512)?;
    at_least_one("requests-per-frame", args.requests_per_frame, 64)?;
    let failed = |error: &dyn std::error::Error| Failure::Usage(error.to_string());
    let rate = MonotonicClock::start().map_err(|error| failed(&error))?.rate();
    let settings = settings(rate);
    let mut repeated: Vec<Repeated> = settings.iter().map(|_| Repeated::default()).collect();
    for _ in 0..args.repeat {
        // One after the other, so that whatever else the machine does hits them alike.
        for (setting, repeated) in settings.iter().zip(&mut repeated) {
            for window in [args.window, 1] {
                let ask = Ask {
                    requests_per_frame: args.requests_per_frame,
                    window,
                    added_ticks: rate.ticks_in_us(args.added_us),
                    duration: Duration::from_secs_f64(args.seconds),
                    is_on_one_core: args.one_core,
                };
                let outcome = measure(setting, &ask, rate).map_err(|error| failed(&error))?;
                let [under_load, under_load_late, light, light_late] = &mut repeated.quantiles;
                let (p50, p99) = if window == 1 { (light, light_late) } else { (under_load, under_load_late) };
                p50.push(quantile_us(&outcome.latency_ns, 0.5));
                p99.push(quantile_us(&outcome.latency_ns, 0.99));
                if window == args.window {
                    repeated.mops.push(outcome.mops);
                    repeated.requests_per_batch.push(outcome.requests_per_batch);
                    repeated.copied_bytes_per_request.push(outcome.copied_bytes_per_request);
                }
            }
        }
    }
    let runs: Vec<_> =
        settings.iter().zip(&repeated).map(|(setting, repeated)| args.run_of(setting, repeated)).collect();
    print(&runs);
    if let Some(path) = &args.json {
        Report { runs }.write(path).map_err(|source| Failure::File { path: path.clone(), source })?;
    }
    Ok(Exit::Done)
}

fn settings(rate: TickRate) -> [Setting; 4] {
    let flush = |len| FlushPolicy { len, ticks: rate.ticks_in_us(5), law: FlushLaw::Adaptive };
    let ours =
        Setting { name: "default", depth: 4, slot_lens: (16_384, 65_536), copy: CopySpan::Used, flush: flush(1024) };
    [
        // The prototype's buffers have 2049 bytes.
        Setting { name: "stop-and-wait", depth: 1, slot_lens: (2048, 2048), copy: CopySpan::Whole, flush: flush(1) },
        Setting { name: "frame-a-batch", flush: flush(1), ..ours },
        Setting { name: "8-in-flight", depth: 8, flush: flush(1), ..ours },
        ours,
    ]
}

impl Args {
    fn run_of(&self, setting: &Setting, repeated: &Repeated) -> QueuePairRun {
        let [p50_us, p99_us, light_p50_us, light_p99_us] =
            repeated.quantiles.each_ref().map(|values| Spread::of(values).mops_median);
        QueuePairRun {
            setting: setting.name,
            added_us: self.added_us,
            requests_per_frame: self.requests_per_frame,
            window: self.window,
            cores: if self.one_core { 1 } else { 2 },
            spread: Spread::of(&repeated.mops),
            p50_us,
            p99_us,
            light_p50_us,
            light_p99_us,
            requests_per_batch: Spread::of(&repeated.requests_per_batch).mops_median,
            copied_bytes_per_request: Spread::of(&repeated.copied_bytes_per_request).mops_median,
        }
    }
}

fn quantile_us(latency_ns: &Histogram<u64>, quantile: f64) -> f64 {
    latency_ns.value_at_quantile(quantile) as f64 / 1e3
}

fn print(runs: &[QueuePairRun]) {
    let base = runs.first().map_or(1.0, |run| run.spread.mops_median);
    for run in runs {
        let Spread { mops_median, mops_min, mops_max, .. } = run.spread;
        print_line(&format!(
            "{:<14} {mops_median:6.2} Mops ({mops_min:.2} to {mops_max:.2})  {:4.1} times  p50 {:.1} us  p99 {:.1} us  light p50 {:.2} us  p99 {:.2} us  {:.0} a batch  {:.1} bytes a request",
            run.setting,
            mops_median / base,
            run.p50_us,
            run.p99_us,
            run.light_p50_us,
            run.light_p99_us,
            run.requests_per_batch,
            run.copied_bytes_per_request,
        ));
    }
}
