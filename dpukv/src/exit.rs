//! How the command ends: documented exit codes, and the failures behind them.

use std::error::Error;
use std::fmt::Write;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use client::{ConnectError, RequestError};
use shell_io::boot::RunError;
use shell_io::counters_file::CountersOpenError;
use thiserror::Error;

use crate::demo::ServerError;
use crate::profile::ProfileError;

/// How the command ended. The numbers are part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done; the answer is yes.
    Done = 0,
    /// Done; the answer is no.
    No = 1,
    /// The command line makes no sense. clap uses the same number.
    Usage = 2,
    /// No server answers.
    NoServer = 3,
    /// The server speaks another version of the protocol.
    WrongVersion = 4,
    /// The server, or a limit, refuses the request.
    Refused = 5,
    /// No answer in time.
    TimedOut = 6,
    /// This machine failed: a socket, a file, a process.
    Machine = 7,
}

impl Exit {
    const ALL: [Self; 8] = [
        Self::Done,
        Self::No,
        Self::Usage,
        Self::NoServer,
        Self::WrongVersion,
        Self::Refused,
        Self::TimedOut,
        Self::Machine,
    ];

    const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done, or the key is there",
            Self::No => "the key is not there; for add: it is there already",
            Self::Usage => "wrong usage",
            Self::NoServer => "no server answers",
            Self::WrongVersion => "the server speaks another version of the protocol",
            Self::Refused => "refused: too large, store full, not supported",
            Self::TimedOut => "no answer in time; a write may or may not have been applied",
            Self::Machine => "this machine failed: a socket, a file, a process",
        }
    }

    /// The table of exit codes for `--help`.
    pub(crate) fn table() -> String {
        let mut table = String::from("Exit codes:\n");
        for exit in Self::ALL {
            // Writing to a string cannot fail.
            let _ = writeln!(table, "  {}  {}", exit as u8, exit.meaning());
        }
        table
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command could not do what was asked.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// An option that makes no sense, in a sentence.
    #[error("{0}")]
    Usage(String),
    /// No server, or the wrong one.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A request failed.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// There is no such key.
    #[error("there is no key {key:?}")]
    NotFound {
        /// The key, as it was typed.
        key: String,
    },
    /// There is such a key already.
    #[error("there is a key {key:?} already")]
    Exists {
        /// The key, as it was typed.
        key: String,
    },
    /// Standard input or output does not work.
    #[error("cannot {doing}")]
    Stream {
        /// What was tried.
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The demo's server does not run.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// There are no counters to be read.
    #[error(transparent)]
    Counters(#[from] CountersOpenError),
    /// Nothing was profiled.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// A side of a server does not run.
    #[error(transparent)]
    Side(#[from] RunError),
    /// The load phase left keys out.
    #[error("{design} stored {stored} of {keys} keys")]
    NotLoaded {
        /// The design that was loaded.
        design: &'static str,
        /// Keys that it acknowledged.
        stored: u64,
        /// Keys that it was given.
        keys: u64,
    },
    /// Signals cannot be caught.
    #[error("cannot catch signals")]
    Signal(#[source] io::Error),
    /// Somebody has had enough.
    #[error("interrupted; the demo's processes are stopped")]
    Interrupted,
}

impl Failure {
    /// The exit code that tells it.
    pub(crate) const fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::Profile(ProfileError::Frames(_)) | Self::Connect(ConnectError::Config(_)) => {
                Exit::Usage
            }
            Self::Connect(ConnectError::Version { .. }) => Exit::WrongVersion,
            Self::Connect(ConnectError::Socket { .. } | ConnectError::Thread(_)) => Exit::Machine,
            Self::Connect(_) => Exit::NoServer,
            Self::Request(error) => exit_of_request(error),
            Self::NotFound { .. } | Self::Exists { .. } => Exit::No,
            Self::Stream { .. } => Exit::Machine,
            Self::NotLoaded { .. } => Exit::Refused,
            Self::File { .. }
            | Self::Server(_)
            | Self::Counters(_)
            | Self::Side(_)
            | Self::Profile(_)
            | Self::Signal(_)
            | Self::Interrupted => Exit::Machine,
        }
    }

    /// The failure and its causes in one line.
    pub(crate) fn line(&self) -> String {
        let mut line = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Some errors tell their cause themselves.
            if !line.contains(&text) {
                let _ = write!(line, ": {text}");
            }
            cause = error.source();
        }
        line
    }
}

/// The exit code for a request that failed.
const fn exit_of_request(error: &RequestError) -> Exit {
    match error {
        RequestError::NoKey => Exit::Usage,
        RequestError::Version { .. } => Exit::WrongVersion,
        RequestError::TimedOut { .. } | RequestError::Unknown { .. } => Exit::TimedOut,
        RequestError::TooLarge(_)
        | RequestError::TooLargeForServer
        | RequestError::InsufficientSpace
        | RequestError::NotSupported
        | RequestError::WrongValue
        | RequestError::Refused { .. }
        | RequestError::Unexpected { .. } => Exit::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_code_is_in_the_help() {
        let table = Exit::table();
        for (index, exit) in Exit::ALL.into_iter().enumerate() {
            assert_eq!(exit as usize, index);
            assert!(table.contains(&format!("  {index}  {}", exit.meaning())), "{exit:?}");
        }
    }
}
