//! What users configure: two TOML files, one for each side, with the same sections.
//!
//! A file is refused as a whole for its first mistake, in one line that names file, key, value and the expected form,
//! before anything is opened. Absent keys have their defaults; unknown ones are mistakes. `host.example.toml` and
//! `dpu.example.toml` show every key.

mod bounded;
mod byte_size;
mod control;
mod directory;
mod dma;
mod error;
mod file;
mod hot_keys;
mod idle;
mod pin;
mod prefix;
mod sections;
#[cfg(test)]
mod tests;

use std::path::Path;

use kv_core::design::{Plan, Side};
use serde::{Deserialize, Serialize};

pub use bounded::Bounded;
pub use byte_size::{ByteSize, ByteSizeError};
pub use control::{ConnectSection, ControlSection, ListenSection};
pub use directory::{DirectoryKind, DirectorySection};
pub use dma::{CompletionSetting, DmaKind, DmaSection};
pub use error::{ConfigError, Finding};
pub use hot_keys::HotKeysSection;
pub use idle::{IdleSection, Power};
pub use pin::Pin;
pub use prefix::{Prefix, PrefixError};
pub use sections::{
    CopySetting, CoresSection, CountersSection, FlushSetting, LogLevel, LogSection, NetworkSection, PlanSection,
    PortKind, PortSection, QueuePairSection, ResponseSetting, TableMode, TableSection,
};

/// The configuration of one side; `C` is its [`ControlSection`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, bound(deserialize = "C: ControlSection"))]
pub struct Config<C> {
    /// How work is divided.
    pub plan: PlanSection,
    /// The rings between the sides.
    pub queue_pair: QueuePairSection,
    /// Where clients reach this side.
    pub network: NetworkSection,
    /// By what packets come to it.
    pub port: PortSection,
    /// Who copies between the sides.
    pub dma: DmaSection,
    /// The items.
    pub table: TableSection,
    /// What the DPU answers by itself.
    pub hot_keys: HotKeysSection,
    /// Where the server is registered.
    pub directory: DirectorySection,
    /// How the sides find each other.
    pub control: C,
    /// The threads.
    pub cores: CoresSection,
    /// How a core without work gives way.
    pub idle: IdleSection,
    /// Where others read what is counted.
    pub counters: CountersSection,
    /// What is written to standard error.
    pub log: LogSection,
}

impl<C: ControlSection> Config<C> {
    /// The side that it configures.
    pub const SIDE: Side = C::SIDE;

    /// Reads and checks a file.
    ///
    /// # Errors
    /// The first mistake in it.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&file, &text),
            Err(source) => Err(ConfigError::Read { file, source }),
        }
    }

    /// Reads and checks a text; `file` is its name in messages.
    ///
    /// # Errors
    /// The first mistake in it.
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigError> {
        file::parse(file, text)
    }

    /// Checks what sections expect of each other and makes the plan. [`load`](Self::load) has done so already.
    ///
    /// # Errors
    /// The first key that does not go with the others.
    pub fn check(&self) -> Result<Plan, Finding> {
        sections::check_together(
            C::SIDE,
            &self.plan,
            &self.queue_pair,
            &self.network,
            &self.port,
            &self.table,
            &self.cores,
        )?;
        self.dma.check()?;
        self.directory.check(&self.network)?;
        self.control.check()?;
        let plan = self.plan.plan()?;
        self.hot_keys.check(&plan)?;
        Ok(plan)
    }
}
