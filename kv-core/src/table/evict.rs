//! What a cache gives up when both buckets of a key are full.
//!
//! Every read leaves a mark. An item without one goes, any of them; when all have one, all lose it and one of them goes.
//! New items have no mark, so that a scan pushes out its own items first (`dpukv bench cache` compares). The log, on its
//! whole length, is a CLOCK (Corbató, 1968), see `clean`.

use super::bucket::{CELL_COUNT, CELLS_WORD, Need, OVERFLOW_WORD, overflow_of, state_of};
use super::index::Found;
use super::item::{Item, ItemHeader};
use super::{Millis, Table};

impl Table<'_> {
    /// Takes one item out of the two buckets so that there is a place for `need`, if that is possible with one.
    pub(super) fn evict_from(&mut self, home: usize, other: usize, need: Need) -> bool {
        // Begins somewhere else each time.
        let begin = self.counts.stored as usize;
        let place = |index: usize| {
            let index = (begin + index) % (2 * CELL_COUNT);
            (if index < CELL_COUNT { home } else { other }, index % CELL_COUNT)
        };
        let places = || (0..2 * CELL_COUNT).map(place);
        let could_go = |&(bucket, cell): &(usize, usize)| self.leaves_a_place(bucket, cell, need);
        let unread = |&(bucket, cell): &(usize, usize)| !overflow_of(self.words(), bucket).was_read(cell);
        let victim = places().filter(could_go).find(unread).or_else(|| {
            places().for_each(|(bucket, cell)| self.take_mark(bucket, cell));
            places().find(could_go)
        });
        let Some(found) = victim.and_then(|(bucket, cell)| self.found_at(bucket, cell)) else { return false };
        self.remove(&found);
        self.counts.evicted_bucket += 1;
        true
    }

    fn leaves_a_place(&self, bucket: usize, cell: usize, need: Need) -> bool {
        let state = state_of(self.words(), bucket);
        let is_item = cell.is_multiple_of(2) && state.item(cell / 2).is_some();
        is_item || state.is_alone(cell) || (need == Need::Cell && state.is_pointer(cell))
    }

    fn take_mark(&self, bucket: usize, cell: usize) {
        let overflow = overflow_of(self.words(), bucket);
        self.words().store(bucket + OVERFLOW_WORD, overflow.with_read(cell, false).0);
    }

    /// What lies in a cell, or begins there.
    pub(super) fn found_at(&self, bucket: usize, cell: usize) -> Option<Found> {
        let state = state_of(self.words(), bucket);
        if state.is_pointer(cell) {
            let pointer = self.look().pointer(bucket, cell);
            let home = if pointer.is_displaced() { self.look().other(bucket, pointer.tag()) } else { bucket };
            let item = Item::in_log(pointer.at(), ItemHeader::from_word(self.words().load(pointer.at())));
            return Some(Found { home, bucket, cell, item });
        }
        let shape = state.item(cell / 2).filter(|_| cell.is_multiple_of(2))?;
        let item = Item { at: bucket + CELLS_WORD + cell, shape };
        let home = self.look().home(self.look().placement_of(item));
        Some(Found { home, bucket, cell, item })
    }

    /// Takes the expired items out of two buckets, and says whether there was one. Without any item that expires,
    /// nobody has to look.
    pub(super) fn expire_from(&mut self, home: usize, other: usize, now: Millis) -> bool {
        if self.counts.expiring == 0 {
            return false;
        }
        let expired_before = self.counts.expired;
        for bucket in [home, other] {
            for cell in 0..CELL_COUNT {
                // Only what lies in the log expires.
                if state_of(self.words(), bucket).is_pointer(cell)
                    && let Some(found) = self.found_at(bucket, cell)
                    && self.look().is_expired(found.item, now)
                {
                    self.expire(&found);
                }
            }
        }
        self.counts.expired > expired_before
    }
}
