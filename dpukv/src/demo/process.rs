//! One side of the demo's server as a child process.

use std::env;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use kv_core::design::Side;
use rustix::process::{Pid, Signal, kill_process};
use thiserror::Error;

/// How long a process may take to stop before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// Why a side of the server does not run.
#[derive(Debug, Error)]
pub(crate) enum ProcessError {
    /// The operating system did not start it.
    #[error("cannot start the {side} process")]
    Start {
        /// Which one.
        side: &'static str,
        /// Why.
        source: io::Error,
    },
    /// It ended, and said why on standard error.
    #[error("the {side} process ended ({status}) before it was ready; its reason stands above")]
    Ended {
        /// Which one.
        side: &'static str,
        /// How.
        status: ExitStatus,
    },
    /// It runs, and is not ready.
    #[error("the {side} process was not ready within {} s", within.as_secs())]
    NotReady {
        /// Which one.
        side: &'static str,
        /// How long it had.
        within: Duration,
    },
}

/// A running side. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct Process {
    side: &'static str,
    child: Child,
    lines: Receiver<String>,
    endpoints: Vec<SocketAddr>,
}

impl Process {
    /// Starts this very program as one side of a server.
    pub(crate) fn start(side: Side, config: &Path) -> Result<Self, ProcessError> {
        let name = if side == Side::Host { "host" } else { "dpu" };
        let failed = |source| ProcessError::Start { side: name, source };
        let mut child = Command::new(env::current_exe().map_err(failed)?)
            .arg(name)
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let lines = child.stdout.take().map_or_else(|| mpsc::channel().1, read_lines);
        Ok(Self { side: name, child, lines, endpoints: Vec::new() })
    }

    /// Waits until it says that it serves.
    pub(crate) fn wait_ready(&mut self, within: Duration) -> Result<(), ProcessError> {
        let end = Instant::now() + within;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) if line.starts_with("ready ") => {
                    self.endpoints = endpoints_of(&line);
                    return Ok(());
                }
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return Err(ProcessError::NotReady { side: self.side, within }),
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.child.wait().map_err(|source| ProcessError::Start { side: self.side, source })?;
                    return Err(ProcessError::Ended { side: self.side, status });
                }
            }
        }
    }

    /// Where it serves.
    pub(crate) fn endpoints(&self) -> &[SocketAddr] {
        &self.endpoints
    }

    fn stop(&mut self) -> io::Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM)?;
        }
        let end = Instant::now() + STOP_WITHIN;
        while self.child.try_wait()?.is_none() {
            if Instant::now() >= end {
                self.child.kill()?;
                self.child.wait()?;
                return Ok(());
            }
            thread::park_timeout(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A process that cannot be stopped has ended, or is not ours any more.
        let _ = self.stop();
    }
}

/// Reads lines on a thread of its own, so that a silent process can be given up.
fn read_lines(stdout: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The addresses in `ready side=… endpoints=127.0.0.1:1,127.0.0.1:2 …`.
fn endpoints_of(line: &str) -> Vec<SocketAddr> {
    line.split_whitespace()
        .find_map(|field| field.strip_prefix("endpoints="))
        .map(|list| list.split(',').filter_map(|address| address.parse().ok()).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_names_the_endpoints() {
        let line = "ready side=dpu pid=7 endpoints=127.0.0.1:7600,127.0.0.1:7601 counters=/tmp/x";
        let expected: Vec<SocketAddr> = ["127.0.0.1:7600", "127.0.0.1:7601"].map(|text| text.parse().unwrap()).to_vec();
        assert_eq!(endpoints_of(line), expected);
        assert_eq!(endpoints_of("ready side=host pid=7 endpoints= counters="), []);
    }
}
