//! `dpukv profile`: what each role's core spends on a request, stage by stage.

use std::path::PathBuf;
use std::time::Duration;

use shell_io::clock::MonotonicClock;

use super::bench::{DataSet, above_zero, at_least_one, print_line, with_bar};
use crate::exit::{Exit, Failure};
use crate::profile::{Count, Plan, Report, Role, Wire, count_all, count_crossings, mark_all, time_all};
use crate::workload::{Distribution, Workload};

/// A counter as slow as many of AArch64 are tells nothing of a stage, and has nothing to do with cycles.
const CYCLES_HZ_MIN: u64 = 500_000_000;

/// What `profile` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Roles to profile: serve is cpu-only, communicate and process are the two sides of lat
    #[arg(long, value_enum, value_delimiter = ',', default_value = "serve,communicate,process")]
    role: Vec<Role>,

    /// How requests and responses are written
    #[arg(long, value_enum, value_delimiter = ',', default_value = "mica2,native")]
    wire: Vec<Wire>,

    /// YCSB workloads
    #[arg(long, value_enum, value_delimiter = ',', default_value = "a,b,c")]
    workload: Vec<Workload>,

    /// Requests in each frame
    #[arg(long, value_name = "COUNT", default_value_t = 16)]
    requests_per_frame: usize,

    #[command(flatten)]
    data_set: DataSet,

    /// Popularity of keys: uniform, zipf (0.99) or zipf:THETA
    #[arg(long, value_parser = Distribution::parse, default_value = "zipf")]
    distribution: Distribution,

    /// Seconds of each run
    #[arg(long, value_name = "SECONDS", default_value_t = 0.5)]
    seconds: f64,

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

/// Runs the command.
///
/// # Errors
/// Its [`Failure`].
pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let plan = args.plan()?;
    if args.marks {
        let marked = mark_all(&plan.to_count())?;
        let text = serde_json::to_string(&marked).map_err(|error| Failure::Usage(error.to_string()))?;
        print_line(&text);
        return Ok(Exit::Done);
    }
    let rate = MonotonicClock::start().map_err(|error| Failure::Usage(error.to_string()))?.rate();
    let timings = with_bar("time", plan.run_count(), |progress| time_all(&plan, progress))?;
    let crossings = count_crossings(&plan)?;
    let counts = if args.no_instructions { None } else { counts() };
    let has_cycles = rate.hz() >= CYCLES_HZ_MIN;
    if has_cycles {
        print_line(&format!("cycles are those of a counter of {:.0} MHz", rate.hz() as f64 / 1e6));
    } else {
        print_line(&format!("no cycles: the counter of this CPU has {:.1} MHz", rate.hz() as f64 / 1e6));
    }
    let report = Report::new(&plan, &timings, counts.as_deref(), crossings, has_cycles);
    report.lines().iter().for_each(|line| print_line(line));
    if let Some(path) = &args.json {
        report.write(path).map_err(|source| Failure::File { path: path.clone(), source })?;
    }
    Ok(Exit::Done)
}

/// Instructions, or a line that says why there are none.
fn counts() -> Option<Vec<Count>> {
    let counts = with_bar("count", 0, |_| count_all("--marks"));
    counts.inspect_err(|error| eprintln!("dpukv: instructions are not counted: {error}")).ok()
}

impl Args {
    fn plan(&self) -> Result<Plan, Failure> {
        above_zero("seconds", self.seconds, 3600.0)?;
        at_least_one("requests-per-frame", self.requests_per_frame, 255)?;
        let (keys, values) = self.data_set.shapes()?;
        Ok(Plan {
            roles: self.role.clone(),
            wires: self.wire.clone(),
            workloads: self.workload.clone(),
            requests_per_frame: self.requests_per_frame,
            keys,
            values,
            distribution: self.distribution,
            duration: Duration::from_secs_f64(self.seconds),
            seed: self.seed,
        })
    }
}
