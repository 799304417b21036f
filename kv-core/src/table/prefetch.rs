//! Fetching the cache lines of later keys while earlier ones are executed.
//!
//! Both stages are hints: they change nothing, whatever they are given, and never wait. Let a batch run through all
//! first stages, then all second stages, then the operations, or keep a distance of about ten keys between them.

use super::Table;
use crate::hash::Placement;

impl Table<'_> {
    /// The first stage: the line of the bucket.
    #[inline]
    pub fn prefetch(&self, placement: Placement) {
        self.look().prefetch(placement);
    }

    /// The second stage, once the first line is there: the line or two of the item that is probably the key's.
    #[inline]
    pub fn prefetch_item(&self, placement: Placement) {
        self.look().prefetch_item(placement);
    }
}
