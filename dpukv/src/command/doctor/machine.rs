//! The machine itself: its CPU, its memory, its sockets.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::thread;

use rustix::process::{Resource, getrlimit};

use super::{Finding, Verdict, finding};

/// What there is to say.
pub(super) fn findings() -> Vec<Finding> {
    vec![cpu(), cores(), huge_pages(), memlock(), socket(), socket_buffers()]
}

fn cpu() -> Finding {
    let features = arch::cpu_features();
    let crc = if features.has_crc32c_instructions() { "CRC32C by instruction" } else { "CRC32C by table" };
    let clock = if features.steady_counter { "steady counter" } else { "counter may change its rate" };
    let atomics = if features.lse { ", LSE" } else { "" };
    let found = format!("{}, {crc}, {clock}{atomics}", std::env::consts::ARCH);
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
