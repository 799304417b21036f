//! Stores a value, whether or not the key has one.

use super::item::NEVER;
use super::publish::expiry_word;
use super::{Millis, Table};
use crate::hash::Key;

/// What became of a SET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetOutcome {
    /// Every read that starts from now on finds it, until something else happens to the key.
    Stored,
    /// The table is full; store mode only. The item that was there still is.
    InsufficientSpace,
    /// Key or value exceed the protocol's limits, or the item exceeds what a table of this size takes. The item that
    /// was there still is.
    TooLarge,
}

impl Table<'_> {
    /// Stores `value` under `key`, with its expiry: the moment from which on it is not found, or `None` for never.
    #[inline]
    pub fn set(&mut self, key: &Key<'_>, value: &[u8], expiry: Option<Millis>, now: Millis) -> SetOutcome {
        if expiry.is_none()
            && let Some(found) = self.look().find_at_home(key)
            && self.overwrite(found.item, value, NEVER)
        {
            self.counts.replaced_in_place();
            return SetOutcome::Stored;
        }
        self.set_anywhere(key, value, expiry, now)
    }

    #[inline(never)]
    fn set_anywhere(&mut self, key: &Key<'_>, value: &[u8], expiry: Option<Millis>, now: Millis) -> SetOutcome {
        let found = self.find_live(key, now);
        self.publish(key, value, expiry_word(expiry), found, now)
    }
}
