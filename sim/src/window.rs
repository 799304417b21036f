//! Memory of one side that the other side's copy engine reads and writes.

use std::fmt;
use std::rc::Rc;

use kv_core::dma::Window;
use kv_core::sync::{AtomicU64, Ordering};

/// A window's words. Clones are the same memory, which lives as long as anybody may still write it: the owner, the
/// peer's engine, and copies under way, even after both processes are gone.
#[derive(Clone)]
pub struct SimWindow {
    words: Rc<[AtomicU64]>,
    /// The first word that belongs to it.
    start: usize,
}

impl SimWindow {
    /// A window of `len` bytes, rounded up to whole words, all zero.
    pub fn new(len: usize) -> Self {
        Self { words: (0..len.div_ceil(8)).map(|_| AtomicU64::new(0)).collect(), start: 0 }
    }

    /// What is left of it behind its first `offset` bytes; the same memory.
    pub fn behind(&self, offset: usize) -> Self {
        Self { words: Rc::clone(&self.words), start: (self.start + offset / 8).min(self.words.len()) }
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.words().len() * 8
    }

    /// Whether it has no byte at all.
    pub fn is_empty(&self) -> bool {
        self.words().is_empty()
    }

    /// Some bytes of it, from a word's beginning on; for tests that look from outside.
    pub fn read(&self, offset: usize, len: usize) -> Vec<u8> {
        self.words()[offset / 8..][..len.div_ceil(8)]
            .iter()
            .flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes())
            .take(len)
            .collect()
    }
}

impl fmt::Debug for SimWindow {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the words: nobody reads thousands of them.
        out.debug_struct("SimWindow").field("start", &self.start).field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Window for SimWindow {
    fn words(&self) -> &[AtomicU64] {
        &self.words[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_the_same_memory() {
        let window = SimWindow::new(128);
        let part = window.behind(64);
        assert_eq!((part.len(), window.len(), window.behind(500).is_empty()), (64, 128, true));
        part.words()[0].store(7, Ordering::Relaxed);
        assert_eq!(window.read(64, 8), [7, 0, 0, 0, 0, 0, 0, 0]);
    }
}
