//! The store without an operating system: table, rings, engines and designs.
//!
//! This crate decides; the shells do. It knows no file, thread, socket, SDK or log, and reads no clock: time is an
//! argument. It allocates nothing: tables, rings and frames live in memory that is handed over at start.
//!
//! * [`design`]: the six designs as rows of one table: which core plays which role, who owns which partition.
//! * [`engine`]: the three roles of a core: serve, communicate, process.
//! * [`ring`]: the two rings of a queue pair.
//! * [`partition`]: the store as one core sees it.
//! * [`port`] and [`dma`]: the contracts that a real and a simulated world implement.
//! * [`framed`]: a port of datagrams over a port of whole frames, which answers ARP and echo too.
//! * [`rate_limit`]: how often that may happen.
//! * [`counters`]: everything that is counted.
//! * [`sync`]: the atomics, which a loom build replaces.
//! * [`hash`]: MICA2's key hash, which chooses the partition, and the keyed hash, which chooses the place inside it.
//! * [`table`]: one partition's items, in memory that it is given.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod counters;
pub mod design;
pub mod dma;
pub mod engine;
pub mod framed;
pub mod hash;
pub mod partition;
pub mod port;
pub mod rate_limit;
pub mod ring;
pub mod sync;
pub mod table;
