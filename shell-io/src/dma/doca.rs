//! Copies by a DPU's DMA engine, through NVIDIA's DOCA.
//!
//! Both generations of its interface are known (`workq` and `pe`, with the same names); the library that is loaded
//! says which one it is. Everything else is the same for both:
//!
//! | what | file |
//! |---|---|
//! | the loaded library, and the lock around set-up | `library` |
//! | a device by its PCI address, and what it can | `device` |
//! | memory that a device reaches: local, exported, imported | `memory_map` |
//! | what the peer needs to import a map | `export` |
//! | buffers of an engine | `buffers` |
//! | the engine: jobs, pieces, what becomes of failures | `engine` |
//!
//! # What holds
//!
//! * DOCA's objects are not thread-safe. An engine and all that it uses while it runs belong to one core; calls for set-up
//!   and tear-down, which also touch the device, are made one at a time.
//! * While it runs, an engine takes nothing from DOCA and gives nothing back: tasks and buffers are made when it is opened.
//! * A full queue, a failed copy and a dead context are outcomes. A dead context fails every copy, so that its queue pair
//!   is given up; the next epoch opens another engine.
//! * Memory that a device may still write is never freed. What cannot be taken down in order is left as it is, and said.
//!
//! Nothing of this has run on hardware. Tests load libraries of our own that behave as is known of DOCA's.

#![allow(unsafe_code, reason = "DOCA is a C library; each file says what it has to hold for its calls")]

mod buffers;
mod context;
mod device;
mod engine;
mod error;
mod export;
mod library;
mod memory_map;
mod pe;
mod workq;

pub use buffers::DocaBuf;
pub use context::CompletionMode;
pub(crate) use device::is_pci_address;
pub use device::{Device, Installed, Limits, Purpose};
pub use engine::{DocaEngine, Target};
pub use error::DocaError;
pub use export::{EXPORT_HEADER_LEN, EXPORT_LEN_MAX, ExportDescriptor, ExportDescriptorError};
pub use memory_map::{Exported, Imported, Local, MemoryMap};
