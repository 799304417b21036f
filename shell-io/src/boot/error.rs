//! Why a program ends, and the exit code that says so.

use std::io;
use std::net::SocketAddr;

use kv_core::design::CoreId;
use kv_core::table::TableError;

use crate::clock::ClockError;
use crate::config::{ConfigError, Finding};
use crate::control::MismatchError;
use crate::counters_file::CountersCreateError;
use crate::dma::doca::DocaError;
use crate::memory::{AllocateError, RegionCreateError};
use crate::port::dpdk::DpdkOpenError;
use crate::port::{ReplayOpenError, UdpOpenError};

/// How a program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It was told to stop, or had nothing more to do.
    Done = 0,
    /// It has a bug.
    Bug = 1,
    /// The command line or the configuration is wrong. Nothing was opened.
    Config = 2,
    /// Memory, an address or another resource of the machine is not to be had.
    Resource = 3,
    /// The other side has another configuration or release.
    Mismatch = 4,
}

impl Exit {
    /// The exit codes, as users are told of them.
    pub const HELP: &str = "Exit codes:\n  0  told to stop\n  1  a bug\n  2  the command line or the configuration is \
                            wrong; nothing was opened\n  3  memory, an address or another resource is not to be had\n  \
                            4  the other side has another configuration or release";
}

/// Why a side could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration file is wrong.
    #[error("{0}")]
    File(#[from] ConfigError),
    /// The configuration is wrong.
    #[error("{0}")]
    Config(#[from] Finding),
    /// The machine has no clock.
    #[error("{0}")]
    Clock(#[from] ClockError),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(#[source] io::Error),
    /// There is no memory for the tables.
    #[error("{0}")]
    Memory(#[from] AllocateError),
    /// The memory for a partition does not make a table.
    #[error("{0}; raise table.memory or lower plan.partitions")]
    Table(#[from] TableError),
    /// There is no memory for the queue pairs.
    #[error("{0}")]
    Region(#[from] RegionCreateError),
    /// DOCA or its device is not to be had.
    #[error("{0}")]
    Dma(#[from] DocaError),
    /// The counters cannot be shown to others.
    #[error("{0}")]
    Counters(#[from] CountersCreateError),
    /// The control channel's address is not to be had.
    #[error("cannot listen for the host on {address}: {cause}; choose another control.listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        cause: io::Error,
    },
    /// The embedded directory's address is not to be had.
    #[error("cannot answer look-ups on {address}: {cause}; choose another directory.listen")]
    Directory {
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        cause: io::Error,
    },
    /// There is no thread that would register the server.
    #[error("cannot register the server: {0}")]
    Registrar(#[source] io::Error),
    /// A packet port is not to be had.
    #[error("core {}: {cause}", core.0)]
    Port {
        /// The core whose port it was to be.
        core: CoreId,
        /// Why.
        cause: UdpOpenError,
    },
    /// A device of DPDK's is not to be had.
    #[error("{0}")]
    Device(#[from] DpdkOpenError),
    /// There are no frames to replay.
    #[error("{0}")]
    Replay(#[from] ReplayOpenError),
    /// No thread, or nothing for it to wait on.
    #[error("core {}: {cause}", core.0)]
    Thread {
        /// The core.
        core: CoreId,
        /// What the operating system says.
        cause: io::Error,
    },
    /// Signals cannot be handled.
    #[error("cannot handle signals: {0}")]
    Signals(#[source] io::Error),
    /// The sides cannot work together.
    #[error("{0}; make both configurations say the same and start both sides with the same release")]
    Mismatch(#[from] MismatchError),
    /// A core's thread has panicked.
    #[error("core {} has ended by itself: this is a bug", core.0)]
    Core {
        /// The core.
        core: CoreId,
    },
}

impl RunError {
    /// The exit code for it.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::File(_) | Self::Config(_) => Exit::Config,
            Self::Clock(_)
            | Self::Random(_)
            | Self::Memory(_)
            | Self::Table(_)
            | Self::Region(_)
            | Self::Dma(_)
            | Self::Counters(_)
            | Self::Listen { .. }
            | Self::Directory { .. }
            | Self::Registrar(_)
            | Self::Port { .. }
            | Self::Device(_)
            | Self::Replay(_)
            | Self::Thread { .. }
            | Self::Signals(_) => Exit::Resource,
            Self::Mismatch(_) => Exit::Mismatch,
            Self::Core { .. } => Exit::Bug,
        }
    }
}
