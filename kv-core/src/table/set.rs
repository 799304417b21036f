//! Stores a value, whether or not the key has one.

use super::bucket::CELLS_WORD;
use super::publish::expiry_word;
use super::words::WORD_LEN;
use super::{Millis, Table};
use crate::hash::Key;
use crate::sync::Ordering;

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
    /// Stores a value of one word under `key`, never to expire, if the key is one word, too, and such an item lies where it
    /// was fetched from: what most SETs ask for, in a few instructions. `false`, and nothing done, otherwise.
    #[inline]
    pub fn set_word(&mut self, key: &Key<'_>, value: [u8; WORD_LEN]) -> bool {
        if let Some((line, cell)) = self.look().find_words_at_aim(key)
            && let Some(last) = line.get(CELLS_WORD + cell + 1)
        {
            last.store(u64::from_le_bytes(value), Ordering::Release);
            self.counts.replaced_in_place();
            return true;
        }
        false
    }

    /// Stores `value` under `key`, with its expiry: the moment from which on it is not found, or `None` for never.
    #[inline]
    pub fn set(&mut self, key: &Key<'_>, value: &[u8], expiry: Option<Millis>, now: Millis) -> SetOutcome {
        if expiry.is_none()
            && let Ok(word) = value.try_into()
            && self.set_word(key, word)
        {
            return SetOutcome::Stored;
        }
        self.set_any(key, value, expiry, now)
    }

    #[inline(never)]
    fn set_any(&mut self, key: &Key<'_>, value: &[u8], expiry: Option<Millis>, now: Millis) -> SetOutcome {
        let found = self.find_live(key, now);
        self.publish(key, value, expiry_word(expiry), found, now)
    }
}
