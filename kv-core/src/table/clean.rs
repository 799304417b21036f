//! Making room in the log: what becomes of the items that its head passes.
//!
//! The items at the head are the oldest. One that no pointer leads to is dead, whatever killed it: nobody keeps a list of
//! dead items. Most say so themselves; of the others the buckets are looked at when their turn comes. In store mode the
//! living are appended again, so that the log turns round; what it costs is in proportion to what is stored. The module
//! head of `table` derives how much a store has to clean, and that it suffices. In cache mode those are appended again
//! that were read since they were written, the others are evicted.

use super::bucket::{Pointer, Tag};
use super::index::Found;
use super::item::{Item, ItemHeader};
use super::layout::CLEANING_RATIO;
use super::words::LINE_WORDS;
use super::{Millis, Mode, Table};
use crate::hash::Placement;

/// Items at the head whose buckets are fetched before they are passed, and lines of the log behind them. With a million
/// items of 8 and 100 bytes at the limit of a store (AMD EPYC, 4 KiB pages), replacing values is twice as fast as
/// without; more of either does not help.
const ITEMS_AHEAD: usize = 8;
const LINES_AHEAD: usize = 4;

/// What the head is about to pass.
#[derive(Clone, Copy, Debug)]
enum Oldest {
    Filler,
    Dead(Item),
    /// Its bucket knows whether it lives.
    Unknown(Item, Placement),
}

impl Table<'_> {
    /// Makes the log ready to take an item of `words`. In store mode this succeeds whenever live items are within
    /// their limit.
    pub(super) fn make_room(&mut self, words: usize, now: Millis) -> bool {
        let reserve = match self.layout().mode {
            Mode::Store => self.layout().cleaning_threshold(),
            // An item that gets a second chance is in the log twice for a moment.
            Mode::Cache => self.layout().item_words_max(),
        };
        self.clean(words, now, |table| table.log.free() >= reserve + table.log.need(words));
        while self.layout().mode == Mode::Cache && self.log.free() < self.log.need(words) {
            let Some(oldest) = self.oldest_from(self.log.head(), self.log.used()) else { return false };
            self.pass(oldest, false, now);
        }
        self.log.free() >= self.log.need(words)
    }

    /// Passes items at the head until it is enough, or until a store of `words` has done its share.
    pub(super) fn clean(&mut self, words: usize, now: Millis, enough: impl Fn(&Self) -> bool) {
        let budget = CLEANING_RATIO * words;
        let mut passed_words = 0;
        while passed_words < budget && !enough(self) {
            let ahead = self.oldest_ahead();
            if ahead.first().is_none_or(Option::is_none) {
                return;
            }
            for oldest in ahead.into_iter().flatten() {
                if passed_words >= budget || enough(self) {
                    return;
                }
                let Some(words) = self.pass(oldest, true, now) else { return };
                passed_words += words;
            }
        }
    }

    /// The next items at the head, whose buckets are fetched, and some of the log behind these.
    ///
    /// Each item that is passed needs its bucket, which is anywhere, and the header of one is needed to find the next.
    fn oldest_ahead(&self) -> [Option<Oldest>; ITEMS_AHEAD] {
        let (mut at, mut left) = (self.log.head(), self.log.used());
        let ahead = core::array::from_fn(|_| {
            let oldest = self.oldest_from(at, left)?;
            if let Oldest::Unknown(_, placement) = oldest {
                self.words().prefetch(self.look().home(placement));
            }
            let words = self.words_of(oldest, at);
            at = self.log.behind(at, words);
            left = left.saturating_sub(words);
            Some(oldest)
        });
        for line in 0..LINES_AHEAD {
            self.words().prefetch(at + line * LINE_WORDS);
        }
        ahead
    }

    /// What lies at `at` when that many words of the log are left from there.
    fn oldest_from(&self, at: usize, left: usize) -> Option<Oldest> {
        let header = ItemHeader::from_word(self.words().load(at));
        let item = Item::in_log(at, header);
        match left {
            0 => None,
            _ if header.is_filler() => Some(Oldest::Filler),
            _ if header.is_dead() => Some(Oldest::Dead(item)),
            _ => Some(Oldest::Unknown(item, self.look().placement_of(item))),
        }
    }

    fn words_of(&self, oldest: Oldest, at: usize) -> usize {
        match oldest {
            Oldest::Filler => self.log.rest(at),
            Oldest::Dead(item) | Oldest::Unknown(item, _) => item.shape.words(),
        }
    }

    /// Passes what is at the head, and returns its words. `None` when there is no room to move an item, which the
    /// limits prevent.
    fn pass(&mut self, oldest: Oldest, may_move: bool, now: Millis) -> Option<usize> {
        let words = self.words_of(oldest, self.log.head());
        if let Oldest::Unknown(item, placement) = oldest
            && let Some(found) = self.look().pointer_to(item, placement)
        {
            let is_cache = self.layout().mode == Mode::Cache;
            if self.look().is_expired(item, now) {
                self.expire(&found);
            } else if !is_cache {
                self.move_to_tail(&found, Tag::of(placement))?;
            } else if !may_move
                || !self.look().was_read(found.bucket, found.cell)
                || self.move_to_tail(&found, Tag::of(placement)).is_none()
            {
                self.remove(&found);
                self.counts.evicted_log += 1;
            }
        }
        self.log.pass(words);
        Some(words)
    }

    /// Appends a live item again. It is in the log twice until its pointer has changed, so that a kill loses nothing.
    fn move_to_tail(&mut self, found: &Found, tag: Tag) -> Option<()> {
        let words = self.words();
        let item_words = found.item.shape.words();
        let at = self.log.append(words, item_words)?;
        for offset in 0..item_words {
            words.store(at + offset, words.load(found.item.at + offset));
        }
        self.index.put_pointer(found.bucket, found.cell, Pointer::new(tag, found.is_displaced(), at));
        self.counts.moved_by_cleaning += 1;
        Some(())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::HashMap;
    use std::vec;
    use std::vec::Vec;

    use super::super::tests::{NOW, config, key, memory};
    use super::super::{GetOutcome, SetOutcome};
    use super::*;

    /// A generator of numbers that is good enough for sizes and choices (xorshift, Marsaglia 2003).
    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 11) as usize % bound
        }
    }

    /// What a churned table should hold: the length of each key's value, and what its bytes are.
    struct Churn<'m> {
        table: Table<'m>,
        random: Random,
        values: HashMap<u64, (usize, u8)>,
        stored_bytes: usize,
    }

    /// Too long to lie in a bucket, with whatever value.
    fn name(number: u64) -> [u8; 20] {
        let mut name = [0xa5; 20];
        name[..8].copy_from_slice(&number.to_le_bytes());
        name
    }

    impl<'m> Churn<'m> {
        fn new(memory: &'m [crate::sync::AtomicU64], item_len_hint: usize) -> Self {
            let config = super::super::TableConfig { item_len_hint, ..config(Mode::Store) };
            let table = Table::format(memory, &config).expect("enough memory");
            Self { table, random: Random(0x9e37_79b9), values: HashMap::new(), stored_bytes: 0 }
        }

        /// Stores a value, which must succeed, and asks whether it was done with bounded work.
        fn set(&mut self, number: u64, len: usize) {
            let byte = self.random.below(256) as u8;
            let passed = self.table.log.passed();
            let outcome = self.table.set(&key(&name(number)), &vec![byte; len], None, NOW);
            assert_eq!(outcome, SetOutcome::Stored, "{len} bytes: {:?}", self.table.stats());
            let words = (4 + 20 + len).div_ceil(8);
            let bound = CLEANING_RATIO * words + self.table.layout().item_words_max();
            assert!(self.table.log.passed() - passed <= bound as u64, "too much work for {len} bytes");
            self.stored_bytes += words * 8;
            self.values.insert(number, (len, byte));
        }

        fn delete(&mut self, number: u64) {
            self.table.delete(&key(&name(number)), NOW);
            self.values.remove(&number);
        }

        fn live_share(&self) -> f64 {
            let stats = self.table.stats();
            stats.log_live_bytes as f64 / stats.log_bytes as f64
        }

        fn check(&mut self) {
            assert_eq!(self.table.audit(), Ok(()));
            let mut into = [0; 16 * 1024];
            for (number, (len, byte)) in &self.values {
                let outcome = self.table.get(&key(&name(*number)), NOW, &mut into);
                assert_eq!(outcome, GetOutcome::Found { len: *len, may_expire: false });
                assert!(into[..*len].iter().all(|value| value == byte));
            }
        }
    }

    #[test]
    fn a_hundred_times_the_capacity_in_random_sizes_at_80_percent_fits() {
        let memory = memory(1 << 20);
        let mut churn = Churn::new(&memory, 520);
        let capacity = churn.table.stats().log_bytes as usize;
        let mut next = 0u64;
        while churn.stored_bytes < 100 * capacity {
            // Grows to the mark, then replaces and deletes at random.
            while churn.live_share() < 0.8 {
                let len = 8 + churn.random.below(1017);
                churn.set(next, len);
                next += 1;
            }
            let numbers: Vec<u64> = churn.values.keys().copied().collect();
            for _ in 0..numbers.len() / 4 {
                let number = numbers[churn.random.below(numbers.len())];
                if churn.random.below(2) == 0 || churn.live_share() > 0.81 {
                    churn.delete(number);
                } else {
                    let len = 8 + churn.random.below(1017);
                    churn.set(number, len);
                }
            }
        }
        churn.check();
        assert!(churn.table.stats().moved_by_cleaning > 0);
    }

    /// Keeps the store at its very limit while it replaces items of extreme sizes: the hardest loads for the proof.
    fn churn_at_the_limit(memory_len: usize, lens: &[usize], pick: impl Fn(&mut Random, &[u64], usize) -> usize) {
        let memory = memory(memory_len);
        // With the smallest hint the index has room for any of these.
        let mut churn = Churn::new(&memory, 8);
        let stats = churn.table.stats();
        let mut order = Vec::new();
        let mut step = 0;
        while churn.stored_bytes < 10 * stats.log_bytes as usize {
            let len = lens[churn.random.below(lens.len())].min(stats.item_bytes_max as usize - 24);
            let bytes = (4 + 20 + len).next_multiple_of(8) as u64;
            while churn.table.stats().log_live_bytes + bytes > stats.log_capacity_bytes {
                let index = pick(&mut churn.random, &order, step);
                churn.delete(order.swap_remove(index));
            }
            churn.set(step as u64, len);
            order.push(step as u64);
            step += 1;
        }
        churn.check();
    }

    #[test]
    fn no_store_below_the_limit_is_refused_whatever_the_sizes() {
        for memory_len in [12 * 1024, 64 * 1024, 1 << 20] {
            for lens in [&[0][..], &[8], &[4000], &[0, 0, 0, 0, 0, 0, 0, 0, 0, 8000], &[1, 100, 900, 8000]] {
                churn_at_the_limit(memory_len, lens, |random, order, _| random.below(order.len()));
                churn_at_the_limit(memory_len, lens, |_, order, _| order.len() - 1);
                churn_at_the_limit(memory_len, lens, |random, order, step| match step / 500 % 2 {
                    0 => 0,
                    _ => random.below(order.len()),
                });
            }
        }
    }

    #[test]
    fn a_store_that_only_grows_moves_nothing() {
        let memory = memory(1 << 20);
        let mut churn = Churn::new(&memory, 108);
        let mut number = 0;
        while churn.table.stats().log_live_bytes + 128 <= churn.table.stats().log_capacity_bytes {
            churn.set(number, 100);
            number += 1;
        }
        assert_eq!(churn.table.stats().moved_by_cleaning, 0);
    }
}
