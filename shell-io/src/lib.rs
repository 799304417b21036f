//! The contracts of `kv-core` on a real system.
//!
//! Everything that touches an operating system or a device is here, once, for both shells: they differ in what they
//! run, not in how they reach the machine.
//!
//! * [`port`]: where packets come from; a kernel socket.
//! * [`dma`]: copies to the other side; shared memory of two processes.
//! * [`memory`]: memory for tables, and memory that a peer process maps.
//! * [`config`]: what users configure, and what they are told when it is wrong.
//! * [`control`]: how the two sides meet, over TCP.
//! * [`boot`], [`core_loop`], [`program`]: from a configuration to a side that serves.
//! * [`counters_file`], [`announce`]: what others are shown.
//! * [`clock`], [`idle`], [`lcore`]: time, waiting without waste, and which CPU a thread runs on.
//!
//! Opening may fail, with an error that names what was asked for and what to do; running may not. `unsafe` is allowed
//! in this crate alone, file by file, each with its reason.

#![deny(unsafe_code)]
// The models in `tests/*_loom.rs` take single files of this crate; the whole of it needs a real operating system.
#![cfg(not(loom))]

pub mod announce;
pub mod boot;
pub mod clock;
pub mod config;
pub mod control;
pub mod core_loop;
pub mod counters_file;
pub mod dma;
pub mod idle;
pub mod lcore;
pub mod mailbox;
pub mod memory;
mod pool;
pub mod port;
pub mod program;
