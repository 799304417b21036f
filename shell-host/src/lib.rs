//! The host's program: processing engines, and the table in the host's large memory.
//!
//! Everything that it does is in `shell-io` and `kv-core`, the same for both sides. What makes it the host is that its
//! [`Config`] says where to connect to, and with that, which half of the plan it plays.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use shell_io::announce::Ready;
use shell_io::boot::{self, RunError};
use shell_io::config::ConnectSection;

/// The host's configuration.
pub type Config = shell_io::config::Config<ConnectSection>;

/// The name of the program.
pub const NAME: &str = "dpukv-host";

/// What the program is, for `--help`.
pub const ABOUT: &str = "The host side of a DPU-KV server: the table, and the cores that look into it";

/// Runs the host side until `stop` is set. `on_ready` is called once it serves.
///
/// # Errors
/// It could not start, or the DPU turned out to have another configuration.
pub fn run(config: &Config, stop: &Arc<AtomicBool>, on_ready: impl FnOnce(&Ready)) -> Result<(), RunError> {
    boot::run(config, stop, on_ready)
}
