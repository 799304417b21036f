//! What clients ask for.
//!
//! A run uses few keys, so that clients meet at them. Keys have all lengths from 1 to 255 bytes. Some keys are counters,
//! which are only incremented and read; all others hold values that tell who wrote them.

use kv_core::hash::KeyHash;
use qp_wire::limits::KEY_LEN_MAX;

use crate::seed::Random;

/// The keys of a run, and how long its values get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySpace {
    keys: Vec<Vec<u8>>,
    counter_count: usize,
    /// Length of the longest value, in bytes; at least 8.
    pub value_len_max: usize,
}

/// Shares of each kind of operation, in parts of their sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// GET.
    pub get: u64,
    /// TEST.
    pub test: u64,
    /// SET.
    pub set: u64,
    /// ADD.
    pub add: u64,
    /// DELETE.
    pub delete: u64,
    /// COMPARE_AND_SET; on MICA2's wire, which has none, SET.
    pub compare_and_set: u64,
}

impl Mix {
    /// Everything, half of it reads.
    pub const ALL: Self = Self { get: 45, test: 5, set: 30, add: 8, delete: 6, compare_and_set: 6 };

    pub(crate) fn draw(&self, random: &mut Random) -> Kind {
        let shares = [
            (self.get, Kind::Get),
            (self.test, Kind::Test),
            (self.set, Kind::Set),
            (self.add, Kind::Add),
            (self.delete, Kind::Delete),
            (self.compare_and_set, Kind::CompareAndSet),
        ];
        let mut point = random.below(shares.iter().map(|(share, _)| share).sum());
        for (share, kind) in shares {
            if point < share {
                return kind;
            }
            point -= share;
        }
        Kind::Get
    }
}

/// A kind of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Get,
    Test,
    Set,
    Add,
    Delete,
    CompareAndSet,
    Increment,
}

impl KeySpace {
    /// `key_count` keys, of which the first `counter_count` are counters.
    pub fn new(random: &mut Random, key_count: usize, counter_count: usize, value_len_max: usize) -> Self {
        let keys = (0..key_count)
            .map(|index| {
                // The number makes keys differ; the shortest consist of nothing else.
                let mut key = vec![index as u8];
                let more = random.below(2) * random.below(KEY_LEN_MAX as u64);
                key.extend((0..more).map(|_| random.bits() as u8));
                key
            })
            .collect();
        Self { keys, counter_count, value_len_max }
    }

    /// How many keys there are.
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// The bytes of a key.
    pub fn key(&self, index: usize) -> &[u8] {
        &self.keys[index]
    }

    /// The hash of a key.
    pub fn hash(&self, index: usize) -> KeyHash {
        KeyHash::of(self.key(index))
    }

    /// Whether a key is a counter.
    pub fn is_counter(&self, index: usize) -> bool {
        index < self.counter_count
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn keys_differ_and_have_short_and_long_ones_among_them() {
        let keys = KeySpace::new(&mut Random::from_seed(1), 200, 3, 8);
        let distinct: BTreeSet<_> = (0..keys.count()).map(|index| keys.key(index).to_vec()).collect();
        assert_eq!(distinct.len(), 200);
        assert!(distinct.iter().any(|key| key.len() == 1) && distinct.iter().any(|key| key.len() > 200));
        assert!(distinct.iter().all(|key| (1..=KEY_LEN_MAX).contains(&key.len())));
        assert!(keys.is_counter(2) && !keys.is_counter(3));
    }

    #[test]
    fn a_mix_draws_each_kind_by_its_share() {
        let mut random = Random::from_seed(2);
        let mix = Mix { get: 0, test: 0, set: 3, add: 0, delete: 1, compare_and_set: 0 };
        let drawn: Vec<_> = (0..1_000).map(|_| mix.draw(&mut random)).collect();
        let sets = drawn.iter().filter(|kind| **kind == Kind::Set).count();
        assert!((700..800).contains(&sets));
        assert!(drawn.iter().all(|kind| matches!(kind, Kind::Set | Kind::Delete)));
    }
}
