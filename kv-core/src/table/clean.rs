//! Making room in the log: what becomes of the items that its head passes.
//!
//! The items at the head are the oldest. One that no entry leads to is dead, whatever killed it: nobody keeps a list of
//! dead items, their bucket is looked at when their turn comes. In store mode the living are appended again, so that
//! the log turns round; what it costs is in proportion to what is stored. The module head of `table` derives how much a
//! store has to clean, and that it suffices.

use super::index::{Found, Place, moved_entry};
use super::item::{Item, ItemHeader};
use super::layout::CLEANING_RATIO;
use super::words::LINE_WORDS;
use super::{Millis, Mode, Table};

/// Items at the head whose buckets are fetched before they are passed, and lines of the log behind them. With a million
/// items of 8 and 100 bytes at the limit of a store (AMD EPYC, 4 KiB pages), replacing values is twice as fast as
/// without; more of either does not help.
const ITEMS_AHEAD: usize = 8;
const LINES_AHEAD: usize = 4;

impl Table<'_> {
    /// Makes the log ready to take an item of `words`. In store mode this succeeds whenever live items are within
    /// their limit.
    pub(super) fn make_room(&mut self, words: usize, now: Millis) -> bool {
        match self.layout().mode {
            Mode::Store => {
                let threshold = self.layout().cleaning_threshold();
                self.clean(words, now, |table| table.log.free() >= threshold + table.log.need(words));
            }
            Mode::Cache => while self.log.free() < self.log.need(words) && self.pass_head(now).is_some() {},
        }
        self.log.free() >= self.log.need(words)
    }

    /// Passes items at the head until it is enough, or until a store of `words` has done its share.
    pub(super) fn clean(&mut self, words: usize, now: Millis, enough: impl Fn(&Self) -> bool) {
        if enough(self) {
            return;
        }
        self.prefetch_ahead();
        let budget = CLEANING_RATIO * words;
        let mut passed_words = 0;
        while passed_words < budget && !enough(self) {
            match self.pass_head(now) {
                Some(words) => passed_words += words,
                None => return,
            }
        }
    }

    /// Fetches the buckets of the next items at the head, and some of the log behind these.
    ///
    /// Each item that is passed needs its bucket, which is anywhere, and the header of one is needed to find the next.
    /// What is fetched now and not reached by this store serves the next one.
    fn prefetch_ahead(&self) {
        let (mut at, mut left) = (self.log.head(), self.log.used());
        for _ in 0..ITEMS_AHEAD {
            let header = ItemHeader::from_word(self.words().load(at));
            let words = if header.is_filler() { self.log.rest(at) } else { header.words() };
            if words >= left {
                return;
            }
            self.words().prefetch(self.layout().chain(header.placement_low()));
            at = self.log.behind(at, words);
            left -= words;
        }
        for line in 0..LINES_AHEAD {
            self.words().prefetch(at + line * LINE_WORDS);
        }
    }

    /// Passes what is at the head, and returns its words. `None` when the log is empty, or when there is no room to
    /// move an item, which the limits prevent.
    fn pass_head(&mut self, now: Millis) -> Option<usize> {
        if self.log.used() == 0 {
            return None;
        }
        let at = self.log.head();
        let item = Item { at, header: ItemHeader::from_word(self.words().load(at)) };
        if item.header.is_filler() {
            let rest = self.log.rest(at);
            self.log.pass(rest);
            return Some(rest);
        }
        let words = item.header.words();
        if let Some(found) = self.look().slot_of(item) {
            if self.look().is_expired(item, now) {
                self.expire(&found);
            } else if self.layout().mode == Mode::Cache {
                self.remove(&found);
                self.counts.evicted_log += 1;
            } else {
                self.move_to_tail(&found)?;
            }
        }
        self.log.pass(words);
        Some(words)
    }

    /// Appends a live item again. It is in the log twice until its entry has changed, so that a kill loses nothing.
    fn move_to_tail(&mut self, found: &Found) -> Option<()> {
        let words = self.words();
        let item_words = found.item.header.words();
        let at = self.log.append(words, item_words)?;
        for offset in 0..item_words {
            words.store(at + offset, words.load(found.item.at + offset));
        }
        let entry = moved_entry(words.load(found.slot), at);
        self.index.fill(found.chain, Place::Slot(found.slot), entry);
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
            let outcome = self.table.set(&key(&number.to_le_bytes()), &vec![byte; len], None, NOW);
            assert_eq!(outcome, SetOutcome::Stored, "{len} bytes: {:?}", self.table.stats());
            let words = 2 + len.div_ceil(8);
            let bound = CLEANING_RATIO * words + self.table.layout().item_words_max();
            assert!(self.table.log.passed() - passed <= bound as u64, "too much work for {len} bytes");
            self.stored_bytes += words * 8;
            self.values.insert(number, (len, byte));
        }

        fn delete(&mut self, number: u64) {
            self.table.delete(&key(&number.to_le_bytes()), NOW);
            self.values.remove(&number);
        }

        fn live_share(&self) -> f64 {
            let stats = self.table.stats();
            stats.live_bytes as f64 / stats.log_bytes as f64
        }

        fn check(&mut self) {
            assert_eq!(self.table.audit(), Ok(()));
            let mut into = [0; 16 * 1024];
            for (number, (len, byte)) in &self.values {
                let outcome = self.table.get(&key(&number.to_le_bytes()), NOW, &mut into);
                assert_eq!(outcome, GetOutcome::Found { len: *len });
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
            let len = lens[churn.random.below(lens.len())].min(stats.item_bytes_max as usize - 16);
            let bytes = (16 + len.next_multiple_of(8)) as u64;
            while churn.table.stats().live_bytes + bytes > stats.capacity_bytes {
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
        while churn.table.stats().live_bytes + 120 <= churn.table.stats().capacity_bytes {
            churn.set(number, 100);
            number += 1;
        }
        assert_eq!(churn.table.stats().moved_by_cleaning, 0);
    }
}
