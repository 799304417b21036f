//! How one item lies in memory, in a bucket or in the log.
//!
//! ```text
//! in a bucket, 2 words:   | key, from here on …          … value, up to the end |
//!
//! in the log:   word 0               word 1, if it can expire   then
//!               +---------+--------+ +----------------------+ +------------------------------+
//!               | header  | key,   | | expiry, ms           | | rest of the key …            |
//!               | 4 bytes | 4 bytes| +----------------------+ |          … value, to the end |
//!               +---------+--------+                          +------------------------------+
//! ```
//!
//! The key begins where it can, the value ends with the item, and what lies between is zero. So a value of up to 8
//! bytes lies in one word, the last one, and can be replaced by one store; and a value is loaded word by word, from the
//! end, wherever the key has left it.
//!
//! | bits of the header | field | rule |
//! |---|---|---|
//! | 0..8 | key length, bytes | |
//! | 8..24 | value length, bytes | |
//! | 24 | there is an expiry word | |
//! | 25 | filler | everything to the log's end is unused |
//! | 26 | dead | nothing leads here any more; a hint, which saves looking for its bucket |

use qp_wire::limits::{KEY_LEN_MAX, VALUE_LEN_MAX};

use super::words::{WORD_LEN, Words, at_upper_end, padded};
use crate::hash::Key;

/// Key and value of what lies in a bucket, at most, in bytes together.
pub(super) const INLINE_LEN_MAX: usize = 16;

/// Words of an item in a bucket.
pub(super) const INLINE_WORDS: usize = INLINE_LEN_MAX / WORD_LEN;

/// The expiry of items that never expire.
pub(super) const NEVER: u64 = u64::MAX;

/// Bytes of the header, and of the key beside it.
const HEADER_LEN: usize = 4;
const KEY_HEAD_LEN: usize = WORD_LEN - HEADER_LEN;

/// Words of the longest item that the limits allow.
pub(super) const ITEM_WORDS_MAX: usize = (HEADER_LEN + WORD_LEN + KEY_LEN_MAX + VALUE_LEN_MAX).div_ceil(WORD_LEN);

const FLAG_EXPIRY: u64 = 1 << 24;
const FLAG_FILLER: u64 = 1 << 25;
const FLAG_DEAD: u64 = 1 << 26;

const _: () = assert!(KEY_LEN_MAX <= 0xff && VALUE_LEN_MAX <= 0xffff);

/// What decides how long an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) key_len: u8,
    pub(super) value_len: u16,
    pub(super) has_expiry: bool,
    /// Whether it lies in a bucket.
    pub(super) is_inline: bool,
}

/// An item that was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    /// The index of its first word.
    pub(super) at: usize,
    pub(super) shape: Shape,
}

/// The first word of an item in the log. Its upper half is the beginning of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ItemHeader(u64);

impl Shape {
    /// The shape of an item, in a bucket if it may lie there; `None` when key or value exceed the limits.
    #[inline]
    pub(super) fn of(key_len: usize, value_len: usize, has_expiry: bool) -> Option<Self> {
        if key_len > KEY_LEN_MAX || value_len > VALUE_LEN_MAX {
            return None;
        }
        let is_inline = !has_expiry && key_len > 0 && key_len + value_len <= INLINE_LEN_MAX;
        Some(Self { key_len: key_len as u8, value_len: value_len as u16, has_expiry, is_inline })
    }

    /// The same item in the log.
    #[inline]
    pub(super) const fn in_log(self) -> Self {
        Self { is_inline: false, ..self }
    }

    #[inline]
    pub(super) const fn key_len(self) -> usize {
        self.key_len as usize
    }

    #[inline]
    pub(super) const fn value_len(self) -> usize {
        self.value_len as usize
    }

    /// Words of the whole item.
    #[inline]
    pub(super) const fn words(self) -> usize {
        if self.is_inline {
            return INLINE_WORDS;
        }
        if self.has_expiry {
            // The expiry lies between the key's beginning and the rest, which the value may not reach across.
            return 2 + (self.key_len().saturating_sub(KEY_HEAD_LEN) + self.value_len()).div_ceil(WORD_LEN);
        }
        (HEADER_LEN + self.key_len() + self.value_len()).div_ceil(WORD_LEN)
    }

    /// Words in the log.
    #[inline]
    pub(super) const fn log_words(self) -> usize {
        if self.is_inline { 0 } else { self.words() }
    }
}

impl ItemHeader {
    /// What takes the place of items up to the end of the log.
    pub(super) const FILLER: Self = Self(FLAG_FILLER);

    #[inline]
    pub(super) const fn from_word(word: u64) -> Self {
        Self(word)
    }

    #[inline]
    pub(super) const fn to_word(self) -> u64 {
        self.0
    }

    #[inline]
    pub(super) const fn is_filler(self) -> bool {
        self.0 & FLAG_FILLER != 0
    }

    #[inline]
    pub(super) const fn is_dead(self) -> bool {
        self.0 & FLAG_DEAD != 0
    }

    pub(super) const fn dead(self) -> Self {
        Self(self.0 | FLAG_DEAD)
    }

    #[inline]
    pub(super) const fn shape(self) -> Shape {
        Shape {
            key_len: self.0 as u8,
            value_len: (self.0 >> 8) as u16,
            has_expiry: self.0 & FLAG_EXPIRY != 0,
            is_inline: false,
        }
    }

    fn new(shape: Shape, key: &[u8]) -> Self {
        let flags = if shape.has_expiry { FLAG_EXPIRY } else { 0 };
        let head = key.get(..KEY_HEAD_LEN).unwrap_or(key);
        Self(u64::from(shape.key_len) | u64::from(shape.value_len) << 8 | flags | padded(head) << 32)
    }

    /// Whether the key begins like this one and is as long.
    #[inline]
    fn begins(self, key: &[u8]) -> bool {
        let head = key.get(..KEY_HEAD_LEN).unwrap_or(key);
        let difference = (self.0 >> 32 ^ padded(head)) as u32;
        // What lies behind a shorter key is not compared.
        self.has_key_len(key) && difference.unbounded_shl(8 * (KEY_HEAD_LEN - head.len()) as u32) == 0
    }

    #[inline]
    const fn has_key_len(self, key: &[u8]) -> bool {
        (self.0 & 0xff) as usize == key.len()
    }
}

impl Item {
    /// The item in the log that begins with a header.
    #[inline]
    pub(super) const fn in_log(at: usize, header: ItemHeader) -> Self {
        Self { at, shape: header.shape() }
    }

    /// The word behind the item, before which its value ends.
    #[inline]
    pub(super) const fn end(self) -> usize {
        self.at + self.shape.words()
    }

    /// The word with the whole value, when that has up to 8 bytes.
    #[inline]
    pub(super) const fn last_word(self) -> usize {
        self.end().wrapping_sub(1)
    }

    /// The word with the expiry, which exists when the shape says so.
    #[inline]
    pub(super) const fn expiry_at(self) -> usize {
        self.at + 1
    }

    /// The word with the rest of the key.
    #[inline]
    const fn key_rest_at(self) -> usize {
        self.at + 1 + self.shape.has_expiry as usize
    }

    /// Whether this item in the log has the given key.
    #[inline]
    pub(super) fn has_key(self, header: ItemHeader, words: Words<'_>, key: &Key<'_>) -> bool {
        if key.bytes().len() <= 2 * WORD_LEN {
            return header.has_key_len(key.bytes()) && self.has_key_of_two_words(header, words, key);
        }
        let rest = key.bytes().get(KEY_HEAD_LEN..).unwrap_or_default();
        header.begins(key.bytes()) && words.begin_with(self.key_rest_at(), rest)
    }

    /// The same for a key of up to two words and of this item's length, compared without a branch. It lies half a word
    /// further on in the item.
    #[inline]
    fn has_key_of_two_words(self, header: ItemHeader, words: Words<'_>, key: &Key<'_>) -> bool {
        let at = self.key_rest_at();
        let item = [header.to_word(), words.load(at), words.load(at + 1)];
        let shifted = |[low, high]: [u64; 2]| [low << 32, low >> 32 | high << 32, high >> 32];
        let expected = shifted(key.words()).into_iter().zip(shifted(key.masks()));
        item.into_iter().zip(expected).fold(0, |different, (word, (key, mask))| different | (word ^ key) & mask) == 0
    }

    /// Copies the key to the start of `into` and returns it.
    pub(super) fn load_key<'k>(self, words: Words<'_>, into: &'k mut [u8; KEY_LEN_MAX]) -> &'k [u8] {
        let len = self.shape.key_len();
        if self.shape.is_inline {
            words.load_bytes(self.at, into.get_mut(..len).unwrap_or_default());
        } else {
            let head_len = len.min(KEY_HEAD_LEN);
            let (head, rest) = into.split_at_mut(head_len);
            for (byte, value) in head.iter_mut().zip((words.load(self.at) >> 32).to_le_bytes()) {
                *byte = value;
            }
            words.load_bytes(self.key_rest_at(), rest.get_mut(..len - head_len).unwrap_or_default());
        }
        into.get(..len).unwrap_or_default()
    }

    /// Writes an item into the log, where nobody looks.
    pub(super) fn write(self, words: Words<'_>, key: &[u8], value: &[u8], expiry: u64) {
        let key_rest = key.get(KEY_HEAD_LEN..).unwrap_or_default();
        // What key and value do not fill, and the word that each has only a part of.
        for at in self.key_rest_at() + key_rest.len() / WORD_LEN..self.end() - value.len() / WORD_LEN {
            words.store(at, 0);
        }
        words.store(self.at, ItemHeader::new(self.shape, key).to_word());
        if self.shape.has_expiry {
            words.store(self.expiry_at(), expiry);
        }
        words.store_bytes(self.key_rest_at(), key_rest);
        words.store_bytes_before(self.end(), value);
    }
}

/// The two words of an item in a bucket.
#[inline]
pub(super) fn inline_words(key: &Key<'_>, value: &[u8]) -> [u64; INLINE_WORDS] {
    let [low, high] = key.words();
    match value.split_last_chunk::<WORD_LEN>() {
        Some((head, tail)) => [low | at_upper_end(head), high | u64::from_le_bytes(*tail)],
        None => [low, high | at_upper_end(value)],
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::vec;

    use super::super::tests::{key, memory};
    use super::*;

    #[test]
    fn items_of_all_lengths_come_back_from_the_log() {
        let memory = memory(1024);
        let words = Words::aligned(&memory);
        for (key_len, value_len) in (1..40).flat_map(|key_len| (0..40).map(move |value_len| (key_len, value_len))) {
            for expiry in [NEVER, 77] {
                let (name, value) = (vec![0xee; key_len], vec![0xdd; value_len]);
                let shape = Shape::of(key_len, value_len, expiry != NEVER).expect("within the limits").in_log();
                let item = Item { at: 3, shape };
                item.write(words, &name, &value, expiry);
                let header = ItemHeader::from_word(words.load(3));
                assert_eq!(header.shape(), shape);
                assert!(item.has_key(header, words, &key(&name)));
                assert!(!item.has_key(header, words, &key(&name[1..])));
                for at in 0..key_len {
                    let mut other = name.clone();
                    other[at] ^= 1;
                    assert!(!item.has_key(header, words, &key(&other)), "byte {at} of {key_len}");
                }
                assert_eq!(item.load_key(words, &mut [0; KEY_LEN_MAX]), name);
                assert!(words.end_with(item.end(), &value));
                let mut into = vec![0; value_len];
                assert!(words.load_bytes_before(item.end(), value_len, &mut into));
                assert_eq!(into, value);
                assert!(expiry == NEVER || words.load(item.expiry_at()) == expiry);
            }
        }
    }

    #[test]
    fn items_of_all_lengths_fit_two_words_of_a_bucket() {
        let memory = memory(1024);
        let words = Words::aligned(&memory);
        for (key_len, value_len) in (1..=16).flat_map(|key_len| (0..=16 - key_len).map(move |len| (key_len, len))) {
            let (name, value) = (vec![0xee; key_len], vec![0xdd; value_len]);
            let [low, high] = inline_words(&key(&name), &value);
            words.store(8, low);
            words.store(9, high);
            let item = Item { at: 8, shape: Shape::of(key_len, value_len, false).expect("within the limits") };
            assert!(item.shape.is_inline);
            assert_eq!(item.load_key(words, &mut [0; KEY_LEN_MAX]), name);
            assert!(words.end_with(item.end(), &value));
        }
    }

    #[test]
    fn an_item_of_16_and_100_bytes_takes_15_words() {
        assert_eq!(Shape::of(16, 100, false).map(Shape::words), Some(15));
        assert_eq!(Shape::of(16, 100, true).map(Shape::words), Some(16));
    }

    #[test]
    fn a_dead_item_keeps_its_shape() {
        let shape = Shape::of(9, 17, true).expect("within the limits");
        let header = ItemHeader::new(shape, b"nine byte");
        assert!(!header.is_dead() && header.dead().is_dead() && !header.is_filler());
        assert_eq!(header.dead().shape(), shape);
    }
}
