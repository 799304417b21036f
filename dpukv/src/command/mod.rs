//! One file per command.

pub(crate) mod bench;
pub(crate) mod demo;
pub(crate) mod doctor;

use crate::cli::{Cli, Command};
use crate::exit::{Exit, Failure};

/// Runs what was typed.
///
/// # Errors
/// The command's [`Failure`].
pub(crate) fn run(cli: &Cli) -> Result<Exit, Failure> {
    match &cli.command {
        Command::Bench(args) => bench::run(args, &cli.shared),
        Command::Demo(args) => demo::run(args, &cli.shared),
        Command::Doctor(args) => doctor::run(args, &cli.shared),
    }
}
