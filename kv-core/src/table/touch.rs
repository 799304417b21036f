//! Gives an item a new expiry.

use qp_wire::limits::VALUE_LEN_MAX;

use super::publish::expiry_word;
use super::{Millis, SetOutcome, Table};
use crate::hash::Key;

/// What became of a TOUCH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TouchOutcome {
    /// The item expires when it was told.
    Touched,
    /// There is no such item.
    NotFound,
    /// The item never expired before, and there is no room for its expiry; store mode only. It still never expires.
    InsufficientSpace,
}

impl Table<'_> {
    /// Gives the item of `key` a new expiry, see [`Table::set`]. The value stays.
    ///
    /// An item that has an expiry gets the new one in place. One that has none is stored again, 8 bytes longer.
    pub fn touch(&mut self, key: &Key<'_>, expiry: Option<Millis>, now: Millis) -> TouchOutcome {
        let Some(found) = self.find_live(key, now) else { return TouchOutcome::NotFound };
        let expiry = expiry_word(expiry);
        if self.look().expiry(found.item) == expiry {
            return TouchOutcome::Touched;
        }
        if found.item.shape.has_expiry {
            self.words().publish(found.item.expiry_at(), expiry);
            return TouchOutcome::Touched;
        }
        // Making room for the longer item may drop the present one, in cache mode.
        let mut value = [0; VALUE_LEN_MAX];
        let len = found.item.shape.value_len();
        let Some(value) = value.get_mut(..len) else { return TouchOutcome::NotFound };
        self.words().load_bytes_before(found.item.end(), len, value);
        match self.publish(key, value, expiry, Some(found), now) {
            SetOutcome::Stored => TouchOutcome::Touched,
            SetOutcome::InsufficientSpace | SetOutcome::TooLarge => TouchOutcome::InsufficientSpace,
        }
    }
}
