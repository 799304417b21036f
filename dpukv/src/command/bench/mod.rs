//! `dpukv bench`: measures servers with YCSB workloads. [`table`] and [`cache`] measure the table alone.

mod cache;
mod data_set;
mod datagrams;
mod echo;
mod frames;
mod hot_keys;
mod peer;
mod prepare;
mod queue_pair;
mod repeated;
mod table;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use client::{Config, Pipeline};
use indicatif::{ProgressBar, ProgressStyle};
use kv_core::design::Design;

pub(crate) use self::data_set::DataSet;
use crate::cli::Shared;
use crate::exit::{Exit, Failure};
use crate::measure::{Cost, Loaded, Measured, Phase, Progress, Report, Run, load, run as measure};
use crate::workload::{Distribution, Workload};

/// What `bench` takes.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    alone: Option<Alone>,

    #[command(flatten)]
    data_set: DataSet,

    /// YCSB workloads to run, one after the other
    #[arg(long, value_enum, value_delimiter = ',', default_value = "b")]
    workload: Vec<Workload>,

    /// Share of GET instead of a workload's, 0 to 1
    #[arg(long, value_name = "SHARE", conflicts_with = "workload")]
    gets: Option<f64>,

    /// Popularity of keys: uniform, zipf (0.99) or zipf:THETA
    #[arg(long, value_parser = Distribution::parse, default_value = "zipf")]
    distribution: Distribution,

    /// Seconds of each run
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    seconds: f64,

    /// Client threads
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    threads: usize,

    /// Closed loop: requests that each thread keeps outstanding
    #[arg(long, value_name = "COUNT", default_value_t = 1024)]
    window: usize,

    /// Most requests in one frame
    #[arg(long, value_name = "COUNT", default_value_t = 32)]
    requests_per_frame: usize,

    /// Open loop: requests a second over all threads, measured from the moment at which each is due
    #[arg(long, value_name = "OPS")]
    rate: Option<f64>,

    /// Closed loop: seconds that each thread rests whenever everything is answered
    #[arg(long, value_name = "SECONDS", conflicts_with = "rate")]
    pause: Option<f64>,

    /// Leave out the load phase
    #[arg(long)]
    no_load: bool,

    /// What all random choices follow from
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Write the results to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What is measured in other ways than by sockets.
#[derive(Debug, clap::Subcommand)]
enum Alone {
    /// Measure the table beside this machine's limit and other hash tables
    Table(Box<table::Args>),
    /// Compare which items a cache keeps with policies from the literature
    Cache(cache::Args),
    /// Measure a server over raw frames, as MICA2's client does
    Frames(Box<frames::Args>),
    /// Send back what comes to a device, for bench frames --wire echo
    Echo(echo::Args),
    /// Write frames to a file, for a side that replays them
    Prepare(prepare::Args),
    /// Measure the kernel's way of datagrams without a store, as a limit
    Datagrams(datagrams::Args),
    /// Measure another store, as a comparison
    Peer(peer::Args),
    /// Measure both sides of a queue pair in this process, without a network
    QueuePair(queue_pair::Args),
    /// Measure lat with a cache of hot keys in its DPU core, in this process, without a network
    HotKeys(Box<hot_keys::Args>),
}

/// Runs the command.
///
/// # Errors
/// Its [`Failure`].
pub(crate) fn run(args: &Args, shared: &Shared) -> Result<Exit, Failure> {
    match &args.alone {
        Some(Alone::Table(args)) => return table::run(args),
        Some(Alone::Cache(args)) => return cache::run(args),
        Some(Alone::Frames(args)) => return frames::run(args, shared),
        Some(Alone::Echo(args)) => return echo::run(args),
        Some(Alone::Prepare(args)) => return prepare::run(args),
        Some(Alone::Datagrams(args)) => return datagrams::run(args),
        Some(Alone::Peer(args)) => return peer::run(args),
        Some(Alone::QueuePair(args)) => return queue_pair::run(args),
        Some(Alone::HotKeys(args)) => return hot_keys::run(args),
        None => {}
    }
    let phase = args.phase(shared)?;
    let design = design_of(&phase.config)?;
    if !args.no_load {
        let loaded = with_bar("load", phase.keys.count(), |progress| load(&phase, progress))?;
        print_loaded(&loaded);
    }
    let mut report = Report::new();
    for (name, gets) in args.mixes() {
        let phase = Phase { gets, ..phase.clone() };
        let expected = phase.rate.map_or(0.0, |rate| rate * args.seconds);
        let measured = with_bar(&name, expected as u64, |progress| measure(&phase, progress))?;
        print_measured(&name, phase.distribution, &measured);
        report.runs.push(Run::new(&design, &name, phase.distribution, &measured, Cost::default()));
    }
    if let Some(path) = &args.json {
        report.write(path).map_err(|source| Failure::File { path: path.clone(), source })?;
    }
    Ok(Exit::Done)
}

impl Args {
    fn phase(&self, shared: &Shared) -> Result<Phase, Failure> {
        above_zero("seconds", self.seconds, 86_400.0)?;
        if let Some(rate) = self.rate {
            above_zero("rate", rate, 1e9)?;
        }
        if let Some(pause) = self.pause {
            above_zero("pause", pause, 86_400.0)?;
        }
        let gets = self.gets.unwrap_or(1.0);
        share("gets", gets)?;
        at_least_one("threads", self.threads, 256)?;
        let mut config = shared.config();
        config.window = self.window;
        config.requests_per_frame = self.requests_per_frame;
        let (keys, values) = self.data_set.shapes()?;
        Ok(Phase {
            config,
            keys,
            values,
            distribution: self.distribution,
            gets,
            threads: self.threads,
            duration: Duration::from_secs_f64(self.seconds),
            rate: self.rate,
            pause: Duration::from_secs_f64(self.pause.unwrap_or_default()),
            seed: self.seed,
        })
    }

    fn mixes(&self) -> Vec<(String, f64)> {
        match self.gets {
            Some(gets) => vec![(format!("{:.0}% GET", gets * 100.0), gets)],
            None => self.workload.iter().map(|workload| (workload.name().to_owned(), workload.gets())).collect(),
        }
    }
}

/// Asks whether the value of an option is above 0 and at most `max`.
pub(crate) fn above_zero(name: &str, value: f64, max: f64) -> Result<(), Failure> {
    if value > 0.0 && value <= max {
        Ok(())
    } else {
        Err(Failure::Usage(format!("--{name} {value}: expected above 0, at most {max}")))
    }
}

/// Asks whether the value of an option is a share of a whole.
fn share(name: &str, value: f64) -> Result<(), Failure> {
    if (0.0..=1.0).contains(&value) {
        Ok(())
    } else {
        Err(Failure::Usage(format!("--{name} {value}: expected 0 to 1")))
    }
}

/// Asks whether the value of an option is from 1 to `max`.
pub(crate) fn at_least_one(name: &str, value: usize, max: usize) -> Result<(), Failure> {
    if (1..=max).contains(&value) {
        Ok(())
    } else {
        Err(Failure::Usage(format!("--{name} {value}: expected 1 to {max}")))
    }
}

/// What the servers say they run; the first one's word.
fn design_of(config: &Config) -> Result<String, Failure> {
    let pipeline = Pipeline::connect(config)?;
    let design = pipeline.servers().next().and_then(|server| Design::ALL.get(usize::from(server.design)).copied());
    Ok(design.map_or("unknown", Design::name).to_owned())
}

/// Runs a phase with a bar on the terminal. `expected` answers are the whole; 0 when nobody knows.
pub(crate) fn with_bar<T: Send, E: Send>(
    name: &str,
    expected: u64,
    phase: impl FnOnce(&Progress) -> Result<T, E> + Send,
) -> Result<T, E> {
    let progress = Progress::new(0);
    let bar = if io::stderr().is_terminal() { ProgressBar::new(expected) } else { ProgressBar::hidden() };
    let template = if expected == 0 {
        "{prefix:>8} {spinner} {pos} answers {per_sec}"
    } else {
        "{prefix:>8} {wide_bar} {pos}/{len} {per_sec}"
    };
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_prefix(name.to_owned());
    let outcome = thread::scope(|scope| {
        let work = scope.spawn(|| phase(&progress));
        while !work.is_finished() {
            bar.set_position(progress.load(Ordering::Relaxed));
            thread::park_timeout(Duration::from_millis(100));
        }
        work.join()
    });
    bar.finish_and_clear();
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn print_loaded(loaded: &Loaded) {
    let rate = loaded.stored as f64 / loaded.seconds / 1e6;
    print_line(&format!("loaded {} keys in {:.2} s ({rate:.2} Mops)", loaded.stored, loaded.seconds));
    if loaded.full + loaded.errors > 0 {
        print_line(&format!("  the store is full for {} keys; {} other errors", loaded.full, loaded.errors));
    }
}

fn print_measured(name: &str, distribution: Distribution, measured: &Measured) {
    print_line(&format!(
        "{name:>8} {:<10} {:.3} Mops   p50 {:.1} us   p99 {:.1} us   p99.9 {:.1} us   hits {}   misses {}   lost {}   errors {}",
        distribution.name(),
        measured.mops(),
        measured.latency_us(0.5),
        measured.latency_us(0.99),
        measured.latency_us(0.999),
        measured.hits,
        measured.misses,
        measured.lost,
        measured.errors,
    ));
}

/// Prints a line; a reader that has gone away is no reason to fail.
pub(crate) fn print_line(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}
