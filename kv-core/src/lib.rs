//! The store without an operating system: table, rings, engines and designs.
//!
//! This crate decides; the shells do. It knows no file, thread, socket, SDK or log, and reads no clock: time is an
//! argument. It allocates nothing: tables, rings and frames live in memory that is handed over at start.
//!
//! * [`design`]: the six designs as rows of one table: which core plays which role, who owns which partition.
//! * [`port`] and [`dma`]: the contracts that a real and a simulated world implement.
//! * [`counters`]: everything that is counted.
//! * [`sync`]: the atomics, which a loom build replaces.
//! * [`hash`]: MICA2's key hash, which chooses the partition, and the keyed hash, which chooses the place inside it.
//! * [`table`]: one partition's items, in memory that it is given.

#![no_std]
#![forbid(unsafe_code)]

pub mod counters;
pub mod design;
pub mod dma;
pub mod hash;
pub mod port;
pub mod sync;
pub mod table;
