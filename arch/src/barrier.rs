//! Order between this core and a device that reads and writes the same memory.
//!
//! A DMA engine is one more observer of memory, and on AArch64 it sits outside the inner shareable domain that Rust's
//! fences speak of. So these two functions are more than `core::sync::atomic::fence`: they order accesses for the
//! outer shareable domain, which holds the cores and the devices that are coherent with them. They order normal,
//! cached memory only; a write to a device register needs the barrier of the SDK that owns the register.
//!
//! Other threads see the same order as a device: writes after writes, reads after reads. That is what publishing needs.
//! To hand back a slot that was *read*, use a release store, which also keeps reads before it.

use crate::imp::native;

/// Makes everything written before visible to a device before anything that is written after.
///
/// Call it between filling a buffer and publishing the flag, the sequence number or the job that hands the buffer
/// over. It does not wait until the device has seen anything, and it does not order reads.
#[inline]
pub fn dma_write_barrier() {
    native::dma_write_barrier();
}

/// Makes everything read after come from memory no older than what was read before.
///
/// Call it between seeing the flag or the completion of a device and reading what the device wrote. It does not order
/// writes.
#[inline]
pub fn dma_read_barrier() {
    native::dma_read_barrier();
}
