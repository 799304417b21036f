//! Reads a value.

use super::bucket;
use super::index::Index;
use super::item::Item;
use super::layout::Layout;
use super::words::WORD_LEN;
use super::{Millis, Table};
use crate::hash::Key;

/// What became of a GET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GetOutcome {
    /// The value is in the first `len` bytes.
    Found {
        /// Length of the value in bytes.
        len: usize,
        /// Whether the item has a time to live, and so may go by itself.
        may_expire: bool,
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
    /// The value of `key` if key and value are one word each and lie where they were fetched from: what most GETs ask for,
    /// in a few instructions. `None` says nothing about whether there is such an item.
    #[inline]
    pub fn get_word(&mut self, key: &Key<'_>) -> Option<[u8; WORD_LEN]> {
        let (line, cell) = self.look().find_words_at_aim(key)?;
        self.index.mark(Layout::bucket_at(key.aim()), cell);
        // What expires lies in the log.
        Some(bucket::cell(line, cell + 1).to_le_bytes())
    }

    /// Copies the value of `key` to the start of `into`. Bytes that the outcome does not speak of are left alone.
    #[inline]
    pub fn get(&mut self, key: &Key<'_>, now: Millis, into: &mut [u8]) -> GetOutcome {
        if let Some(into) = into.first_chunk_mut()
            && let Some(word) = self.get_word(key)
        {
            *into = word;
            return GetOutcome::Found { len: WORD_LEN, may_expire: false };
        }
        self.get_any(key, now, into)
    }

    #[inline(never)]
    fn get_any(&mut self, key: &Key<'_>, now: Millis, into: &mut [u8]) -> GetOutcome {
        match self.find_live(key, now) {
            Some(found) => {
                self.index.mark(found.bucket, found.cell);
                self.look().load_value(found.item, into)
            }
            None => GetOutcome::NotFound,
        }
    }
}

impl Index<'_> {
    #[inline]
    pub(super) fn load_value(&self, item: Item, into: &mut [u8]) -> GetOutcome {
        let len = item.shape.value_len();
        let (room, outcome) = match into.get_mut(..len) {
            Some(room) => (room, GetOutcome::Found { len, may_expire: item.shape.has_expiry }),
            None => (into, GetOutcome::TooSmall { len }),
        };
        if self.words.load_bytes_before(item.end(), len, room) { outcome } else { GetOutcome::NotFound }
    }
}
