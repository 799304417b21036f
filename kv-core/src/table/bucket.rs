//! One bucket: a cache line with up to three items of up to 16 bytes, or up to six ways to items in the log.
//!
//! ```text
//! word 0         word 1         words 2 and 3    words 4 and 5    words 6 and 7
//! +------------+ +------------+ +--------------+ +--------------+ +--------------+
//! | state      | | overflow   | | pair 0       | | pair 1       | | pair 2       |
//! +------------+ +------------+ +--------------+ +--------------+ +--------------+
//! ```
//!
//! A pair is two cells. Both hold one item together, or each holds a pointer or nothing; the state tells.
//!
//! | bits of the state | field | rule |
//! |---|---|---|
//! | 0..24 | kinds, 8 bits a pair | 0: no item; otherwise the complement of 16 × (key length − 1) + value length |
//! | 24..30 | which cells hold a pointer | none of a pair with a kind |
//! | 30, 31 | 0 | |
//! | 32..64 | version | odd while the owner changes the bucket; stands still without readers |
//!
//! | bits of the overflow word | field | rule |
//! |---|---|---|
//! | 0..32 | filter | bit *t* mod 32 is set while an item with tag *t* that belongs here lies in its other bucket |
//! | 32..48 | how many such items there are | sticks at its maximum |
//! | 48..54 | which cells were read | cache mode: the bit of a pair's first cell for an item, that of its cell for a pointer |
//!
//! | bits of a pointer | field |
//! |---|---|
//! | 0..47 | the item, index of a word |
//! | 47 | whether it lies in its other bucket |
//! | 48..64 | tag |
//!
//! What a cell holds counts only where the state says so. So each change becomes visible with one store of one word.

use super::item::Shape;
use super::words::{LINE_WORDS, WORD_LEN, Words};
use crate::hash::{Key, Placement};
use crate::sync::{AtomicU64, Ordering};

/// The word of a bucket with its overflow word.
pub(super) const OVERFLOW_WORD: usize = 1;

/// The word of a bucket with its first cell.
pub(super) const CELLS_WORD: usize = 2;

/// Cells of a bucket.
pub(super) const CELL_COUNT: usize = LINE_WORDS - CELLS_WORD;

const KIND_BITS: u32 = 8;
const KINDS: u64 = 0xff_ffff;
/// The kind of an item whose key is one word and whose value is one.
const KIND_OF_WORDS: u8 = !((WORD_LEN as u8 - 1) << 4 | WORD_LEN as u8);
const POINTERS_SHIFT: u32 = 24;
const POINTERS: u64 = 0x3f << POINTERS_SHIFT;
const VERSION_SHIFT: u32 = 32;

const COUNT_SHIFT: u32 = 32;
const COUNT_MAX: u64 = 0xffff;
const READ_SHIFT: u32 = 48;

const DISPLACED: u64 = 1 << 47;
const AT: u64 = DISPLACED - 1;

/// The first word of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State(pub(super) u64);

/// The second word of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overflow(pub(super) u64);

/// A cell that leads into the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pointer(pub(super) u64);

/// How much of a bucket something needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// An item that lies in the bucket.
    Pair,
    /// A pointer.
    Cell,
}

/// The bits of a placement that are kept beside an item: never 0, so that a multiple of it is not either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag(u16);

impl Tag {
    #[inline]
    pub(super) const fn of(placement: Placement) -> Self {
        let tag = (placement.to_bits() >> 48) as u16;
        Self(if tag == 0 { 1 } else { tag })
    }

    #[inline]
    pub(super) const fn to_bits(self) -> u64 {
        self.0 as u64
    }

    #[inline]
    const fn filter_bit(self) -> u64 {
        1 << (self.0 % 32)
    }
}

impl State {
    /// No item and no pointer, with this state's version.
    pub(super) const fn emptied(self) -> Self {
        Self(self.0 & !(KINDS | POINTERS))
    }

    #[inline]
    pub(super) const fn version(self) -> u32 {
        (self.0 >> VERSION_SHIFT) as u32
    }

    /// The same content with the next version.
    #[inline]
    pub(super) const fn next_version(self) -> Self {
        Self(self.0.wrapping_add(1 << VERSION_SHIFT))
    }

    #[inline]
    const fn kind(self, pair: usize) -> u8 {
        (self.0 >> (KIND_BITS * pair as u32)) as u8
    }

    /// The shape of the item in a pair, if there is one.
    #[inline]
    pub(super) const fn item(self, pair: usize) -> Option<Shape> {
        let kind = self.kind(pair);
        if kind == 0 {
            return None;
        }
        let lens = !kind;
        Some(Shape { key_len: (lens >> 4) + 1, value_len: (lens & 0xf) as u16, has_expiry: false, is_inline: true })
    }

    /// With an item in a pair.
    #[inline]
    pub(super) const fn with_item(self, pair: usize, shape: Shape) -> Self {
        let kind = !((shape.key_len - 1) << 4 | shape.value_len as u8);
        Self(self.without_item(pair).0 | (kind as u64) << (KIND_BITS * pair as u32))
    }

    pub(super) const fn without_item(self, pair: usize) -> Self {
        Self(self.0 & !(0xff << (KIND_BITS * pair as u32)))
    }

    #[inline]
    pub(super) const fn has_pointers(self) -> bool {
        self.0 & POINTERS != 0
    }

    /// Whether a cell holds a pointer.
    #[inline]
    pub(super) const fn is_pointer(self, cell: usize) -> bool {
        self.0 >> (POINTERS_SHIFT + cell as u32) & 1 != 0
    }

    /// With a pointer in a cell, in place of the item that may lie in its pair.
    pub(super) const fn with_pointer(self, cell: usize) -> Self {
        Self(self.without_item(cell / 2).0 | 1 << (POINTERS_SHIFT + cell as u32))
    }

    pub(super) const fn without_pointer(self, cell: usize) -> Self {
        Self(self.0 & !(1 << (POINTERS_SHIFT + cell as u32)))
    }

    const fn is_free(self, cell: usize) -> bool {
        self.kind(cell / 2) == 0 && !self.is_pointer(cell)
    }

    /// How many cells are in use.
    pub(super) fn cells_used(self) -> usize {
        (0..CELL_COUNT).filter(|&cell| !self.is_free(cell)).count()
    }

    /// The first cell of a place for this. A pointer goes beside another one, if it can, to leave pairs whole.
    #[inline]
    pub(super) fn vacancy(self, need: Need) -> Option<usize> {
        let free_pair = || (0..CELL_COUNT).step_by(2).find(|&cell| self.is_free(cell) && self.is_free(cell + 1));
        match need {
            Need::Pair => free_pair(),
            Need::Cell => {
                let beside = |cell: &usize| self.is_free(*cell) && self.is_pointer(*cell ^ 1);
                (0..CELL_COUNT).find(beside).or_else(free_pair)
            }
        }
    }

    /// Whether there is something in a cell, or begins there, whose leaving makes a place for this.
    pub(super) fn leaves_a_place(self, cell: usize, need: Need) -> bool {
        match need {
            _ if !self.is_pointer(cell) => cell.is_multiple_of(2) && self.item(cell / 2).is_some(),
            Need::Pair => !self.is_pointer(cell ^ 1),
            Need::Cell => true,
        }
    }
}

impl Overflow {
    /// Whether an item with this tag that belongs here may lie in its other bucket.
    #[inline]
    pub(super) const fn may_hold(self, tag: Tag) -> bool {
        self.0 & tag.filter_bit() != 0
    }

    const fn count(self) -> u64 {
        self.0 >> COUNT_SHIFT & COUNT_MAX
    }

    /// With one more item elsewhere.
    pub(super) const fn with(self, tag: Tag) -> Self {
        let more = if self.count() < COUNT_MAX { 1 << COUNT_SHIFT } else { 0 };
        Self((self.0 | tag.filter_bit()) + more)
    }

    /// With one item fewer elsewhere; with the last one goes the filter.
    pub(super) const fn without_one(self) -> Self {
        match self.count() {
            COUNT_MAX => self,
            0 | 1 => Self(self.0 & !(u32::MAX as u64 | COUNT_MAX << COUNT_SHIFT)),
            _ => Self(self.0 - (1 << COUNT_SHIFT)),
        }
    }

    /// How many items lie elsewhere, as long as the count has not stuck.
    pub(super) const fn elsewhere(self) -> u64 {
        self.count()
    }

    #[inline]
    pub(super) const fn was_read(self, cell: usize) -> bool {
        self.0 >> (READ_SHIFT + cell as u32) & 1 != 0
    }

    #[inline]
    pub(super) const fn with_read(self, cell: usize, was_read: bool) -> Self {
        let bit = 1 << (READ_SHIFT + cell as u32);
        Self(if was_read { self.0 | bit } else { self.0 & !bit })
    }
}

impl Pointer {
    #[inline]
    pub(super) const fn new(tag: Tag, displaced: bool, at: usize) -> Self {
        Self(tag.to_bits() << 48 | if displaced { DISPLACED } else { 0 } | at as u64 & AT)
    }

    #[inline]
    pub(super) const fn at(self) -> usize {
        (self.0 & AT) as usize
    }

    #[inline]
    pub(super) const fn tag(self) -> Tag {
        Tag((self.0 >> 48) as u16)
    }

    /// The pointer to the same item from its other bucket.
    pub(super) const fn seen_from_other(self) -> Self {
        Self(self.0 ^ DISPLACED)
    }

    pub(super) const fn is_displaced(self) -> bool {
        self.0 & DISPLACED != 0
    }
}

/// The pair whose item has this key, and its shape.
///
/// The first words of all three are compared without a branch: which one it will be is random, so that a branch would be
/// mispredicted.
#[inline]
pub(super) fn pair_of(line: &[AtomicU64; LINE_WORDS], state: State, key: &Key<'_>) -> Option<(usize, Shape)> {
    let ([low, high], [low_mask, high_mask]) = (key.words(), key.masks());
    let has_key = |pair: &usize| {
        state.item(*pair).is_some_and(|shape| shape.key_len() == key.bytes().len())
            && (cell(line, 2 * pair + 1) ^ high) & high_mask == 0
    };
    let pair = pairs(alike(line, |word| (word ^ low) & low_mask == 0)).find(has_key)?;
    Some((pair, state.item(pair)?))
}

/// The pair whose item has this key of one word and a value of one word.
#[inline(always)]
pub(super) fn pair_of_words(line: &[AtomicU64; LINE_WORDS], state: State, key: u64) -> Option<usize> {
    pairs(alike(line, |word| word == key)).find(|pair| state.kind(*pair) == KIND_OF_WORDS)
}

/// The pairs whose first word is as asked, as a set of bits.
#[inline(always)]
fn alike(line: &[AtomicU64; LINE_WORDS], is_alike: impl Fn(u64) -> bool) -> u32 {
    let [_, _, a, _, b, _, c, _] = line;
    let bit = |word: &AtomicU64| u32::from(is_alike(word.load(Ordering::Relaxed)));
    bit(a) | bit(b) << 1 | bit(c) << 2
}

/// The pairs of a set: more than one where what was deleted still lies, or where longer keys begin like this one.
#[inline(always)]
fn pairs(mut set: u32) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let pair = set.trailing_zeros() as usize;
        let is_left = set != 0;
        set &= set.wrapping_sub(1);
        is_left.then_some(pair)
    })
}

/// The cells with pointers that have this tag, as a set of bits.
#[inline]
pub(super) fn pointers_of(line: &[AtomicU64; LINE_WORDS], state: State, tag: Tag) -> u32 {
    let [_, _, cells @ ..] = line;
    let mut found = 0;
    for (index, cell) in cells.iter().enumerate() {
        found |= u32::from(cell.load(Ordering::Relaxed) >> 48 == tag.to_bits()) << index;
    }
    found & (state.0 >> POINTERS_SHIFT) as u32 & 0x3f
}

#[inline]
pub(super) fn cell(line: &[AtomicU64; LINE_WORDS], index: usize) -> u64 {
    line.get(CELLS_WORD + index).map_or(0, |word| word.load(Ordering::Relaxed))
}

/// The state of a bucket, for its owner.
#[inline]
pub(super) fn state_of(words: Words<'_>, bucket: usize) -> State {
    State(words.load(bucket))
}

/// The overflow word of a bucket.
#[inline]
pub(super) fn overflow_of(words: Words<'_>, bucket: usize) -> Overflow {
    Overflow(words.load(bucket + OVERFLOW_WORD))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    use super::super::item::INLINE_LEN_MAX;

    const PAIR_COUNT: usize = CELL_COUNT / 2;

    const EMPTY: State = State(7 << VERSION_SHIFT);

    #[test]
    fn all_lengths_have_a_kind() {
        for key_len in 1..=INLINE_LEN_MAX {
            for value_len in 0..=INLINE_LEN_MAX - key_len {
                let shape = Shape::of(key_len, value_len, false).expect("within the limits");
                for pair in 0..PAIR_COUNT {
                    let state = EMPTY.with_item(pair, shape);
                    assert_eq!(state.item(pair), Some(shape));
                    assert_eq!((state.version(), state.cells_used()), (7, 2));
                    assert_eq!(state.without_item(pair), EMPTY);
                }
            }
        }
    }

    #[test]
    fn pointers_fill_half_pairs_first() {
        let shape = Shape::of(8, 8, false).expect("within the limits");
        let state = EMPTY.with_item(0, shape).with_pointer(4);
        assert_eq!((state.vacancy(Need::Cell), state.vacancy(Need::Pair)), (Some(5), Some(2)));
        let state = state.with_pointer(5).with_item(1, shape);
        assert_eq!((state.vacancy(Need::Cell), state.vacancy(Need::Pair)), (None, None));
        assert_eq!(state.emptied(), EMPTY);
    }

    #[test]
    fn the_filter_goes_with_the_last_item_elsewhere() {
        let (one, two) = (Tag(33), Tag(34));
        let overflow = Overflow(0).with_read(3, true).with(one).with(two).without_one();
        assert!(overflow.may_hold(one) && overflow.may_hold(two) && overflow.was_read(3));
        assert_eq!(overflow.without_one(), Overflow(0).with_read(3, true));
    }

    #[test]
    fn a_count_that_was_exceeded_stays() {
        let tag = Tag(1);
        let full = (0..COUNT_MAX + 5).fold(Overflow(0), |overflow, _| overflow.with(tag));
        assert_eq!(full.elsewhere(), COUNT_MAX);
        assert!((0..COUNT_MAX + 9).fold(full, |overflow, _| overflow.without_one()).may_hold(tag));
    }
}
