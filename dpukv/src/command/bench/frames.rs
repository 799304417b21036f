//! `dpukv bench frames`: a server over raw frames, in MICA2's wire or the native one, one client core.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use arch::Tick;
use client::frames::{
    FrameAnswer, FrameClient, FrameClientConfig, FrameDirectory, FrameEndpoint, TIMEOUT_US, WINDOW, Wire,
};
use hdrhistogram::Histogram;
use qp_wire::net::{Local, MacAddr, Remote};
use qp_wire::{Opcode, ResultCode};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Serialize;
use shell_io::clock::MonotonicClock;
use shell_io::port::dpdk::{self, DpdkConfig, DpdkPort};

use super::{above_zero, at_least_one, print_line, share};
use crate::exit::{Exit, Failure};
use crate::measure::{Report, Spread};
use crate::workload::{Distribution, KeySampler, KeySpace};

/// How long a server is asked whether it is there.
const PROBE_PATIENCE: Duration = Duration::from_secs(30);

/// Longest latency that is told apart, in nanoseconds. Nothing is waited for longer than a millisecond or so.
const LATENCY_NS_MAX: u64 = 1_000_000_000;

/// Samples drawn beforehand for each run: drawing must not cost what is measured.
const SAMPLE_COUNT: usize = 1 << 22;

/// What `bench frames` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Device to send by: dpdk: and a PCI address, or a virtual device with its arguments
    #[arg(long, value_name = "dpdk:DEVICE")]
    port: String,

    /// Endpoints of the server, the first one with label 0
    #[arg(long, value_name = "MAC/IP/PORT[,..]", value_delimiter = ',', required = true, value_parser = parse_remote)]
    endpoint: Vec<Remote>,

    /// Address of this client
    #[arg(long, value_name = "IP", default_value = "10.0.1.1")]
    address: Ipv4Addr,

    /// Partitions of the server, owned by its endpoints in turn
    #[arg(long, value_name = "COUNT", default_value_t = 16)]
    partitions: u16,

    /// Whether any endpoint answers reads
    #[arg(long)]
    concurrent_read: bool,

    /// What the server runs, for the report
    #[arg(long, value_name = "NAME", default_value = "unknown")]
    design: String,

    /// How requests are written
    #[arg(long, value_enum, default_value_t = WireName::Mica2)]
    wire: WireName,

    /// Requests in one frame, if they fit
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    requests_per_frame: u16,

    /// Requests outstanding at most; MICA2's client has 1024
    #[arg(long, value_name = "COUNT", default_value_t = WINDOW)]
    window: u16,

    /// Microseconds after which a request counts as lost
    #[arg(long, value_name = "MICROSECONDS", default_value_t = TIMEOUT_US)]
    timeout_us: u32,

    /// Keys of 8 bytes, with values of 8
    #[arg(long, value_name = "COUNT", default_value_t = 1_000_000)]
    keys: u64,

    /// Shares of GET, 0 to 1; the rest is SET
    #[arg(long, value_name = "SHARE[,SHARE..]", value_delimiter = ',', default_value = "1,0.95,0.5")]
    gets: Vec<f64>,

    /// Popularity of keys: uniform, zipf (0.99) or zipf:THETA
    #[arg(long, value_parser = Distribution::parse, value_delimiter = ',', default_value = "uniform,zipf")]
    distribution: Vec<Distribution>,

    /// Seconds of each repetition
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    seconds: f64,

    /// Repetitions, of which the median counts
    #[arg(long, value_name = "COUNT", default_value_t = 7)]
    repeat: usize,

    /// Use ordinary memory
    #[arg(long)]
    no_huge_pages: bool,

    /// What all random choices follow from
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Write the results to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// A wire, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum WireName {
    /// As MICA2's client does
    Mica2,
    /// In our own frames
    Native,
}

impl WireName {
    const fn wire(self) -> Wire {
        match self {
            Self::Mica2 => Wire::Mica,
            Self::Native => Wire::Native,
        }
    }

    /// Requests that a frame can have at most.
    const fn requests_per_frame_max(self) -> usize {
        match self {
            Self::Mica2 => u8::MAX as usize,
            Self::Native => qp_wire::limits::REQUEST_COUNT_MAX,
        }
    }

    /// As reports have it.
    const fn name(self) -> &'static str {
        match self {
            Self::Mica2 => "mica2",
            Self::Native => "native",
        }
    }
}

/// One mix, over all its repetitions.
#[derive(Debug, Serialize)]
struct FramesRun {
    design: String,
    wire: &'static str,
    requests_per_frame: u16,
    distribution: String,
    gets: f64,
    #[serde(flatten)]
    spread: Spread,
    p50_us: f64,
    p99_us: f64,
    misses: u64,
    timed_out: u64,
    errors: u64,
}

/// Runs the command.
///
/// # Errors
/// Its [`Failure`].
pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let usage = Failure::Usage;
    above_zero("seconds", args.seconds, 3600.0)?;
    at_least_one("repeat", args.repeat, 1000)?;
    at_least_one("partitions", args.partitions.into(), 256)?;
    at_least_one("requests-per-frame", args.requests_per_frame.into(), args.wire.requests_per_frame_max())?;
    at_least_one("window", args.window.into(), usize::from(u16::MAX) - 1)?;
    at_least_one("timeout-us", args.timeout_us as usize, 60_000_000)?;
    args.gets.iter().try_for_each(|&gets| share("gets", gets))?;
    let keys = KeySpace::new(args.keys, 8).map_err(usage)?;
    let mut bench = Bench::open(args)?;
    bench.load(args.keys)?;
    let mut report = Report::new();
    for &distribution in &args.distribution {
        let sampler = KeySampler::new(keys, distribution);
        let mut random = Xoshiro256PlusPlus::seed_from_u64(args.seed);
        let samples: Vec<u64> = (0..SAMPLE_COUNT).map(|_| sampler.sample(&mut random)).collect();
        for &gets in &args.gets {
            let run = bench.measure_mix(args, distribution, gets, &samples, &mut random);
            print_line(&format!(
                "{} {:<9} GET {:.0} %  {:.2} Mops ({:.2} to {:.2})  p50 {:.0} us  p99 {:.0} us  misses {}  timed out {}  errors {}",
                run.wire,
                run.distribution,
                gets * 100.0,
                run.spread.mops_median,
                run.spread.mops_min,
                run.spread.mops_max,
                run.p50_us,
                run.p99_us,
                run.misses,
                run.timed_out,
                run.errors,
            ));
            report.runs.push(run);
        }
    }
    if let Some(path) = &args.json {
        report.write(path).map_err(|source| Failure::File { path: path.clone(), source })?;
    }
    Ok(Exit::Done)
}

/// What answers came to.
#[derive(Debug)]
struct Tally {
    answered: u64,
    misses: u64,
    timed_out: u64,
    errors: u64,
    latency_ticks: Histogram<u64>,
}

impl Tally {
    fn new() -> Self {
        let latency_ticks = Histogram::new_with_bounds(1, LATENCY_NS_MAX, 2).expect("constant bounds are valid");
        Self { answered: 0, misses: 0, timed_out: 0, errors: 0, latency_ticks }
    }

    fn record(&mut self, answer: &FrameAnswer<'_>) {
        match answer.result {
            ResultCode::TimedOut => return self.timed_out += 1,
            ResultCode::Success => {}
            ResultCode::NotFound => self.misses += 1,
            _ => self.errors += 1,
        }
        self.answered += 1;
        self.latency_ticks.saturating_record(answer.ticks);
    }
}

struct Bench {
    client: FrameClient<DpdkPort>,
    clock: MonotonicClock,
}

impl Bench {
    fn open(args: &Args) -> Result<Self, Failure> {
        let usage = |error: &dyn std::fmt::Display| Failure::Usage(error.to_string());
        let expected = format!("--port {}: expected dpdk: and a device of DPDK's", args.port);
        let device = args.port.strip_prefix("dpdk:").ok_or(Failure::Usage(expected))?;
        let clock = MonotonicClock::start().map_err(|error| usage(&error))?;
        let opened = dpdk::open(&DpdkConfig {
            device: device.to_owned(),
            eal: Vec::new(),
            core_count: 1,
            queue_count_max: 1,
            first_udp_port: 0,
            buffers: 2 * u32::from(args.window),
            payload_len_max: 1472,
            huge_pages: !args.no_huge_pages,
        });
        let opened = opened.map_err(|error| usage(&error))?;
        let local = Local { mac: opened.mac, ipv4: args.address, port: 0 };
        let endpoint_count = args.endpoint.len() as u16;
        let endpoints = args.endpoint.iter().zip(0..).map(|(&remote, owner)| FrameEndpoint { owner, remote });
        let directory = FrameDirectory {
            concurrent_read: args.concurrent_read,
            concurrent_write: false,
            owners: (0..args.partitions).map(|partition| partition % endpoint_count).collect(),
            endpoints: endpoints.collect(),
        };
        let ports = opened.ports.into_iter().map(|port| (port, local));
        let config = FrameClientConfig {
            window: args.window,
            timeout_us: args.timeout_us,
            ..FrameClientConfig::new(args.wire.wire(), args.requests_per_frame)
        };
        let client = FrameClient::new(ports, directory, config, clock.rate());
        let mut bench = Self { client, clock };
        bench.connect(args)?;
        Ok(bench)
    }

    fn connect(&mut self, args: &Args) -> Result<(), Failure> {
        let start = Instant::now();
        while start.elapsed() < PROBE_PATIENCE {
            self.client.probe();
            let probed = Instant::now();
            while probed.elapsed() < Duration::from_millis(200) {
                self.client.poll(self.clock.now(), &mut |_| {});
                if self.client.is_connected() {
                    return Ok(());
                }
            }
        }
        Err(Failure::Usage(format!("no answer to probes at all of {} endpoints within 30 s", args.endpoint.len())))
    }

    /// Stores every key, and again what got no answer.
    fn load(&mut self, count: u64) -> Result<(), Failure> {
        let (mut fresh, mut again, mut errors) = (0..count, Vec::new(), 0u64);
        loop {
            while self.client.room() > 0
                && let Some(index) = again.pop().or_else(|| fresh.next())
            {
                if !self.submit(self.clock.now(), false, index, index) {
                    again.push(index);
                    break;
                }
            }
            let now = self.clock.now();
            self.client.flush(now);
            self.client.poll(now, &mut |answer| match answer.result {
                ResultCode::TimedOut => again.push(answer.tag),
                ResultCode::Success => {}
                _ => errors += 1,
            });
            if fresh.is_empty() && again.is_empty() && self.client.outstanding() == 0 {
                break;
            }
        }
        if errors > 0 {
            return Err(Failure::Usage(format!(
                "{errors} of {count} keys cannot be stored: give the server more memory"
            )));
        }
        Ok(())
    }

    fn submit(&mut self, now: Tick, is_get: bool, index: u64, tag: u64) -> bool {
        let key = index.to_le_bytes();
        let (opcode, value): (_, &[u8]) = if is_get { (Opcode::Get, &[]) } else { (Opcode::Set, &key) };
        self.client.submit(now, opcode, &key, value, tag).is_ok()
    }

    fn measure_mix(
        &mut self,
        args: &Args,
        distribution: Distribution,
        gets: f64,
        samples: &[u64],
        random: &mut Xoshiro256PlusPlus,
    ) -> FramesRun {
        let mut tally = Tally::new();
        let mut mops = Vec::new();
        for _ in 0..args.repeat {
            // Where a repetition begins in the samples, so that no two are the same.
            let offset = random.random_range(0..samples.len());
            let before = tally.answered;
            let seconds = self.measure(args.seconds, gets, &samples[offset..], samples, random, &mut tally);
            mops.push((tally.answered - before) as f64 / seconds / 1e6);
        }
        let rate = self.clock.rate();
        let us = |quantile| rate.ns(tally.latency_ticks.value_at_quantile(quantile)) as f64 / 1e3;
        FramesRun {
            design: args.design.clone(),
            wire: args.wire.name(),
            requests_per_frame: args.requests_per_frame,
            distribution: distribution.name(),
            gets,
            spread: Spread::of(&mops),
            p50_us: us(0.5),
            p99_us: us(0.99),
            misses: tally.misses,
            timed_out: tally.timed_out,
            errors: tally.errors,
        }
    }

    /// A closed loop for so many seconds; how many they were, the last answers included.
    fn measure(
        &mut self,
        seconds: f64,
        gets: f64,
        first: &[u64],
        rest: &[u64],
        random: &mut Xoshiro256PlusPlus,
        tally: &mut Tally,
    ) -> f64 {
        let started = self.clock.now();
        let ticks = (seconds * self.clock.rate().hz() as f64) as u64;
        let threshold = (gets * f64::from(u32::MAX)) as u32;
        let mut indices = first.iter().chain(rest.iter().cycle()).copied();
        loop {
            let now = self.clock.now();
            let is_over = now.since(started) >= ticks;
            if is_over && self.client.outstanding() == 0 {
                return self.clock.rate().ns(now.since(started)) as f64 / 1e9;
            }
            if !is_over {
                // Each frame that is submitted leaves with up to 31 others.
                for index in indices.by_ref().take(self.client.room()) {
                    let is_get = random.random::<u32>() <= threshold;
                    if !self.submit(self.clock.now(), is_get, index, 0) {
                        break;
                    }
                }
            }
            if is_over || self.client.room() == 0 {
                self.client.flush(now);
            }
            self.client.poll(self.clock.now(), &mut |answer| tally.record(&answer));
        }
    }
}

/// `MAC/IP/PORT`.
fn parse_remote(text: &str) -> Result<Remote, String> {
    let expected = || format!("{text}: expected MAC/IP/PORT, as 02:00:00:00:00:01/10.0.0.1/0");
    let mut parts = text.split('/');
    let (Some(mac), Some(ipv4), Some(port), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(expected());
    };
    let mac = MacAddr::parse(mac).ok_or_else(expected)?;
    let ipv4 = ipv4.parse().map_err(|_| expected())?;
    Ok(Remote { mac, ipv4, port: port.parse().map_err(|_| expected())? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_mac_address_and_port() {
        let remote = Remote { mac: MacAddr([2, 0, 0, 0, 0, 0xa]), ipv4: Ipv4Addr::new(10, 0, 0, 1), port: 0 };
        assert_eq!(parse_remote("02:00:00:00:00:0a/10.0.0.1/0"), Ok(remote));
        for text in ["", "02:00:00:00:00/10.0.0.1/0", "02:00:00:00:00:01/10.0.0.1", "02:00:00:00:00:01/10.0.0.1/0/1"] {
            assert!(parse_remote(text).is_err_and(|error| error.contains("expected MAC/IP/PORT")), "{text}");
        }
    }
}
