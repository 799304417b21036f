//! Where packets come from and go to, on real systems.
//!
//! One file per way in. Each implements a contract of [`kv_core::port`]; engines do not know which one they run on.

#[cfg(feature = "dpdk")]
pub mod dpdk;
#[cfg(not(feature = "dpdk"))]
#[path = "dpdk_absent.rs"]
pub mod dpdk;
mod dpdk_config;
mod replay;
mod udp;

pub use replay::{Replay, ReplayFrame, ReplayFrames, ReplayOpenError, ReplayPort};
pub use udp::{UdpConfig, UdpFrame, UdpOpenError, UdpPort};
