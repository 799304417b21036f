//! Takes an item out.

use super::{Millis, Table};
use crate::hash::Key;

/// What became of a DELETE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteOutcome {
    /// There was such an item; now there is not.
    Deleted,
    /// There was no such item.
    NotFound,
}

impl Table<'_> {
    /// Takes the item of `key` out. Its place in the index is free at once, its place in the log when the head passes
    /// it; either way it no longer counts as live.
    pub fn delete(&mut self, key: &Key<'_>, now: Millis) -> DeleteOutcome {
        match self.find_live(key, now) {
            Some(found) => {
                self.remove(&found);
                self.counts.deleted += 1;
                DeleteOutcome::Deleted
            }
            None => DeleteOutcome::NotFound,
        }
    }
}
