//! What every storing operation comes down to: make room, write the item, make it visible.
//!
//! The order is what the promises rest on. Whatever can be refused is refused first, so that a refused store changes
//! nothing that a client can see. Then room is made, which may move the present item or, in a cache, drop it. Then the
//! new item is written where nothing leads, and one store of one word takes it live and the old one out. The words of
//! an old item in the log stay as they are until the log's head has passed them. Where the new item takes as many words
//! as the old one, it is written where nothing leads all the same, noted in the header, and copied over the old one
//! between the two steps of the bucket's version. Only an item in a bucket that gets a value of more than 8 bytes, or of
//! another length, is changed where it is without a note: who wants to find such memory after a kill will need one.

use super::bucket::{Need, Pointer, Tag};
use super::displace::Place;
use super::index::Found;
use super::item::{Item, NEVER, Shape, inline_words};
use super::words::{WORD_LEN, at_upper_end};
use super::{Millis, Mode, SetOutcome, Table};
use crate::hash::Key;

/// A moment as an item keeps it.
pub(super) fn expiry_word(expiry: Option<Millis>) -> u64 {
    expiry.map_or(NEVER, |moment| moment.0)
}

/// A new item, before it has a place.
struct New<'a> {
    key: &'a Key<'a>,
    value: &'a [u8],
    expiry: u64,
    shape: Shape,
}

impl Table<'_> {
    /// Gives `key` a value and an expiry ([`NEVER`] for none). `found` is its present item, which lives.
    ///
    /// Whatever is not stored leaves the present item as it is.
    #[inline]
    pub(super) fn publish(
        &mut self,
        key: &Key<'_>,
        value: &[u8],
        expiry: u64,
        found: Option<Found>,
        now: Millis,
    ) -> SetOutcome {
        let Some(shape) = Shape::of(key.bytes().len(), value.len(), expiry != NEVER) else {
            return SetOutcome::TooLarge;
        };
        if shape.log_words() > self.layout().item_words_max() {
            return SetOutcome::TooLarge;
        }
        let new = New { key, value, expiry, shape };
        match found {
            Some(found) if self.overwrite(found.item, value, expiry) => {
                self.counts.replaced_in_place();
                SetOutcome::Stored
            }
            Some(found) if shape.is_inline => self.store_inline_over(&new, &found, now),
            None if shape.is_inline => self.store_inline(&new, now),
            _ => self.store_in_log(&new, found, now),
        }
    }

    /// Replaces a value in place, if that is one store of one word.
    #[inline]
    pub(super) fn overwrite(&self, item: Item, value: &[u8], expiry: u64) -> bool {
        let (len, at) = (item.shape.value_len(), item.last_word());
        if value.len() != len || len > WORD_LEN || self.look().expiry(item) != expiry {
            return false;
        }
        if let Ok(word) = <[u8; WORD_LEN]>::try_from(value) {
            self.words().publish(at, u64::from_le_bytes(word));
        } else {
            let before = u64::MAX.unbounded_shr(8 * len as u32);
            self.words().publish(at, self.words().load(at) & before | at_upper_end(value));
        }
        true
    }

    /// Puts an item into a bucket.
    fn store_inline(&mut self, new: &New<'_>, now: Millis) -> SetOutcome {
        let Some(place) = self.make_place(new.key, Need::Pair, now) else {
            // Pointers may have left no pair; a single cell is enough for one more.
            return self.store_in_log(new, None, now);
        };
        self.put_inline(new, place);
        self.counts.stored(new.shape, None);
        SetOutcome::Stored
    }

    /// Replaces an item by one that goes into a bucket.
    fn store_inline_over(&mut self, new: &New<'_>, found: &Found, now: Millis) -> SetOutcome {
        let old = found.item.shape;
        if old.is_inline {
            self.index.put_item(found.bucket, found.cell, new.shape, inline_words(new.key, new.value));
        } else if self.index.put_item_for_pointer(found, new.shape, inline_words(new.key, new.value)) {
            self.bury(found.item);
        } else {
            return self.store_in_log(new, Some(*found), now);
        }
        self.counts.stored(new.shape, Some(old));
        SetOutcome::Stored
    }

    fn put_inline(&mut self, new: &New<'_>, place: Place) {
        self.note_place(new.key, place);
        self.index.put_item(place.bucket, place.cell, new.shape, inline_words(new.key, new.value));
    }

    /// Puts an item into the log, in place of the present one if there is one.
    fn store_in_log(&mut self, new: &New<'_>, found: Option<Found>, now: Millis) -> SetOutcome {
        let shape = new.shape.in_log();
        let words = shape.words();
        if let Some(found) = found
            && found.item.shape.log_words() == words
            && let Some(complete) = self.log.vacant(words)
        {
            return self.replace_in_log(new, &found, complete);
        }
        let replaced_words = found.map_or(0, |found| found.item.shape.log_words());
        let passed = self.log.passed();
        let has_room = words <= self.layout().item_words_max()
            && self.admit(words, replaced_words, now)
            && self.make_room(words, now);
        if !has_room {
            self.counts.refused_log += 1;
            return SetOutcome::InsufficientSpace;
        }
        // Making room moves items, and in cache mode drops them.
        let again = if passed == self.log.passed() { found } else { found.and_then(|_| self.look().find(new.key)) };
        if found.is_some() && again.is_none() {
            self.counts.evicted_was_replaced();
        }
        let place = match again {
            Some(found) => Some(Place { bucket: found.bucket, cell: found.cell }),
            None => self.make_place(new.key, Need::Cell, now),
        };
        let Some(place) = place else {
            self.counts.refused_index += 1;
            return SetOutcome::InsufficientSpace;
        };
        let Some(at) = self.log.append(self.words(), words) else {
            debug_assert!(false, "there was room for {words} words");
            self.counts.refused_log += 1;
            return SetOutcome::InsufficientSpace;
        };
        Item { at, shape }.write(self.words(), new.key.bytes(), new.value, new.expiry);
        self.lead_to(at, new.key, place, again);
        self.counts.stored(shape, again.map(|found| found.item.shape));
        SetOutcome::Stored
    }

    /// Puts an item over the present one in the log, which has as many words: it needs no room, so that replacing values
    /// of one size costs the log no cleaning.
    fn replace_in_log(&mut self, new: &New<'_>, found: &Found, complete: usize) -> SetOutcome {
        let shape = new.shape.in_log();
        Item { at: complete, shape }.write(self.words(), new.key.bytes(), new.value, new.expiry);
        self.index.replace_in_log(found, complete);
        self.counts.stored(shape, Some(found.item.shape));
        SetOutcome::Stored
    }

    /// Makes an item in the log visible, and the one that it replaces invisible.
    fn lead_to(&mut self, at: usize, key: &Key<'_>, place: Place, replaced: Option<Found>) {
        let (home, tag) = (self.look().home(key.placement()), Tag::of(key.placement()));
        let pointer = Pointer::new(tag, place.bucket != home, at);
        if replaced.is_none() {
            self.note_place(key, place);
        }
        self.index.put_pointer(place.bucket, place.cell, pointer);
        if let Some(old) = replaced {
            self.bury(old.item);
        }
    }

    /// Notes in the key's home if the place is elsewhere.
    fn note_place(&self, key: &Key<'_>, place: Place) {
        let home = self.look().home(key.placement());
        if place.bucket != home {
            self.index.note_elsewhere(home, Tag::of(key.placement()));
        }
    }

    /// Whether live items may become this much more. In store mode a refusal looks for expired items first, as many
    /// as a store of this size would pass anyway, so that trying again succeeds one day.
    fn admit(&mut self, words: usize, replaced_words: usize, now: Millis) -> bool {
        if self.layout().mode == Mode::Cache || self.fits(words, replaced_words) {
            return true;
        }
        if self.counts.expiring == 0 {
            return false;
        }
        self.clean(words, now, |table| table.fits(words, replaced_words));
        self.fits(words, replaced_words)
    }

    fn fits(&self, words: usize, replaced_words: usize) -> bool {
        self.counts.live_words - replaced_words + words <= self.layout().live_words_max()
    }

    /// A place in one of a key's buckets. Full ones give up their expired items; then others move to their other
    /// buckets; in cache mode one goes.
    #[inline]
    fn make_place(&mut self, key: &Key<'_>, need: Need, now: Millis) -> Option<Place> {
        let buckets = self.look().buckets(key.placement());
        let vacancy = self.index.vacancy(buckets, need);
        if vacancy.is_some() { vacancy } else { self.free_place(buckets, need, now) }
    }

    #[cold]
    fn free_place(&mut self, buckets: [usize; 2], need: Need, now: Millis) -> Option<Place> {
        if self.expire_from(buckets, now)
            && let Some(place) = self.index.vacancy(buckets, need)
        {
            return Some(place);
        }
        // A search that hardly ever succeeds is not worth its time to who may evict.
        let is_cache = self.layout().mode == Mode::Cache;
        let is_crowded = self.counts.cells_used() * 10 > self.layout().cells() * 9;
        if !(is_cache && is_crowded)
            && let Some((place, moved)) = self.index.displace(buckets, need)
        {
            self.counts.moved_by_index += moved;
            return Some(place);
        }
        if is_cache && self.evict_from(buckets, need) { self.index.vacancy(buckets, need) } else { None }
    }
}
