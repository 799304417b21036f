//! `dpukv demo`: runs every design on this machine.

use crate::cli::Shared;
use crate::exit::{Exit, Failure};

/// What `demo` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the command.
///
/// # Errors
/// Its [`Failure`].
pub(crate) fn run(_args: &Args, _shared: &Shared) -> Result<Exit, Failure> {
    Err(Failure::NotBuilt { command: "demo" })
}
