//! Copies between the two sides, on real systems.
//!
//! One file per copy engine. Each implements the contracts of [`kv_core::dma`]; rings do not know which one they run
//! on.

pub mod doca;
mod doorbell;
mod shared_memory;
mod sleep_word;

pub use doorbell::{Doorbell, Wake};
pub use shared_memory::{EngineOpenError, SharedBuf, SharedMemoryEngine, SharedWindow, WindowError};
