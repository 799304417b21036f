//! The atomics of everything that two cores or a device share.
//!
//! A loom build (`--cfg loom`) takes loom's, so that the models in `tests/*_loom.rs` explore the very code that runs.

#[cfg(not(loom))]
pub use core::sync::atomic::{AtomicU64, Ordering, fence};
#[cfg(loom)]
pub use loom::sync::atomic::{AtomicU64, Ordering, fence};
