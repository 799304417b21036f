//! `dpukv bench peer`: other stores under the same load as ours, one client core, over TCP.
//!
//! No generator of a distribution asks Redis and memcached for several keys of 8 bytes at once, in a mix, with Zipf's
//! popularity, and tells latencies: redis-benchmark knows neither mixes nor Zipf and has keys of 12 bytes, memaslap has keys
//! above 16. This one writes what the stores' own documents call fastest, many keys in one command and several commands
//! under way, and spends a few tens of nanoseconds on a request.

mod connection;
mod protocol;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use rustix::event::{PollFd, PollFlags, poll};
use serde::Serialize;

use self::connection::{Connection, Draw};
use self::protocol::Protocol;
use super::repeated::{Mixes, Repeated};
use super::{at_least_one, print_line};
use crate::exit::{Exit, Failure};
use crate::measure::{Report, Spread};
use crate::workload::{Distribution, KeySampler, KeySpace};

/// Requests drawn beforehand: drawing must not cost what is measured.
const DRAW_COUNT: usize = 1 << 20;

/// Keys that one command stores while loading, and commands under way.
const LOAD_BATCH: usize = 64;
const LOAD_DEPTH: usize = 8;

/// What `bench peer` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What the store speaks
    #[arg(long, value_enum)]
    protocol: Protocol,

    /// Where it listens, over TCP
    #[arg(long, value_name = "IP:PORT")]
    address: SocketAddr,

    /// Keys of 8 bytes, with values of 8
    #[arg(long, value_name = "COUNT", default_value_t = 1_000_000)]
    keys: u64,

    /// Requests in one batch: what it reads is one command, MGET or get with many keys
    #[arg(long, value_name = "COUNT", default_value_t = 64)]
    batch: usize,

    /// Batches that each connection keeps under way
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    depth: usize,

    /// Connections
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    connections: usize,

    #[command(flatten)]
    mixes: Mixes,

    #[command(flatten)]
    repeated: Repeated,

    /// Leave out the load phase
    #[arg(long)]
    no_load: bool,

    /// What the report calls the store
    #[arg(long, value_name = "NAME", default_value = "peer")]
    subject: String,
}

/// One mix, over all its repetitions.
#[derive(Debug, Serialize)]
struct PeerRun {
    subject: String,
    batch: usize,
    depth: usize,
    connections: usize,
    distribution: String,
    gets: f64,
    #[serde(flatten)]
    spread: Spread,
    p50_us: f64,
    p99_us: f64,
    misses: u64,
    errors: u64,
}

impl PeerRun {
    fn print(&self) {
        print_line(&format!(
            "{} {:<9} GET {:.0} %  batch {} depth {} connections {}  {:.3} Mops ({:.3} to {:.3})  p50 {:.1} us  p99 {:.1} us  \
             misses {}  errors {}",
            self.subject,
            self.distribution,
            self.gets * 100.0,
            self.batch,
            self.depth,
            self.connections,
            self.spread.mops_median,
            self.spread.mops_min,
            self.spread.mops_max,
            self.p50_us,
            self.p99_us,
            self.misses,
            self.errors,
        ));
    }
}

/// What answers came to.
#[derive(Debug)]
struct Tally {
    answered: u64,
    misses: u64,
    /// Wrong values and refused requests.
    errors: u64,
    latency_ns: Histogram<u64>,
}

impl Tally {
    fn new() -> Self {
        let latency_ns = Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("constant bounds are valid");
        Self { answered: 0, misses: 0, errors: 0, latency_ns }
    }
}

/// Runs the command.
///
/// # Errors
/// Its [`Failure`].
pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    args.check()?;
    let keys = KeySpace::new(args.keys, 8).map_err(Failure::Usage)?;
    if !args.no_load {
        args.load()?;
    }
    let mut report = Report::new();
    for &distribution in &args.mixes.distribution {
        let sampler = KeySampler::new(keys, distribution);
        for &gets in &args.mixes.gets {
            let mut random = Xoshiro256PlusPlus::seed_from_u64(args.mixes.seed);
            let draw = |_| Draw { is_get: random.random_bool(gets), index: sampler.sample(&mut random) as u32 };
            let draws: Vec<Draw> = (0..DRAW_COUNT).map(draw).collect();
            let run = args.measure(distribution, gets, &draws)?;
            run.print();
            report.runs.push(run);
        }
    }
    args.repeated.write(&report)?;
    Ok(Exit::Done)
}

impl Args {
    fn check(&self) -> Result<(), Failure> {
        self.repeated.check()?;
        at_least_one("batch", self.batch, 1024)?;
        at_least_one("depth", self.depth, 1024)?;
        at_least_one("connections", self.connections, 1024)?;
        if self.keys > u64::from(u32::MAX) {
            return Err(Failure::Usage(format!("--keys {}: expected at most {}", self.keys, u32::MAX)));
        }
        self.mixes.check()
    }

    fn connect(&self, count: usize) -> Result<Vec<Connection>, Failure> {
        let connect = |_| Connection::open(self.address, self.protocol);
        (0..count).map(connect).collect::<Result<_, _>>().map_err(stopped)
    }

    /// Stores every key.
    fn load(&self) -> Result<(), Failure> {
        let mut connection = self.connect(1)?.remove(0);
        let mut tally = Tally::new();
        // Not more than a 32-bit number, as was checked.
        let draws: Vec<Draw> = (0..self.keys as u32).map(|index| Draw { is_get: false, index }).collect();
        let started = Instant::now();
        for batch in draws.chunks(LOAD_BATCH) {
            // An answer may come in pieces.
            while connection.outstanding() >= LOAD_DEPTH {
                connection.receive(&mut tally).map_err(stopped)?;
            }
            connection.ask(batch);
            connection.send().map_err(stopped)?;
        }
        while connection.outstanding() > 0 {
            connection.receive(&mut tally).map_err(stopped)?;
        }
        print_line(&format!("loaded {} keys in {:.2} s", self.keys, started.elapsed().as_secs_f64()));
        if tally.errors > 0 {
            return Err(Failure::Usage(format!(
                "{} of {} keys cannot be stored: give the store more memory",
                tally.errors, self.keys
            )));
        }
        Ok(())
    }

    fn measure(&self, distribution: Distribution, gets: f64, draws: &[Draw]) -> Result<PeerRun, Failure> {
        let mut connections = self.connect(self.connections)?;
        let mut tally = Tally::new();
        let mops = (0..self.repeated.repeat)
            .map(|_| self.closed_loop(&mut connections, draws, &mut tally).map_err(stopped))
            .collect::<Result<Vec<_>, _>>()?;
        let us = |quantile| tally.latency_ns.value_at_quantile(quantile) as f64 / 1e3;
        Ok(PeerRun {
            subject: self.subject.clone(),
            batch: self.batch,
            depth: self.depth,
            connections: self.connections,
            distribution: distribution.name(),
            gets,
            spread: Spread::of(&mops),
            p50_us: us(0.5),
            p99_us: us(0.99),
            misses: tally.misses,
            errors: tally.errors,
        })
    }

    /// As many batches as may be under way, until the time is over. Returns how many millions of requests a second were
    /// answered.
    fn closed_loop(&self, connections: &mut [Connection], draws: &[Draw], tally: &mut Tally) -> std::io::Result<f64> {
        // Whole batches only, so that all are alike.
        let mut batches = draws.chunks_exact(self.batch).cycle();
        let (started, length) = (Instant::now(), Duration::from_secs_f64(self.repeated.seconds));
        let before = tally.answered;
        loop {
            let is_over = started.elapsed() >= length;
            for connection in connections.iter_mut() {
                while !is_over && connection.outstanding() < self.depth {
                    connection.ask(batches.next().unwrap_or_default());
                }
                connection.send()?;
            }
            if connections.iter().all(|connection| connection.outstanding() == 0) {
                return Ok((tally.answered - before) as f64 / started.elapsed().as_secs_f64() / 1e6);
            }
            receive_from_some(connections, tally)?;
        }
    }
}

/// Receives from those connections that have something, at least one.
fn receive_from_some(connections: &mut [Connection], tally: &mut Tally) -> std::io::Result<()> {
    if let [only] = connections {
        return only.receive(tally);
    }
    let mut waiting: Vec<PollFd<'_>> =
        connections.iter().map(|connection| PollFd::new(connection, PollFlags::IN)).collect();
    poll(&mut waiting, None)?;
    let ready: Vec<bool> = waiting.iter().map(|waiting| !waiting.revents().is_empty()).collect();
    for (connection, _) in connections.iter_mut().zip(ready).filter(|(_, is_ready)| *is_ready) {
        connection.receive(tally)?;
    }
    Ok(())
}

fn stopped(source: std::io::Error) -> Failure {
    Failure::Stream { doing: "talk to the store", source }
}
