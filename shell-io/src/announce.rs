//! The one line that a program writes to standard output, once it serves.
//!
//! ```text
//! ready side=dpu pid=4711 endpoints=127.0.0.1:7600,127.0.0.1:7601 control=127.0.0.1:7599 counters=/proc/4711/fd/9
//! ```
//!
//! It is for whoever has started the program: scripts read it, and so does `dpukv demo`. What there is none of is `-`.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use kv_core::design::Side;

/// What a program that serves has opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The side that the program is.
    pub side: Side,
    /// Its process id.
    pub pid: u32,
    /// Where clients reach its cores, in the order of the cores; empty when it has no packet port.
    pub endpoints: Vec<SocketAddr>,
    /// Where it listens for the other side, if it is the one to listen.
    pub control: Option<SocketAddr>,
    /// Where to read its counters: a path for [`CountersReader::open`](crate::counters_file::CountersReader::open).
    pub counters: PathBuf,
}

/// A line is no [`Ready`] line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a ready line: field {field} is missing or wrong")]
pub struct ReadyError {
    /// The first field that is.
    pub field: &'static str,
}

impl fmt::Display for Ready {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ready side={} pid={} endpoints={}", side_name(self.side), self.pid, joined(&self.endpoints))?;
        write!(out, " control={} counters={}", joined(self.control.as_slice()), self.counters.display())
    }
}

impl FromStr for Ready {
    type Err = ReadyError;

    fn from_str(line: &str) -> Result<Self, ReadyError> {
        let mut rest = line.strip_prefix("ready ").ok_or(ReadyError { field: "ready" })?;
        let mut field = |name, last| {
            let value = rest.strip_prefix(name).and_then(|rest| rest.strip_prefix('='));
            let (value, behind) = match value {
                Some(value) if last => (value, ""),
                Some(value) => value.split_once(' ').ok_or(ReadyError { field: name })?,
                None => return Err(ReadyError { field: name }),
            };
            rest = behind;
            Ok(value)
        };
        let (side, pid) = (field("side", false)?, field("pid", false)?);
        let (endpoints, control) = (field("endpoints", false)?, field("control", false)?);
        // A path may have spaces, so it is the last one.
        let counters = field("counters", true)?;
        Ok(Self {
            side: [Side::Host, Side::Dpu]
                .into_iter()
                .find(|known| side_name(*known) == side)
                .ok_or(ReadyError { field: "side" })?,
            pid: pid.parse().map_err(|_| ReadyError { field: "pid" })?,
            endpoints: split(endpoints).ok_or(ReadyError { field: "endpoints" })?,
            control: match *split(control).ok_or(ReadyError { field: "control" })?.as_slice() {
                [] => None,
                [address] => Some(address),
                _ => return Err(ReadyError { field: "control" }),
            },
            counters: PathBuf::from(counters),
        })
    }
}

/// The name of a side, in file names, thread names and messages.
pub const fn side_name(side: Side) -> &'static str {
    match side {
        Side::Host => "host",
        Side::Dpu => "dpu",
    }
}

fn joined(addresses: &[SocketAddr]) -> String {
    match addresses {
        [] => "-".to_owned(),
        _ => addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(","),
    }
}

fn split(addresses: &str) -> Option<Vec<SocketAddr>> {
    match addresses {
        "-" => Some(Vec::new()),
        _ => addresses.split(',').map(|address| address.parse().ok()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready() -> Ready {
        Ready {
            side: Side::Dpu,
            pid: 4711,
            endpoints: vec![([127, 0, 0, 1], 7600).into(), ([127, 0, 0, 1], 7601).into()],
            control: Some(([127, 0, 0, 1], 7599).into()),
            counters: PathBuf::from("/proc/4711/fd/9"),
        }
    }

    #[test]
    fn a_ready_line_is_read_as_it_was_written() {
        let line = "ready side=dpu pid=4711 endpoints=127.0.0.1:7600,127.0.0.1:7601 control=127.0.0.1:7599 \
                    counters=/proc/4711/fd/9";
        assert_eq!(ready().to_string(), line);
        assert_eq!(line.parse(), Ok(ready()));
        let host = Ready {
            side: Side::Host,
            endpoints: vec![],
            control: None,
            counters: PathBuf::from("/run/my store/counters"),
            ..ready()
        };
        assert_eq!(host.to_string().parse(), Ok(host));
    }

    #[test]
    fn another_line_is_refused_by_its_first_wrong_field() {
        let line = ready().to_string();
        for (from, to, field) in [
            ("ready ", "", "ready"),
            ("side=dpu", "side=nic", "side"),
            ("side=dpu ", "", "side"),
            ("pid=4711", "pid=-1", "pid"),
            (":7601", "", "endpoints"),
            (" control=127.0.0.1:7599", "", "control"),
            ("7599", "7599,127.0.0.1:1", "control"),
            ("counters=", "counter=", "counters"),
        ] {
            assert_eq!(line.replacen(from, to, 1).parse::<Ready>(), Err(ReadyError { field }), "{from}");
        }
    }
}
