//! Looking at everything at once, to prove that index, log and counters agree.

use core::fmt;

use qp_wire::limits::KEY_LEN_MAX;

use super::Table;
use super::bucket::{CELL_COUNT, Tag, overflow_of, state_of};
use super::index::Found;
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
    /// An item lies in a bucket that is not its key's, or its pointer says something else of it than its key.
    Misplaced {
        /// The item's first word.
        at: usize,
    },
    /// A key leads to an item other than the one that it was taken from.
    Shadowed {
        /// The item's first word.
        at: usize,
    },
    /// The pointers of the index are more or fewer than the reachable items in the log.
    Pointers {
        /// Pointers in the index.
        pointers: u64,
        /// Reachable items in the log.
        items: u64,
    },
    /// Buckets' notes of how many of their items lie elsewhere are wrong.
    Elsewhere,
    /// The counters differ from what is there.
    Counters,
}

impl Table<'_> {
    /// Compares index, log and counters. For tests and diagnosis: it takes time in proportion to the memory.
    ///
    /// # Errors
    /// The first contradiction. There is none, whatever was done with the table.
    pub fn audit(&self) -> Result<(), AuditError> {
        let mut there = Counts::default();
        let (mut cells_used, mut pointers) = (0, 0);
        let (mut noted, mut elsewhere) = (Tally::default(), Tally::default());
        for bucket in self.layout().buckets() {
            cells_used += state_of(self.words(), bucket).cells_used() as u64;
            for found in (0..CELL_COUNT).filter_map(|cell| self.look().found_at(bucket, cell)) {
                self.audit_item(&found)?;
                there.stored(found.item.shape, None);
                pointers += u64::from(!found.item.shape.is_inline);
                elsewhere.add(found.home, u64::from(found.is_displaced()));
            }
            noted.add(bucket, overflow_of(self.words(), bucket).elsewhere());
        }
        if noted != elsewhere {
            return Err(AuditError::Elsewhere);
        }
        let items = self.audit_log()?;
        if pointers != items {
            return Err(AuditError::Pointers { pointers, items });
        }
        let same = |counts: &Counts| (counts.items, counts.inline_items, counts.live_words, counts.expiring);
        let agree = same(&there) == same(&self.counts) && cells_used == self.counts.cells_used();
        if agree { Ok(()) } else { Err(AuditError::Counters) }
    }

    fn audit_item(&self, found: &Found) -> Result<(), AuditError> {
        let at = found.item.at;
        let mut bytes = [0; KEY_LEN_MAX];
        let key = Key::new(self.secret(), found.item.load_key(self.words(), &mut bytes));
        let (home, tag) = (self.look().home(key.placement()), Tag::of(key.placement()));
        let is_here = found.home == home && (found.bucket == home || found.bucket == self.look().other(home, tag));
        let is_led_to = found.item.shape.is_inline || {
            let pointer = self.look().pointer(found.bucket, found.cell);
            let header = ItemHeader::from_word(self.words().load(at));
            pointer.tag() == tag && !header.is_dead() && !header.is_filler()
        };
        if !is_here || !is_led_to {
            return Err(AuditError::Misplaced { at });
        }
        match self.look().find(&key) {
            Some(first) if first.item.at == at => Ok(()),
            _ => Err(AuditError::Shadowed { at }),
        }
    }

    /// Walks the log and counts the items that something leads to.
    fn audit_log(&self) -> Result<u64, AuditError> {
        let mut items = 0;
        let (mut at, mut left) = (self.log.head(), self.log.used());
        while left > 0 {
            let header = ItemHeader::from_word(self.words().load(at));
            let item = Item::in_log(at, header);
            let words = if header.is_filler() { self.log.rest(at) } else { item.shape.words() };
            if words > left {
                return Err(AuditError::LogEnds { at });
            }
            if !header.is_filler() && self.look().pointer_to(item, self.look().placement_of(item)).is_some() {
                items += 1;
            }
            at = self.log.behind(at, words);
            left -= words;
        }
        Ok(items)
    }
}

/// Counts of buckets, in a form that two walks in different orders can be compared by: as good as certain, since a wrong
/// note would have to be made up for in number, place and square of the place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally([u64; 3]);

impl Tally {
    fn add(&mut self, bucket: usize, count: u64) {
        let place = bucket as u64;
        for (sum, weight) in self.0.iter_mut().zip([1, place, place.wrapping_mul(place)]) {
            *sum = sum.wrapping_add(count.wrapping_mul(weight));
        }
    }
}

impl fmt::Display for AuditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LogEnds { at } => write!(f, "the item at word {at} reaches beyond the log's tail"),
            Self::Misplaced { at } => write!(f, "the item at word {at} is not where its key belongs"),
            Self::Shadowed { at } => write!(f, "the item at word {at} cannot be found by its key"),
            Self::Pointers { pointers, items } => write!(f, "{pointers} pointers lead to {items} items"),
            Self::Elsewhere => f.write_str("buckets miscount their items elsewhere"),
            Self::Counters => f.write_str("the counters are not those of the items that are there"),
        }
    }
}

impl core::error::Error for AuditError {}
