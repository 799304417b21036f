//! One file per command.

pub(crate) mod add;
pub(crate) mod bench;
pub(crate) mod counters;
pub(crate) mod delete;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod exists;
pub(crate) mod get;
pub(crate) mod incr;
pub(crate) mod manual;
pub(crate) mod profile;
pub(crate) mod set;
pub(crate) mod side;

use crate::cli::{Cli, Command};
use crate::exit::{Exit, Failure};

/// Runs what was typed.
///
/// # Errors
/// The command's [`Failure`].
pub(crate) fn run(cli: &Cli) -> Result<Exit, Failure> {
    match &cli.command {
        Command::Get(args) => get::run(args, &cli.shared),
        Command::Set(args) => set::run(args, &cli.shared),
        Command::Add(args) => add::run(args, &cli.shared),
        Command::Delete(args) => delete::run(args, &cli.shared),
        Command::Incr(args) => incr::run(args, &cli.shared),
        Command::Exists(args) => exists::run(args, &cli.shared),
        Command::Bench(args) => bench::run(args, &cli.shared),
        Command::Profile(args) => profile::run(args),
        Command::Demo(args) => demo::run(args, &cli.shared),
        Command::Doctor(args) => doctor::run(args, &cli.shared),
        Command::Counters(args) => counters::run(args),
        Command::Manual(args) => manual::run(args),
        Command::Host(args) => side::run_host(args),
        Command::Dpu(args) => side::run_dpu(args),
    }
}
