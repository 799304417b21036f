//! Reads how long an item will live.

use super::index::Index;
use super::item::{Item, NEVER};
use super::{Millis, Table};
use crate::hash::Key;

/// What became of a TTL request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TtlOutcome {
    /// The time left, at least a millisecond.
    Expires(Millis),
    /// The item never expires.
    Never,
    /// There is no such item.
    NotFound,
}

impl Table<'_> {
    /// How long the item of `key` will live from now on.
    pub fn ttl(&mut self, key: &Key<'_>, now: Millis) -> TtlOutcome {
        match self.find_live(key, now) {
            Some(found) => self.look().time_left(found.item, now),
            None => TtlOutcome::NotFound,
        }
    }
}

impl Index<'_> {
    pub(super) fn time_left(&self, item: Item, now: Millis) -> TtlOutcome {
        match self.expiry(item) {
            NEVER => TtlOutcome::Never,
            expiry => TtlOutcome::Expires(Millis(expiry.saturating_sub(now.0))),
        }
    }
}
