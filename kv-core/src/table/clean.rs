//! Making room in the log: what becomes of the items that its head passes.
//!
//! The module head of `table` derives how much a store has to clean, and that it suffices.

use super::index::{Found, Place, moved_entry};
use super::item::{Item, ItemHeader};
use super::layout::CLEANING_RATIO;
use super::{Millis, Mode, Table};

impl Table<'_> {
    /// Makes the log ready to take an item of `words`. In store mode this succeeds whenever live items are within
    /// their limit.
    pub(super) fn make_room(&mut self, words: usize, now: Millis) -> bool {
        match self.layout().mode {
            Mode::Store => {
                let threshold = self.layout().cleaning_threshold();
                self.clean(words, now, |table| table.log.free() >= threshold + table.log.need(words));
            }
            Mode::Cache => while self.log.free() < self.log.need(words) && self.pass_head(now).is_some() {},
        }
        self.log.free() >= self.log.need(words)
    }

    /// Passes items at the head until it is enough, or until a store of `words` has done its share.
    pub(super) fn clean(&mut self, words: usize, now: Millis, enough: impl Fn(&Self) -> bool) {
        if enough(self) {
            return;
        }
        let budget = CLEANING_RATIO * words;
        let mut passed_words = 0;
        while passed_words < budget && !enough(self) {
            match self.pass_head(now) {
                Some(words) => passed_words += words,
                None => return,
            }
        }
    }

    /// Passes what is at the head, and returns its words. `None` when the log is empty, or when there is no room to
    /// move an item, which the limits prevent.
    fn pass_head(&mut self, now: Millis) -> Option<usize> {
        if self.log.used() == 0 {
            return None;
        }
        let at = self.log.head();
        let item = Item { at, header: ItemHeader::from_word(self.words().load(at)) };
        if item.header.is_filler() {
            let rest = self.log.rest(at);
            self.log.pass(rest);
            return Some(rest);
        }
        let words = item.header.words();
        if let Some(found) = self.look().slot_of(item) {
            if self.look().is_expired(item, now) {
                self.expire(&found);
            } else if self.layout().mode == Mode::Cache {
                self.remove(&found);
                self.counts.evicted_log += 1;
            } else {
                self.move_to_tail(&found)?;
            }
        }
        self.log.pass(words);
        Some(words)
    }

    /// Appends a live item again.
    fn move_to_tail(&mut self, found: &Found) -> Option<()> {
        let words = self.words();
        let item_words = found.item.header.words();
        let at = self.log.append(words, item_words)?;
        for offset in 0..item_words {
            words.store(at + offset, words.load(found.item.at + offset));
        }
        let entry = moved_entry(words.load(found.slot), at);
        self.index.fill(found.chain, Place::Slot(found.slot), entry);
        self.counts.moved_by_cleaning += 1;
        Some(())
    }
}
