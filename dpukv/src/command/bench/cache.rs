//! `dpukv bench cache`: which items a cache keeps, beside policies from the literature.

use shell_io::memory::{HugePages, TableMemory};

use super::{above_zero, print_line};
use crate::exit::{Exit, Failure};
use crate::table_bench::policy::{Cache, hit_share, literature, trace};
use crate::workload::{Distribution, KeySpace};

/// What `bench cache` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Keys that are asked for again and again
    #[arg(long, value_name = "COUNT", default_value_t = 1_000_000)]
    keys: u64,

    /// Bytes of each value; keys have 8
    #[arg(long, value_name = "BYTES[,BYTES..]", value_delimiter = ',', default_value = "8,100")]
    value_size: Vec<usize>,

    /// Share of the keys that fit the cache, about
    #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
    fit: f64,

    /// Popularity of keys: uniform, zipf (0.99) or zipf:THETA
    #[arg(long, value_parser = Distribution::parse, value_delimiter = ',', default_value = "zipf,zipf:0.8")]
    distribution: Vec<Distribution>,

    /// Shares of requests that belong to scans of keys that nobody asks for again
    #[arg(long, value_name = "SHARE[,SHARE..]", value_delimiter = ',', default_value = "0,0.2")]
    scans: Vec<f64>,

    /// Requests of each trace; the second half counts
    #[arg(long, value_name = "COUNT", default_value_t = 10_000_000)]
    requests: usize,

    /// What all random choices follow from
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs the command.
///
/// # Errors
/// Its [`Failure`].
pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let usage = Failure::Usage;
    above_zero("fit", args.fit, 1.0)?;
    if let Some(scans) = args.scans.iter().find(|scans| !(0.0..1.0).contains(*scans)) {
        return Err(usage(format!("--scans {scans}: expected 0 or more, below 1")));
    }
    let keys = KeySpace::new(args.keys, 8).map_err(usage)?;
    for &value_len in &args.value_size {
        let memory_len = (args.keys as f64 * args.fit) as usize * (24 + if value_len > 8 { value_len } else { 0 });
        for &distribution in &args.distribution {
            for &scans in &args.scans {
                let trace = trace(keys, distribution, scans, args.requests, args.seed);
                let memory = TableMemory::allocate(memory_len.max(16 * 1024), HugePages::Try)
                    .map_err(|error| Failure::Usage(error.to_string()))?;
                let mut cache =
                    Cache::new(memory.words(), value_len).map_err(|error| Failure::Usage(error.to_string()))?;
                let ours = hit_share(&mut cache, &trace);
                let count = cache.count();
                let mut line = format!(
                    "value {value_len:>4} B  {:<9}  scans {scans:.2}  {count} items  hits: dpukv {ours:.4}",
                    distribution.name()
                );
                for mut policy in literature(count) {
                    let share = hit_share(policy.as_mut(), &trace);
                    line.push_str(&format!("  {} {share:.4}", policy.name()));
                }
                print_line(&line);
            }
        }
    }
    Ok(Exit::Done)
}
