//! Fetching the cache lines of later keys while earlier ones are executed.
//!
//! Both stages are hints: they note in the key where to look first, change nothing else, and never wait. Let a batch run
//! through all first stages, then all second stages, then the operations, or keep a distance of ten keys or more between
//! them.

use super::Table;
use crate::hash::Key;

impl Table<'_> {
    /// The first stage: the line of the key's home.
    #[inline]
    pub fn prefetch(&self, key: &mut Key<'_>) {
        self.look().prefetch(key);
    }

    /// The second stage, once the first line is there: the line or two that the look-up will need beside it, if any.
    #[inline]
    pub fn prefetch_item(&self, key: &mut Key<'_>) {
        self.look().prefetch_item(key);
    }
}
