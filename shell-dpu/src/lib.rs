//! The DPU's program: communication engines, between the clients and the host's memory.
//!
//! Everything that it does is in `shell-io` and `kv-core`, the same for both sides. What makes it the DPU is that its
//! [`Config`] says where to listen for the host, and with that, which half of the plan it plays.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use shell_io::announce::Ready;
use shell_io::boot::{self, RunError};
use shell_io::config::ListenSection;

/// The DPU's configuration.
pub type Config = shell_io::config::Config<ListenSection>;

/// The name of the program.
pub const NAME: &str = "dpukv-dpu";

/// What the program is, for `--help`.
pub const ABOUT: &str = "The DPU side of a DPU-KV server: the cores that speak with clients";

/// Runs the DPU side until `stop` is set. `on_ready` is called once it serves.
///
/// # Errors
/// It could not start.
pub fn run(config: &Config, stop: &Arc<AtomicBool>, on_ready: impl FnOnce(&Ready)) -> Result<(), RunError> {
    boot::run(config, stop, on_ready)
}
