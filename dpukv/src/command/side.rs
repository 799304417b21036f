//! `dpukv host` and `dpukv dpu`: one side of a server, which the demo starts as a process of its own.

use std::path::PathBuf;

use rustix::process::{Signal, set_parent_process_death_signal};
use shell_io::boot::{RunError, announce};
use shell_io::program::{log_to_stderr, stop_on_signals};

use crate::exit::{Exit, Failure};

/// What a side takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Its configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Runs the host side until a signal.
///
/// # Errors
/// Its [`Failure`].
pub(crate) fn run_host(args: &Args) -> Result<Exit, Failure> {
    let config = shell_host::Config::load(&args.config).map_err(RunError::from)?;
    log_to_stderr(config.log.level);
    let stop = stop_with_parent()?;
    shell_host::run(&config, &stop, announce)?;
    Ok(Exit::Done)
}

/// Runs the DPU side until a signal.
///
/// # Errors
/// Its [`Failure`].
pub(crate) fn run_dpu(args: &Args) -> Result<Exit, Failure> {
    let config = shell_dpu::Config::load(&args.config).map_err(RunError::from)?;
    log_to_stderr(config.log.level);
    let stop = stop_with_parent()?;
    shell_dpu::run(&config, &stop, announce)?;
    Ok(Exit::Done)
}

/// The flag that a signal sets. The end of the demo is one: a side that nobody uses must not stay behind.
fn stop_with_parent() -> Result<std::sync::Arc<std::sync::atomic::AtomicBool>, Failure> {
    let stop = stop_on_signals().map_err(Failure::Signal)?;
    set_parent_process_death_signal(Some(Signal::TERM)).map_err(|errno| Failure::Signal(errno.into()))?;
    Ok(stop)
}
