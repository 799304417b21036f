//! Random numbers that one seed determines.
//!
//! A run of the simulator is a function of one `u64`. Each part of the world draws from a stream of its own, forked
//! from the seed by the part's name, so that what one part draws does not move what another one gets: a run with one
//! more client has the same network.
//!
//! There are integers only. A fraction is a [`Chance`] in millionths, so no rounding differs between machines.

use std::ops::RangeInclusive;

/// How likely something is, in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Chance {
    per_million: u32,
}

impl Chance {
    /// It does not happen.
    pub const NEVER: Self = Self { per_million: 0 };

    /// It happens in `per_million` of a million cases; more than a million is always.
    pub const fn per_million(per_million: u32) -> Self {
        Self { per_million }
    }

    /// It happens in `percent` of a hundred cases.
    pub const fn percent(percent: u32) -> Self {
        Self::per_million(percent.saturating_mul(10_000))
    }

    /// Whether it cannot happen.
    pub const fn is_never(self) -> bool {
        self.per_million == 0
    }
}

/// A stream of random numbers: SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators",
/// OOPSLA 2014). Good enough to choose faults, useless for secrets.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The stream of a seed.
    pub const fn from_seed(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The stream of the part called `name`, number `index` among those of the name. This stream does not advance, so
    /// the order of forks does not matter.
    pub fn fork(&self, name: &str, index: u64) -> Self {
        let named = name.bytes().fold(self.state, |state, byte| mix(state ^ u64::from(byte)));
        Self { state: mix(named ^ mix(index)) }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN_GAMMA);
        finish(self.state)
    }

    /// A number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // Multiply and shift: the bias is below bound / 2^64, far below what a run could show.
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// A number in the range; its start if the range is empty.
    pub fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        let count = range.end().saturating_sub(*range.start()).saturating_add(1);
        range.start() + self.below(count)
    }

    /// Whether it happens this time.
    pub fn happens(&mut self, chance: Chance) -> bool {
        self.below(1_000_000) < u64::from(chance.per_million)
    }
}

/// The odd number nearest to 2^64 divided by the golden ratio, from the same paper.
const GOLDEN_GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

fn mix(state: u64) -> u64 {
    finish(state.wrapping_add(GOLDEN_GAMMA))
}

fn finish(state: u64) -> u64 {
    let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_splitmix64() {
        // The first outputs of the reference implementation for this seed.
        let mut random = Random::from_seed(1_234_567);
        let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(expected.map(|_| random.bits()), expected);
    }

    #[test]
    fn forks_do_not_depend_on_each_other_and_differ_by_name_and_index() {
        let random = Random::from_seed(7);
        let first = random.fork("link", 0).bits();
        let _ = random.fork("dma", 3).bits();
        assert_eq!(random.fork("link", 0).bits(), first);
        assert_ne!(random.fork("link", 1).bits(), first);
        assert_ne!(random.fork("dma", 0).bits(), first);
    }

    #[test]
    fn numbers_stay_in_their_range_and_reach_both_ends() {
        let mut random = Random::from_seed(1);
        let drawn: Vec<_> = (0..200).map(|_| random.within(3..=6)).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&3), Some(&6)));
        assert_eq!(random.below(0), 0);
        assert_eq!(random.below(1), 0);
    }

    #[test]
    fn a_chance_is_a_share_of_cases() {
        let mut random = Random::from_seed(2);
        let mut share = |chance| (0..10_000).filter(|_| random.happens(chance)).count();
        assert_eq!(share(Chance::NEVER), 0);
        assert_eq!(share(Chance::percent(100)), 10_000);
        assert!((900..1_100).contains(&share(Chance::percent(10))));
    }
}
