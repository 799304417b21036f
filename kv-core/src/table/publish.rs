//! What every storing operation comes down to: make room, write the item, make it reachable.
//!
//! The order is what the promises rest on. Whatever can be refused is refused first, so that a refused store changes
//! nothing that a client can see. Then room is made, which may move the present item or, in a cache, drop it. Then the
//! new item is written where no entry leads, and one store of one word, the entry, takes it live and the old one out.
//! The old item's words stay as they are until the log's head has passed them.

use super::index::{Found, Place, entry};
use super::item::{Item, ItemHeader, NEVER};
use super::words::{WORD_LEN, padded};
use super::{Millis, Mode, SetOutcome, Table};
use crate::hash::Key;

/// A moment as an item keeps it.
pub(super) fn expiry_word(expiry: Option<Millis>) -> u64 {
    expiry.map_or(NEVER, |moment| moment.0)
}

impl Table<'_> {
    /// Gives `key` a value and an expiry ([`NEVER`] for none). `found` is its present item, which lives.
    ///
    /// Whatever is not stored leaves the present item as it is.
    pub(super) fn publish(
        &mut self,
        key: &Key<'_>,
        value: &[u8],
        expiry: u64,
        found: Option<Found>,
        now: Millis,
    ) -> SetOutcome {
        let Some(header) = ItemHeader::new(key, value.len(), expiry != NEVER) else { return SetOutcome::TooLarge };
        if header.words() > self.layout().item_words_max() {
            return SetOutcome::TooLarge;
        }
        if found.is_some_and(|found| self.overwrite(found.item, value, expiry)) {
            self.counts.replaced_in_place();
            return SetOutcome::Stored;
        }
        self.append_item(key, header, value, expiry, found, now)
    }

    /// Replaces a value in place, if that is one store of one word. Two words, even if only the expiry is the other one,
    /// could be found half replaced after a kill.
    fn overwrite(&self, item: Item, value: &[u8], expiry: u64) -> bool {
        let same_shape = item.header.value_len() == value.len() && self.look().expiry(item) == expiry;
        if !same_shape || value.len() > WORD_LEN {
            return false;
        }
        if !value.is_empty() {
            self.words().publish(item.value_at(), padded(value));
        }
        true
    }

    fn append_item(
        &mut self,
        key: &Key<'_>,
        header: ItemHeader,
        value: &[u8],
        expiry: u64,
        found: Option<Found>,
        now: Millis,
    ) -> SetOutcome {
        let words = header.words();
        let replaced_words = found.map_or(0, |found| found.item.header.words());
        let passed = self.log.passed();
        if !self.admit(words, replaced_words, now) || !self.make_room(words, now) {
            self.counts.refused_log += 1;
            return SetOutcome::InsufficientSpace;
        }
        // Making room moves items, and in cache mode drops them.
        let again = if passed == self.log.passed() { found } else { self.look().find(key) };
        if found.is_some() && again.is_none() {
            self.counts.evicted_was_replaced();
        }
        let chain = self.look().chain(key.placement());
        let vacancy = match again {
            Some(found) => Some(Place::Slot(found.slot)),
            None => self.make_vacancy(chain, now),
        };
        let Some(vacancy) = vacancy else {
            self.counts.refused_index += 1;
            return SetOutcome::InsufficientSpace;
        };
        let Some(at) = self.log.append(self.words(), words) else {
            debug_assert!(false, "there was room for {words} words");
            self.counts.refused_log += 1;
            return SetOutcome::InsufficientSpace;
        };
        self.write(Item { at, header }, expiry, key, value);
        self.index.fill(chain, vacancy, entry(key.placement(), at));
        self.counts.stored(header, again.map(|found| found.item.header));
        SetOutcome::Stored
    }

    /// Writes an item where nobody looks.
    fn write(&self, item: Item, expiry: u64, key: &Key<'_>, value: &[u8]) {
        let words = self.words();
        words.store(item.at, item.header.to_word());
        if item.header.has_expiry() {
            words.store(item.expiry_at(), expiry);
        }
        let value_at = words.store_bytes(item.key_at(), key.bytes());
        words.store_bytes(value_at, value);
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

    /// A place for a new entry in a chain. A full chain gives up its expired items, in cache mode also its oldest one.
    fn make_vacancy(&mut self, chain: usize, now: Millis) -> Option<Place> {
        if let Some(vacancy) = self.index.vacancy(chain) {
            return Some(vacancy);
        }
        self.expire_chain(chain, now);
        if let Some(vacancy) = self.index.vacancy(chain) {
            return Some(vacancy);
        }
        if self.layout().mode == Mode::Store {
            return None;
        }
        let oldest = self.oldest_of(chain)?;
        self.remove(&oldest);
        self.counts.evicted_bucket += 1;
        self.index.vacancy(chain)
    }

    /// Takes the expired items of a chain out. Without any item that expires, nobody has to look.
    fn expire_chain(&mut self, chain: usize, now: Millis) {
        if self.counts.expiring == 0 {
            return;
        }
        while let Some(found) = self.expired_of(chain, now) {
            self.expire(&found);
        }
    }

    fn expired_of(&self, chain: usize, now: Millis) -> Option<Found> {
        self.found_in(chain).find(|found| self.look().is_expired(found.item, now))
    }

    fn oldest_of(&self, chain: usize) -> Option<Found> {
        self.found_in(chain).min_by_key(|found| self.log.age_rank(found.item.at))
    }

    fn found_in(&self, chain: usize) -> impl Iterator<Item = Found> + '_ {
        let entries = self.look().chain_entries(chain);
        entries.map(move |(slot, entry)| Found { chain, slot, item: self.look().item_at_entry(entry) })
    }
}
