//! The copy engine between the two sides, and the memory that it reaches.
//!
//! DMA gives no order: neither inside one copy nor between two, and a completion at one side says nothing of what the
//! other side sees. Engines and rings rely on nothing but this contract: after a completion, the bytes will become
//! visible some time; until they carry a valid checksum, they are noise.

use core::fmt;

use crate::counters::Counters;
use crate::sync::AtomicU64;

/// What a copy is rounded to: its offset is a multiple of this, and its length is rounded up to one.
pub const COPY_ALIGN: usize = 64;

/// Which way a copy goes, seen from the engine's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the buffer to the peer's window.
    Push,
    /// From the peer's window to the buffer.
    Pull,
}

/// One copy. The buffer belongs to nobody until the job's completion.
#[derive(Debug)]
pub struct Job<B> {
    /// Which way.
    pub direction: Direction,
    /// Where in the peer's window, in bytes; a multiple of [`COPY_ALIGN`].
    pub offset: usize,
    /// How many bytes, from the buffer's beginning; a multiple of [`COPY_ALIGN`], within buffer and window.
    pub len: usize,
    /// The local end.
    pub buf: B,
    /// The submitter's mark, handed back as it is.
    pub tag: u32,
}

/// How a copy ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyOutcome {
    /// The bytes are on their way; a pulled buffer is filled.
    Copied,
    /// Nothing can be said of the destination's bytes.
    Failed,
}

/// The end of a copy, with the job's buffer.
#[derive(Debug)]
pub struct Completion<B> {
    /// The job as it was submitted.
    pub job: Job<B>,
    /// How it ended.
    pub outcome: CopyOutcome,
}

/// A copy engine towards one peer window, owned by one core. Nothing here blocks, allocates or panics.
pub trait DmaEngine {
    /// A buffer in registered memory; dropping it gives it back to its pool.
    type Buf: AsRef<[u8]> + AsMut<[u8]> + fmt::Debug;

    /// How many jobs [`submit`](Self::submit) takes now.
    fn room(&self) -> usize;

    /// A buffer of the engine's fixed length, or `None` when all are in use.
    fn alloc(&mut self) -> Option<Self::Buf>;

    /// Accepts a copy.
    ///
    /// # Errors
    /// The job itself, when [`room`](Self::room) is 0 or its range leaves the buffer or the window.
    fn submit(&mut self, job: Job<Self::Buf>) -> Result<(), Job<Self::Buf>>;

    /// Makes sure that every accepted copy has been started.
    fn flush(&mut self);

    /// The next copy that ended, in any order.
    fn poll(&mut self) -> Option<Completion<Self::Buf>>;

    /// Adds what it has counted since the last time. An engine that counts nothing by itself adds nothing.
    fn count(&mut self, counters: &mut Counters) {
        let _ = counters;
    }
}

/// Memory of ours that the peer's engine reads and writes.
///
/// Its bytes change at any time and in any order. They are read and written as atomic words only, and what is read is
/// copied once, then checked, then used.
pub trait Window {
    /// The memory; a word's value is its 8 bytes read as a little-endian number.
    fn words(&self) -> &[AtomicU64];
}

impl Window for &[AtomicU64] {
    fn words(&self) -> &[AtomicU64] {
        self
    }
}
