//! Operations drawn beforehand, so that drawing costs nothing while the clock runs.

use clap::ValueEnum;
use qp_wire::limits::KEY_LEN_MAX;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::workload::{Distribution, KeySampler, KeySpace};

/// Operations in a stream, a power of two. The most have keys whose lines are far more than caches hold; a small data set
/// needs no more than it has.
const STREAM_COUNT_MIN: u64 = 1 << 16;
const STREAM_COUNT_MAX: u64 = 1 << 22;

/// What is done with the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Operation {
    /// GET and SET of keys that are there.
    Mix,
    /// GET of keys that are not there.
    Miss,
    /// DELETE of a key and ADD of it again, in turn.
    Churn,
}

/// Which operations to draw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mix {
    pub(crate) keys: KeySpace,
    pub(crate) distribution: Distribution,
    pub(crate) operation: Operation,
    /// Share of GET in [`Operation::Mix`].
    pub(crate) gets: f64,
}

/// A list of operations with their keys.
#[derive(Debug)]
pub(crate) struct Stream {
    names: Vec<u8>,
    name_len: usize,
    /// Which of them are SETs; for [`Operation::Churn`], all.
    is_set: Vec<bool>,
    /// A random number for each, for who reads lines instead of keys.
    numbers: Vec<u32>,
    operation: Operation,
}

impl Stream {
    /// Draws operations. The same seed gives the same list.
    pub(crate) fn draw(mix: &Mix, seed: u64) -> Self {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let sampler = KeySampler::new(mix.keys, mix.distribution);
        let name_len = mix.keys.len();
        let offset = if mix.operation == Operation::Miss { mix.keys.count() } else { 0 };
        let count = (4 * mix.keys.count().min(STREAM_COUNT_MAX)).next_power_of_two();
        let count = count.clamp(STREAM_COUNT_MIN, STREAM_COUNT_MAX) as usize;
        let mut stream = Self {
            names: Vec::with_capacity(count * name_len),
            name_len,
            is_set: Vec::with_capacity(count),
            numbers: Vec::with_capacity(count),
            operation: mix.operation,
        };
        let mut name = [0; KEY_LEN_MAX];
        for _ in 0..count {
            let index = sampler.sample(&mut random) + offset;
            stream.names.extend_from_slice(mix.keys.encode(index, &mut name));
            let is_set = match mix.operation {
                Operation::Mix => random.random::<f64>() >= mix.gets,
                Operation::Miss => false,
                Operation::Churn => true,
            };
            stream.is_set.push(is_set);
            stream.numbers.push(random.random());
        }
        stream
    }

    pub(crate) fn count(&self) -> usize {
        self.is_set.len()
    }

    pub(crate) fn operation(&self) -> Operation {
        self.operation
    }

    /// The key of an operation.
    #[inline]
    pub(crate) fn name(&self, at: usize) -> &[u8] {
        let from = self.name_len * at;
        &self.names[from..from + self.name_len]
    }

    /// The keys of so many operations that follow each other.
    #[inline]
    pub(crate) fn group<const COUNT: usize>(&self, from: usize) -> [&[u8]; COUNT] {
        let mut rest = &self.names[self.name_len * from..self.name_len * (from + COUNT)];
        [(); COUNT].map(|()| {
            let (name, others) = rest.split_at(self.name_len);
            rest = others;
            name
        })
    }

    /// Which operations are SETs.
    #[inline]
    pub(crate) fn sets(&self) -> &[bool] {
        &self.is_set
    }

    pub(crate) fn numbers(&self) -> &[u32] {
        &self.numbers
    }
}
