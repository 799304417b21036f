//! Reading on cores that do not own the table (CREW).
//!
//! A reader never writes, so that any number of them cost the owner nothing. It reads without asking and then checks
//! that the owner did not change the bucket meanwhile; the module head of `table` has the argument. What it copies
//! during an attempt that fails may be torn; it stays in the caller's buffer at most behind what the outcome speaks of.

use super::get::GetOutcome;
use super::index::{Index, version};
use super::item::Item;
use super::layout::Layout;
use super::ttl::TtlOutcome;
use super::words::Words;
use super::{Millis, Table, TableError};
use crate::hash::{Key, Placement, Secret};
use crate::sync::{AtomicU64, Ordering, fence, spin_hint};

/// Attempts before a reader gives up. The owner changes a chain within a few stores, so that two are rarely needed;
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
    secret: Secret,
}

impl<'m> Table<'m> {
    /// A handle for readers on other cores. Without [`TableConfig::concurrent_read`](super::TableConfig) it must not
    /// be used while the owner writes: it would believe torn values.
    pub const fn reader(&self) -> TableReader<'m> {
        TableReader { index: self.index.look, secret: self.secret }
    }
}

impl<'m> TableReader<'m> {
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
        Ok(Self { index: Index { words, layout }, secret })
    }

    /// What keys the places of this table's items.
    pub const fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Copies the value of `key` to the start of `into`, as [`Table::get`] does. Bytes that the outcome does not speak
    /// of are unspecified.
    #[inline]
    pub fn get(&self, key: &Key<'_>, now: Millis, into: &mut [u8]) -> ReadOutcome<GetOutcome> {
        self.read(key, now, |item| item.map_or(GetOutcome::NotFound, |item| self.index.load_value(item, into)))
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
    pub fn prefetch(&self, placement: Placement) {
        self.index.prefetch(placement);
    }

    /// See [`Table::prefetch_item`].
    #[inline]
    pub fn prefetch_item(&self, placement: Placement) {
        self.index.prefetch_item(placement);
    }

    /// Looks `key` up and lets `outcome` read its live item, until the chain did not change meanwhile.
    #[inline]
    fn read<T>(&self, key: &Key<'_>, now: Millis, mut outcome: impl FnMut(Option<Item>) -> T) -> ReadOutcome<T> {
        let words = self.index.words;
        let chain = self.index.chain(key.placement());
        for _ in 0..ATTEMPTS_MAX {
            let before = version(words.load_acquire(chain));
            if before.is_multiple_of(2) {
                let item = self.index.find(key).map(|found| found.item);
                let read = outcome(item.filter(|item| !self.index.is_expired(*item, now)));
                fence(Ordering::Acquire);
                if version(words.load(chain)) == before {
                    return ReadOutcome::Done(read);
                }
            }
            spin_hint();
        }
        ReadOutcome::Busy
    }
}
