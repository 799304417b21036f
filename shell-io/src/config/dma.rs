//! `[dma]`: who copies between the sides.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::bounded::Bounded;
use super::error::{Finding, require};
use crate::dma::doca::{CompletionMode, is_pci_address};

/// Who copies between the sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DmaKind {
    /// The CPU, through memory that both processes map.
    SharedMemory,
    /// The DPU's DMA engine, through DOCA.
    Doca,
}

/// How a core learns that its copies have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CompletionSetting {
    /// It looks in passing, and does other work meanwhile.
    Poll,
    /// It looks again and again until they have.
    Block,
    /// It sleeps until the device calls.
    Event,
}

/// `[dma]`: who copies between the sides. Both sides must have the same kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DmaSection {
    /// Who copies.
    pub kind: DmaKind,
    /// The PCI address of this side's device.
    pub device: String,
    /// The directory of DOCA's libraries; empty: where they are installed.
    pub library: PathBuf,
    /// How a core learns that its copies have ended.
    pub completion: CompletionSetting,
    /// Microseconds that copies of the CPU take beside their own: a knob of experiments.
    pub added_latency_us: Bounded<u32, 0, 1_000>,
}

impl Default for DmaSection {
    fn default() -> Self {
        Self {
            kind: DmaKind::SharedMemory,
            device: String::new(),
            library: PathBuf::new(),
            completion: CompletionSetting::Poll,
            added_latency_us: Bounded::default_of(0),
        }
    }
}

impl DmaSection {
    /// How engines wait.
    pub fn completion_mode(&self) -> CompletionMode {
        match self.completion {
            CompletionSetting::Poll => CompletionMode::Poll,
            CompletionSetting::Block => CompletionMode::Block,
            CompletionSetting::Event => CompletionMode::Event,
        }
    }

    /// Checks that the keys go with the kind.
    pub(super) fn check(&self) -> Result<(), Finding> {
        if self.kind == DmaKind::SharedMemory {
            let none = "none, since dma.kind is \"shared-memory\"";
            require(self.device.is_empty(), "dma.device", none)?;
            require(self.library.as_os_str().is_empty(), "dma.library", none)?;
            let is_polled = self.completion == CompletionSetting::Poll;
            return require(is_polled, "dma.completion", "\"poll\", since dma.kind is \"shared-memory\"");
        }
        let none = "0, since dma.kind is \"doca\"";
        require(self.added_latency_us.get() == 0, "dma.added_latency_us", none)?;
        require(is_pci_address(&self.device), "dma.device", "a PCI address such as \"0000:03:00.0\"")
    }
}
