//! What the benchmark asks for: which keys, which operations, which values.
//!
//! The workloads are YCSB's core workloads A, B and C (Cooper et al., SoCC 2010) with whole-value updates: 50, 95 and
//! 100 % GET, the rest SET.

mod keys;
mod values;

pub(crate) use keys::{KeySampler, KeySpace};
pub(crate) use values::{ValueCheck, ValueShape};

use clap::ValueEnum;

/// A mix of GET and SET.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// 50 % GET, 50 % SET.
    #[value(alias = "A")]
    A,
    /// 95 % GET, 5 % SET.
    #[value(alias = "B")]
    B,
    /// 100 % GET.
    #[value(alias = "C")]
    C,
}

impl Workload {
    /// Share of GET among the operations, 0 to 1.
    pub(crate) const fn gets(self) -> f64 {
        match self {
            Self::A => 0.5,
            Self::B => 0.95,
            Self::C => 1.0,
        }
    }

    /// The name in tables and in JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
        }
    }
}

/// How popular keys are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Distribution {
    /// All alike.
    Uniform,
    /// The key of rank k with probability proportional to k to the power of minus `theta`.
    Zipf {
        /// The exponent, above 0.
        theta: f64,
    },
}

impl Distribution {
    /// `uniform`, `zipf` (0.99, as YCSB) or `zipf:THETA`.
    ///
    /// # Errors
    /// A sentence that says what is expected.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let expected =
            || format!("`{text}`: expected uniform, zipf or zipf:THETA with a THETA above 0, such as zipf:0.99");
        match text.split_once(':') {
            None if text == "uniform" => Ok(Self::Uniform),
            None if text == "zipf" => Ok(Self::Zipf { theta: 0.99 }),
            Some(("zipf", theta)) => match theta.parse() {
                Ok(theta) if theta > 0.0 && f64::is_finite(theta) => Ok(Self::Zipf { theta }),
                _ => Err(expected()),
            },
            _ => Err(expected()),
        }
    }

    /// The name in tables and in JSON.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Uniform => "uniform".to_owned(),
            Self::Zipf { theta } => format!("zipf:{theta}"),
        }
    }
}

/// Fills bytes with a word, again and again; what is left over, with its beginning.
#[inline]
fn repeat(word: [u8; 8], into: &mut [u8]) {
    // So long are most keys and values that are asked for, and each is written for a request of a measured phase.
    if let Ok(whole) = <&mut [u8; 8]>::try_from(&mut *into) {
        *whole = word;
        return;
    }
    for chunk in into.chunks_mut(word.len()) {
        chunk.copy_from_slice(&word[..chunk.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_survive_their_names() {
        for distribution in
            [Distribution::Uniform, Distribution::Zipf { theta: 0.99 }, Distribution::Zipf { theta: 1.2 }]
        {
            assert_eq!(Distribution::parse(&distribution.name()), Ok(distribution));
        }
        assert_eq!(Distribution::parse("zipf"), Ok(Distribution::Zipf { theta: 0.99 }));
        for wrong in ["", "Zipf", "zipf:", "zipf:-1", "zipf:0", "zipf:NaN", "zipf:inf", "latest"] {
            assert!(Distribution::parse(wrong).is_err_and(|error| error.contains("expected")), "{wrong}");
        }
    }
}
