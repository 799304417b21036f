//! What the commands for one item share: the client, and how they speak.

use std::io::{self, Write};

use clap::Args;
use client::{Client, Config};
use serde_json::Value;

use crate::cli::Shared;
use crate::exit::{Exit, Failure};

/// How a command speaks.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Output {
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// A client of the servers that were named.
///
/// # Errors
/// [`Failure::Connect`].
pub(crate) fn connect(shared: &Shared) -> Result<Client, Failure> {
    let config = Config { connect_timeout: shared.timeout, ..shared.config() };
    Ok(Client::with_config(&config)?)
}

/// Prints bytes to standard output.
///
/// # Errors
/// [`Failure::Stream`].
pub(crate) fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(|source| Failure::Stream { doing: "write to standard output", source })
}

/// Prints a JSON object in one line.
///
/// # Errors
/// [`Failure::Stream`].
pub(crate) fn print_json(object: &Value) -> Result<(), Failure> {
    print(format!("{object}\n").as_bytes())
}

impl Output {
    /// Ends a command that answers yes or no: with a JSON object, or with a failure that says no.
    ///
    /// # Errors
    /// What `no` makes, and [`Failure::Stream`].
    pub(crate) fn end(self, is_yes: bool, object: &Value, no: impl FnOnce() -> Failure) -> Result<Exit, Failure> {
        if self.json {
            print_json(object)?;
            return Ok(if is_yes { Exit::Done } else { Exit::No });
        }
        if is_yes { Ok(Exit::Done) } else { Err(no()) }
    }
}
