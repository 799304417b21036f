//! Fetching the cache lines of later keys while earlier ones are executed.
//!
//! Both stages are hints: they change nothing, whatever they are given, and never wait. Let a batch run
//! through all first stages, then all second stages, then the operations, or keep a distance of ten keys or more between
//! them.

use super::Table;
use crate::hash::Placement;

impl Table<'_> {
    /// The first stage: the line of the key's home.
    #[inline]
    pub fn prefetch(&self, placement: Placement) {
        self.look().prefetch(placement);
    }

    /// The second stage, once the first line is there: the line or two that the look-up will need beside it, if any.
    #[inline]
    pub fn prefetch_item(&self, placement: Placement) {
        self.look().prefetch_item(placement);
    }
}
