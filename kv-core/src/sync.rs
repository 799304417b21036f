//! The atomics of everything that two cores or a device share.
//!
//! A loom build (`--cfg loom`) takes loom's, so that the models in `tests/*_loom.rs` explore the very code that runs.

#[cfg(not(loom))]
pub use core::sync::atomic::{AtomicU64, Ordering, fence};
#[cfg(loom)]
pub use loom::sync::atomic::{AtomicU64, Ordering, fence};

// Between two looks at what another core is just changing. A model must be told, or it would look again for ever.
#[cfg(not(loom))]
pub use arch::spin_hint;
#[cfg(loom)]
pub use loom::thread::yield_now as spin_hint;
