//! Keys, and which of them is asked for next.

use qp_wire::limits::KEY_LEN_MAX;
use rand::{Rng, RngExt};
use rand_distr::{Distribution as _, Zipf};

use super::{Distribution, repeat};

/// The keys of a data set: indices 0 to `count` − 1, each written little-endian and filled up with its own number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeySpace {
    count: u64,
    len: usize,
}

impl KeySpace {
    /// `count` keys of `len` bytes.
    ///
    /// # Errors
    /// A sentence that says what is wrong: no keys, a length that no key has, or too few bytes to tell the keys apart.
    pub(crate) fn new(count: u64, len: usize) -> Result<Self, String> {
        if count == 0 {
            return Err("--keys 0: expected 1 or more".to_owned());
        }
        if !(1..=KEY_LEN_MAX).contains(&len) {
            return Err(format!("--key-size {len}: expected 1 to {KEY_LEN_MAX} bytes"));
        }
        if len < 8 && (count - 1) >> (8 * len) != 0 {
            return Err(format!("--key-size {len}: too short for {count} different keys"));
        }
        Ok(Self { count, len })
    }

    /// How many keys there are.
    pub(crate) fn count(self) -> u64 {
        self.count
    }

    /// Bytes of each key.
    pub(crate) fn len(self) -> usize {
        self.len
    }

    /// Writes the key of an index to the start of `into` and returns it.
    #[inline]
    pub(crate) fn encode(self, index: u64, into: &mut [u8; KEY_LEN_MAX]) -> &[u8] {
        let key = &mut into[..self.len];
        repeat(index.to_le_bytes(), key);
        key
    }
}

/// Chooses keys by their popularity. The key of index 0 is the most popular one.
///
/// Zipf is exact, for any number of keys: rejection inversion (Hörmann and Derflinger, "Rejection-inversion to generate
/// variates from monotone discrete distributions", 1996), not the approximation of Gray et al. that YCSB and MICA2 use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeySampler {
    count: u64,
    zipf: Option<Zipf<f64>>,
}

impl KeySampler {
    /// A sampler over all keys of a data set.
    pub(crate) fn new(keys: KeySpace, distribution: Distribution) -> Self {
        let zipf = match distribution {
            Distribution::Uniform => None,
            // Both arguments are positive by construction, so this is always `Some`.
            Distribution::Zipf { theta } => Zipf::new(keys.count() as f64, theta).ok(),
        };
        Self { count: keys.count(), zipf }
    }

    /// The index of the next key.
    pub(crate) fn sample(&self, random: &mut impl Rng) -> u64 {
        match &self.zipf {
            None => random.random_range(0..self.count),
            // Ranks start at 1.
            Some(zipf) => (zipf.sample(random) as u64).clamp(1, self.count) - 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;

    fn shares(count: u64, distribution: Distribution, ranks: usize) -> Vec<f64> {
        const DRAWS: u32 = 400_000;
        let sampler = KeySampler::new(KeySpace::new(count, 8).expect("valid keys"), distribution);
        let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
        let mut counts = vec![0_u32; ranks];
        for _ in 0..DRAWS {
            let index = sampler.sample(&mut random);
            assert!(index < count);
            if let Some(share) = counts.get_mut(index as usize) {
                *share += 1;
            }
        }
        counts.into_iter().map(|count| f64::from(count) / f64::from(DRAWS)).collect()
    }

    #[test]
    fn zipf_shares_are_those_of_the_definition() {
        let count = 1_000_000;
        let zeta: f64 = (1..=count).map(|rank| (rank as f64).powf(-0.99)).sum();
        for (index, share) in shares(count, Distribution::Zipf { theta: 0.99 }, 5).into_iter().enumerate() {
            let expected = ((index + 1) as f64).powf(-0.99) / zeta;
            // Five standard deviations of 400,000 draws.
            let tolerance = 5.0 * (expected / 400_000.0).sqrt();
            assert!((share - expected).abs() < tolerance, "rank {index}: {share} instead of {expected}");
        }
    }

    #[test]
    fn uniform_keys_are_all_alike() {
        for share in shares(10, Distribution::Uniform, 10) {
            assert!((share - 0.1).abs() < 0.005, "{share}");
        }
    }

    #[test]
    fn keys_of_every_length_differ() {
        for len in [1, 2, 7, 8, 9, 16, 255] {
            let keys = KeySpace::new(256, len).expect("256 keys fit one byte");
            let mut seen = std::collections::HashSet::new();
            for index in 0..256 {
                let mut bytes = [0; KEY_LEN_MAX];
                let key = keys.encode(index, &mut bytes);
                assert_eq!(key.len(), len);
                assert!(seen.insert(key.to_vec()));
            }
        }
    }

    #[test]
    fn a_data_set_that_cannot_be_is_refused_by_name() {
        assert!(KeySpace::new(0, 8).is_err_and(|error| error.contains("--keys 0")));
        assert!(KeySpace::new(1, 0).is_err_and(|error| error.contains("--key-size 0")));
        assert!(KeySpace::new(1, 256).is_err_and(|error| error.contains("255")));
        assert!(KeySpace::new(257, 1).is_err_and(|error| error.contains("too short")));
        assert!(KeySpace::new(u64::MAX, 8).is_ok());
    }
}
