//! Which servers there are, and which endpoint of each serves what.
//!
//! A server publishes an [`Entry`] under its name; clients read all entries. Entry and look-ups are those of MICA2, whose
//! clients ask an etcd with the v2 API.

#![forbid(unsafe_code)]

pub mod entry;
pub mod registrations;

pub use entry::{Endpoint, Entry, EntryError};
pub use registrations::{Answer, Registrations};
