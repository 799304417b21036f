//! A CPU made of plain Rust: correct on every machine, for tests, for Miri and to compare the other CPUs with.
//!
//! Its clock is not a clock. Without an operating system and without a counter there is no time, so it counts how
//! often it is read: enough for code that needs readings which grow, useless for time-outs. A CPU that is to run
//! DPU-KV in earnest gets a file of its own.

use core::sync::atomic::{AtomicU64, Ordering, fence};

use crate::clock::{Tick, TickRate};
use crate::cpu::CpuFeatures;
use crate::crc32c::{POLYNOMIAL, Word};
use crate::siphash::{SipHashBlock, blocks, hash_lanes};

/// How often [`now`] was called, by all threads together.
static CALLS: AtomicU64 = AtomicU64::new(0);

/// The twin of [`crate::now`]: the count of calls so far, which says nothing about time.
#[must_use]
pub fn now() -> Tick {
    Tick(CALLS.fetch_add(1, Ordering::Relaxed))
}

/// The twin of [`crate::rate_from_cpu`]: always `None`, for a count of calls has no rate.
#[must_use]
pub fn rate_from_cpu() -> Option<TickRate> {
    None
}

/// The twin of [`crate::cpu_features`]: nothing is known of a CPU that could be any.
#[must_use]
pub fn cpu_features() -> CpuFeatures {
    CpuFeatures::default()
}

/// The twin of [`crate::spin_hint`]: what the standard library thinks best.
#[inline]
pub fn spin_hint() {
    core::hint::spin_loop();
}

/// The twin of [`crate::pause_until`]: comes back at once.
#[inline]
pub fn pause_until(_deadline: Tick) {
    spin_hint();
}

/// The twin of [`crate::prefetch_read`]: does nothing, which is a valid way to take a hint.
#[inline]
pub fn prefetch_read<T>(_line: &T) {}

/// The twin of [`crate::prefetch_write`]: does nothing.
#[inline]
pub fn prefetch_write<T>(_line: &T) {}

/// The twin of [`crate::dma_write_barrier`] for other threads. Real devices may need more than Rust's fences.
#[inline]
pub fn dma_write_barrier() {
    fence(Ordering::Release);
}

/// The twin of [`crate::dma_read_barrier`] for other threads. Real devices may need more than Rust's fences.
#[inline]
pub fn dma_read_barrier() {
    fence(Ordering::Acquire);
}

/// The twin of [`crate::crc32c`], with tables.
#[must_use]
pub fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<8>();
    let state = fold_words(!seed, words);
    !rest.iter().fold(state, |state, &byte| fold_byte(state, byte))
}

/// The twin of [`crate::crc32c_words`], with tables.
#[must_use]
pub fn crc32c_words(seed: u32, words: &[u64]) -> u32 {
    !fold_words(!seed, words)
}

/// What a byte adds to the state when 0 to 7 bytes follow it: "slicing by 8" (Kounavis and Berry, "Novel Table
/// Lookup-Based Algorithms for High-Performance CRC Generation", IEEE Transactions on Computers, 2008). 8 KiB, which
/// is a quarter of a first-level cache and four times as fast as one byte at a time.
static TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut state = byte as u32;
        let mut followed_by = 0;
        while followed_by < 8 {
            let mut bit = 0;
            while bit < 8 {
                state = times_x(state);
                bit += 1;
            }
            tables[followed_by][byte] = state;
            followed_by += 1;
        }
        byte += 1;
    }
    tables
}

/// The twin of [`crate::siphash13_lanes`]: whatever the compiler makes of it.
#[inline]
#[must_use]
pub fn siphash13_lanes<const BLOCKS: usize>(key: [u64; 2], word: impl Fn(usize, usize) -> u64) -> SipHashBlock {
    hash_lanes::<BLOCKS>(key, &blocks(word))
}

/// One more zero bit after the message: the state times x, modulo the polynomial.
pub(crate) const fn times_x(state: u32) -> u32 {
    (state >> 1) ^ if state & 1 == 1 { POLYNOMIAL } else { 0 }
}

fn fold_words<W: Word>(state: u32, words: &[W]) -> u32 {
    words.iter().fold(state, |state, word| {
        let bytes = (word.value() ^ u64::from(state)).to_le_bytes();
        // The last bytes first: they do not wait for the state.
        TABLES.iter().zip(bytes.into_iter().rev()).fold(0, |sum, (table, byte)| sum ^ table[usize::from(byte)])
    })
}

pub(crate) fn fold_byte(state: u32, byte: u8) -> u32 {
    let [low, ..] = state.to_le_bytes();
    (state >> 8) ^ TABLES[0][usize::from(low ^ byte)]
}
