//! Raw bindings to DOCA's DMA library, and nothing else: what makes them safe is in `shell-io`.
//!
//! The declarations are ours, made from names, argument types and values; no header of the SDK is used or needed. The
//! libraries are loaded when a program runs ([`Api::load`]), so one binary works with either generation of the
//! interface, and without DOCA:
//!
//! | generation | releases | its mark | completions |
//! |---|---|---|---|
//! | 1, work queues | 1.5 | `doca_workq_create` | events that are fetched |
//! | 2, progress engine | 2.5 and newer | `doca_pe_create` | callbacks |
//!
//! Which one it is, the symbols say, not a version. Releases 2.0 to 2.2 are between the two and are refused by the name
//! of the symbol that they lack.
//!
//! * Feature `link`: `Api::linked`, for programs that are made for one installation.
//! * Feature `verify-bindgen`: where the headers are installed, the build compares sizes, alignments, values and
//!   signatures with ours and fails when they differ.
//!
//! Written from public facts about the interface. It has never run on hardware.

mod data;
mod error;
mod functions;
mod load;
mod objects;
#[cfg(all(feature = "verify-bindgen", doca_headers))]
mod verify;

pub use data::{
    ACCESS_LOCAL_READ_ONLY, ACCESS_LOCAL_READ_WRITE, ACCESS_PCI_READ_ONLY, ACCESS_PCI_READ_WRITE, BUF_EXTENSION_NONE,
    CTX_IDLE, CTX_RUNNING, CTX_STARTING, CTX_STOPPING, Data, Event, JOB_FLAGS_NONE, JOB_MEMCPY, Job, MemcpyJob, PciBdf,
    WORKQ_RETRIEVE_FLAGS_NONE,
};
pub use error::RawError;
pub use functions::{FreeCallback, MemcpyCallback, PeFunctions, SharedFunctions, StateCallback, WorkqFunctions};
pub use load::{Api, Generation, LoadError};
pub use objects::{Buf, BufInventory, Ctx, Dev, DevInfo, Dma, Mmap, Pe, Task, TaskMemcpy, Workq};
