//! `dpukv bench table`: the table without a network, beside the machine's limit and other hash tables.

use std::path::PathBuf;
use std::time::Duration;

use kv_core::hash::{KEY_LANES, KeyHash, KeyLanes, Placement, Secret};
use kv_core::table::Table;
use shell_io::memory::{HugePages, PageKind};

use super::repeated::Mixes;
use super::{above_zero, at_least_one, print_line, with_bar};
use crate::exit::{Exit, Failure};
use crate::measure::{Report, Spread};
use crate::table_bench::{
    DEPTHS, Limit, Mix, Operation, Ours, OursConfig, Peer, PeerKind, Row, Stream, Worker, bytes_for, cpu_seconds,
    measure,
};
use crate::workload::{KeySpace, ValueShape};

/// What `bench table` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Keys of the data set
    #[arg(long, value_name = "COUNT", default_value_t = 20 << 20)]
    keys: u64,

    /// Bytes of each key
    #[arg(long, value_name = "BYTES", default_value_t = 8)]
    key_size: usize,

    /// Bytes of each value
    #[arg(long, value_name = "BYTES", default_value_t = 8)]
    value_size: usize,

    #[command(flatten)]
    mixes: Mixes,

    /// Measuring threads
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    threads: usize,

    /// Each thread its own part of the table, or one that owns it and others that read beside it
    #[arg(long, value_enum, default_value = "erew")]
    mode: Access,

    /// What is done with the keys
    #[arg(long, value_enum, default_value = "mix")]
    operation: Operation,

    /// Whether to ask for huge pages, for all subjects
    #[arg(long, value_enum, default_value = "try")]
    huge_pages: Pages,

    /// Bytes of memory for the table [default: what the items take at a fill of 80 to 90 %]
    #[arg(long, value_name = "BYTES")]
    memory: Option<u64>,

    /// Operations after which the pipeline runs empty, as the engines' does at the end of a burst; a multiple of 8
    #[arg(long, value_name = "COUNT", default_value_t = 8192)]
    burst: usize,

    /// Maps to compare with, for keys and values of 8 bytes
    #[arg(long, value_enum, value_delimiter = ',', default_value = "hashbrown")]
    peers: Vec<PeerKind>,

    /// Compare with no map
    #[arg(long, conflicts_with = "peers")]
    no_peers: bool,

    /// Time so many stores one by one, and nothing else
    #[arg(long, value_name = "COUNT")]
    slowest: Option<u64>,

    /// CPU seconds of each repetition
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    seconds: f64,

    /// Repetitions, of which the median counts
    #[arg(long, value_name = "COUNT", default_value_t = 7)]
    repeat: usize,

    /// Write the results to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// How threads share a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Access {
    /// Exclusive read, exclusive write
    Erew,
    /// Concurrent read, exclusive write
    Crew,
}

/// Which pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Pages {
    /// Ordinary pages
    Off,
    /// Huge ones if there are any
    Try,
}

/// A subject under measurement.
struct Subject<'m> {
    name: &'static str,
    workers: Vec<Box<dyn Worker + 'm>>,
    bytes_per_item: Option<f64>,
    kept_share: Option<f64>,
}

/// Runs the command.
///
/// # Errors
/// Its [`Failure`].
pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let plan = args.plan()?;
    print_hash_prices(plan.keys);
    let ours: Vec<Ours> = (0..plan.parts)
        .map(|_| Ours::allocate(plan.ours))
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::Usage(error.to_string()))?;
    let mut tables = Vec::new();
    for part in &ours {
        let loaded = with_bar("load", plan.keys.count(), |progress| part.load(progress));
        tables.push(loaded.map_err(|error| Failure::Usage(format!("--memory: {error}")))?);
    }
    if let Some(count) = args.slowest {
        return time_stores(&ours[0], &mut tables[0].0, &plan.mixes[0], count);
    }
    let kept_share = tables.iter().map(|(_, kept)| kept).sum::<f64>() / tables.len() as f64;
    let lines: Vec<f64> =
        plan.mixes.iter().map(|mix| ours[0].lines_touched(&tables[0].0, &Stream::draw(mix, args.mixes.seed))).collect();
    let pages = pages_name(ours[0].memory().pages());
    let mut subjects = vec![Subject {
        name: "dpukv",
        workers: workers(args, &ours, tables.into_iter().map(|(table, _)| table).collect()),
        bytes_per_item: Some(plan.ours.memory_len as f64 / (plan.keys.count() as f64 * kept_share)),
        kept_share: Some(kept_share),
    }];
    for &kind in args.peers.iter().filter(|_| args.compares()) {
        let keys = plan.keys.count() * plan.parts as u64;
        let Peer { workers, bytes } = Peer::load(kind, keys, args.threads);
        let bytes_per_item = Some(bytes as f64 / keys as f64);
        subjects.push(Subject { name: kind.name(), workers, bytes_per_item, kept_share: Some(1.0) });
    }
    let depth = best_depth(&ours[0], &plan, args.mixes.seed);
    print_line(&format!("{} keys a table, {pages}; the limit reads lines in batches of {depth}", plan.keys.count()));
    let mut report = Report::new();
    for (mix, lines) in plan.mixes.iter().zip(lines) {
        let mut limit: Vec<Box<dyn Worker + '_>> = Vec::new();
        for thread in 0..args.threads {
            limit.push(Box::new(Limit::new(ours[thread % ours.len()].memory().words(), depth)));
        }
        let rows = compare(args, &plan, mix, &mut subjects, &mut limit, pages, lines);
        rows.iter().for_each(|row| print_line(&row.line()));
        report.runs.extend(rows);
    }
    if let Some(path) = &args.json {
        report.write(path).map_err(|source| Failure::File { path: path.clone(), source })?;
    }
    Ok(Exit::Done)
}

/// Prints how long single stores take.
fn time_stores(ours: &Ours, table: &mut Table<'_>, mix: &Mix, count: u64) -> Result<Exit, Failure> {
    let times = with_bar("store", count, |_| ours.time_stores(table, mix, count)).map_err(Failure::Usage)?;
    let us = |ns: u64| ns as f64 / 1e3;
    let stats = table.stats();
    print_line(&format!(
        "{count} stores: median {:.2} us   p99.99 {:.2} us   p99.9999 {:.2} us   slowest {:.2} us of CPU time, clock included; {:.1} % of cells and {:.1} % of the log in use",
        us(times.value_at_quantile(0.5)),
        us(times.value_at_quantile(0.9999)),
        us(times.value_at_quantile(0.999_999)),
        us(times.max()),
        stats.cells_used as f64 / stats.cells as f64 * 100.0,
        stats.log_live_bytes as f64 / stats.log_bytes as f64 * 100.0,
    ));
    Ok(Exit::Done)
}

/// What the arguments come to.
struct Plan {
    /// Tables.
    parts: usize,
    /// Keys of each.
    keys: KeySpace,
    ours: OursConfig,
    mixes: Vec<Mix>,
    duration: Duration,
}

impl Args {
    fn plan(&self) -> Result<Plan, Failure> {
        let usage = Failure::Usage;
        above_zero("seconds", self.seconds, 3600.0)?;
        at_least_one("repeat", self.repeat, 1000)?;
        at_least_one("threads", self.threads, 64)?;
        if self.burst == 0 || !self.burst.is_multiple_of(KEY_LANES) {
            return Err(usage(format!("--burst {}: expected a multiple of {KEY_LANES}", self.burst)));
        }
        self.mixes.check()?;
        let parts = if self.mode == Access::Erew { self.threads } else { 1 };
        let keys = KeySpace::new(self.keys / parts as u64, self.key_size).map_err(usage)?;
        let values = ValueShape::new(self.value_size).map_err(usage)?;
        let memory_len = match self.memory {
            Some(memory) => memory as usize / parts,
            None => bytes_for(keys.count(), self.key_size + self.value_size),
        };
        let huge_pages = if self.huge_pages == Pages::Try { HugePages::Try } else { HugePages::Off };
        let concurrent_read = self.mode == Access::Crew;
        let mix = |distribution, gets| Mix { keys, distribution, operation: self.operation, gets };
        let gets: &[f64] = if self.operation == Operation::Mix { &self.mixes.gets } else { &[1.0] };
        let mixes =
            self.mixes.distribution.iter().flat_map(|&of| gets.iter().map(move |&gets| mix(of, gets))).collect();
        Ok(Plan {
            parts,
            keys,
            ours: OursConfig { keys, values, concurrent_read, memory_len, huge_pages, burst: self.burst },
            mixes,
            duration: Duration::from_secs_f64(self.seconds),
        })
    }

    fn compares(&self) -> bool {
        !self.no_peers && self.key_size == 8 && self.value_size == 8
    }
}

/// One worker a thread: an owner for each table, and in CREW readers for the other threads.
fn workers<'m>(args: &Args, ours: &[Ours], tables: Vec<Table<'m>>) -> Vec<Box<dyn Worker + 'm>> {
    let mut workers: Vec<Box<dyn Worker + 'm>> = Vec::new();
    for (part, table) in ours.iter().zip(tables) {
        let readers = if args.mode == Access::Crew { args.threads - 1 } else { 0 };
        let reader = table.reader();
        workers.push(Box::new(part.owner(table)));
        for _ in 0..readers {
            workers.push(Box::new(part.reader(reader)));
        }
    }
    workers
}

/// All repetitions of one mix, subject by subject within each.
fn compare(
    args: &Args,
    plan: &Plan,
    mix: &Mix,
    subjects: &mut [Subject<'_>],
    limit: &mut [Box<dyn Worker + '_>],
    pages: &str,
    lines: f64,
) -> Vec<Row> {
    let mut limits = Vec::new();
    let mut mops = vec![Vec::new(); subjects.len()];
    for repetition in 0..args.repeat as u64 {
        let seeds = (0..args.threads as u64).map(|thread| args.mixes.seed + repetition * 64 + thread);
        let streams: Vec<Stream> = seeds.map(|seed| Stream::draw(mix, seed)).collect();
        limits.push(measure(limit, &streams, plan.duration));
        for (subject, mops) in subjects.iter_mut().zip(&mut mops) {
            mops.push(measure(&mut subject.workers, &streams, plan.duration));
        }
    }
    let limit_mlines = Spread::of(&limits).mops_median;
    let row = |(subject, mops): (&Subject<'_>, &Vec<f64>)| {
        let spread = Spread::of(mops);
        Row {
            subject: subject.name.to_owned(),
            keys: args.keys,
            key_size: args.key_size,
            value_size: args.value_size,
            operation: format!("{:?}", args.operation).to_lowercase(),
            gets: mix.gets,
            distribution: mix.distribution.name(),
            threads: args.threads,
            mode: format!("{:?}", args.mode).to_lowercase(),
            pages: pages.to_owned(),
            ratio_to_limit: spread.mops_median / limit_mlines,
            spread,
            lines_per_op: (subject.name == "dpukv").then_some(lines),
            bytes_per_item: subject.bytes_per_item,
            kept_share: subject.kept_share,
            limit_mlines,
        }
    };
    subjects.iter().zip(&mops).map(row).collect()
}

/// The batch in which this machine reads most lines.
fn best_depth(ours: &Ours, plan: &Plan, seed: u64) -> usize {
    let stream = [Stream::draw(&plan.mixes[0], seed)];
    let mops = |depth: usize| {
        let mut worker: [Box<dyn Worker + '_>; 1] = [Box::new(Limit::new(ours.memory().words(), depth))];
        measure(&mut worker, &stream, plan.duration.min(Duration::from_millis(300)))
    };
    let best = DEPTHS.into_iter().map(|depth| (mops(depth), depth)).max_by(|a, b| a.0.total_cmp(&b.0));
    best.map_or(DEPTHS[0], |(_, depth)| depth)
}

fn pages_name(pages: PageKind) -> &'static str {
    match pages {
        PageKind::Ordinary => "ordinary pages",
        PageKind::TransparentHuge => "transparent huge pages",
        PageKind::ReservedHuge => "reserved huge pages",
    }
}

/// What the two hashes of a key cost, one key after the other and eight at a time.
fn print_hash_prices(keys: KeySpace) {
    const COUNT: u64 = 1 << 20;
    let secret = Secret { k0: 1, k1: 2 };
    let mut name = [0; qp_wire::limits::KEY_LEN_MAX];
    let names: Vec<Vec<u8>> = (0..8).map(|index| keys.encode(index, &mut name).to_vec()).collect();
    let lanes: [&[u8]; 8] = core::array::from_fn(|lane| names[lane].as_slice());
    let ns = |mut hash: Box<dyn FnMut(usize) -> u64 + '_>, keys_a_call: u64| {
        let begin = cpu_seconds();
        let mut sum = 0;
        for index in 0..COUNT as usize {
            sum ^= std::hint::black_box(hash(index % 8));
        }
        std::hint::black_box(sum);
        (cpu_seconds() - begin) * 1e9 / (COUNT * keys_a_call) as f64
    };
    let city = ns(Box::new(|lane| KeyHash::of(lanes[lane]).0), 1);
    let sip = ns(Box::new(|lane| Placement::of(&secret, lanes[lane]).to_bits()), 1);
    let sip_lanes = ns(
        Box::new(|_| {
            KeyLanes::new(&secret, std::hint::black_box(&lanes))
                .keys()
                .fold(0, |all, key| all ^ key.placement().to_bits())
        }),
        8,
    );
    print_line(&format!(
        "hash of a key: CityHash64 {city:.1} ns, SipHash-1-3 {sip:.1} ns, eight at a time {sip_lanes:.1} ns"
    ));
}
