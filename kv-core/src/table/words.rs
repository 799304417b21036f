//! The memory of a table: words that are loaded and stored whole.
//!
//! Everything that the table ever writes goes through [`Words::store`] and [`Words::publish`], so that a test can stop
//! the world between any two stores. Bytes lie in words in little-endian order; a last word that they do not fill is
//! padded with zeros.
//!
//! An index out of range reads as 0 and stores nothing. The owner never has one (debug builds check it); a reader on
//! another core may, for the length of one attempt, when it follows an item that the owner is just overwriting.

use core::fmt;

use arch::CACHE_LINE_LEN;

use crate::sync::{AtomicU64, Ordering};

/// Bytes in a word.
pub(super) const WORD_LEN: usize = 8;

/// Words in a cache line, and in a bucket.
pub(super) const LINE_WORDS: usize = CACHE_LINE_LEN / WORD_LEN;

/// The memory from its first 64-byte boundary on.
#[derive(Clone, Copy)]
pub(super) struct Words<'m>(&'m [AtomicU64]);

impl<'m> Words<'m> {
    /// Skips to the first cache line, so that a bucket is one line.
    pub(super) fn aligned(memory: &'m [AtomicU64]) -> Self {
        Self(memory.get(memory.as_ptr().align_offset(CACHE_LINE_LEN)..).unwrap_or_default())
    }

    pub(super) fn count(self) -> usize {
        self.0.len()
    }

    #[inline]
    pub(super) fn load(self, at: usize) -> u64 {
        self.0.get(at).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    /// A load that what follows in this thread cannot overtake.
    #[inline]
    pub(super) fn load_acquire(self, at: usize) -> u64 {
        self.0.get(at).map_or(0, |word| word.load(Ordering::Acquire))
    }

    /// Stores a word that nobody looks for yet.
    #[inline]
    pub(super) fn store(self, at: usize, value: u64) {
        debug_assert!(at < self.0.len(), "word {at} of {}", self.0.len());
        if let Some(word) = self.0.get(at) {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// Stores a word that makes what was stored before it reachable. It is never seen before those stores: not by
    /// another core, and not by who finds the memory after this process was killed.
    #[inline]
    pub(super) fn publish(self, at: usize, value: u64) {
        debug_assert!(at < self.0.len(), "word {at} of {}", self.0.len());
        if let Some(word) = self.0.get(at) {
            word.store(value, Ordering::Release);
        }
    }

    /// All whole lines.
    pub(super) const fn lines(self) -> &'m [[AtomicU64; LINE_WORDS]] {
        self.0.as_chunks().0
    }

    #[inline]
    pub(super) fn prefetch(self, at: usize) {
        if let Some(word) = self.0.get(at) {
            arch::prefetch_read(word);
        }
    }

    /// Whether the words from `at` on hold these bytes, whatever the last of them holds behind.
    #[inline]
    pub(super) fn begin_with(self, at: usize, bytes: &[u8]) -> bool {
        let Some(words) = self.range(at, bytes.len()) else { return false };
        let (whole, tail) = bytes.as_chunks::<WORD_LEN>();
        let same = |word: &AtomicU64, value| word.load(Ordering::Relaxed) == value;
        words.iter().zip(whole).all(|(word, bytes)| same(word, u64::from_le_bytes(*bytes)))
            && (tail.is_empty() || words.last().is_some_and(|word| begins_with(word.load(Ordering::Relaxed), tail)))
    }

    /// Whether the bytes before word `end` are these.
    #[inline]
    pub(super) fn end_with(self, end: usize, bytes: &[u8]) -> bool {
        let Some(words) = self.range_before(end, bytes.len()) else { return false };
        let (tail, whole) = bytes.as_rchunks::<WORD_LEN>();
        let same = |word: &AtomicU64, value| word.load(Ordering::Relaxed) == value;
        words.iter().rev().zip(whole.iter().rev()).all(|(word, bytes)| same(word, u64::from_le_bytes(*bytes)))
            && (tail.is_empty()
                || words.first().is_some_and(|word| {
                    let top = word.load(Ordering::Relaxed).to_le_bytes();
                    top.ends_with(tail)
                }))
    }

    /// Fills `into` with the bytes from word `at` on. `false` when there are not so many; `into` is then unspecified.
    #[inline]
    pub(super) fn load_bytes(self, at: usize, into: &mut [u8]) -> bool {
        let Some(words) = self.range(at, into.len()) else { return false };
        let (whole, tail) = into.as_chunks_mut::<WORD_LEN>();
        for (bytes, word) in whole.iter_mut().zip(words) {
            *bytes = word.load(Ordering::Relaxed).to_le_bytes();
        }
        if !tail.is_empty() {
            let last = words.last().map_or(0, |word| word.load(Ordering::Relaxed));
            for (byte, value) in tail.iter_mut().zip(last.to_le_bytes()) {
                *byte = value;
            }
        }
        true
    }

    /// Fills `into` with the first of the `len` bytes that lie before word `end`. `false` when there are not so many.
    #[inline]
    pub(super) fn load_bytes_before(self, end: usize, len: usize, into: &mut [u8]) -> bool {
        // Values of one word are frequent, and a copy of known length needs no call.
        if len == WORD_LEN
            && let Some(into) = into.first_chunk_mut()
        {
            *into = self.load(end.wrapping_sub(1)).to_le_bytes();
            return true;
        }
        let Some(words) = self.range_before(end, len) else { return false };
        // The first word holds what is not a multiple of 8 at its upper end.
        let (head, rest) = into.split_at_mut((len % WORD_LEN).min(into.len()));
        let mut words = words.iter();
        if !len.is_multiple_of(WORD_LEN) {
            let first = words.next().map_or(0, |word| word.load(Ordering::Relaxed)).to_le_bytes();
            let begin = first.len().saturating_sub(len % WORD_LEN);
            for (byte, value) in head.iter_mut().zip(first.iter().skip(begin)) {
                *byte = *value;
            }
        }
        let (whole, tail) = rest.as_chunks_mut::<WORD_LEN>();
        for (bytes, word) in whole.iter_mut().zip(words.by_ref()) {
            *bytes = word.load(Ordering::Relaxed).to_le_bytes();
        }
        if let Some(word) = words.next() {
            for (byte, value) in tail.iter_mut().zip(word.load(Ordering::Relaxed).to_le_bytes()) {
                *byte = value;
            }
        }
        true
    }

    /// Stores bytes from word `at` on, the last word padded with zeros.
    #[inline]
    pub(super) fn store_bytes(self, at: usize, bytes: &[u8]) {
        let (whole, tail) = bytes.as_chunks::<WORD_LEN>();
        let mut at = at;
        for bytes in whole {
            self.store(at, u64::from_le_bytes(*bytes));
            at += 1;
        }
        if !tail.is_empty() {
            self.store(at, padded(tail));
        }
    }

    /// Stores bytes so that they end before word `end`. What is not a multiple of 8 is added to its word, whose upper
    /// end must be zero.
    #[inline]
    pub(super) fn store_bytes_before(self, end: usize, bytes: &[u8]) {
        let (head, whole) = bytes.as_rchunks::<WORD_LEN>();
        let first = end.saturating_sub(whole.len());
        for (index, bytes) in whole.iter().enumerate() {
            self.store(first + index, u64::from_le_bytes(*bytes));
        }
        if !head.is_empty() {
            let at = first.saturating_sub(1);
            self.store(at, self.load(at) | at_upper_end(head));
        }
    }

    /// The words that hold `len` bytes from `at` on.
    #[inline]
    fn range(self, at: usize, len: usize) -> Option<&'m [AtomicU64]> {
        self.0.get(at..)?.get(..len.div_ceil(WORD_LEN))
    }

    /// The words that hold the `len` bytes before word `end`.
    #[inline]
    fn range_before(self, end: usize, len: usize) -> Option<&'m [AtomicU64]> {
        self.0.get(end.checked_sub(len.div_ceil(WORD_LEN))?..end)
    }
}

/// The word whose last bytes are these at most 8.
#[inline]
pub(super) fn at_upper_end(bytes: &[u8]) -> u64 {
    padded(bytes).unbounded_shl((WORD_LEN - bytes.len()) as u32 * 8)
}

/// Whether the first bytes of a word are these at most 8.
#[inline]
fn begins_with(word: u64, bytes: &[u8]) -> bool {
    (word ^ padded(bytes)).unbounded_shl((WORD_LEN - bytes.len()) as u32 * 8) == 0
}

/// The word that begins with these at most 8 bytes.
#[inline]
pub(super) fn padded(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// Says how much memory there is, not what is in it.
impl fmt::Debug for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Words({})", self.0.len())
    }
}
