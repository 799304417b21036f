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

    /// The line that begins at a word.
    #[inline]
    pub(super) fn line(self, at: usize) -> Option<&'m [AtomicU64; LINE_WORDS]> {
        self.0.get(at..)?.first_chunk()
    }

    #[inline]
    pub(super) fn prefetch(self, at: usize) {
        if let Some(word) = self.0.get(at) {
            arch::prefetch_read(word);
        }
    }

    /// Whether the words from `at` on hold these bytes and then zeros to the end of the word.
    #[inline]
    pub(super) fn hold(self, at: usize, bytes: &[u8]) -> bool {
        let Some(words) = self.range(at, bytes.len()) else { return false };
        let (whole, tail) = bytes.as_chunks::<WORD_LEN>();
        let same = |word: &AtomicU64, value| word.load(Ordering::Relaxed) == value;
        words.iter().zip(whole).all(|(word, bytes)| same(word, u64::from_le_bytes(*bytes)))
            && (tail.is_empty() || words.last().is_some_and(|word| same(word, padded(tail))))
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

    /// Stores bytes from word `at` on, the last word padded with zeros, and returns the word behind them.
    #[inline]
    pub(super) fn store_bytes(self, at: usize, bytes: &[u8]) -> usize {
        let (whole, tail) = bytes.as_chunks::<WORD_LEN>();
        let mut at = at;
        for bytes in whole {
            self.store(at, u64::from_le_bytes(*bytes));
            at += 1;
        }
        if !tail.is_empty() {
            self.store(at, padded(tail));
            at += 1;
        }
        at
    }

    /// The words that hold `len` bytes from `at` on.
    #[inline]
    fn range(self, at: usize, len: usize) -> Option<&'m [AtomicU64]> {
        self.0.get(at..)?.get(..len.div_ceil(WORD_LEN))
    }
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
