//! `dpukv doctor`: says what this machine has and lacks.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::PathBuf;
use std::thread;

use client::Pipeline;
use rustix::process::{Resource, getrlimit};
use serde::Serialize;
use shell_io::dma::doca::Installed;

use super::bench::print_line;
use crate::cli::Shared;
use crate::exit::{Exit, Failure};

/// What `doctor` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write the findings to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// How good a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    /// As it should be.
    Good,
    /// It works, and could work better.
    Limited,
    /// The embedded default does not need it; something else does.
    Absent,
    /// Servers do not run without it.
    Broken,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    verdict: Verdict,
    found: String,
    /// What to do about it; empty when there is nothing to do.
    advice: String,
}

#[derive(Debug, Serialize)]
struct Findings {
    findings: Vec<Finding>,
}

/// Runs the command. The exit code is 1 when something is broken.
///
/// # Errors
/// Its [`Failure`].
pub(crate) fn run(args: &Args, shared: &Shared) -> Result<Exit, Failure> {
    let findings =
        vec![cpu(), cores(), huge_pages(), memlock(), socket(), socket_buffers(), dpdk(), doca(), server(shared)];
    for Finding { what, verdict, found, advice } in &findings {
        let mark = match verdict {
            Verdict::Good => "good   ",
            Verdict::Limited => "limited",
            Verdict::Absent => "absent ",
            Verdict::Broken => "BROKEN ",
        };
        print_line(&format!("{mark}  {what:<15} {found}"));
        if !advice.is_empty() {
            print_line(&format!("{:>26}-> {advice}", ""));
        }
    }
    let broken = findings.iter().any(|finding| finding.verdict == Verdict::Broken);
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&Findings { findings }).unwrap_or_default();
        fs::write(path, text + "\n").map_err(|source| Failure::File { path: path.clone(), source })?;
    }
    Ok(if broken { Exit::No } else { Exit::Done })
}

fn finding(what: &'static str, verdict: Verdict, found: impl Into<String>, advice: impl Into<String>) -> Finding {
    Finding { what, verdict, found: found.into(), advice: advice.into() }
}

fn cpu() -> Finding {
    let features = arch::cpu_features();
    let crc = if features.has_crc32c_instructions() { "CRC32C by instruction" } else { "CRC32C by table" };
    let clock = if features.steady_counter { "steady counter" } else { "counter may change its rate" };
    let found = format!("{}, {crc}, {clock}", std::env::consts::ARCH);
    if !features.steady_counter {
        return finding(
            "CPU",
            Verdict::Limited,
            found,
            "latencies and time-outs may be off while the clock rate changes",
        );
    }
    if !features.has_crc32c_instructions() {
        return finding("CPU", Verdict::Limited, found, "slot checksums cost three to fifteen times as much");
    }
    finding("CPU", Verdict::Good, found, "")
}

fn cores() -> Finding {
    match thread::available_parallelism().map_or(1, usize::from) {
        1 => finding("cores", Verdict::Limited, "1 usable", "client, DPU and host processes will take turns on it"),
        count => finding("cores", Verdict::Good, format!("{count} usable"), ""),
    }
}

/// A number out of a file of `name value` lines.
fn number_in(path: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn huge_pages() -> Finding {
    let reserved = number_in("/proc/meminfo", "HugePages_Total:").unwrap_or(0);
    let size_kib = number_in("/proc/meminfo", "Hugepagesize:").unwrap_or(2048);
    let transparent = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
    let usable = transparent.contains("[always]") || transparent.contains("[madvise]");
    let found = format!("{reserved} reserved of {size_kib} KiB; transparent: {}", if usable { "yes" } else { "no" });
    if reserved > 0 || usable {
        finding("huge pages", Verdict::Good, found, "")
    } else {
        finding(
            "huge pages",
            Verdict::Limited,
            found,
            "large tables: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
        )
    }
}

fn memlock() -> Finding {
    match getrlimit(Resource::Memlock).current {
        None => finding("memlock", Verdict::Good, "unlimited", ""),
        Some(bytes) => finding(
            "memlock",
            Verdict::Absent,
            format!("{} KiB", bytes / 1024),
            "only a DMA engine needs more: ulimit -l unlimited, or LimitMEMLOCK=infinity in a systemd unit",
        ),
    }
}

fn socket() -> Finding {
    match UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)) {
        Ok(_) => finding("UDP", Verdict::Good, "sockets on 127.0.0.1", ""),
        Err(error) => {
            finding("UDP", Verdict::Broken, error.to_string(), "the embedded default needs the loopback interface")
        }
    }
}

fn socket_buffers() -> Finding {
    const ENOUGH: u64 = 4 * 1024 * 1024;
    let read = |name: &str| fs::read_to_string(format!("/proc/sys/net/core/{name}")).ok()?.trim().parse::<u64>().ok();
    match read("rmem_max") {
        Some(bytes) if bytes >= ENOUGH => {
            finding("socket buffers", Verdict::Good, format!("up to {} KiB", bytes / 1024), "")
        }
        Some(bytes) => finding(
            "socket buffers",
            Verdict::Limited,
            format!("up to {} KiB", bytes / 1024),
            format!(
                "bursts beyond that are lost and sent again: sysctl -w net.core.rmem_max={ENOUGH} net.core.wmem_max={ENOUGH}"
            ),
        ),
        None => finding("socket buffers", Verdict::Limited, "unknown", ""),
    }
}

fn dpdk() -> Finding {
    if shell_io::port::dpdk::IS_BUILT {
        return finding("DPDK", Verdict::Good, "this build has ports for its devices", "");
    }
    finding(
        "DPDK",
        Verdict::Absent,
        "this build has no DPDK port",
        "packets go through kernel sockets; MICA2's own clients need raw frames: build with --features dpdk",
    )
}

fn doca() -> Finding {
    const HARDWARE: &str = "copies by DOCA have never run on hardware";
    match Installed::look(None) {
        Ok(Installed { generation, origin, devices }) => {
            let able = devices.iter().filter(|(_, limits)| limits.can_copy).map(|(address, _)| address.as_str());
            let able = able.collect::<Vec<_>>().join(", ");
            let found = format!("generation {generation} from {origin}; devices that copy: {able}");
            let verdict = if able.is_empty() { Verdict::Limited } else { Verdict::Good };
            finding("DOCA", verdict, found, HARDWARE)
        }
        Err(error) => finding(
            "DOCA",
            Verdict::Absent,
            error.to_string(),
            format!("copies go through shared memory; dma.kind = \"doca\" needs DOCA's runtime; {HARDWARE}"),
        ),
    }
}

fn server(shared: &Shared) -> Finding {
    let mut config = shared.config();
    config.connect_timeout = config.connect_timeout.min(shared.timeout);
    match Pipeline::connect(&config) {
        Ok(pipeline) => {
            let servers: Vec<_> = pipeline.servers().map(|server| format!("{}", server.address)).collect();
            finding("server", Verdict::Good, format!("{} answers", servers.join(", ")), "")
        }
        Err(error) => {
            finding("server", Verdict::Absent, error.to_string(), "start one: dpukv demo, or dpukv-host and dpukv-dpu")
        }
    }
}
