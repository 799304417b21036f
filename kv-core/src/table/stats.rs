//! What a table counts.

use super::item::Shape;
use super::words::WORD_LEN;
use super::{Mode, Table};

/// How full a table is, and what has become of everything that was ever stored in it.
///
/// # Invariants
/// `stored == items + replaced + deleted + expired + evicted_log + evicted_bucket` after each operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableStats {
    /// Items that can be read, or could until they expired a moment ago.
    pub items: u64,
    /// Those of them that lie in buckets.
    pub inline_items: u64,
    /// Space of these items, in bytes: `log_live_bytes` and 8 for each cell in use.
    pub live_bytes: u64,
    /// What `live_bytes` can grow to when log and index fill at the same time. The index refuses from about 95 % of its
    /// cells on, and earlier where items and pointers mix.
    pub capacity_bytes: u64,
    /// Log space of the items in the log, in bytes: 4 for the header, 8 for an expiry, key and value, together rounded
    /// up to 8.
    pub log_live_bytes: u64,
    /// What `log_live_bytes` can grow to.
    pub log_capacity_bytes: u64,
    /// Space of the log, in bytes.
    pub log_bytes: u64,
    /// Log space of the longest item that this table takes, in bytes, counted as in `log_live_bytes`. Below the limits of
    /// the protocol only in a table of less than about a megabyte.
    pub item_bytes_max: u64,
    /// Cells of the index in use: two for an item that lies in its bucket, one for each other.
    pub cells_used: u64,
    /// Cells of the index.
    pub cells: u64,
    /// Values written by SET, ADD, COMPARE_AND_SET and APPEND, and items rewritten because TOUCH gave them their first
    /// expiry. INCREMENT changes a value without storing a new one.
    pub stored: u64,
    /// Those that took the place of an older one.
    pub replaced: u64,
    /// Items that DELETE or RESET took out.
    pub deleted: u64,
    /// Items that were found expired.
    pub expired: u64,
    /// Items that were dropped because they were the oldest and the log was full; cache mode only.
    pub evicted_log: u64,
    /// Items that were dropped because their bucket was full; cache mode only.
    pub evicted_bucket: u64,
    /// Times that an item was moved to reclaim space around it, or in cache mode because it had been read.
    pub moved_by_cleaning: u64,
    /// Times that something was moved to its other bucket to make a place.
    pub moved_by_index: u64,
    /// Stores that were refused because items fill their share of the log.
    pub refused_log: u64,
    /// Stores that were refused because both buckets of the key are full and nothing in them can move.
    pub refused_index: u64,
}

impl Table<'_> {
    /// The table's fill and counters. They start at zero when the table is made; RESET keeps them.
    pub fn stats(&self) -> TableStats {
        let bytes = |words: usize| (words * WORD_LEN) as u64;
        let (layout, counts) = (self.layout(), &self.counts);
        TableStats {
            items: counts.items,
            inline_items: counts.inline_items,
            live_bytes: bytes(counts.live_words + counts.cells_used() as usize),
            capacity_bytes: bytes(layout.live_words_max() + layout.cells() as usize),
            log_live_bytes: bytes(counts.live_words),
            log_capacity_bytes: bytes(layout.live_words_max()),
            log_bytes: bytes(layout.log_words()),
            item_bytes_max: bytes(layout.item_words_max()),
            cells_used: counts.cells_used(),
            cells: layout.cells(),
            stored: counts.stored,
            replaced: counts.replaced,
            deleted: counts.deleted,
            expired: counts.expired,
            evicted_log: counts.evicted_log,
            evicted_bucket: counts.evicted_bucket,
            moved_by_cleaning: counts.moved_by_cleaning,
            moved_by_index: counts.moved_by_index,
            refused_log: counts.refused_log,
            refused_index: counts.refused_index,
        }
    }

    /// What the table does when it is full.
    pub const fn mode(&self) -> Mode {
        self.layout().mode
    }
}

/// The counters, private to the owner. Those with a public twin are described there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) items: u64,
    pub(super) inline_items: u64,
    /// Words of the log.
    pub(super) live_words: usize,
    /// Items with an expiry word: without any, nobody looks for expired ones.
    pub(super) expiring: u64,
    pub(super) stored: u64,
    pub(super) replaced: u64,
    pub(super) deleted: u64,
    pub(super) expired: u64,
    pub(super) evicted_log: u64,
    pub(super) evicted_bucket: u64,
    pub(super) moved_by_cleaning: u64,
    pub(super) moved_by_index: u64,
    pub(super) refused_log: u64,
    pub(super) refused_index: u64,
}

impl Counts {
    /// Cells of the index that hold something: two for an item that lies in its bucket, one for each other.
    pub(super) const fn cells_used(&self) -> u64 {
        self.items + self.inline_items
    }

    /// An item became reachable, in place of the other.
    pub(super) fn stored(&mut self, new: Shape, old: Option<Shape>) {
        if let Some(old) = old {
            self.forget(old);
            self.replaced += 1;
        }
        self.stored += 1;
        self.items += 1;
        self.inline_items += u64::from(new.is_inline);
        self.live_words += new.log_words();
        self.expiring += u64::from(new.has_expiry);
    }

    pub(super) fn replaced_in_place(&mut self) {
        self.stored += 1;
        self.replaced += 1;
    }

    /// The last item evicted from the log was the one that is being replaced: its key loses nothing.
    pub(super) fn evicted_was_replaced(&mut self) {
        self.evicted_log -= 1;
        self.replaced += 1;
    }

    /// An item is no longer reachable.
    pub(super) fn forget(&mut self, item: Shape) {
        self.items -= 1;
        self.inline_items -= u64::from(item.is_inline);
        self.live_words -= item.log_words();
        self.expiring -= u64::from(item.has_expiry);
    }

    /// All items went at once.
    pub(super) fn forget_all(&mut self) {
        self.deleted += self.items;
        self.items = 0;
        self.inline_items = 0;
        self.live_words = 0;
        self.expiring = 0;
    }
}
