//! What clients ask for.
//!
//! A run uses few keys, so that clients meet at them. Keys have all lengths from 1 to 255 bytes. Some keys are counters,
//! which are only incremented and read; all others hold values that tell who wrote them.

use std::collections::BTreeSet;

use kv_core::hash::KeyHash;

use crate::scenario::Scenario;
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
    /// The keys of a scenario, of which the first ones are counters.
    pub fn new(random: &mut Random, scenario: &Scenario) -> Self {
        let mut keys = BTreeSet::new();
        let mut in_order = Vec::new();
        while in_order.len() < scenario.key_count {
            // Half of them are as short as can be, which is one byte as long as there are such.
            let len = 1 + random.below(2) * random.below(scenario.key_len_max as u64) + keys.len() as u64 / 100;
            let key: Vec<_> = (0..len.min(scenario.key_len_max as u64)).map(|_| random.bits() as u8).collect();
            if keys.insert(key.clone()) {
                in_order.push(key);
            }
        }
        Self { keys: in_order, counter_count: scenario.counter_count, value_len_max: scenario.value_len_max }
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
    use kv_core::design::Design;
    use qp_wire::limits::KEY_LEN_MAX;

    use super::*;
    use crate::wire::Wire;

    #[test]
    fn keys_differ_and_have_short_and_long_ones_among_them() {
        let mut scenario = Scenario::calm(Design::Lat, Wire::Native);
        (scenario.key_count, scenario.counter_count) = (200, 3);
        let keys = KeySpace::new(&mut Random::from_seed(1), &scenario);
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
