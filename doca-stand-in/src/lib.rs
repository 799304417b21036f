//! A stand-in for DOCA's DMA library, for tests: no hardware, no SDK, and every failure on demand.
//!
//! `doca-stand-in-workq` and `doca-stand-in-pe` are the libraries to load, with the symbols of generation 1 and 2; what
//! both have is here. Nothing finds them by accident: a test names the directory in which they stand under DOCA's names.
//!
//! * A handle is a number and never followed. A dead or wrong one ends the process with a line that says which: that is a
//!   bug of the caller's, which real libraries answer with a crash at best.
//! * *Exported memory* must be a shared mapping of a file that the process keeps open; the descriptor names both, and the
//!   importer maps the file. So a copy reaches another process as DMA does, without its help.
//! * The device has no thread of its own: work goes on in each call for progress, a random part of it where
//!   [`Faults`] ask for that. With the same faults and calls, it does the same.
//! * An *event* comes some time after it was asked for, if anything is in flight then; `mute` leaves some out.
//! * What a completed copy has not written yet stays *on the wire* beyond the life of its context, as late DMA does.

#![allow(unsafe_code, reason = "the functions of a C library, and memory that belongs to its callers")]

mod context;
mod descriptor;
mod event;
pub mod exports;
mod faults;
mod handle;
mod map;
mod memory;
mod transfer;
mod world;

pub use context::{Context, Ended, Refused};
pub use event::Event;
pub use faults::Faults;
pub use handle::Handles;
pub use map::{Buffer, Inventory, Map};
pub use world::{Task, World, fault_text, with_world};
