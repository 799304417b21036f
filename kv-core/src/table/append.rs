//! Makes a value longer.

use qp_wire::limits::VALUE_LEN_MAX;

use super::{Millis, SetOutcome, Table};
use crate::hash::Key;

/// What became of an APPEND.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOutcome {
    /// The suffix is behind what was there.
    Appended {
        /// Length of the whole value in bytes.
        len: usize,
    },
    /// There is no such item.
    NotFound,
    /// The table is full; store mode only. The value is as it was.
    InsufficientSpace,
    /// The value would exceed the protocol's limit, or the item what a table of this size takes. It is as it was.
    TooLarge,
}

impl Table<'_> {
    /// Puts `suffix` behind the value of `key`. The expiry stays.
    ///
    /// The value is put together on the stack, which takes [`VALUE_LEN_MAX`] bytes there: making room for the longer
    /// item may drop the present one, in cache mode.
    pub fn append(&mut self, key: &Key<'_>, suffix: &[u8], now: Millis) -> AppendOutcome {
        let Some(found) = self.find_live(key, now) else { return AppendOutcome::NotFound };
        let old_len = found.item.shape.value_len();
        let len = old_len + suffix.len();
        if suffix.is_empty() {
            return AppendOutcome::Appended { len };
        }
        let mut value = [0; VALUE_LEN_MAX];
        let Some(value) = value.get_mut(..len) else { return AppendOutcome::TooLarge };
        let (old, new) = value.split_at_mut(old_len);
        self.words().load_bytes_before(found.item.end(), old_len, old);
        new.copy_from_slice(suffix);
        let expiry = self.look().expiry(found.item);
        match self.publish(key, value, expiry, Some(found), now) {
            SetOutcome::Stored => AppendOutcome::Appended { len },
            SetOutcome::InsufficientSpace => AppendOutcome::InsufficientSpace,
            SetOutcome::TooLarge => AppendOutcome::TooLarge,
        }
    }
}
