//! `dpukv bench frames`: a server over raw frames, in MICA2's wire or the native one, one client core.

mod load;

use std::net::Ipv4Addr;

use client::frames::{FrameDirectory, FrameEndpoint, PreparedFrames, TIMEOUT_US, WINDOW, Wire};
use directory::Directory;
use qp_wire::net::{MacAddr, Remote};
use serde::Serialize;

use self::load::{Load, Requests, Tally};
use super::repeated::{Mixes, Repeated};
use super::{above_zero, at_least_one, print_line};
use crate::cli::Shared;
use crate::exit::{Exit, Failure};
use crate::measure::{Report, Spread};
use crate::workload::{Distribution, KeySampler, KeySpace};

/// Of what a closed loop reached, how much is offered to see the latency, and how much to see a server overloaded: more than
/// twice what it can do, even where the closed loop did not find all of that.
const LIGHT: f64 = 0.1;
const OVERLOAD: f64 = 2.5;

/// What `bench frames` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Device to send by: dpdk: and a PCI address, or a virtual device with its arguments
    #[arg(long, value_name = "dpdk:DEVICE")]
    port: String,

    /// Endpoints of the server, the first one with label 0; with --directory, the server's entry says which
    #[arg(long, value_name = "MAC/IP/PORT[,..]", value_delimiter = ',', value_parser = parse_remote)]
    endpoint: Vec<Remote>,

    /// Address of this client
    #[arg(long, value_name = "IP", default_value = "10.0.1.1")]
    address: Ipv4Addr,

    /// Partitions of the server, owned by its endpoints in turn; with --directory, its entry says how many
    #[arg(long, value_name = "COUNT", default_value_t = 16)]
    partitions: u16,

    /// Whether any endpoint answers reads; with --directory, its entry says
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

    #[command(flatten)]
    mixes: Mixes,

    #[command(flatten)]
    repeated: Repeated,

    /// Measure also at a tenth of what a closed loop reaches
    #[arg(long)]
    latency: bool,

    /// Measure also at two and a half times what a closed loop reaches, in frames prepared beforehand
    #[arg(long)]
    overload: bool,

    /// Offer so many millions of requests a second instead of a closed loop
    #[arg(long, value_name = "MOPS", conflicts_with_all = ["latency", "overload"])]
    rate: Option<f64>,

    /// Use ordinary memory
    #[arg(long)]
    no_huge_pages: bool,
}

/// A wire, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum WireName {
    /// As MICA2's client does
    Mica2,
    /// In our own frames
    Native,
    /// In our own frames, to `bench echo`, which sends them back as they are
    Echo,
}

impl WireName {
    pub(super) const fn wire(self) -> Wire {
        match self {
            Self::Mica2 => Wire::Mica,
            Self::Native => Wire::Native,
            Self::Echo => Wire::Echo,
        }
    }

    /// Requests that a frame can have at most.
    pub(super) const fn requests_per_frame_max(self) -> usize {
        match self {
            Self::Mica2 => u8::MAX as usize,
            Self::Native | Self::Echo => qp_wire::limits::REQUEST_COUNT_MAX,
        }
    }

    /// As reports have it.
    const fn name(self) -> &'static str {
        match self {
            Self::Mica2 => "mica2",
            Self::Native => "native",
            Self::Echo => "echo",
        }
    }
}

/// One mix under one load, over all its repetitions.
#[derive(Debug, Serialize)]
struct FramesRun {
    design: String,
    wire: &'static str,
    requests_per_frame: u16,
    distribution: String,
    gets: f64,
    /// `closed`, `light`, `overload` or `rate`.
    load: &'static str,
    /// Millions of requests that were given to the port in a second, on average.
    offered_mops: f64,
    #[serde(flatten)]
    spread: Spread,
    /// Of a flood nothing is timed.
    p50_us: Option<f64>,
    p99_us: Option<f64>,
    misses: u64,
    timed_out: u64,
    errors: u64,
    /// Frames that the port did not take, because its queue was full.
    unsent: u64,
    /// Of a flood, requests that the port took and that were never answered.
    lost: u64,
}

impl FramesRun {
    fn print(&self) {
        let times = self.p50_us.zip(self.p99_us);
        let times = times.map(|(p50, p99)| format!("p50 {p50:.1} us  p99 {p99:.1} us  ")).unwrap_or_default();
        print_line(&format!(
            "{} {:<9} GET {:.0} %  {:<8} {:.2} Mops ({:.2} to {:.2}) of {:.2}  {times}misses {}  timed out {}  unsent {}  \
             lost {}  errors {}",
            self.wire,
            self.distribution,
            self.gets * 100.0,
            self.load,
            self.spread.mops_median,
            self.spread.mops_min,
            self.spread.mops_max,
            self.offered_mops,
            self.misses,
            self.timed_out,
            self.unsent,
            self.lost,
            self.errors,
        ));
    }
}

/// How much is asked for.
#[derive(Clone, Copy, Debug)]
enum Pace {
    /// As much as is answered.
    Closed,
    /// Millions of requests a second.
    Open(f64),
    /// Millions of requests a second, in prepared frames.
    Flood(f64),
}

impl Args {
    fn check(&self) -> Result<(), Failure> {
        self.repeated.check()?;
        at_least_one("partitions", self.partitions.into(), 256)?;
        at_least_one("requests-per-frame", self.requests_per_frame.into(), self.wire.requests_per_frame_max())?;
        at_least_one("window", self.window.into(), usize::from(u16::MAX) - 1)?;
        at_least_one("timeout-us", self.timeout_us as usize, 60_000_000)?;
        if let Some(rate) = self.rate {
            above_zero("rate", rate, 1000.0)?;
        }
        self.mixes.check()
    }

    /// The server's endpoints: those that were named, or what its entry in the directory says.
    fn server(&self, shared: &Shared) -> Result<FrameDirectory, Failure> {
        let usage = Failure::Usage;
        match &shared.directory {
            Some(source) if self.endpoint.is_empty() => {
                let listed = Directory::new(source).servers();
                let servers = listed.map_err(|error| usage(format!("--directory {source}: {error}")))?;
                let mut entries = servers.values();
                match (entries.next(), entries.next()) {
                    (Some(entry), None) => Ok(entry.into()),
                    _ => Err(usage(format!("--directory {source}: it lists {} servers, expected one", servers.len()))),
                }
            }
            None if self.endpoint.is_empty() => {
                Err(usage("expected --endpoint MAC/IP/PORT, or --directory URL where the server is listed".to_owned()))
            }
            _ => Ok(self.named_server()),
        }
    }

    fn named_server(&self) -> FrameDirectory {
        let endpoint_count = self.endpoint.len() as u16;
        let endpoints = self.endpoint.iter().zip(0..).map(|(&remote, owner)| FrameEndpoint { owner, remote });
        FrameDirectory {
            concurrent_read: self.concurrent_read,
            concurrent_write: false,
            owners: (0..self.partitions).map(|partition| partition % endpoint_count).collect(),
            endpoints: endpoints.collect(),
        }
    }

    /// The device as DPDK names it.
    fn device(&self) -> Result<String, Failure> {
        device_of(&self.port)
    }

    fn has_open_loop(&self) -> bool {
        self.latency || self.rate.is_some()
    }

    /// Measures one mix at all the paces that are asked for.
    fn measure_mix(
        &self,
        load: &mut Load,
        distribution: Distribution,
        gets: f64,
        requests: &mut Requests,
    ) -> Vec<FramesRun> {
        let mut measure = |name, pace| {
            let run = self.measure(load, name, pace, distribution, gets, requests);
            run.print();
            run
        };
        if let Some(rate) = self.rate {
            return vec![measure("rate", Pace::Open(rate))];
        }
        let mut runs = vec![measure("closed", Pace::Closed)];
        let peak = runs[0].spread.mops_median;
        if self.latency {
            runs.push(measure("light", Pace::Open(LIGHT * peak)));
        }
        if self.overload {
            runs.push(measure("overload", Pace::Flood(OVERLOAD * peak)));
        }
        runs
    }

    fn measure(
        &self,
        load: &mut Load,
        name: &'static str,
        pace: Pace,
        distribution: Distribution,
        gets: f64,
        requests: &mut Requests,
    ) -> FramesRun {
        let (mut tally, unsent_before) = (Tally::new(), load.unsent());
        let Repeated { seconds, repeat: count, .. } = self.repeated;
        let mut prepared = PreparedFrames::default();
        if let Pace::Flood(_) = pace {
            requests.begin(gets);
            prepared = load.prepare(requests);
        }
        let repeat = |_| {
            requests.begin(gets);
            match pace {
                Pace::Closed => load.closed_loop(seconds, requests, &mut tally),
                Pace::Open(mops) => load.open_loop(seconds, mops, requests, &mut tally),
                Pace::Flood(mops) => load.flood(seconds, mops, &mut prepared, &mut tally),
            }
        };
        let mops: Vec<f64> = (0..count).map(repeat).collect();
        let us = |quantile| {
            let ticks = &tally.latency_ticks;
            (!ticks.is_empty()).then(|| load.us(ticks.value_at_quantile(quantile)))
        };
        FramesRun {
            design: self.design.clone(),
            wire: self.wire.name(),
            requests_per_frame: self.requests_per_frame,
            distribution: distribution.name(),
            gets,
            load: name,
            offered_mops: tally.offered as f64 / (count as f64 * seconds * 1e6),
            spread: Spread::of(&mops),
            p50_us: us(0.5),
            p99_us: us(0.99),
            misses: tally.misses,
            timed_out: tally.timed_out,
            errors: tally.errors,
            unsent: load.unsent() - unsent_before,
            lost: if matches!(pace, Pace::Flood(_)) { tally.sent.saturating_sub(tally.answered) } else { 0 },
        }
    }
}

/// Runs the command.
///
/// # Errors
/// Its [`Failure`].
pub(crate) fn run(args: &Args, shared: &Shared) -> Result<Exit, Failure> {
    args.check()?;
    let keys = KeySpace::new(args.keys, 8).map_err(Failure::Usage)?;
    let mut load = Load::open(args, args.server(shared)?)?;
    if args.wire != WireName::Echo {
        load.store(args.keys)?;
    }
    let mut report = Report::new();
    for &distribution in &args.mixes.distribution {
        let sampler = KeySampler::new(keys, distribution);
        let mut requests = Requests::new(args.mixes.seed, |random| sampler.sample(random));
        for &gets in &args.mixes.gets {
            report.runs.extend(args.measure_mix(&mut load, distribution, gets, &mut requests));
        }
    }
    args.repeated.write(&report)?;
    Ok(Exit::Done)
}

/// The device of `dpdk:DEVICE`.
///
/// # Errors
/// [`Failure::Usage`].
pub(super) fn device_of(port: &str) -> Result<String, Failure> {
    let device = port.strip_prefix("dpdk:").map(str::to_owned);
    device.ok_or_else(|| Failure::Usage(format!("--port {port}: expected dpdk: and a device of DPDK's")))
}

/// `MAC/IP/PORT`.
pub(super) fn parse_remote(text: &str) -> Result<Remote, String> {
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
