//! Stores a value if the present one is as expected.

use super::publish::expiry_word;
use super::{Millis, SetOutcome, Table};
use crate::hash::Key;

/// What became of a COMPARE_AND_SET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompareAndSetOutcome {
    /// The expected value was there; now the new one is.
    Stored,
    /// There is no such item.
    NotFound,
    /// Another value is there. It was left alone.
    Mismatch,
    /// The table is full; store mode only. The expected value is still there.
    InsufficientSpace,
    /// Key or new value exceed the protocol's limits, or the item exceeds what a table of this size takes. The
    /// expected value is still there.
    TooLarge,
}

impl Table<'_> {
    /// Replaces the value of `key` by `new` if it is `expected`, byte for byte. The new value has its own expiry, see
    /// [`Table::set`]; the old one does not live on.
    pub fn compare_and_set(
        &mut self,
        key: &Key<'_>,
        expected: &[u8],
        new: &[u8],
        expiry: Option<Millis>,
        now: Millis,
    ) -> CompareAndSetOutcome {
        let Some(found) = self.find_live(key, now) else { return CompareAndSetOutcome::NotFound };
        let item = found.item;
        if item.shape.value_len() != expected.len() || !self.words().end_with(item.end(), expected) {
            return CompareAndSetOutcome::Mismatch;
        }
        match self.publish(key, new, expiry_word(expiry), Some(found), now) {
            SetOutcome::Stored => CompareAndSetOutcome::Stored,
            SetOutcome::InsufficientSpace => CompareAndSetOutcome::InsufficientSpace,
            SetOutcome::TooLarge => CompareAndSetOutcome::TooLarge,
        }
    }
}
