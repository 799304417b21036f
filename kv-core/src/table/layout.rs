//! How a table divides its memory, and the words at its beginning that say so.
//!
//! ```text
//! word   0        8                                                       end of memory
//!        +--------+---------------------------+---------------------------+
//!        | header | buckets                   | log                       |
//!        +--------+---------------------------+---------------------------+
//! ```
//!
//! | word of the header | field |
//! |---|---|
//! | 0 | [`MAGIC`], stored last: without it there is no table |
//! | 1 | layout version in the low half, flags in the high half: bit 0 cache mode, bit 1 concurrent readers |
//! | 2 | number of buckets |
//! | 3 | number of all words |
//! | 4 | placement of the magic's bytes under the secret, to know the secret again |
//! | 5 | words of a typical item |
//! | 6 | the item in the log that is just being replaced where it lies, index of its first word; 0 for none |
//! | 7 | what replaces it, complete: who finds the memory after a kill copies it there and clears word 6 |
//!
//! All words are little-endian numbers when seen as bytes.
//!
//! # How the memory is divided
//! Items that lie in buckets need no log, all others need a cell and the log. The share of the buckets follows from the
//! typical item: three of four cells are to be in use when the log is full of such items. What is left is the log; it
//! has at least 1/128 of the memory, and a megabyte where that is not more than half, so that any item fits a table of
//! two megabytes, whatever the typical one is.

use super::bucket::CELL_COUNT;
use super::config::{Mode, TABLE_LEN_MIN, TableConfig, TableError};
use super::item::{INLINE_LEN_MAX, ITEM_WORDS_MAX, Shape};
use super::words::{LINE_WORDS, WORD_LEN, Words};
use crate::hash::{Placement, Secret};
use crate::sync::{Ordering, fence};

/// "DPUKVTBL" in memory.
const MAGIC: u64 = u64::from_le_bytes(*b"DPUKVTBL");

/// Raised when anything in the memory changes its place or meaning.
const LAYOUT_VERSION: u32 = 3;

const FLAG_CACHE: u64 = 1 << 32;
const FLAG_CONCURRENT_READ: u64 = 1 << 33;

const HEADER_WORDS: usize = LINE_WORDS;

/// The share of cells that are in use, in percent, when the log is full of typical items. With two buckets of six cells
/// for each key, a store finds a place up to more than 95 %; the fewer are in use, the more look-ups end with the first
/// bucket.
const CELLS_USED_PERCENT: usize = 80;

/// The least share of the log, and the words that it gets where that is not more than half of the memory.
const LOG_SHARE_MIN: usize = 128;
const LOG_WORDS_MIN: usize = (1 << 20) / WORD_LEN;

/// The most that live items may take of a store's log, in percent. More could be kept, but each stored word would then
/// move more than seven others: with random overwrites, a share f of the words at the head is still live when the
/// log is filled to (f − 1)/ln f (Rosenblum and Ousterhout, TOCS 1992, for such a load).
const LIVE_PERCENT_MAX: usize = 93;

/// An item takes at most this part of the log. The limit for live items follows from it, see
/// [`Layout::live_words_max`].
const ITEMS_PER_LOG_MIN: usize = 64;

/// How many words of the log a store looks at, for each word that it appends, when free space is low.
pub(super) const CLEANING_RATIO: usize = 32;

/// Where everything is. All positions and sizes are in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    bucket_count: u32,
    pub(super) log_start: usize,
    pub(super) log_end: usize,
    /// The words of a typical item.
    pub(super) item_words_hint: usize,
    pub(super) mode: Mode,
    pub(super) concurrent_read: bool,
}

impl Layout {
    /// Divides the memory.
    ///
    /// # Errors
    /// [`TableError::MemoryTooSmall`] below [`TABLE_LEN_MIN`] bytes.
    pub(super) fn plan(words: Words<'_>, config: &TableConfig) -> Result<Self, TableError> {
        let word_count = words.count();
        if word_count < TABLE_LEN_MIN / WORD_LEN {
            return Err(TableError::MemoryTooSmall { needed_len: TABLE_LEN_MIN, got_len: word_count * WORD_LEN });
        }
        let item_words_max = (word_count / ITEMS_PER_LOG_MIN).min(ITEM_WORDS_MAX);
        let item_words_hint = item_words(config.item_len_hint).min(item_words_max);
        let bucket_words = bucket_words(word_count, config.item_len_hint, item_words_hint);
        // Even, so that no bucket is its own other one.
        let bucket_count = (u32::try_from(bucket_words / LINE_WORDS).unwrap_or(u32::MAX) & !1).max(2);
        Ok(Self {
            bucket_count,
            log_start: log_start(bucket_count),
            log_end: word_count,
            item_words_hint,
            mode: config.mode,
            concurrent_read: config.concurrent_read,
        })
    }

    /// Takes the magic away, so that nobody opens what is about to change.
    pub(super) fn erase(words: Words<'_>) {
        words.publish(0, 0);
    }

    /// Writes the header, the magic last.
    pub(super) fn write(&self, words: Words<'_>, secret: &Secret) {
        let cache = if self.mode == Mode::Cache { FLAG_CACHE } else { 0 };
        let concurrent = if self.concurrent_read { FLAG_CONCURRENT_READ } else { 0 };
        words.store(1, u64::from(LAYOUT_VERSION) | cache | concurrent);
        words.store(2, u64::from(self.bucket_count));
        words.store(3, self.log_end as u64);
        words.store(4, fingerprint(secret));
        words.store(5, self.item_words_hint as u64);
        words.store(6, 0);
        words.store(7, 0);
        words.publish(0, MAGIC);
    }

    /// Copies the words of an item over one in the log. At any instant the one or the other is complete, and the header
    /// says which.
    pub(super) fn replace(words: Words<'_>, complete: usize, at: usize, count: usize) {
        words.store(7, complete as u64);
        words.publish(6, at as u64);
        // Before the copy.
        fence(Ordering::Release);
        for offset in 0..count {
            words.store(at + offset, words.load(complete + offset));
        }
        words.publish(6, 0);
    }

    /// Reads the header of a table that somebody else made.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(words: Words<'_>, secret: &Secret) -> Result<Self, TableError> {
        if words.load_acquire(0) != MAGIC {
            return Err(TableError::NotATable);
        }
        let (version_and_flags, bucket_count) = (words.load(1), words.load(2));
        let found = version_and_flags as u32;
        if found != LAYOUT_VERSION {
            return Err(TableError::LayoutVersion { known: LAYOUT_VERSION, found });
        }
        if words.load(4) != fingerprint(secret) {
            return Err(TableError::WrongSecret);
        }
        let bucket_count = bucket_count as u32;
        let log_start = log_start(bucket_count);
        if bucket_count < 2
            || !bucket_count.is_multiple_of(2)
            || words.load(3) != words.count() as u64
            || log_start >= words.count()
        {
            return Err(TableError::Geometry);
        }
        Ok(Self {
            bucket_count,
            log_start,
            log_end: words.count(),
            item_words_hint: (words.load(5) as usize).min(ITEM_WORDS_MAX),
            mode: if version_and_flags & FLAG_CACHE == 0 { Mode::Store } else { Mode::Cache },
            concurrent_read: version_and_flags & FLAG_CONCURRENT_READ != 0,
        })
    }

    /// The bucket for half a placement. Multiplication maps it evenly to any number of buckets.
    #[inline]
    pub(super) const fn bucket_of(&self, placement_low: u32) -> usize {
        Self::bucket_at(self.number_of(placement_low))
    }

    /// The number of that bucket, from 0.
    #[inline]
    pub(super) const fn number_of(&self, placement_low: u32) -> usize {
        self.scaled(placement_low)
    }

    /// The bucket with a number.
    #[inline]
    pub(super) const fn bucket_at(number: usize) -> usize {
        HEADER_WORDS.wrapping_add(number.wrapping_mul(LINE_WORDS))
    }

    /// The bucket whose number and that of this one have a sum, modulo the number of buckets, that the tag chooses. The
    /// sum is odd and the number of buckets even, so that the two are never the same.
    #[inline]
    pub(super) const fn other(&self, bucket: usize, tag: u64) -> usize {
        Self::bucket_at(self.other_number((bucket - HEADER_WORDS) / LINE_WORDS, tag))
    }

    /// The same with the buckets' numbers.
    #[inline]
    pub(super) const fn other_number(&self, number: usize, tag: u64) -> usize {
        /// 2^32 divided by the golden ratio: spreads 16 bits over 32 (Knuth, TAOCP 3, 6.4).
        const SPREAD: u32 = 0x9e37_79b1;
        let sum = self.scaled((tag as u32).wrapping_mul(SPREAD)) | 1;
        if sum >= number { sum - number } else { sum + self.bucket_count as usize - number }
    }

    #[inline]
    const fn scaled(&self, bits: u32) -> usize {
        ((bits as u64 * self.bucket_count as u64) >> 32) as usize
    }

    /// All buckets.
    pub(super) fn buckets(&self) -> impl Iterator<Item = usize> + use<> {
        (HEADER_WORDS..log_start(self.bucket_count)).step_by(LINE_WORDS)
    }

    pub(super) const fn bucket_count(&self) -> usize {
        self.bucket_count as usize
    }

    /// Cells of all buckets.
    pub(super) const fn cells(&self) -> u64 {
        self.bucket_count as u64 * CELL_COUNT as u64
    }

    pub(super) const fn log_words(&self) -> usize {
        self.log_end - self.log_start
    }

    /// Words of the longest item that this table takes.
    pub(super) const fn item_words_max(&self) -> usize {
        let share = self.log_words() / ITEMS_PER_LOG_MIN;
        if share < ITEM_WORDS_MAX { share } else { ITEM_WORDS_MAX }
    }

    /// Free words in the log below which a store cleans. The module head derives it.
    pub(super) const fn cleaning_threshold(&self) -> usize {
        self.log_words().div_ceil(CLEANING_RATIO + 1) + 3 * self.item_words_max()
    }

    /// The most words that live items may have, 86 to 93 % of a store's log. The module head derives it.
    pub(super) const fn live_words_max(&self) -> usize {
        let log_words = self.log_words();
        match self.mode {
            Mode::Cache => log_words,
            Mode::Store => {
                let provable = log_words
                    .saturating_sub(2 * log_words.div_ceil(CLEANING_RATIO + 1))
                    .saturating_sub(5 * self.item_words_max());
                let affordable = log_words * LIVE_PERCENT_MAX / 100;
                if provable < affordable { provable } else { affordable }
            }
        }
    }
}

fn log_start(bucket_count: u32) -> usize {
    HEADER_WORDS + bucket_count as usize * LINE_WORDS
}

/// Words in the log of an item with a key of 8 bytes and so many bytes of key and value together.
fn item_words(len: usize) -> usize {
    let key_len = len.min(WORD_LEN);
    Shape::of(key_len, len - key_len, false).map_or(ITEM_WORDS_MAX, |shape| shape.in_log().words())
}

/// Words of all buckets for such typical items.
fn bucket_words(word_count: usize, item_len_hint: usize, item_words_hint: usize) -> usize {
    let log_words_min = (word_count / LOG_SHARE_MIN).max((word_count / 2).min(LOG_WORDS_MIN));
    let most = word_count - HEADER_WORDS - log_words_min;
    if item_len_hint <= INLINE_LEN_MAX {
        return most;
    }
    // In hundredths of a word, for one item.
    let index = 100 * 100 * LINE_WORDS / (CELL_COUNT * CELLS_USED_PERCENT);
    let log = 100 * 100 * item_words_hint / LIVE_PERCENT_MAX;
    let share = word_count as u128 * index as u128 / (index + log) as u128;
    (share as usize).min(most)
}

fn fingerprint(secret: &Secret) -> u64 {
    Placement::of(secret, &MAGIC.to_le_bytes()).to_bits()
}
