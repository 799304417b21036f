//! One partition's items, in memory that it is given.
//!
//! A [`Table`] is the owner's handle: one core, which alone writes. With [`TableConfig::concurrent_read`] other cores
//! read through [`TableReader`]s. Each operation has a file of its own with its outcome; a batch gets its speed from
//! [`Table::prefetch`] and [`Table::prefetch_item`], which fetch the cache lines of later keys while earlier ones are
//! executed.
//!
//! # How it works
//! ```text
//!            home of "a"          other bucket of "b"                        log
//!         +---------------+        +---------------+        +------------------------------------+
//!  "a" ─▶ | a=1 | c=3 | → |───┐    | b=2 |   |   → |───────▶ … | item | item |        free       |
//!         +---------------+   │    +---------------+        +------------------------------------+
//!              one line       └──────────────────────────────────▲
//! ```
//! An item whose key and value have up to 16 bytes together, and that never expires, lies in a bucket: a GET reads one
//! cache line. Any other item lies in one circular log, and a bucket has a pointer of 8 bytes to it. Each key has a home
//! bucket and one other; when both are full, what lies there moves to its own other bucket (`bucket`, `index`,
//! `displace`, `item`, `layout` and `log` have the pictures).
//!
//! A store writes where nothing leads and then makes the new item visible with one store of one aligned word, so that
//! whoever finds the memory, at any instant, finds the old item or the new one. A value of up to 8 bytes is one word and
//! is replaced in place when its length stays the same; an item in the log whose successor takes as many words is
//! replaced where it lies, under a note in the header. (One exception: `publish` names it.)
//!
//! What is replaced, deleted or expired stays in the log until the head passes it. In cache mode the head passes what
//! is in the way of the next item, dead or alive, except that what was read since it was written gets a second chance.
//! In store mode it passes dead items and appends live ones again at the tail, a bounded number with each store.
//!
//! # What was tried
//! With 20 Mi items of 8 B / 8 B, AMD EPYC, transparent huge pages (`dpukv bench table` has today's figures):
//!
//! * Buckets of seven pointers into the log, chains of overflow buckets: 47 bytes an item, two to three lines a GET.
//! * Seven cells a bucket, three items and a pointer, where a fourth item pushes others into the log: 30 bytes an item at
//!   the best load (from the Poisson distribution), since an item in the log takes 24 bytes and a pointer.
//! * Overflow buckets shared by neighbours: 24 bytes need four keys a bucket, a third of them not at home; linear probing
//!   with three items a bucket: 2.4 lines a hit at 90 % (Knuth, TAOCP 3, 6.4).
//! * Two buckets a key (this): 23 bytes an item at the fullest, 1.1 lines a hit at 32 bytes an item and 1.3 at 24. Without
//!   a limit the search for a place succeeds up to 95.9 % of the pairs; within 200 buckets the first refusal came at
//!   89.9 %, within 500 at 93.6 %, within 1000 at 94.5 %.
//! * Branches where it is random which way they go, such as which of three pairs or which of two buckets has the key: at
//!   40 million look-ups a second one mispredicted branch in four look-ups is a fifth of the time. So the second stage of
//!   a batch reads the home's filter, chooses one of the two buckets without a branch, and notes it in the key; the third
//!   compares all three pairs of that one bucket, and only where this fails does it search.
//!
//! An item of up to 64 bytes reads its bucket and one line, or two where it lies across a boundary of the log: items are
//! packed. Whole lines for each would cost up to half of the memory.
//!
//! # Why a store never runs out of space below its limit
//! Let L be the words of the log, Z those of the longest item it takes (at most L/64), K = 32 the cleaning ratio, M the
//! limit of live words, T a threshold. A store of w words first looks at items from the head on until the free space
//! will be at least T afterwards, or until it has looked at K·w words. Let "load" be live and dead words; a filler adds
//! less than Z, and there is at most one, since items lie across the log's end at most once.
//!
//! An episode begins when the space would fall below T; the load is then at most L − T. It ends at the latest when the
//! head has passed everything that was in the log at its begin, S ≤ L − T + Z words, because:
//! * until then less than S/K + Z words are stored, so that the load peaks below L − T + S/K + Z. Two more Z suffice
//!   for the filler and for moving an item, which is in the log twice for a moment. This is at most L with
//!   **T = L/(K+1) + 3 Z**;
//! * then the log holds what was moved, which is no more than was live at the begin (each item is passed once), and
//!   what was stored meanwhile: at most M + S/K, and 2 Z for the filler and the item that is about to be stored. The
//!   free space is T again with **M ≤ L − 2 L/(K+1) − 5 Z**, which is never less than 86 % of L.
//!
//! So no store finds less free space than it needs while live words, its own included, do not exceed M. Moving items
//! outside an episode does not change the load. One operation looks at no more than K·w + Z words. `live_words_max`
//! takes 90 % where the formula allows it.
//!
//! # Why readers are right
//! The owner brackets each change of a bucket between two increments of its version: version odd, release fence, change
//! (relaxed stores), version even (release store). A reader loads the version of a key's home (acquire; odd: try again),
//! reads cells and items (relaxed), does the same with the other bucket if the home's filter sends it there, and after an
//! acquire fence loads each version again (relaxed): it believes what it read only if all are the same. Where a bucket was
//! fetched for it, a reader looks there first, and believes what it finds under that bucket's version alone. In terms of
//! the C11 model, which Arm's implements:
//! * Nothing is torn. Let the reader have read a word that was stored after an odd increment: a cell of this bucket, a word
//!   of an item that it leads to and that was replaced where it lies, or a word of a log region that was used again. The
//!   last happens only after the pointer to the old item was changed, which was a change of a bucket that this reader
//!   has read. In each case the release fence after the odd increment lies before the store, and the reader's acquire
//!   fence behind its load, so that the second load of the version sees the increment or a later one, and the reader
//!   tries again.
//! * Nothing is missed. An item that moves is visible in the bucket where it goes before it is taken out of the one that
//!   it leaves. A reader that finds it in neither has read its home after the item left or before it came. In the first
//!   case the home's version, or the state that it read there, was stored after the item was put into the other bucket
//!   and the filter's bit was set, so that it looks there and sees it. In the second case the home changes before the
//!   item leaves the other bucket, and the home's version tells.
//! * Nothing comes back. The old value of a key and its new one are never both to be found: one change of one bucket, or one
//!   word, takes the new one in and the old one out, whichever forms they have. So it does not matter in which order
//!   two reads look into the key's places.
//! * Nothing is stale. What was acknowledged before the read began happens before it, through whatever carried the
//!   acknowledgement; so the first load of each version is at least as new as that store's last increment, and the
//!   reads behind it are at least as new as the change. A filter's bit is set before the item that needs it is
//!   published, and cleared by a release store after the last such item was taken out. An item that moves is in both of
//!   its buckets for a moment; it is the same in both, and leaves the old one before the owner does anything else.
//! * A value of one word that is replaced in place needs no version: the reader has the old word or the new one. An
//!   item that moved took its value along under the version.
//!
//! A version wraps after 2^31 changes of one bucket. A reader that sleeps exactly that long between its two loads could
//! be fooled; at ten million changes a second of one and the same bucket that takes more than three minutes.
//!
//! # What it does not do
//! It does not open the memory of an earlier process, although little in the layout stands against it.

mod add;
mod append;
mod audit;
mod bucket;
mod clean;
mod compare_and_set;
mod config;
mod delete;
mod displace;
mod evict;
mod get;
mod increment;
mod index;
mod item;
mod layout;
mod lines;
mod log;
mod prefetch;
mod publish;
mod reader;
mod reset;
mod set;
mod stats;
mod test;
#[cfg(all(test, not(loom)))]
mod tests;
mod touch;
mod ttl;
mod words;

pub use add::AddOutcome;
pub use append::AppendOutcome;
pub use audit::AuditError;
pub use compare_and_set::CompareAndSetOutcome;
pub use config::{ITEM_LEN_HINT_DEFAULT, Millis, Mode, TABLE_LEN_MIN, TableConfig, TableError};
pub use delete::DeleteOutcome;
pub use get::GetOutcome;
pub use increment::IncrementOutcome;
pub use reader::{ReadOutcome, TableReader};
pub use set::SetOutcome;
pub use stats::TableStats;
pub use touch::TouchOutcome;
pub use ttl::TtlOutcome;

pub(crate) use self::index::Index;
use self::index::{Found, IndexOwner};
use self::item::{Item, ItemHeader, NEVER};
use self::layout::Layout;
use self::log::Log;
use self::stats::Counts;
use self::words::Words;
use crate::hash::{Key, Secret};
use crate::sync::AtomicU64;

/// A partition's items, for the core that owns them.
///
/// # Invariants
/// There is one `Table` at a time over one piece of memory, and nobody else writes to that memory. A second owner
/// would not break memory safety, but it would break promises.
#[derive(Debug)]
pub struct Table<'m> {
    index: IndexOwner<'m>,
    log: Log,
    counts: Counts,
}

impl<'m> Table<'m> {
    /// Makes an empty table in `memory`, whatever that held before.
    ///
    /// It writes the whole index, which also makes the operating system provide those pages; the log is left alone.
    /// The memory should begin at a 64-byte boundary; what lies before the first one is not used.
    ///
    /// # Errors
    /// [`TableError::MemoryTooSmall`] for less than [`TABLE_LEN_MIN`] bytes.
    pub fn format(memory: &'m [AtomicU64], config: &TableConfig) -> Result<Self, TableError> {
        let words = Words::aligned(memory);
        let layout = Layout::plan(words, config)?;
        Layout::erase(words);
        let index = IndexOwner::format(words, layout, config.secret);
        layout.write(words, &config.secret);
        let log = Log::new(layout.log_start, layout.log_end);
        Ok(Self { index, log, counts: Counts::default() })
    }

    /// What keys the places of this table's items: [`Key::new`] needs it.
    pub const fn secret(&self) -> &Secret {
        &self.index.look.secret
    }

    #[inline]
    pub(crate) const fn look(&self) -> &Index<'m> {
        &self.index.look
    }

    #[inline]
    const fn words(&self) -> Words<'m> {
        self.index.look.words
    }

    #[inline]
    const fn layout(&self) -> &Layout {
        &self.index.look.layout
    }

    /// The item of a key, if it lives. One that has expired is taken out on the way.
    fn find_live(&mut self, key: &Key<'_>, now: Millis) -> Option<Found> {
        let found = self.look().find(key)?;
        if self.look().is_expired(found.item, now) {
            self.expire(&found);
            return None;
        }
        Some(found)
    }

    fn expire(&mut self, found: &Found) {
        self.remove(found);
        self.counts.expired += 1;
    }

    /// Makes an item unreachable. The caller counts why.
    fn remove(&mut self, found: &Found) {
        self.index.clear(found);
        self.bury(found.item);
        self.counts.forget(found.item.shape);
    }

    /// Says in an item of the log that nothing leads to it any more.
    fn bury(&self, item: Item) {
        if !item.shape.is_inline {
            let header = ItemHeader::from_word(self.words().load(item.at));
            self.words().store(item.at, header.dead().to_word());
        }
    }
}

impl Index<'_> {
    /// When an item expires, [`NEVER`] for most.
    #[inline]
    fn expiry(&self, item: Item) -> u64 {
        if item.shape.has_expiry { self.words.load(item.expiry_at()) } else { NEVER }
    }

    #[inline]
    fn is_expired(&self, item: Item, now: Millis) -> bool {
        item.shape.has_expiry && self.expiry(item) <= now.0
    }
}
