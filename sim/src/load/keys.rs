//! Which keys are asked for.

use std::rc::Rc;

use super::Keys;
use crate::seed::Random;

/// Draws one key after the other: each is there once, to be set, before any is read.
#[derive(Clone, Debug)]
pub(super) struct KeySource {
    count: u64,
    /// For each rank the share of all requests up to it; empty where keys come in turn.
    shares: Rc<[f64]>,
    random: Random,
    drawn: u64,
}

impl KeySource {
    pub(super) fn new(keys: Keys, random: Random) -> Self {
        let shares = match keys {
            Keys::InTurn { .. } => Vec::new(),
            Keys::Zipf { count, exponent_percent } => {
                let weight = |rank: u64| (rank as f64).powf(-(exponent_percent as f64) / 100.0);
                let all: f64 = (1..=count).map(weight).sum();
                let sums = (1..=count).scan(0.0, |sum, rank| {
                    *sum += weight(rank) / all;
                    Some(*sum)
                });
                sums.collect()
            }
        };
        Self { count: keys.count(), shares: shares.into(), random, drawn: 0 }
    }

    /// The next key, and whether it is asked for the first time.
    pub(super) fn next(&mut self) -> (u64, bool) {
        let is_new = self.drawn < self.count;
        let key = if is_new || self.shares.is_empty() {
            self.drawn % self.count
        } else {
            let point = self.random.below(1 << 53) as f64 / (1_u64 << 53) as f64;
            (self.shares.partition_point(|share| *share <= point) as u64).min(self.count - 1)
        };
        self.drawn += 1;
        (key, is_new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(keys: Keys, count: usize) -> Vec<u64> {
        let mut source = KeySource::new(keys, Random::from_seed(1));
        (0..keys.count()).for_each(|key| assert_eq!(source.next(), (key, true)));
        (0..count).map(|_| source.next()).inspect(|(_, is_new)| assert!(!is_new)).map(|(key, _)| key).collect()
    }

    #[test]
    fn keys_in_turn_come_round_again() {
        assert_eq!(drawn(Keys::InTurn { count: 3 }, 5), [0, 1, 2, 0, 1]);
    }

    #[test]
    fn zipf_gives_each_rank_its_share() {
        let keys = drawn(Keys::Zipf { count: 100, exponent_percent: 99 }, 100_000);
        let share = |key| keys.iter().filter(|drawn| **drawn == key).count() as f64 / 1e5;
        let all: f64 = (1..=100).map(|rank| f64::from(rank).powf(-0.99)).sum();
        for key in [0, 1, 9, 99] {
            let expected = ((key + 1) as f64).powf(-0.99) / all;
            assert!((share(key) - expected).abs() < 0.005, "{key}: {} instead of {expected}", share(key));
        }
    }
}
