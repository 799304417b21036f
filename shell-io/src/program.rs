//! The command line that both programs have.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{Command, CommandFactory, FromArgMatches, Parser};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use tracing::level_filters::LevelFilter;

use crate::announce::side_name;
use crate::boot::{self, Boot, Exit, RunError};
use crate::config::{Config, LogLevel};

/// What can be typed.
#[derive(Debug, Parser)]
#[command(version, after_help = Exit::HELP)]
struct Cli {
    /// The configuration; without one, everything has its default
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Check the configuration and do nothing else
    #[arg(long)]
    check: bool,
}

/// What can be typed, for those who describe it: manual pages and shells' completions.
#[must_use]
pub fn command(name: &'static str, about: &'static str) -> Command {
    Cli::command().name(name).bin_name(name).about(about)
}

/// The whole of a program: reads the command line, runs the side until a signal, and says why it ends.
pub fn main<C: Boot>(name: &'static str, about: &'static str) -> ExitCode {
    // Clap exits by itself for `--help` and `--version` with 0, and with 2 for what it does not know.
    let matches = command(name, about).get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match start::<C>(&cli) {
        Ok(()) => ExitCode::from(Exit::Done as u8),
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::from(error.exit() as u8)
        }
    }
}

fn start<C: Boot>(cli: &Cli) -> Result<(), RunError> {
    let config = match &cli.config {
        Some(path) => Config::<C>::load(path)?,
        None => Config::default(),
    };
    let plan = config.check()?;
    if cli.check {
        let side = side_name(C::SIDE);
        println!("valid: design {}, {} cores on the {side} side", plan.design().name(), plan.core_count(C::SIDE));
        return Ok(());
    }
    log_to_stderr(config.log.level);
    let stop = stop_on_signals().map_err(RunError::Signals)?;
    boot::run(&config, &stop, boot::announce)
}

/// Sets up what is written to standard error.
pub fn log_to_stderr(level: LogLevel) {
    let filter = match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let to_stderr = tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    // Whoever has set up logging before keeps what they have.
    let _ = to_stderr.with_target(false).with_max_level(filter).try_init();
}

/// A flag that the first SIGINT or SIGTERM sets. The second one ends the process at once.
///
/// # Errors
/// The system does not let signals be handled.
pub fn stop_on_signals() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag unset and sets it, the second one finds it set.
        flag::register_conditional_default(signal, Arc::clone(&stop))?;
        flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}
