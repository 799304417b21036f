//! Reads a value.

use super::index::{Found, Index};
use super::item::Item;
use super::{Millis, Table};
use crate::hash::Key;

/// What became of a GET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GetOutcome {
    /// The value is in the first `len` bytes.
    Found {
        /// Length of the value in bytes.
        len: usize,
    },
    /// There is no such item.
    NotFound,
    /// The value is longer than the buffer, which its beginning fills.
    TooSmall {
        /// Length of the value in bytes.
        len: usize,
    },
}

impl Table<'_> {
    /// Copies the value of `key` to the start of `into`. Bytes that the outcome does not speak of are left alone.
    #[inline]
    pub fn get(&mut self, key: &Key<'_>, now: Millis, into: &mut [u8]) -> GetOutcome {
        match self.look().find_at_home(key) {
            Some(found) => self.load_found(&found, into),
            None => self.get_elsewhere(key, now, into),
        }
    }

    #[inline(never)]
    fn get_elsewhere(&mut self, key: &Key<'_>, now: Millis, into: &mut [u8]) -> GetOutcome {
        match self.find_elsewhere_live(key, now) {
            Some(found) => self.load_found(&found, into),
            None => GetOutcome::NotFound,
        }
    }

    #[inline]
    fn load_found(&self, found: &Found, into: &mut [u8]) -> GetOutcome {
        self.index.mark(found.bucket, found.cell);
        self.look().load_value(found.item, into)
    }
}

impl Index<'_> {
    #[inline]
    pub(super) fn load_value(&self, item: Item, into: &mut [u8]) -> GetOutcome {
        let len = item.shape.value_len();
        let (room, outcome) = match into.get_mut(..len) {
            Some(room) => (room, GetOutcome::Found { len }),
            None => (into, GetOutcome::TooSmall { len }),
        };
        if self.words.load_bytes_before(item.end(), len, room) { outcome } else { GetOutcome::NotFound }
    }
}
