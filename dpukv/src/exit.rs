//! How the command ends: documented exit codes, and the failures behind them.

use std::error::Error;
use std::fmt::Write;
use std::process::ExitCode;

use thiserror::Error;

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
    /// The command is announced, and not there yet.
    #[error("`dpukv {command}` is not built yet")]
    NotBuilt {
        /// The subcommand.
        command: &'static str,
    },
}

impl Failure {
    /// The exit code that tells it.
    pub(crate) const fn exit(&self) -> Exit {
        match self {
            Self::NotBuilt { .. } => Exit::Usage,
        }
    }

    /// The failure and its causes in one line.
    pub(crate) fn line(&self) -> String {
        let mut line = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let _ = write!(line, ": {error}");
            cause = error.source();
        }
        line
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
