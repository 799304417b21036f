//! Copies into and out of the memory of another process: the DMA engine of two processes on one machine.
//!
//! The CPU does what a DMA engine would do on a DPU, word by word, when a job is submitted. It gives the same promise
//! and no more: a completion says that the words were written, not in which order the other side sees them. Checksums
//! decide there, as they do with a device.
//!
//! For experiments, copies can be made to take [longer](SharedMemoryEngine::with_added_latency): then a job waits, and the
//! core goes on meanwhile, as it does beside a device.
//!
//! What a device cannot do is wake a core that sleeps: after a push, [`DmaEngine::flush`] rings the doorbell of the
//! peer's region.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arch::Tick;
use kv_core::dma::{COPY_ALIGN, Completion, CopyOutcome, Direction, DmaEngine, Job, Window};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::memory::Region;
use crate::pool::{Pool, Pooled};

const LINE_WORDS: usize = COPY_ALIGN / size_of::<u64>();

/// The unit of copies, and what aligns a buffer to it.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(64))]
struct Line {
    words: [u64; LINE_WORDS],
}

const _: () = assert!(size_of::<Line>() == COPY_ALIGN && align_of::<Line>() == COPY_ALIGN);

/// A range that is not inside a region, or not in units of 64 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a window of {len} bytes at offset {offset} of a region of {region_len}: both must be multiples of {COPY_ALIGN}, \
     the length not 0, and the window inside the region"
)]
pub struct WindowError {
    /// Where the window begins in the region's data, in bytes.
    pub offset: usize,
    /// Its length in bytes.
    pub len: usize,
    /// Length of the region's data in bytes.
    pub region_len: usize,
}

/// Why an engine could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineOpenError {
    /// The peer's window is not in its region.
    #[error(transparent)]
    Window(#[from] WindowError),
    /// There is no buffer, or its length is not in units of 64 bytes.
    #[error(
        "{count} buffers of {len} bytes: there must be at least one, of a multiple of {COPY_ALIGN} bytes and not 0"
    )]
    Buffers {
        /// Length of each in bytes.
        len: usize,
        /// How many.
        count: usize,
    },
}

/// The words of a window, given in bytes.
fn word_range(region: &Region, offset: usize, len: usize) -> Result<Range<usize>, WindowError> {
    let region_len = region.data_len();
    let is_inside = offset.checked_add(len).is_some_and(|end| end <= region_len);
    if is_inside && len > 0 && offset.is_multiple_of(COPY_ALIGN) && len.is_multiple_of(COPY_ALIGN) {
        Ok(offset / size_of::<u64>()..(offset + len) / size_of::<u64>())
    } else {
        Err(WindowError { offset, len, region_len })
    }
}

/// A part of our own region, for the peer's engine to write and read.
#[derive(Clone, Debug)]
pub struct SharedWindow {
    region: Arc<Region>,
    words: Range<usize>,
}

impl SharedWindow {
    /// The window of `len` bytes at `offset` of the region's data, both multiples of 64.
    ///
    /// # Errors
    /// [`WindowError`], when it is not inside the region.
    pub fn open(region: Arc<Region>, offset: usize, len: usize) -> Result<Self, WindowError> {
        let words = word_range(&region, offset, len)?;
        Ok(Self { region, words })
    }
}

impl Window for SharedWindow {
    fn words(&self) -> &[AtomicU64] {
        &self.region.data()[self.words.clone()]
    }
}

/// The copy engine towards one window of a peer's region, owned by one core. Open it on that core's thread.
pub struct SharedMemoryEngine {
    region: Arc<Region>,
    window: Range<usize>,
    pool: Rc<Pool<Box<[Line]>>>,
    /// Copies that ended and were not told yet, at most `depth`; it never grows beyond.
    ended: VecDeque<Completion<SharedBuf>>,
    depth: usize,
    /// Copies that wait for their time, at most `depth` with those that ended.
    delayed: VecDeque<Delayed>,
    added_ticks: u64,
    /// Whether something was pushed since the last flush.
    is_unannounced: bool,
}

/// A copy that has been submitted and does not begin before its time.
struct Delayed {
    submitted: Tick,
    job: Job<SharedBuf>,
}

impl SharedMemoryEngine {
    /// Opens an engine towards the `len` bytes at `offset` of the peer's data, with `buf_count` buffers of `buf_len`
    /// bytes, which also bounds the jobs in flight. All lengths and offsets are multiples of 64.
    ///
    /// # Errors
    /// [`EngineOpenError`], when the window is not inside the region or the buffers are not possible.
    pub fn open(
        region: Arc<Region>,
        offset: usize,
        len: usize,
        buf_len: usize,
        buf_count: usize,
    ) -> Result<Self, EngineOpenError> {
        let window = word_range(&region, offset, len)?;
        if buf_count == 0 || buf_len == 0 || !buf_len.is_multiple_of(COPY_ALIGN) {
            return Err(EngineOpenError::Buffers { len: buf_len, count: buf_count });
        }
        let buffer = || vec![Line::new_zeroed(); buf_len / COPY_ALIGN].into_boxed_slice();
        let pool = Pool::new((0..buf_count).map(|_| buffer()).collect());
        let ended = VecDeque::with_capacity(buf_count);
        let delayed = VecDeque::with_capacity(buf_count);
        Ok(Self { region, window, pool, ended, depth: buf_count, delayed, added_ticks: 0, is_unannounced: false })
    }

    /// The same engine, with copies that are done no sooner than `ticks` of this machine's counter after their submission,
    /// when the engine is polled; 0 for at once. To compare ways of batching beside copies that take time.
    #[must_use]
    pub fn with_added_latency(mut self, ticks: u64) -> Self {
        self.added_ticks = ticks;
        self
    }

    fn copy(&mut self, mut job: Job<SharedBuf>) {
        let first = self.window.start + job.offset / size_of::<u64>();
        let words = &self.region.data()[first..first + job.len / size_of::<u64>()];
        match job.direction {
            Direction::Push => {
                push(job.buf.lines.get(), words);
                self.is_unannounced = true;
            }
            Direction::Pull => pull(words, job.buf.lines.get_mut()),
        }
        self.ended.push_back(Completion { job, outcome: CopyOutcome::Copied });
    }

    /// Does the copies whose time has come.
    fn copy_delayed(&mut self) {
        let now = arch::now();
        while self.delayed.front().is_some_and(|delayed| now.since(delayed.submitted) >= self.added_ticks) {
            if let Some(Delayed { job, .. }) = self.delayed.pop_front() {
                self.copy(job);
            }
        }
        self.announce();
    }

    fn announce(&mut self) {
        if self.is_unannounced {
            self.is_unannounced = false;
            self.region.doorbell().ring();
        }
    }

    fn can_take(&self, job: &Job<SharedBuf>) -> bool {
        let window_len = self.window.len() * size_of::<u64>();
        let is_inside = job.offset.checked_add(job.len).is_some_and(|end| end <= window_len);
        let is_in_lines = job.offset.is_multiple_of(COPY_ALIGN) && job.len.is_multiple_of(COPY_ALIGN);
        self.room() > 0 && is_inside && is_in_lines && job.len <= job.buf.as_ref().len()
    }
}

impl DmaEngine for SharedMemoryEngine {
    type Buf = SharedBuf;

    fn room(&self) -> usize {
        self.depth.saturating_sub(self.ended.len() + self.delayed.len())
    }

    fn alloc(&mut self) -> Option<SharedBuf> {
        Some(SharedBuf { lines: self.pool.take()? })
    }

    fn submit(&mut self, job: Job<SharedBuf>) -> Result<(), Job<SharedBuf>> {
        if !self.can_take(&job) {
            return Err(job);
        }
        if self.added_ticks == 0 {
            self.copy(job);
        } else {
            self.delayed.push_back(Delayed { submitted: arch::now(), job });
        }
        Ok(())
    }

    fn flush(&mut self) {
        self.announce();
    }

    fn poll(&mut self) -> Option<Completion<SharedBuf>> {
        if !self.delayed.is_empty() {
            self.copy_delayed();
        }
        self.ended.pop_front()
    }
}

impl fmt::Debug for SharedMemoryEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedMemoryEngine")
            .field("region", &self.region)
            .field("window", &self.window)
            .field("pool", &self.pool)
            .field("room", &self.room())
            .finish_non_exhaustive()
    }
}

/// Copies as many words as there are in `to`. The order among them is nobody's promise, so none is asked for.
fn push(from: &[Line], to: &[AtomicU64]) {
    for (line, words) in from.iter().zip(to.chunks_exact(LINE_WORDS)) {
        for (value, word) in line.words.iter().zip(words) {
            word.store(u64::from_le(*value), Ordering::Relaxed);
        }
    }
}

/// Copies as many words as there are in `from`, each read once.
fn pull(from: &[AtomicU64], to: &mut [Line]) {
    for (words, line) in from.chunks_exact(LINE_WORDS).zip(to) {
        for (word, value) in words.iter().zip(&mut line.words) {
            *value = word.load(Ordering::Relaxed).to_le();
        }
    }
}

/// A buffer of a [`SharedMemoryEngine`], aligned to 64 bytes. Dropping it gives it back.
pub struct SharedBuf {
    lines: Pooled<Box<[Line]>>,
}

impl AsRef<[u8]> for SharedBuf {
    fn as_ref(&self) -> &[u8] {
        self.lines.get().as_bytes()
    }
}

impl AsMut<[u8]> for SharedBuf {
    fn as_mut(&mut self) -> &mut [u8] {
        self.lines.get_mut().as_mut_bytes()
    }
}

impl fmt::Debug for SharedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedBuf").field("len", &self.as_ref().len()).finish()
    }
}

#[cfg(test)]
mod tests;
