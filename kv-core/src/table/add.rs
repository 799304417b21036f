//! Stores a value if the key has none.

use super::publish::expiry_word;
use super::{Millis, SetOutcome, Table};
use crate::hash::Key;

/// What became of an ADD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddOutcome {
    /// There was no item with this key; now there is.
    Stored,
    /// There is an item with this key. It was left alone.
    Exists,
    /// The table is full; store mode only.
    InsufficientSpace,
    /// Key or value exceed the protocol's limits, or the item exceeds what a table of this size takes.
    TooLarge,
}

impl Table<'_> {
    /// Stores `value` under `key` if there is no such item. See [`Table::set`] for `expiry`.
    pub fn add(&mut self, key: &Key<'_>, value: &[u8], expiry: Option<Millis>, now: Millis) -> AddOutcome {
        if self.find_live(key, now).is_some() {
            return AddOutcome::Exists;
        }
        match self.publish(key, value, expiry_word(expiry), None, now) {
            SetOutcome::Stored => AddOutcome::Stored,
            SetOutcome::InsufficientSpace => AddOutcome::InsufficientSpace,
            SetOutcome::TooLarge => AddOutcome::TooLarge,
        }
    }
}
