//! Looking at everything at once, to prove that index, log and counters agree.

use core::fmt;

use qp_wire::limits::KEY_LEN_MAX;

use super::Table;
use super::index::{Found, entry};
use super::item::{Item, ItemHeader};
use super::stats::Counts;
use crate::hash::Key;

/// The first thing that [`Table::audit`] found wrong. Positions are in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditError {
    /// The items in the log do not end where the next one will begin.
    LogEnds {
        /// Where they end.
        at: usize,
    },
    /// An item lies in another chain than its key says, or its entry has another tag.
    Misplaced {
        /// The item's header.
        at: usize,
    },
    /// A key leads to an item other than the one that it was taken from.
    Shadowed {
        /// The item's header.
        at: usize,
    },
    /// The entries of the index are more or fewer than the reachable items in the log.
    Entries {
        /// Entries in the index.
        entries: u64,
        /// Reachable items in the log.
        items: u64,
    },
    /// The counters differ from what is there.
    Counters,
    /// Overflow buckets are neither in a chain nor free.
    Overflow,
}

impl Table<'_> {
    /// Compares index, log and counters. For tests and diagnosis: it takes time in proportion to the memory.
    ///
    /// # Errors
    /// The first contradiction. There is none, whatever was done with the table.
    pub fn audit(&self) -> Result<(), AuditError> {
        let mut there = Counts::default();
        let (mut at, mut left) = (self.log.head(), self.log.used());
        while left > 0 {
            let item = Item { at, header: ItemHeader::from_word(self.words().load(at)) };
            let words = if item.header.is_filler() { self.log.rest(at) } else { item.header.words() };
            if words > left {
                return Err(AuditError::LogEnds { at });
            }
            if let Some(found) = self.look().slot_of(item).filter(|_| !item.header.is_filler()) {
                self.audit_item(&found)?;
                there.stored(item.header, None);
            }
            at = self.log.behind(at, words);
            left -= words;
        }
        self.audit_index(there.items)?;
        let counts = &self.counts;
        let same =
            (there.items, there.live_words, there.expiring) == (counts.items, counts.live_words, counts.expiring);
        if same { Ok(()) } else { Err(AuditError::Counters) }
    }

    fn audit_item(&self, found: &Found) -> Result<(), AuditError> {
        let at = found.item.at;
        let mut bytes = [0; KEY_LEN_MAX];
        let Some(bytes) = bytes.get_mut(..found.item.header.key_len()) else {
            return Err(AuditError::Misplaced { at });
        };
        self.words().load_bytes(found.item.key_at(), bytes);
        let key = Key::new(&self.secret, bytes);
        let chain = self.look().chain(key.placement());
        if chain != found.chain || self.words().load(found.slot) != entry(key.placement(), at) {
            return Err(AuditError::Misplaced { at });
        }
        match self.look().find(&key) {
            Some(first) if first.item.at == at => Ok(()),
            _ => Err(AuditError::Shadowed { at }),
        }
    }

    fn audit_index(&self, items: u64) -> Result<(), AuditError> {
        let (mut entries, mut overflow) = (0, 0);
        for chain in self.layout().chains() {
            entries += self.look().chain_entries(chain).count() as u64;
            overflow += self.look().buckets(chain).count() as u32 - 1;
        }
        if entries != items {
            return Err(AuditError::Entries { entries, items });
        }
        if overflow + self.index.overflow_free_count() != self.layout().overflow_count() {
            return Err(AuditError::Overflow);
        }
        Ok(())
    }
}

impl fmt::Display for AuditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LogEnds { at } => write!(f, "the item at word {at} reaches beyond the log's tail"),
            Self::Misplaced { at } => write!(f, "the item at word {at} is not where its key belongs"),
            Self::Shadowed { at } => write!(f, "the item at word {at} cannot be found by its key"),
            Self::Entries { entries, items } => write!(f, "{entries} entries lead to {items} items"),
            Self::Counters => f.write_str("the counters are not those of the items that are there"),
            Self::Overflow => f.write_str("overflow buckets were lost"),
        }
    }
}

impl core::error::Error for AuditError {}
