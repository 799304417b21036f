//! How one item lies in the log.
//!
//! ```text
//! word 0          word 1, if it can expire   then           then
//! +-------------+ +------------------------+ +------------+ +------------+
//! | header      | | expiry, ms             | | key, 0 pad | | value, 0 p.|
//! +-------------+ +------------------------+ +------------+ +------------+
//! ```
//!
//! | bits of the header | field | rule |
//! |---|---|---|
//! | 0..8 | key length, bytes | |
//! | 8..16 | flags | bit 0: there is an expiry word; bit 1: filler, everything to the log's end is unused |
//! | 16..32 | value length, bytes | |
//! | 32..64 | low half of the placement | finds the bucket again when the log's head passes the item |

use qp_wire::limits::{KEY_LEN_MAX, VALUE_LEN_MAX};

use super::words::WORD_LEN;
use crate::hash::{Key, Placement};

const FLAG_EXPIRY: u64 = 1 << 8;
const FLAG_FILLER: u64 = 1 << 9;

/// The expiry of items that never expire.
pub(super) const NEVER: u64 = u64::MAX;

/// Words of the longest item that the limits allow.
pub(super) const ITEM_WORDS_MAX: usize = 2 + KEY_LEN_MAX.div_ceil(WORD_LEN) + VALUE_LEN_MAX.div_ceil(WORD_LEN);

const _: () = assert!(KEY_LEN_MAX <= 0xff && VALUE_LEN_MAX <= 0xffff);

/// The first word of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ItemHeader(u64);

/// An item that was found, by its first word.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    /// The index of its header word.
    pub(super) at: usize,
    pub(super) header: ItemHeader,
}

impl ItemHeader {
    /// What takes the place of items up to the end of the log.
    pub(super) const FILLER: Self = Self(FLAG_FILLER);

    /// The header of an item, or `None` when key or value exceed the limits.
    pub(super) fn new(key: &Key<'_>, value_len: usize, has_expiry: bool) -> Option<Self> {
        let key_len = key.bytes().len();
        if key_len > KEY_LEN_MAX || value_len > VALUE_LEN_MAX {
            return None;
        }
        let flags = if has_expiry { FLAG_EXPIRY } else { 0 };
        Some(Self(Self::of_key(key) | flags | (value_len as u64) << 16))
    }

    #[inline]
    pub(super) const fn from_word(word: u64) -> Self {
        Self(word)
    }

    #[inline]
    pub(super) const fn to_word(self) -> u64 {
        self.0
    }

    /// Whether an item with this header can be that of `key`: same length, same half placement.
    #[inline]
    pub(super) fn may_be(self, key: &Key<'_>) -> bool {
        const OF_KEY: u64 = 0xffff_ffff_0000_00ff;
        (self.0 ^ Self::of_key(key)) & OF_KEY == 0 && key.bytes().len() <= KEY_LEN_MAX
    }

    fn of_key(key: &Key<'_>) -> u64 {
        (key.bytes().len() as u64 & 0xff) | key.placement().to_bits() << 32
    }

    #[inline]
    pub(super) const fn key_len(self) -> usize {
        (self.0 & 0xff) as usize
    }

    #[inline]
    pub(super) const fn value_len(self) -> usize {
        (self.0 >> 16 & 0xffff) as usize
    }

    #[inline]
    pub(super) const fn has_expiry(self) -> bool {
        self.0 & FLAG_EXPIRY != 0
    }

    #[inline]
    pub(super) const fn is_filler(self) -> bool {
        self.0 & FLAG_FILLER != 0
    }

    /// The half of the placement that chooses the bucket.
    #[inline]
    pub(super) const fn placement_low(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Words of the whole item; of a filler, its header only.
    #[inline]
    pub(super) const fn words(self) -> usize {
        self.words_before_value() + self.value_len().div_ceil(WORD_LEN)
    }

    const fn words_before_key(self) -> usize {
        1 + self.has_expiry() as usize
    }

    const fn words_before_value(self) -> usize {
        self.words_before_key() + self.key_len().div_ceil(WORD_LEN)
    }
}

impl Item {
    /// The word with the expiry, which exists when the header says so.
    #[inline]
    pub(super) const fn expiry_at(self) -> usize {
        self.at + 1
    }

    #[inline]
    pub(super) const fn key_at(self) -> usize {
        self.at + self.header.words_before_key()
    }

    #[inline]
    pub(super) const fn value_at(self) -> usize {
        self.at + self.header.words_before_value()
    }
}

/// The half of a placement that chooses the bucket and is kept in the item.
#[inline]
pub(super) const fn placement_low(placement: Placement) -> u32 {
    placement.to_bits() as u32
}

/// The other bits, as the tag of an index entry: the topmost 16, never 0, so that no empty entry looks like a match.
#[inline]
pub(super) const fn tag(placement: Placement) -> u64 {
    let tag = placement.to_bits() >> 48;
    if tag == 0 { 1 } else { tag }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::tests::key;
    use super::*;

    #[test]
    fn a_header_is_that_of_its_key_alone() {
        let header = ItemHeader::new(&key(b"name"), 1000, true).expect("within the limits");
        assert!(header.may_be(&key(b"name")) && !header.may_be(&key(b"nome")));
        for bit in 0..64 {
            let other = ItemHeader::from_word(header.to_word() ^ 1 << bit);
            let is_of_key = !(8..32).contains(&bit);
            assert_eq!(other.may_be(&key(b"name")), !is_of_key, "bit {bit}");
        }
    }

    #[test]
    fn parts_of_an_item_follow_each_other() {
        for (has_expiry, key_at) in [(false, 101), (true, 102)] {
            let header = ItemHeader::new(&key(b"nine byte"), 17, has_expiry).expect("within the limits");
            let item = Item { at: 100, header };
            assert_eq!((header.key_len(), header.value_len(), header.has_expiry()), (9, 17, has_expiry));
            assert_eq!((item.expiry_at(), item.key_at(), item.value_at()), (101, key_at, key_at + 2));
            assert_eq!(item.at + header.words(), key_at + 2 + 3);
        }
    }

    #[test]
    fn no_tag_looks_like_an_empty_entry() {
        let mut names = (0u32..1_000_000).map(u32::to_le_bytes);
        let is_zero = |name: &[u8; 4]| key(name).placement().to_bits() >> 48 == 0;
        let name = names.find(is_zero).expect("one in 65536");
        assert_eq!(tag(key(&name).placement()), 1);
    }
}
