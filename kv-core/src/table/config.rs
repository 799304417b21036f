//! What a table is told when it is made, and why it may refuse to be made.

use core::fmt;

use crate::hash::Secret;

/// A moment, in milliseconds since the store was started. The table reads no clock: each operation is told the time.
///
/// Time that goes backwards does no harm: an item that was found expired is gone, the others live longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

/// What a table does when its memory is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Says so. Nothing that was acknowledged is ever dropped.
    Store,
    /// Drops the items that were written longest ago, and counts them.
    Cache,
}

/// How to lay out a table.
#[derive(Clone, Copy, Debug)]
pub struct TableConfig {
    /// What to do when the memory is full.
    pub mode: Mode,
    /// Whether [`TableReader`](super::TableReader)s on other cores read while the owner writes (CREW). The owner then
    /// pays for a version per bucket; without it (EREW) it does not.
    pub concurrent_read: bool,
    /// What keys the places of items.
    pub secret: Secret,
    /// Key and value of a typical item, in bytes together. It decides how much of the memory becomes the index: with
    /// smaller items than this the index fills before the log, with larger ones a part of the index stays unused.
    /// [`ITEM_LEN_HINT_DEFAULT`] serves who does not know.
    pub item_len_hint: usize,
}

/// The [`TableConfig::item_len_hint`] for unknown loads: a key of 16 bytes and a value of 48. The medians that Facebook
/// published for its key-value caches are of this order (Atikoglu et al., SIGMETRICS 2012).
pub const ITEM_LEN_HINT_DEFAULT: usize = 64;

/// The least memory that a table can be made in, in bytes, counted from the first 64-byte boundary.
pub const TABLE_LEN_MIN: usize = 8 * 1024;

/// Why there is no table in this memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableError {
    /// The memory has fewer than [`TABLE_LEN_MIN`] bytes.
    MemoryTooSmall {
        /// [`TABLE_LEN_MIN`].
        needed_len: usize,
        /// The bytes from the first 64-byte boundary.
        got_len: usize,
    },
    /// The memory does not begin with a table.
    NotATable,
    /// There is a table of another layout.
    LayoutVersion {
        /// The one that this program knows.
        known: u32,
        /// The one in the memory.
        found: u32,
    },
    /// There is a table, but its sizes do not fit this memory.
    Geometry,
    /// There is a table that was made without [`TableConfig::concurrent_read`].
    NotConcurrent,
    /// There is a table that was made with another secret.
    WrongSecret,
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MemoryTooSmall { needed_len, got_len } => {
                write!(f, "a table needs at least {needed_len} bytes of memory, these are {got_len}")
            }
            Self::NotATable => f.write_str("there is no table in this memory"),
            Self::LayoutVersion { known, found } => {
                write!(f, "the table in this memory has layout {found}, this program knows layout {known}")
            }
            Self::Geometry => f.write_str("the table in this memory was made for memory of another size"),
            Self::NotConcurrent => f.write_str("the table in this memory was made without concurrent readers"),
            Self::WrongSecret => f.write_str("the table in this memory was made with another secret"),
        }
    }
}

impl core::error::Error for TableError {}
