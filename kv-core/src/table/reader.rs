//! Reading on cores that do not own the table (CREW).
//!
//! A reader never writes, so that any number of them cost the owner nothing. It reads without asking and then checks
//! that the owner did not change the bucket meanwhile; the module head of `table` has the argument. What it copies
//! during an attempt that fails may be torn; it stays in the caller's buffer at most behind what the outcome speaks of.

use super::bucket::{State, cell, pair_of_words, state_of};
use super::get::GetOutcome;
use super::index::Index;
use super::item::Item;
use super::layout::Layout;
use super::ttl::TtlOutcome;
use super::words::{LINE_WORDS, WORD_LEN, Words};
use super::{Millis, Table, TableError};
use crate::hash::{Key, Secret};
use crate::sync::{AtomicU64, Ordering, fence, spin_hint};

/// Attempts before a reader gives up. The owner changes a bucket within a few stores, so that two are rarely needed;
/// 16 in a row fail when the owner was interrupted in between, or empties the table.
const ATTEMPTS_MAX: usize = 16;

/// What became of a read beside the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOutcome<T> {
    /// The answer, as the owner would have given it at one moment during the read.
    Done(T),
    /// The owner was changing the key's bucket all the time, and nothing was learnt. Try again later.
    Busy,
}

impl<T> ReadOutcome<T> {
    /// Changes the answer, if there is one.
    #[inline]
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> ReadOutcome<U> {
        match self {
            Self::Done(answer) => ReadOutcome::Done(change(answer)),
            Self::Busy => ReadOutcome::Busy,
        }
    }
}

/// A table for a core that only reads.
#[derive(Clone, Copy, Debug)]
pub struct TableReader<'m> {
    index: Index<'m>,
}

impl<'m> Table<'m> {
    /// A handle for readers on other cores. Without [`TableConfig::concurrent_read`](super::TableConfig) it must not
    /// be used while the owner writes: it would believe torn values.
    pub const fn reader(&self) -> TableReader<'m> {
        TableReader { index: self.index.look }
    }
}

impl<'m> TableReader<'m> {
    pub(crate) const fn look(&self) -> &Index<'m> {
        &self.index
    }

    /// Opens the table that its owner has made in `memory`, perhaps in another process.
    ///
    /// # Errors
    /// What is wrong with it: no table, another layout or secret, or one that was made without concurrent readers.
    pub fn open(memory: &'m [AtomicU64], secret: Secret) -> Result<Self, TableError> {
        let words = Words::aligned(memory);
        let layout = Layout::read(words, &secret)?;
        if !layout.concurrent_read {
            return Err(TableError::NotConcurrent);
        }
        Ok(Self { index: Index::new(words, layout, secret) })
    }

    /// What keys the places of this table's items.
    pub const fn secret(&self) -> &Secret {
        &self.index.secret
    }

    /// Copies the value of `key` to the start of `into`, as [`Table::get`] does. Bytes that the outcome does not speak
    /// of are unspecified.
    #[inline]
    pub fn get(&self, key: &Key<'_>, now: Millis, into: &mut [u8]) -> ReadOutcome<GetOutcome> {
        if let Some(value) = self.value_at_aim(key)
            && let Some(into) = into.first_chunk_mut()
        {
            *into = value.to_le_bytes();
            return ReadOutcome::Done(GetOutcome::Found { len: WORD_LEN, may_expire: false });
        }
        self.get_any(key, now, into)
    }

    #[inline(never)]
    fn get_any(&self, key: &Key<'_>, now: Millis, into: &mut [u8]) -> ReadOutcome<GetOutcome> {
        self.read(key, now, |item| item.map_or(GetOutcome::NotFound, |item| self.index.load_value(item, into)))
    }

    /// The value of a key if both are one word and lie in the bucket that was fetched, and the owner did not change that
    /// meanwhile.
    #[inline(always)]
    fn value_at_aim(&self, key: &Key<'_>) -> Option<u64> {
        let (line, word) = self.index.word_at_aim(key)?;
        let [first, ..] = line;
        let before = State(first.load(Ordering::Acquire));
        if !before.version().is_multiple_of(2) {
            return None;
        }
        let value = cell(line, 2 * pair_of_words(line, before, word)? + 1);
        fence(Ordering::Acquire);
        (State(first.load(Ordering::Relaxed)).version() == before.version()).then_some(value)
    }

    /// Whether there is an item with this key.
    #[inline]
    pub fn test(&self, key: &Key<'_>, now: Millis) -> ReadOutcome<bool> {
        self.read(key, now, |item| item.is_some())
    }

    /// How long the item of `key` will live from now on.
    pub fn ttl(&self, key: &Key<'_>, now: Millis) -> ReadOutcome<TtlOutcome> {
        self.read(key, now, |item| item.map_or(TtlOutcome::NotFound, |item| self.index.time_left(item, now)))
    }

    /// See [`Table::prefetch`].
    #[inline]
    pub fn prefetch(&self, key: &mut Key<'_>) {
        self.index.prefetch(key);
    }

    /// See [`Table::prefetch_other`].
    #[inline]
    pub fn prefetch_other(&self, key: &mut Key<'_>) {
        self.index.prefetch_other(key);
    }

    /// See [`Table::prefetch_item`].
    #[inline]
    pub fn prefetch_item(&self, key: &Key<'_>) {
        self.index.prefetch_item(key);
    }

    /// Looks `key` up and lets `outcome` read its live item, until no bucket that was looked at changed meanwhile.
    #[inline]
    fn read<T>(&self, key: &Key<'_>, now: Millis, mut outcome: impl FnMut(Option<Item>) -> T) -> ReadOutcome<T> {
        for _ in 0..ATTEMPTS_MAX {
            if let Some(read) = self.attempt(key, now, &mut outcome) {
                return ReadOutcome::Done(read);
            }
            spin_hint();
        }
        ReadOutcome::Busy
    }

    #[inline]
    fn attempt<T>(&self, key: &Key<'_>, now: Millis, outcome: &mut impl FnMut(Option<Item>) -> T) -> Option<T> {
        let home = self.index.home(key.placement());
        let (home_line, home_version) = self.begin(home)?;
        let mut found = self.index.find_in(home_line, home, home, key);
        let mut second = None;
        if found.is_none()
            && let Some(other) = self.index.displaced_to(home_line, home, key.placement())
        {
            let (line, version) = self.begin(other)?;
            found = self.index.find_in(line, home, other, key);
            second = Some((other, version));
        }
        let item = found.map(|found| found.item).filter(|item| !self.index.is_expired(*item, now));
        let read = outcome(item);
        fence(Ordering::Acquire);
        let is_unchanged = |bucket, version| state_of(self.index.words, bucket).version() == version;
        let is_whole =
            is_unchanged(home, home_version) && second.is_none_or(|(other, version)| is_unchanged(other, version));
        is_whole.then_some(read)
    }

    /// The line of a bucket and its version, unless the owner is just changing it.
    #[inline]
    fn begin(&self, bucket: usize) -> Option<(&'m [AtomicU64; LINE_WORDS], u32)> {
        let line = self.index.line(bucket)?;
        let version = State(self.index.words.load_acquire(bucket)).version();
        version.is_multiple_of(2).then_some((line, version))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::vec::Vec;

    use super::super::tests::{NOW, SECRET, config, key, memory};
    use super::super::{Mode, TableConfig};
    use super::*;

    #[test]
    fn a_reader_opens_only_what_it_can_read() {
        let concurrent = TableConfig { concurrent_read: true, ..config(Mode::Cache) };
        let memory = memory(64 * 1024);
        assert_eq!(TableReader::open(&memory, SECRET).map(|_| ()), Err(TableError::NotATable));
        assert_eq!(TableReader::open(&[], SECRET).map(|_| ()), Err(TableError::NotATable));
        let mut table = Table::format(&memory, &concurrent).expect("64 KiB are enough");
        table.set(&key(b"name"), b"value", Some(Millis(3000)), NOW);
        let reader = TableReader::open(&memory, SECRET).expect("a table of its own kind");
        let mut into = [0; 8];
        reader.prefetch(&mut key(b"name"));
        reader.prefetch_other(&mut key(b"name"));
        let found = GetOutcome::Found { len: 5, may_expire: true };
        assert_eq!(reader.get(&key(b"name"), NOW, &mut into), ReadOutcome::Done(found));
        assert_eq!(&into[..5], b"value");
        assert_eq!(reader.get(&key(b"name"), NOW, &mut into[..2]), ReadOutcome::Done(GetOutcome::TooSmall { len: 5 }));
        assert_eq!(reader.ttl(&key(b"name"), NOW), ReadOutcome::Done(TtlOutcome::Expires(Millis(2000))));
        assert_eq!(reader.test(&key(b"other"), NOW), ReadOutcome::Done(false));

        let other_secret = Secret { k0: 1, k1: 2 };
        assert_eq!(TableReader::open(&memory, other_secret).map(|_| ()), Err(TableError::WrongSecret));
        let half = &memory[..memory.len() / 2];
        assert_eq!(TableReader::open(half, SECRET).map(|_| ()), Err(TableError::Geometry));
        table.words().store(1, 77);
        let found = TableReader::open(&memory, SECRET).map(|_| ());
        assert_eq!(found, Err(TableError::LayoutVersion { known: 3, found: 77 }));
        Table::format(&memory, &config(Mode::Store)).expect("64 KiB are enough");
        assert_eq!(TableReader::open(&memory, SECRET).map(|_| ()), Err(TableError::NotConcurrent));
    }

    #[test]
    fn a_reader_gives_up_while_the_owner_is_changing_the_bucket() {
        let memory = memory(64 * 1024);
        let config = TableConfig { concurrent_read: true, ..config(Mode::Store) };
        let mut table = Table::format(&memory, &config).expect("64 KiB are enough");
        table.set(&key(b"name"), b"value", None, NOW);
        let home = table.look().home(key(b"name").placement());
        let state = table.words().load(home);
        table.words().store(home, state + (1 << 32));
        assert_eq!(table.reader().test(&key(b"name"), NOW), ReadOutcome::Busy);
        table.words().store(home, state + (2 << 32));
        assert_eq!(table.reader().test(&key(b"name"), NOW), ReadOutcome::Done(true));
    }

    #[test]
    fn versions_change_only_where_readers_are_allowed() {
        for concurrent_read in [false, true] {
            let memory = memory(64 * 1024);
            let mut table = Table::format(&memory, &TableConfig { concurrent_read, ..config(Mode::Store) })
                .expect("64 KiB are enough");
            for number in 0..3000u64 {
                table.set(&key(&(number % 100).to_le_bytes()), &[1; 40], None, NOW);
            }
            let versions: Vec<u32> =
                table.layout().buckets().map(|bucket| state_of(table.words(), bucket).version()).collect();
            assert!(versions.iter().all(|version| version % 2 == 0));
            assert_eq!(versions.iter().any(|version| *version > 0), concurrent_read);
        }
    }
}
