//! The circular log: where items are appended, and where the oldest ones go.
//!
//! Items lie between head and tail in the order in which they were appended. An item never splits: what would cross
//! the end of the log goes to its start, and a filler covers the rest.

use super::item::ItemHeader;
use super::words::Words;

/// Head and tail of the log, private to the owner. Positions and sizes are in words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Log {
    start: usize,
    end: usize,
    head: usize,
    tail: usize,
    used: usize,
    /// All words that the head has ever passed: changes whenever an item may have moved or gone.
    passed: u64,
}

impl Log {
    pub(super) const fn new(start: usize, end: usize) -> Self {
        Self { start, end, head: start, tail: start, used: 0, passed: 0 }
    }

    pub(super) fn clear(&mut self) {
        *self = Self { passed: self.passed + self.used as u64, ..Self::new(self.start, self.end) };
    }

    pub(super) const fn head(&self) -> usize {
        self.head
    }

    pub(super) const fn used(&self) -> usize {
        self.used
    }

    pub(super) const fn passed(&self) -> u64 {
        self.passed
    }

    pub(super) const fn free(&self) -> usize {
        self.end - self.start - self.used
    }

    /// What an item of `words` takes from the free space, the filler before it included.
    pub(super) const fn need(&self, words: usize) -> usize {
        let rest = self.end - self.tail;
        if words <= rest { words } else { words + rest }
    }

    /// The words from `at` to the log's end, which a filler there covers.
    pub(super) const fn rest(&self, at: usize) -> usize {
        self.end.saturating_sub(at)
    }

    /// The position `words` behind `at`.
    pub(super) const fn behind(&self, at: usize, words: usize) -> usize {
        if at + words >= self.end { self.start } else { at + words }
    }

    /// The first of `words` contiguous words behind the tail, or `None` when there are not enough. What they contain is
    /// nobody's: no entry of the index leads there.
    pub(super) const fn vacant(&self, words: usize) -> Option<usize> {
        let need = self.need(words);
        if need > self.free() {
            return None;
        }
        Some(if need > words { self.start } else { self.tail })
    }

    /// Takes those words into the log.
    pub(super) fn append(&mut self, memory: Words<'_>, words: usize) -> Option<usize> {
        let at = self.vacant(words)?;
        self.used += self.need(words);
        if at != self.tail {
            memory.store(self.tail, ItemHeader::FILLER.to_word());
        }
        self.tail = self.behind(at, words);
        Some(at)
    }

    /// Gives the `words` at the head back.
    pub(super) fn pass(&mut self, words: usize) {
        debug_assert!(words <= self.used, "passing {words} of {} words", self.used);
        self.head = self.behind(self.head, words);
        self.used = self.used.saturating_sub(words);
        self.passed += words as u64;
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::sync::AtomicU64;

    fn filler_at(memory: &[AtomicU64], at: usize) -> bool {
        ItemHeader::from_word(memory[at].load(crate::sync::Ordering::Relaxed)).is_filler()
    }

    #[test]
    fn an_item_that_would_cross_the_end_goes_to_the_start() {
        let memory: Vec<AtomicU64> = (0..32).map(|_| AtomicU64::new(0)).collect();
        // A word of memory may lie on no boundary; the log does not care.
        let words = Words::aligned(&memory);
        let offset = memory.len() - words.count();
        let mut log = Log::new(4, 20);
        assert_eq!(log.append(words, 7), Some(4));
        assert_eq!(log.append(words, 6), Some(11));
        log.pass(7);
        assert_eq!((log.free(), log.need(3), log.need(4)), (10, 3, 7));
        assert_eq!(log.append(words, 8), None, "3 words of filler and 8 do not fit 10");
        assert_eq!(log.append(words, 7), Some(4));
        assert!(filler_at(&memory, offset + 17));
        assert_eq!((log.free(), log.used()), (0, 16));
        log.pass(6);
        assert_eq!(log.head(), 17);
        log.pass(log.rest(17));
        assert_eq!((log.head(), log.used(), log.passed()), (4, 7, 16));
    }

    #[test]
    fn an_item_that_ends_at_the_end_needs_no_filler() {
        let memory: Vec<AtomicU64> = (0..32).map(|_| AtomicU64::new(0)).collect();
        let words = Words::aligned(&memory);
        let mut log = Log::new(4, 20);
        assert_eq!(log.append(words, 16), Some(4));
        assert_eq!((log.free(), log.append(words, 1)), (0, None));
        log.pass(16);
        assert_eq!((log.head(), log.append(words, 16)), (4, Some(4)));
    }
}
