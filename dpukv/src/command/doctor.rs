//! `dpukv doctor`: says what this machine has and lacks.

use crate::cli::Shared;
use crate::exit::{Exit, Failure};

/// What `doctor` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the command.
///
/// # Errors
/// Its [`Failure`].
pub(crate) fn run(_args: &Args, _shared: &Shared) -> Result<Exit, Failure> {
    Err(Failure::NotBuilt { command: "doctor" })
}
