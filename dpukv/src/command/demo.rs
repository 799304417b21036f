//! `dpukv demo`: runs every design on this machine.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use client::Config;
use kv_core::design::Design;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::bench::{print_line, with_bar};
use crate::cli::Shared;
use crate::demo::{Cores, Server, Table};
use crate::exit::{Exit, Failure};
use crate::measure::{Phase, Report, Run, load, run as measure};
use crate::workload::{Distribution, KeySpace, ValueShape, Workload};

/// What `demo` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Designs to run, one after the other; all six by default
    #[arg(long, value_delimiter = ',', value_parser = parse_design)]
    design: Vec<Design>,

    /// YCSB workloads to run on each
    #[arg(long, value_enum, value_delimiter = ',', default_value = "a,b,c")]
    workload: Vec<Workload>,

    /// Keys to load, of 8 bytes, each with a value of 8 bytes
    #[arg(long, value_name = "COUNT", default_value_t = 1_000_000)]
    keys: u64,

    /// Popularity of keys: uniform, zipf (0.99) or zipf:THETA
    #[arg(long, value_parser = Distribution::parse, default_value = "zipf")]
    distribution: Distribution,

    /// Seconds of each run
    #[arg(long, value_name = "SECONDS", default_value_t = 1.5)]
    seconds: f64,

    /// Requests in one frame of the measured runs; the paper's clients send one
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    requests_per_frame: usize,

    /// Requests that the client keeps outstanding in the measured runs
    #[arg(long, value_name = "COUNT", default_value_t = 128)]
    window: usize,

    /// Write the results to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn parse_design(text: &str) -> Result<Design, String> {
    Design::from_name(text).ok_or_else(|| {
        let names = Design::ALL.map(Design::name).join(", ");
        format!("expected one of {names}")
    })
}

/// Memory for a data set of small items on each side: what the items take twice over, so that store mode is never full,
/// and never less than 16 MiB.
fn table_bytes(keys: u64) -> u64 {
    (keys.saturating_mul(128)).max(16 << 20)
}

/// Runs the command.
///
/// # Errors
/// Its [`Failure`].
pub(crate) fn run(args: &Args, shared: &Shared) -> Result<Exit, Failure> {
    if !(args.seconds > 0.0 && args.seconds <= 3600.0) {
        return Err(Failure::Usage(format!("--seconds {}: expected above 0, at most 3600", args.seconds)));
    }
    // With a flag instead of an end at once, dropping the servers stops their processes.
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted)).map_err(Failure::Signal)?;
    }
    let designs = if args.design.is_empty() { Design::ALL.to_vec() } else { args.design.clone() };
    print_line(&Table::head());
    let mut report = Report::new();
    for design in designs {
        run_design(design, args, shared, &interrupted, &mut report)?;
        if interrupted.load(Ordering::Relaxed) {
            return Err(Failure::Interrupted);
        }
    }
    print_line(&Table::verdict(&report.runs));
    if let Some(path) = &args.json {
        report.write(path).map_err(|source| Failure::File { path: path.clone(), source })?;
    }
    let all_right = report.runs.iter().all(|run| run.errors == 0);
    Ok(if all_right { Exit::Done } else { Exit::No })
}

fn run_design(
    design: Design,
    args: &Args,
    shared: &Shared,
    interrupted: &AtomicBool,
    report: &mut Report,
) -> Result<(), Failure> {
    let server = Server::start(design, Cores::of(design), table_bytes(args.keys))?;
    let mut config = Config::new(server.address().as_slice());
    config.timeout = shared.timeout;
    let phase = Phase {
        config,
        keys: KeySpace::new(args.keys, 8).map_err(Failure::Usage)?,
        values: ValueShape::new(8).map_err(Failure::Usage)?,
        distribution: args.distribution,
        gets: 0.0,
        threads: 1,
        duration: Duration::from_secs_f64(args.seconds),
        rate: None,
        pause: Duration::ZERO,
        seed: 1,
    };
    let loaded = with_bar(design.name(), args.keys, |progress| load(&phase, progress))?;
    if loaded.stored != args.keys {
        return Err(Failure::NotLoaded { design: design.name(), stored: loaded.stored, keys: args.keys });
    }
    for workload in &args.workload {
        if interrupted.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut phase = Phase { gets: workload.gets(), ..phase.clone() };
        phase.config.requests_per_frame = args.requests_per_frame;
        phase.config.window = args.window;
        let before = server.snapshot()?;
        let measured = with_bar(design.name(), 0, |progress| measure(&phase, progress))?;
        let cost = server.snapshot()?.cost_since(&before, measured.ops);
        let run = Run::new(design.name(), workload.name(), args.distribution, &measured, cost);
        print_line(&Table::line(&run));
        report.runs.push(run);
    }
    Ok(())
}
