//! From keys to items: buckets of one cache line, chained where one is not enough.
//!
//! ```text
//! word 0                          words 1 to 7
//! +-------------+---------------+ +----------+--------------------------+
//! | version, 32 | link, 32      | | tag, 16  | item, index of a word, 48 |   7 times
//! +-------------+---------------+ +----------+--------------------------+
//! ```
//!
//! An entry of 0 is empty; item 0 would be the table's header. The link is the number of the next overflow bucket, 0 for
//! none. Only the version of a chain's first bucket counts, and only where readers are allowed: it is odd while the
//! owner changes the chain. At most [`CHAIN_OVERFLOW_MAX`] overflow buckets hang on a bucket, so that no lookup takes
//! long, whatever the keys are.
//!
//! [`Index`] looks up, for the owner and for readers; [`IndexOwner`] changes. Each change of what is reachable is one
//! store of one word: the entry, or the link to a bucket that has been filled before.

use super::item::{Item, ItemHeader, tag};
use super::layout::Layout;
use super::words::{LINE_WORDS, Words};
use crate::hash::{Key, Placement};
use crate::sync::{AtomicU64, Ordering, fence};

/// The most overflow buckets of one chain, for 7 × (1 + 4) = 35 items. With a mean of 5, random placement has more in
/// one chain of 3 × 10^18 (Poisson); who gets there has chosen the keys.
pub(super) const CHAIN_OVERFLOW_MAX: usize = 4;

const LINK: u64 = 0xffff_ffff;
const VERSION_ONE: u64 = 1 << 32;
const TAG_SHIFT: u32 = 48;
const ITEM_AT: u64 = (1 << TAG_SHIFT) - 1;

/// The index for who looks up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Index<'m> {
    pub(super) words: Words<'m>,
    pub(super) layout: Layout,
}

/// Where an item was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// The first bucket of the chain.
    pub(super) chain: usize,
    /// The word with the entry.
    pub(super) slot: usize,
    pub(super) item: Item,
}

/// Where an entry can go.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// Into this word, which holds nothing or what is to be replaced.
    Slot(usize),
    /// Into a new bucket behind this one.
    Behind(usize),
}

impl<'m> Index<'m> {
    #[inline]
    pub(super) fn chain(&self, placement: Placement) -> usize {
        self.layout.chain(super::item::placement_low(placement))
    }

    /// The item of a key, expired or not.
    #[inline]
    pub(super) fn find(&self, key: &Key<'_>) -> Option<Found> {
        let chain = self.chain(key.placement());
        let mut bucket = chain;
        for _ in 0..=CHAIN_OVERFLOW_MAX {
            let line = self.words.line(bucket)?;
            for slot in with_tag(line, key.placement()) {
                if let Some(item) = self.item_of(load_slot(line, slot), key) {
                    return Some(Found { chain, slot: bucket + slot, item });
                }
            }
            bucket = self.next(line)?;
        }
        None
    }

    /// The entry's item if its key is this one.
    #[inline]
    fn item_of(&self, entry: u64, key: &Key<'_>) -> Option<Item> {
        let at = item_at(entry);
        let item = Item { at, header: ItemHeader::from_word(self.words.load(at)) };
        (item.header.may_be(key) && self.words.hold(item.key_at(), key.bytes())).then_some(item)
    }

    /// The bucket behind this one.
    #[inline]
    fn next(&self, line: &[AtomicU64; LINE_WORDS]) -> Option<usize> {
        let [control, ..] = line;
        match (control.load(Ordering::Relaxed) & LINK) as u32 {
            0 => None,
            number => Some(self.layout.overflow(number)),
        }
    }

    /// Fetches the line of the chain's first bucket.
    #[inline]
    pub(super) fn prefetch(&self, placement: Placement) {
        self.words.prefetch(self.chain(placement));
    }

    /// Fetches the lines of the first item with the right tag, or the next bucket when the first has none. A typical
    /// item lies in one line or two; what is longer is fetched by the hardware as it is read.
    #[inline]
    pub(super) fn prefetch_item(&self, placement: Placement) {
        let Some(line) = self.words.line(self.chain(placement)) else { return };
        if let Some(slot) = with_tag(line, placement).next() {
            let at = item_at(load_slot(line, slot));
            self.words.prefetch(at);
            if at % LINE_WORDS + self.layout.item_words_hint > LINE_WORDS {
                self.words.prefetch(at + LINE_WORDS);
            }
        } else if let Some(next) = self.next(line) {
            self.words.prefetch(next);
        }
    }

    /// All entries of a chain that are not empty, with their words.
    pub(super) fn chain_entries(&self, chain: usize) -> impl Iterator<Item = (usize, u64)> + use<'_, 'm> {
        self.buckets(chain).flat_map(|bucket| {
            let line = self.words.line(bucket);
            line.into_iter().flat_map(entries).map(move |(slot, entry)| (bucket + slot, entry))
        })
    }

    /// The buckets of a chain.
    pub(super) fn buckets(&self, chain: usize) -> impl Iterator<Item = usize> + use<'_, 'm> {
        let next = |bucket: &usize| self.words.line(*bucket).and_then(|line| self.next(line));
        core::iter::successors(Some(chain), next).take(1 + CHAIN_OVERFLOW_MAX)
    }

    /// The word whose entry leads to the item at `at`, when that item is still reachable.
    pub(super) fn slot_of(&self, item: Item) -> Option<Found> {
        let chain = self.layout.chain(item.header.placement_low());
        let (slot, _) = self.chain_entries(chain).find(|&(_, entry)| item_at(entry) == item.at)?;
        Some(Found { chain, slot, item })
    }

    /// The item that an entry leads to.
    pub(super) fn item_at_entry(&self, entry: u64) -> Item {
        let at = item_at(entry);
        Item { at, header: ItemHeader::from_word(self.words.load(at)) }
    }

    /// A place for one more entry in a chain, if there is one; `overflow_free` is whether a bucket can be added.
    fn vacancy(&self, chain: usize, overflow_free: bool) -> Option<Place> {
        let mut last = None;
        for (depth, bucket) in self.buckets(chain).enumerate() {
            let line = self.words.line(bucket)?;
            for (slot, word) in line.iter().enumerate().skip(1) {
                if word.load(Ordering::Relaxed) == 0 {
                    return Some(Place::Slot(bucket + slot));
                }
            }
            last = (depth < CHAIN_OVERFLOW_MAX).then_some(bucket);
        }
        last.filter(|_| overflow_free).map(Place::Behind)
    }
}

/// The slots of a bucket whose entries have this placement's tag.
///
/// All seven are compared without a branch: which one it will be is random, so that a branch would be mispredicted.
#[inline]
fn with_tag(line: &[AtomicU64; LINE_WORDS], placement: Placement) -> impl Iterator<Item = usize> + use<> {
    let tag = tag(placement);
    let mut matches = 0u32;
    for (slot, word) in line.iter().enumerate().skip(1) {
        matches |= u32::from(word.load(Ordering::Relaxed) >> TAG_SHIFT == tag) << slot;
    }
    core::iter::from_fn(move || {
        let slot = matches.trailing_zeros();
        // Takes the lowest bit away.
        matches &= matches.checked_sub(1)?;
        Some(slot as usize)
    })
}

#[inline]
fn load_slot(line: &[AtomicU64; LINE_WORDS], slot: usize) -> u64 {
    line.get(slot).map_or(0, |word| word.load(Ordering::Relaxed))
}

/// The entries of a bucket that are not empty.
#[inline]
fn entries(line: &[AtomicU64; LINE_WORDS]) -> impl Iterator<Item = (usize, u64)> + '_ {
    let loaded = line.iter().enumerate().skip(1).map(|(slot, word)| (slot, word.load(Ordering::Relaxed)));
    loaded.filter(|&(_, entry)| entry != 0)
}

#[inline]
pub(super) const fn item_at(entry: u64) -> usize {
    (entry & ITEM_AT) as usize
}

/// The entry of an item with this placement that begins at a word.
#[inline]
pub(super) const fn entry(placement: Placement, at: usize) -> u64 {
    tag(placement) << TAG_SHIFT | at as u64 & ITEM_AT
}

/// The entry of the same item after it has moved.
pub(super) const fn moved_entry(entry: u64, at: usize) -> u64 {
    entry & !ITEM_AT | at as u64 & ITEM_AT
}

/// The version in a chain's first word; odd while the owner changes the chain.
#[inline]
pub(super) const fn version(control: u64) -> u32 {
    (control >> 32) as u32
}

/// The index for its owner, with what only the owner knows.
#[derive(Debug)]
pub(super) struct IndexOwner<'m> {
    pub(super) look: Index<'m>,
    /// The first unused overflow bucket, or 0. Each one links to the next.
    overflow_free: u32,
    overflow_used: u32,
}

impl<'m> IndexOwner<'m> {
    /// Makes an empty index, whatever the memory held.
    pub(super) fn format(words: Words<'m>, layout: Layout) -> Self {
        let mut index = Self { look: Index { words, layout }, overflow_free: 0, overflow_used: 0 };
        for chain in layout.chains() {
            index.wipe(chain, 0);
        }
        index.free_all_overflow();
        index
    }

    /// Empties the index while readers read.
    pub(super) fn reset(&mut self) {
        let layout = self.look.layout;
        for chain in layout.chains() {
            self.change(chain, |index| {
                let control = index.look.words.load(chain);
                index.wipe(chain, control & !LINK);
            });
        }
        // No chain leads here any more, and a reader that is still here finds the version of its chain changed.
        self.free_all_overflow();
    }

    fn free_all_overflow(&mut self) {
        let layout = self.look.layout;
        let count = layout.overflow_count();
        for number in 1..=count {
            let next = if number == count { 0 } else { number + 1 };
            self.wipe(layout.overflow(number), u64::from(next));
        }
        self.overflow_free = 1;
        self.overflow_used = 0;
    }

    fn wipe(&self, bucket: usize, control: u64) {
        for slot in 1..LINE_WORDS {
            self.look.words.store(bucket + slot, 0);
        }
        self.look.words.store(bucket, control);
    }

    pub(super) const fn overflow_used(&self) -> u32 {
        self.overflow_used
    }

    /// Counts the free overflow buckets one by one, for the audit.
    pub(super) fn overflow_free_count(&self) -> u32 {
        let next = |number: &u32| Some((self.look.words.load(self.look.layout.overflow(*number)) & LINK) as u32);
        let numbers = core::iter::successors(Some(self.overflow_free), next).take_while(|&number| number != 0);
        numbers.take(self.look.layout.overflow_count() as usize + 1).count() as u32
    }

    pub(super) fn vacancy(&self, chain: usize) -> Option<Place> {
        self.look.vacancy(chain, self.overflow_free != 0)
    }

    /// Makes an entry reachable, in the place of what may be there. The item must be complete.
    pub(super) fn fill(&mut self, chain: usize, vacancy: Place, entry: u64) {
        self.change(chain, |index| match vacancy {
            Place::Slot(slot) => index.look.words.publish(slot, entry),
            Place::Behind(bucket) => index.extend(bucket, entry),
        });
    }

    /// Hangs a bucket with one entry behind the last of a chain.
    fn extend(&mut self, bucket: usize, entry: u64) {
        let words = self.look.words;
        let number = self.overflow_free;
        let overflow = self.look.layout.overflow(number);
        debug_assert!(number != 0, "the caller has seen a free bucket");
        self.overflow_free = (words.load(overflow) & LINK) as u32;
        self.overflow_used += 1;
        words.store(overflow, 0);
        words.store(overflow + 1, entry);
        self.set_link(bucket, number);
    }

    /// Makes an entry unreachable, and its bucket free when that was the last of an overflow bucket.
    pub(super) fn clear(&mut self, found: &Found) {
        self.change(found.chain, |index| {
            index.look.words.publish(found.slot, 0);
            index.shrink(found.chain, found.slot / LINE_WORDS * LINE_WORDS);
        });
    }

    fn shrink(&mut self, chain: usize, bucket: usize) {
        let words = self.look.words;
        if bucket == chain || words.line(bucket).is_none_or(|line| entries(line).next().is_some()) {
            return;
        }
        let Some(before) = self.look.buckets(chain).find(|&before| self.follows(before, bucket)) else { return };
        self.set_link(before, (words.load(bucket) & LINK) as u32);
        words.store(bucket, u64::from(self.overflow_free));
        self.overflow_free = self.look.layout.overflow_number(bucket);
        self.overflow_used -= 1;
    }

    fn follows(&self, before: usize, bucket: usize) -> bool {
        self.look.words.load(before) & LINK == u64::from(self.look.layout.overflow_number(bucket))
    }

    fn set_link(&self, bucket: usize, number: u32) {
        let control = self.look.words.load(bucket);
        self.look.words.publish(bucket, control & !LINK | u64::from(number));
    }

    /// Runs a change of a chain between the two steps of its version. The module head of `table` has the argument.
    #[inline]
    fn change(&mut self, chain: usize, change: impl FnOnce(&mut Self)) {
        let words = self.look.words;
        if self.look.layout.concurrent_read {
            words.store(chain, words.load(chain).wrapping_add(VERSION_ONE));
            fence(Ordering::Release);
            change(self);
            words.publish(chain, words.load(chain).wrapping_add(VERSION_ONE));
        } else {
            change(self);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::vec::Vec;

    use super::super::tests::{NOW, config, key, memory};
    use super::super::{DeleteOutcome, Millis, Mode, SetOutcome, Table};
    use super::*;

    /// Keys that share a chain of this table.
    fn colliding(table: &Table<'_>, count: usize) -> Vec<[u8; 8]> {
        let chain = table.look().chain(key(b"the first").placement());
        let numbers = (0u64..).map(u64::to_le_bytes);
        numbers.filter(|name| table.look().chain(key(name).placement()) == chain).take(count).collect()
    }

    const CHAIN_ITEMS_MAX: usize = (LINE_WORDS - 1) * (1 + CHAIN_OVERFLOW_MAX);

    #[test]
    fn a_chain_grows_to_its_cap_and_then_a_store_refuses() {
        let memory = memory(256 * 1024);
        let mut table = Table::format(&memory, &config(Mode::Store)).expect("enough memory");
        let names = colliding(&table, CHAIN_ITEMS_MAX + 1);
        let (last, names) = names.split_last().expect("36 keys");
        for (count, name) in names.iter().enumerate() {
            assert_eq!(table.set(&key(name), name, None, NOW), SetOutcome::Stored);
            assert_eq!(table.stats().overflow_buckets, (count / 7) as u64);
        }
        assert_eq!(table.set(&key(last), last, None, NOW), SetOutcome::InsufficientSpace);
        assert_eq!(table.stats().refused_index, 1);
        for name in names {
            assert!(table.test(&key(name), NOW));
            assert_eq!(table.set(&key(name), b"another length", None, NOW), SetOutcome::Stored);
        }
        assert_eq!(table.delete(&key(&names[17]), NOW), DeleteOutcome::Deleted);
        assert_eq!(table.set(&key(last), last, None, NOW), SetOutcome::Stored, "a deleted entry makes room");
        assert_eq!(table.audit(), Ok(()));
    }

    #[test]
    fn a_full_chain_of_a_cache_gives_up_its_oldest() {
        let memory = memory(256 * 1024);
        let mut table = Table::format(&memory, &config(Mode::Cache)).expect("enough memory");
        let names = colliding(&table, 100);
        for (count, name) in names.iter().enumerate() {
            assert_eq!(table.set(&key(name), name, None, NOW), SetOutcome::Stored);
            let evicted = (count + 1).saturating_sub(CHAIN_ITEMS_MAX);
            assert_eq!(table.stats().evicted_bucket, evicted as u64);
            for (index, name) in names[..=count].iter().enumerate() {
                assert_eq!(table.test(&key(name), NOW), index >= evicted);
            }
        }
        assert_eq!(table.audit(), Ok(()));
    }

    #[test]
    fn a_full_chain_gives_up_its_expired_items_first() {
        for mode in [Mode::Store, Mode::Cache] {
            let memory = memory(256 * 1024);
            let mut table = Table::format(&memory, &config(mode)).expect("enough memory");
            let names = colliding(&table, CHAIN_ITEMS_MAX + 2);
            for (index, name) in names[..CHAIN_ITEMS_MAX].iter().enumerate() {
                let expiry = (index == 20 || index == 34).then_some(Millis(2000));
                assert_eq!(table.set(&key(name), name, expiry, NOW), SetOutcome::Stored);
            }
            for name in &names[CHAIN_ITEMS_MAX..] {
                assert_eq!(table.set(&key(name), name, None, Millis(2000)), SetOutcome::Stored);
            }
            let stats = table.stats();
            assert_eq!((stats.expired, stats.evicted_bucket, stats.items), (2, 0, CHAIN_ITEMS_MAX as u64));
        }
    }

    #[test]
    fn emptied_overflow_buckets_serve_other_chains() {
        let memory = memory(8 * 1024 + 64);
        let mut table = Table::format(&memory, &config(Mode::Store)).expect("enough memory");
        let names = colliding(&table, CHAIN_ITEMS_MAX);
        for round in 0..50usize {
            for name in &names {
                assert_eq!(table.set(&key(name), b"", None, NOW), SetOutcome::Stored);
            }
            assert_eq!(table.stats().overflow_buckets, CHAIN_OVERFLOW_MAX as u64);
            // Emptied from the front, from the back, and in between.
            for index in 0..names.len() {
                let name = &names[(index * 8 + round * 3) % names.len()];
                table.delete(&key(name), NOW);
                assert_eq!(table.audit(), Ok(()));
            }
            for name in &names {
                table.delete(&key(name), NOW);
            }
            assert_eq!((table.stats().items, table.stats().overflow_buckets), (0, 0));
        }
    }

    #[test]
    fn a_store_without_overflow_buckets_refuses_only_full_chains() {
        let memory = memory(8 * 1024 + 64);
        let mut table = Table::format(&memory, &config(Mode::Store)).expect("enough memory");
        let mut number = 0u64;
        let mut kept = Vec::new();
        while table.stats().refused_index < 20 {
            let name = number.to_le_bytes();
            match table.set(&key(&name), b"", None, NOW) {
                SetOutcome::Stored => kept.push(name),
                _ => assert_eq!(table.stats().refused_log, 0, "the index of such small items fills first"),
            }
            number += 1;
        }
        assert_eq!(table.stats().overflow_buckets, table.stats().overflow_buckets_max);
        assert!(kept.iter().all(|name| table.test(&key(name), NOW)));
        assert_eq!(table.audit(), Ok(()));
    }
}
