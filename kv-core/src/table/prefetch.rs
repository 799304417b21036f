//! Fetching the cache lines of later keys while earlier ones are executed.
//!
//! The three stages are hints: they note in the key where to look first, change nothing else, and never wait. Let a batch
//! run through all first stages, then all second stages, then all third ones, then the operations, or keep a distance of
//! about ten keys between them.

use super::Table;
use crate::hash::Key;

impl Table<'_> {
    /// The first stage: the line of the key's home.
    #[inline]
    pub fn prefetch(&self, key: &mut Key<'_>) {
        self.look().prefetch(key);
    }

    /// The second stage, once that line is there: the key's other bucket, if the home says that it may lie there.
    #[inline]
    pub fn prefetch_other(&self, key: &mut Key<'_>) {
        self.look().prefetch_other(key);
    }

    /// The third stage, once the bucket is there: the lines of the key's item, if that lies in the log.
    #[inline]
    pub fn prefetch_item(&self, key: &Key<'_>) {
        if self.uses_log() {
            self.look().prefetch_item(key);
        }
    }

    /// Whether any item lies in the log.
    #[inline]
    pub(crate) const fn uses_log(&self) -> bool {
        self.log.used() != 0
    }
}
