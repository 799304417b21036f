//! What a cache gives up when both buckets of a key are full.
//!
//! Every read leaves a mark. An item without one goes, any of them; when all have one, all lose it and one of them goes.
//! New items have no mark, so that a scan pushes out its own items first (`dpukv bench cache` compares). The log, on its
//! whole length, is a CLOCK (Corbató, 1968), see `clean`.

use super::bucket::{CELL_COUNT, Need, state_of};
use super::{Millis, Table};

impl Table<'_> {
    /// Takes one item out of the two buckets so that there is a place for `need`, if that is possible with one.
    pub(super) fn evict_from(&mut self, buckets: [usize; 2], need: Need) -> bool {
        // Begins somewhere else each time.
        let begin = self.counts.stored as usize;
        let places = || {
            let places = buckets.into_iter().flat_map(|bucket| (0..CELL_COUNT).map(move |cell| (bucket, cell)));
            places.cycle().skip(begin % (2 * CELL_COUNT)).take(2 * CELL_COUNT)
        };
        let could_go = |&(bucket, cell): &(usize, usize)| state_of(self.words(), bucket).leaves_a_place(cell, need);
        let unread = |&(bucket, cell): &(usize, usize)| !self.look().was_read(bucket, cell);
        let victim = places().filter(could_go).find(unread).or_else(|| {
            places().for_each(|(bucket, cell)| self.index.unmark(bucket, cell));
            places().find(could_go)
        });
        let Some(found) = victim.and_then(|(bucket, cell)| self.look().found_at(bucket, cell)) else { return false };
        self.remove(&found);
        self.counts.evicted_bucket += 1;
        true
    }

    /// Takes the expired items out of two buckets, and says whether there was one. Without any item that expires,
    /// nobody has to look.
    pub(super) fn expire_from(&mut self, buckets: [usize; 2], now: Millis) -> bool {
        if self.counts.expiring == 0 {
            return false;
        }
        let expired_before = self.counts.expired;
        for bucket in buckets {
            for cell in 0..CELL_COUNT {
                // Only what lies in the log expires.
                if state_of(self.words(), bucket).is_pointer(cell)
                    && let Some(found) = self.look().found_at(bucket, cell)
                    && self.look().is_expired(found.item, now)
                {
                    self.expire(&found);
                }
            }
        }
        self.counts.expired > expired_before
    }
}
