//! Looks whether an item exists.

use super::{Millis, Table};
use crate::hash::Key;

impl Table<'_> {
    /// Whether there is an item with this key.
    #[inline]
    pub fn test(&mut self, key: &Key<'_>, now: Millis) -> bool {
        self.find_live(key, now).is_some()
    }
}
