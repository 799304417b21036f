//! How a table divides its memory, and the words at its beginning that say so.
//!
//! ```text
//! word   0        8                                                                        end of memory
//!        +--------+----------------+------------------+------------------------------------+
//!        | header | buckets        | overflow buckets | log                                |
//!        +--------+----------------+------------------+------------------------------------+
//! ```
//!
//! | word of the header | field |
//! |---|---|
//! | 0 | [`MAGIC`], stored last: without it there is no table |
//! | 1 | layout version in the low half, flags in the high half: bit 0 cache mode, bit 1 concurrent readers |
//! | 2 | number of buckets in the low half, of overflow buckets in the high half |
//! | 3 | number of all words |
//! | 4 | placement of the magic's bytes under the secret, to know the secret again |
//! | 5 | words of a typical item |
//! | 6, 7 | 0 |
//!
//! All words are little-endian numbers when seen as bytes.

use super::config::{Mode, TABLE_LEN_MIN, TableConfig, TableError};
use super::item::ITEM_WORDS_MAX;
use super::words::{LINE_WORDS, WORD_LEN, Words};
use crate::hash::{Placement, Secret};

/// "DPUKVTBL" in memory.
const MAGIC: u64 = u64::from_le_bytes(*b"DPUKVTBL");

/// Raised when anything in the memory changes its place or meaning.
const LAYOUT_VERSION: u32 = 1;

const FLAG_CACHE: u64 = 1 << 32;
const FLAG_CONCURRENT_READ: u64 = 1 << 33;

const HEADER_WORDS: usize = LINE_WORDS;

/// Items per bucket that the index is sized for, when the log is full of typical items. A bucket holds 7. With a mean
/// of 5, random placement overfills 13 % of the buckets (Poisson), so that overflow buckets for a quarter of them leave
/// room for items that are a sixth smaller than they were said to be.
const BUCKET_LOAD: usize = 5;
const BUCKETS_PER_OVERFLOW: usize = 4;

/// A few more, since in a small index the overfilled share varies.
const OVERFLOW_EXTRA: usize = 8;

/// An item takes at most this part of the log. The limit for live items follows from it, see
/// [`Layout::live_words_max`].
const ITEMS_PER_LOG_MIN: usize = 64;

/// How many words of the log a store looks at, for each word that it appends, when free space is low.
pub(super) const CLEANING_RATIO: usize = 32;

/// Where everything is. All positions and sizes are in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    bucket_count: u32,
    overflow_count: u32,
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
        // A header, at least one word for the key, and no more than the table will take.
        let item_words_max = (word_count / ITEMS_PER_LOG_MIN).min(ITEM_WORDS_MAX);
        let item_words_hint = 1 + config.item_len_hint.div_ceil(WORD_LEN).clamp(1, item_words_max - 1);
        let index_words_per_item = LINE_WORDS * (BUCKETS_PER_OVERFLOW + 1) / (BUCKETS_PER_OVERFLOW * BUCKET_LOAD);
        let item_count = word_count / (item_words_hint + index_words_per_item);
        let bucket_count = u32::try_from(item_count / BUCKET_LOAD).unwrap_or(u32::MAX / 2).max(1);
        let overflow_count = bucket_count / BUCKETS_PER_OVERFLOW as u32 + OVERFLOW_EXTRA as u32;
        Ok(Self {
            bucket_count,
            overflow_count,
            log_start: log_start(bucket_count, overflow_count),
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
        words.store(2, u64::from(self.bucket_count) | u64::from(self.overflow_count) << 32);
        words.store(3, self.log_end as u64);
        words.store(4, fingerprint(secret));
        words.store(5, self.item_words_hint as u64);
        words.store(6, 0);
        words.store(7, 0);
        words.publish(0, MAGIC);
    }

    /// Reads the header of a table that somebody else made.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(words: Words<'_>, secret: &Secret) -> Result<Self, TableError> {
        if words.load_acquire(0) != MAGIC {
            return Err(TableError::NotATable);
        }
        let (version_and_flags, counts) = (words.load(1), words.load(2));
        let found = version_and_flags as u32;
        if found != LAYOUT_VERSION {
            return Err(TableError::LayoutVersion { known: LAYOUT_VERSION, found });
        }
        if words.load(4) != fingerprint(secret) {
            return Err(TableError::WrongSecret);
        }
        let (bucket_count, overflow_count) = (counts as u32, (counts >> 32) as u32);
        let log_start = log_start(bucket_count, overflow_count);
        if bucket_count == 0 || words.load(3) != words.count() as u64 || log_start >= words.count() {
            return Err(TableError::Geometry);
        }
        Ok(Self {
            bucket_count,
            overflow_count,
            log_start,
            log_end: words.count(),
            item_words_hint: (words.load(5) as usize).min(ITEM_WORDS_MAX),
            mode: if version_and_flags & FLAG_CACHE == 0 { Mode::Store } else { Mode::Cache },
            concurrent_read: version_and_flags & FLAG_CONCURRENT_READ != 0,
        })
    }

    /// The first bucket of a chain. Multiplication maps the half placement evenly to any number of buckets.
    #[inline]
    pub(super) const fn chain(&self, placement_low: u32) -> usize {
        HEADER_WORDS + ((placement_low as u64 * self.bucket_count as u64) >> 32) as usize * LINE_WORDS
    }

    /// An overflow bucket by its number, which starts at 1.
    #[inline]
    pub(super) const fn overflow(&self, number: u32) -> usize {
        HEADER_WORDS - LINE_WORDS + (self.bucket_count as usize + number as usize) * LINE_WORDS
    }

    /// The number of an overflow bucket; the inverse of [`Layout::overflow`].
    pub(super) const fn overflow_number(&self, bucket: usize) -> u32 {
        ((bucket + LINE_WORDS - HEADER_WORDS) / LINE_WORDS).saturating_sub(self.bucket_count as usize) as u32
    }

    /// The first bucket of every chain.
    pub(super) fn chains(&self) -> impl Iterator<Item = usize> + use<> {
        (HEADER_WORDS..self.overflow(1)).step_by(LINE_WORDS)
    }

    pub(super) const fn overflow_count(&self) -> u32 {
        self.overflow_count
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

    /// The most words that live items may have, 86 to 90 % of a store's log. The module head derives it.
    pub(super) const fn live_words_max(&self) -> usize {
        let log_words = self.log_words();
        match self.mode {
            Mode::Cache => log_words,
            Mode::Store => {
                let provable = log_words
                    .saturating_sub(2 * log_words.div_ceil(CLEANING_RATIO + 1))
                    .saturating_sub(5 * self.item_words_max());
                // More than 90 % could be kept, but each stored word would then move more than 13 others.
                let affordable = log_words / 10 * 9;
                if provable < affordable { provable } else { affordable }
            }
        }
    }
}

fn log_start(bucket_count: u32, overflow_count: u32) -> usize {
    HEADER_WORDS + (bucket_count as usize + overflow_count as usize) * LINE_WORDS
}

fn fingerprint(secret: &Secret) -> u64 {
    Placement::of(secret, &MAGIC.to_le_bytes()).to_bits()
}
