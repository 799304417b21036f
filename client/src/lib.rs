//! The client library of DPU-KV: what applications link.
//!
//! * [`Client`] asks one thing and waits for the answer: the way in for most applications.
//! * [`Pipeline`] keeps many requests on their way, gathers them into frames and tells the answers to a closure: the
//!   way to throughput. One thread owns one pipeline.
//! * [`session`] is what both are made of: which request goes where, in which frame, when to send again. It knows no
//!   socket and reads no clock, so that its tests lose, double and delay frames at will.
//!
//! Servers are named by their addresses, or by a directory that lists them, and the order of the addresses or names
//! decides which server holds a key. Everything else a server tells about itself: its partitions, its endpoints, its
//! limits. When it moves or restarts, the client asks again and goes on.
//!
//! A directory's list may change, and then the keys of all servers are divided anew: most of them belong to another server
//! afterwards, which does not have them. Nothing is copied. What was stored under the old list stays where it is until it
//! is deleted, evicted or expires, and is found again when the old list comes back: a server that leaves and returns makes
//! values readable that may have been overwritten elsewhere in between. So a directory is for caches, or for a set of
//! servers that changes when people want it to.
//!
//! # What is promised
//!
//! The network may lose, double and delay frames, so the client sends again. An acknowledged request has been executed.
//! One that ended with [`Outcome::TimedOut`] has changed nothing; one that ended with [`Outcome::Unknown`] may have been
//! executed or not. [`Resend`] says which operations are sent again. Two requests that are under way at the same time
//! have no order, even for one key: wait for the first if it matters. A frame that the network itself doubles and
//! delivers late may execute a mutation a second time, after its answer: a store without a memory of its clients cannot
//! tell the copy from the original.

#![forbid(unsafe_code)]

mod answer;
mod client;
mod config;
mod error;
mod fleet;
pub mod frames;
mod membership;
mod moment;
mod pipeline;
mod rtt;
pub mod session;
mod statistics;
mod stopwatch;
mod udp;

pub use answer::{Answer, Outcome};
pub use client::{Client, CompareAndSet, Remaining};
pub use config::{Config, Resend};
pub use directory::{DirectoryError, Source, SourceError};
pub use error::{ConfigError, ConnectError, RequestError, SubmitError, TooLarge};
pub use moment::Moment;
pub use pipeline::Pipeline;
pub use qp_wire::{Opcode, Operation, ResultCode, TtlMs};
pub use session::ServerInfo;
pub use statistics::Statistics;
