//! `dpukv counters`: prints what a side counts, as OpenMetrics has it.
//!
//! A collector of text files takes it as it is: `dpukv counters FILE > dpukv.prom`. What a network device counts bears
//! its driver's names, which differ between drivers; they stand in a label.

use std::fmt::Write;
use std::path::PathBuf;

use kv_core::counters::{Counter, Counters};
use kv_core::design::Side;
use qp_wire::DropReason;
use shell_io::counters_file::{CountersHead, CountersReader, CountersSnapshot};

use super::bench::print_line;
use crate::exit::{Exit, Failure};

/// What `counters` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The counters of a side, as its configuration or its line `ready` names them
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// Its [`Failure`].
pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let reader = CountersReader::open(&args.file)?;
    print_line(open_metrics(reader.head(), &reader.read()?).trim_end());
    Ok(Exit::Done)
}

/// The text, each family of counters in one piece.
fn open_metrics(head: &CountersHead, snapshot: &CountersSnapshot) -> String {
    let side = match head.side {
        Side::Host => "host",
        Side::Dpu => "dpu",
    };
    let mut text = Text { side, lines: String::new() };
    text.family("tick_hz", Kind::Gauge);
    text.sample("tick_hz", Kind::Gauge, "", head.tick_hz);
    for &counter in Counter::ALL {
        let kind = if counter.is_gauge() { Kind::Gauge } else { Kind::Counter };
        text.of_cores(counter.name(), kind, &snapshot.cores, |core| core.get(counter));
    }
    for reason in DropReason::ALL {
        let name = format!("drop_{}", reason.name());
        text.of_cores(&name, Kind::Counter, &snapshot.cores, |core| core.drops.get(reason));
    }
    if !snapshot.device.is_empty() {
        // A driver does not say which of them only grow.
        text.family("device", Kind::Unknown);
        for (name, value) in &snapshot.device {
            let name = name.replace('\\', "\\\\").replace('"', "\\\"");
            text.sample("device", Kind::Unknown, &format!("name=\"{name}\""), *value);
        }
    }
    text.lines + "# EOF\n"
}

/// What a value can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Unknown,
}

#[derive(Debug)]
struct Text {
    side: &'static str,
    lines: String,
}

impl Text {
    fn of_cores(&mut self, name: &str, kind: Kind, cores: &[Counters], value: impl Fn(&Counters) -> u64) {
        self.family(name, kind);
        for (index, core) in cores.iter().enumerate() {
            self.sample(name, kind, &format!("core=\"{index}\""), value(core));
        }
    }

    fn family(&mut self, name: &str, kind: Kind) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Unknown => "unknown",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(self.lines, "# TYPE dpukv_{name} {kind}");
    }

    fn sample(&mut self, name: &str, kind: Kind, label: &str, value: u64) {
        let ending = if kind == Kind::Counter { "_total" } else { "" };
        let comma = if label.is_empty() { "" } else { "," };
        let _ = writeln!(self.lines, "dpukv_{name}{ending}{{side=\"{}\"{comma}{label}}} {value}", self.side);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_is_in_one_piece_and_says_what_it_is() {
        let mut core = Counters::default();
        core.add(Counter::Hits, 7);
        core.set(Counter::LinkMbps, 10_000);
        core.drops.add(DropReason::Malformed, 2);
        let head = CountersHead { side: Side::Dpu, core_count: 2, tick_hz: 1, server_id: 1, pid: 1 };
        let device = vec![("rx_\"q0\"_packets".to_owned(), 9)];
        let snapshot = CountersSnapshot { epoch: 1, cores: vec![Counters::default(), core], device };
        let text = open_metrics(&head, &snapshot);
        for part in [
            "# TYPE dpukv_tick_hz gauge\ndpukv_tick_hz{side=\"dpu\"} 1\n",
            "# TYPE dpukv_hits counter\ndpukv_hits_total{side=\"dpu\",core=\"0\"} 0\ndpukv_hits_total{side=\"dpu\",core=\"1\"} 7\n",
            "# TYPE dpukv_link_mbps gauge\ndpukv_link_mbps{side=\"dpu\",core=\"0\"} 0\n",
            "dpukv_drop_malformed_total{side=\"dpu\",core=\"1\"} 2\n",
            "# TYPE dpukv_device unknown\ndpukv_device{side=\"dpu\",name=\"rx_\\\"q0\\\"_packets\"} 9\n# EOF\n",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        let families = text.lines().filter(|line| line.starts_with("# TYPE")).count();
        assert_eq!(families, Counter::ALL.len() + DropReason::ALL.len() + 2);
    }
}
