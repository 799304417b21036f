//! Adds to a counter.

use super::words::WORD_LEN;
use super::{Millis, Table};
use crate::hash::Key;

/// What became of an INCREMENT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncrementOutcome {
    /// The sum, which is now the value.
    Incremented(u64),
    /// There is no such item.
    NotFound,
    /// The value is not 8 bytes long. It was left alone.
    NotACounter,
}

impl Table<'_> {
    /// Adds `delta` to the 8-byte little-endian value of `key`, wrapping at 2^64, in place. The expiry stays.
    pub fn increment(&mut self, key: &Key<'_>, delta: u64, now: Millis) -> IncrementOutcome {
        let Some(found) = self.find_live(key, now) else { return IncrementOutcome::NotFound };
        if found.item.shape.value_len() != WORD_LEN {
            return IncrementOutcome::NotACounter;
        }
        let words = self.words();
        let sum = words.load(found.item.last_word()).wrapping_add(delta);
        words.publish(found.item.last_word(), sum);
        IncrementOutcome::Incremented(sum)
    }
}
