//! `[control]`: how the two sides find each other. The DPU listens, the host connects.

use std::net::{Ipv4Addr, SocketAddr};

use kv_core::design::Side;
use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::bounded::Bounded;
use super::error::{Finding, require};

/// The TCP port at which a DPU listens by default.
const CONTROL_PORT: u16 = 7599;

/// The `[control]` section of one side.
pub trait ControlSection: Clone + Default + Serialize + DeserializeOwned {
    /// The side whose section it is.
    const SIDE: Side;

    /// What its values expect of each other.
    ///
    /// # Errors
    /// The key that does not go with the others.
    fn check(&self) -> Result<(), Finding>;
}

/// `[control]` of the DPU.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListenSection {
    /// Where to listen. Port 0: whatever port is free.
    pub listen: SocketAddr,
    /// Milliseconds between two signs of life.
    pub heartbeat_ms: Bounded<u32, 1, 10_000>,
    /// Milliseconds of silence after which the other side counts as dead.
    pub dead_after_ms: Bounded<u32, 10, 100_000>,
}

impl Default for ListenSection {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, CONTROL_PORT)),
            heartbeat_ms: Bounded::default_of(100),
            dead_after_ms: Bounded::default_of(500),
        }
    }
}

impl ControlSection for ListenSection {
    const SIDE: Side = Side::Dpu;

    fn check(&self) -> Result<(), Finding> {
        check_times(self.heartbeat_ms.get(), self.dead_after_ms.get())
    }
}

/// `[control]` of the host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConnectSection {
    /// Where the DPU listens.
    pub connect: SocketAddr,
    /// Milliseconds of the longest pause between two attempts.
    pub retry_ms: Bounded<u32, 1, 10_000>,
    /// Milliseconds between two signs of life.
    pub heartbeat_ms: Bounded<u32, 1, 10_000>,
    /// Milliseconds of silence after which the other side counts as dead.
    pub dead_after_ms: Bounded<u32, 10, 100_000>,
}

impl Default for ConnectSection {
    fn default() -> Self {
        Self {
            connect: SocketAddr::from((Ipv4Addr::LOCALHOST, CONTROL_PORT)),
            retry_ms: Bounded::default_of(200),
            heartbeat_ms: Bounded::default_of(100),
            dead_after_ms: Bounded::default_of(500),
        }
    }
}

impl ControlSection for ConnectSection {
    const SIDE: Side = Side::Host;

    fn check(&self) -> Result<(), Finding> {
        let reachable = self.connect.port() != 0 && !self.connect.ip().is_unspecified();
        require(reachable, "control.connect", "the address and port at which the DPU listens")?;
        check_times(self.heartbeat_ms.get(), self.dead_after_ms.get())
    }
}

/// One lost or late heartbeat is no death.
fn check_times(heartbeat_ms: u32, dead_after_ms: u32) -> Result<(), Finding> {
    let least = 3 * heartbeat_ms;
    require(dead_after_ms >= least, "control.dead_after_ms", format!("at least 3 heartbeats, {least} ms"))
}
