//! The machine's limit: how many random lines a core can read in a second.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Stream, Worker};

/// Reads that are started before the first one is used; the best of these is the limit.
pub(crate) const DEPTHS: [usize; 4] = [16, 32, 64, 128];

/// Words in a cache line.
const LINE_WORDS: usize = 8;

/// Reads one word of a random line of its memory, for each operation of a stream.
#[derive(Debug)]
pub(crate) struct Limit<'m> {
    words: &'m [AtomicU64],
    depth: usize,
}

impl<'m> Limit<'m> {
    /// `depth` reads at once over memory that a table uses too: of the same size, and in the same pages.
    pub(crate) fn new(words: &'m [AtomicU64], depth: usize) -> Self {
        Self { words, depth }
    }

    #[inline]
    fn word(&self, number: u32) -> &'m AtomicU64 {
        let lines = (self.words.len() / LINE_WORDS) as u64;
        let line = (u64::from(number) * lines) >> 32;
        &self.words[line as usize * LINE_WORDS]
    }
}

impl Worker for Limit<'_> {
    fn run(&mut self, stream: &Stream, from: usize, count: usize) -> u64 {
        let mut sum = 0_u64;
        for numbers in stream.numbers()[from..from + count].chunks(self.depth) {
            for &number in numbers {
                arch::prefetch_read(self.word(number));
            }
            for &number in numbers {
                sum = sum.wrapping_add(self.word(number).load(Ordering::Relaxed));
            }
        }
        black_box(sum);
        count as u64
    }
}
