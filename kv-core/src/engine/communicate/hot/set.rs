//! A set of the cache: four entries, what was asked for lately, and when one of its keys was last written.
//!
//! ```text
//! 0         8         24        56      64
//! +---------+---------+---------+-------+---------+---------+---------+---------+
//! | written | 4 ways  | asked   | place | entry 0 | entry 1 | entry 2 | entry 3 |
//! +---------+---------+---------+-------+---------+---------+---------+---------+
//! ```
//!
//! A miss looks at the first of these five cache lines, a hit at one more. Entries hold key and value behind each other, so
//! that what is short of the one is left to the other.

use crate::hash::KeyHash;

/// Entries of a set.
pub(super) const WAY_COUNT: usize = 4;

/// Keys that a set remembers to have been asked for.
const ASKED_COUNT: usize = 16;

/// Bytes of an entry's key and value together: what a cache line leaves beside their lengths.
const ENTRY_LEN_MAX: usize = 62;

/// An entry's hits of which the last one goes to the host all the same, where a table in cache mode evicts what is not read.
const HITS_PER_REFRESH: u8 = 64;

/// Memory for the values of four keys, 320 bytes; [`EMPTY`](Self::EMPTY) when it is given.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub struct HotSet {
    /// The last request that may have changed one of the set's keys.
    written: u64,
    ways: [Way; WAY_COUNT],
    /// Tags of the keys that were asked for last and are not here, in a ring.
    asked: [u16; ASKED_COUNT],
    /// Where the next one goes.
    next_asked: u8,
    entries: [Entry; WAY_COUNT],
}
const _: () = assert!(size_of::<HotSet>() == 64 * (1 + WAY_COUNT));

/// What is known of an entry without looking at it.
#[derive(Clone, Copy, Debug)]
struct Way {
    /// 0 without an entry.
    tag: u16,
    /// How often it was asked for, until others came.
    heat: u8,
    /// Hits since the last one that went to the host.
    hits: u8,
}

/// A key and its value.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
struct Entry {
    key_len: u8,
    value_len: u8,
    bytes: [u8; ENTRY_LEN_MAX],
}

/// What a set knows about a key that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Its value is in this way.
    Here { way: usize },
    /// The host has to be asked, and its answer may be kept.
    Wanted,
    /// The host has to be asked, and nobody asked for it lately.
    Unknown,
}

impl HotSet {
    /// A set without entries.
    pub const EMPTY: Self = Self {
        written: 0,
        ways: [Way::EMPTY; WAY_COUNT],
        asked: [0; ASKED_COUNT],
        next_asked: 0,
        entries: [Entry::EMPTY; WAY_COUNT],
    };

    /// Makes sure that the set holds nothing from before request `emptied`.
    #[inline]
    pub(super) fn empty_before(&mut self, emptied: u64) {
        if self.written < emptied {
            self.written = emptied;
            self.ways = [Way::EMPTY; WAY_COUNT];
        }
    }

    /// Whether no request since `number` may have changed one of the set's keys.
    pub(super) const fn is_unwritten_since(&self, number: u64) -> bool {
        self.written < number
    }

    /// Looks for a key that is asked for, and remembers that it was.
    #[inline]
    pub(super) fn ask(&mut self, hash: KeyHash, key: &[u8]) -> Found {
        let tag = tag(hash);
        if let Some(way) = self.position(tag, key) {
            return self.use_way(way);
        }
        if self.asked.contains(&tag) {
            return Found::Wanted;
        }
        if let Some(slot) = self.asked.get_mut(usize::from(self.next_asked) % ASKED_COUNT) {
            *slot = tag;
        }
        self.next_asked = self.next_asked.wrapping_add(1);
        Found::Unknown
    }

    fn use_way(&mut self, index: usize) -> Found {
        let Some(way) = self.ways.get_mut(index) else { return Found::Unknown };
        way.heat = way.heat.saturating_add(1);
        way.hits = (way.hits + 1) % HITS_PER_REFRESH;
        if way.hits == 0 { Found::Wanted } else { Found::Here { way: index } }
    }

    /// The value in a way that [`ask`](Self::ask) has named.
    pub(super) fn value(&self, way: usize) -> &[u8] {
        self.entries.get(way).map(Entry::value).unwrap_or_default()
    }

    /// Notes that request `number` may change a key, and removes its value; whether there was one.
    #[inline]
    pub(super) fn write(&mut self, hash: KeyHash, key: &[u8], number: u64) -> bool {
        self.written = self.written.max(number);
        self.remove(hash, key)
    }

    /// Removes a key's value; whether there was one.
    #[inline]
    pub(super) fn remove(&mut self, hash: KeyHash, key: &[u8]) -> bool {
        let Some(way) = self.position(tag(hash), key).and_then(|way| self.ways.get_mut(way)) else { return false };
        *way = Way::EMPTY;
        true
    }

    /// Keeps a value, in the place of the one that was asked for least; whether it is short enough.
    pub(super) fn fill(&mut self, hash: KeyHash, key: &[u8], value: &[u8]) -> bool {
        let tag = tag(hash);
        let (index, is_new) = match self.position(tag, key) {
            Some(way) => (way, false),
            None => (self.coldest(), true),
        };
        let (Some(way), Some(entry)) = (self.ways.get_mut(index), self.entries.get_mut(index)) else { return false };
        if entry.store(key, value).is_none() {
            return false;
        }
        if is_new {
            *way = Way { tag, heat: 1, hits: 0 };
            self.cool_all_but(index);
        }
        true
    }

    /// A way without an entry, or else the one that was asked for least.
    fn coldest(&self) -> usize {
        let by_heat = |way: &Way| if way.tag == 0 { 0 } else { u16::from(way.heat) + 1 };
        let coldest = self.ways.iter().enumerate().min_by_key(|(_, way)| by_heat(way));
        coldest.map(|(index, _)| index).unwrap_or_default()
    }

    /// What was popular once gives way in the end.
    fn cool_all_but(&mut self, index: usize) {
        let others = self.ways.iter_mut().enumerate().filter(|(other, _)| *other != index);
        others.for_each(|(_, way)| way.heat /= 2);
    }

    /// The way with a key's entry.
    #[inline(always)]
    fn position(&self, tag: u16, key: &[u8]) -> Option<usize> {
        let mut ways = self.ways.iter().zip(&self.entries);
        ways.position(|(way, entry)| way.tag == tag && entry.key() == key)
    }
}

impl Way {
    const EMPTY: Self = Self { tag: 0, heat: 0, hits: 0 };
}

impl Entry {
    const EMPTY: Self = Self { key_len: 0, value_len: 0, bytes: [0; ENTRY_LEN_MAX] };

    fn key(&self) -> &[u8] {
        self.bytes.get(..self.key_len.into()).unwrap_or_default()
    }

    fn value(&self) -> &[u8] {
        let value = self.bytes.get(self.key_len.into()..).and_then(|rest| rest.get(..self.value_len.into()));
        value.unwrap_or_default()
    }

    /// Holds a key and its value from now on; `None`, and nothing is changed, when they are too long.
    fn store(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let (into_key, rest) = self.bytes.split_at_mut_checked(key.len())?;
        let into_value = rest.get_mut(..value.len())?;
        into_key.copy_from_slice(key);
        into_value.copy_from_slice(value);
        // Neither is longer than both may be together.
        (self.key_len, self.value_len) = (key.len() as u8, value.len() as u8);
        Some(())
    }
}

/// What tells keys of a set apart at first sight. Not the upper bits, which choose the partition: a core has keys of some
/// partitions only. Nor the lower ones, which choose the set.
#[inline]
const fn tag(hash: KeyHash) -> u16 {
    (hash.0 >> 32) as u16 | 1
}
