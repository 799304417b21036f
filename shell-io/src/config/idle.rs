//! `[idle]`: how a core without work gives way. It spins, then offers its CPU to others, then sleeps.

use serde::{Deserialize, Serialize};

use super::bounded::Bounded;
use crate::idle::IdlePolicy;

/// How far a core without work gives way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Power {
    /// It looks for work for ever, and never has to be woken.
    Latency,
    /// It looks for a while, then sleeps.
    Balanced,
    /// It sleeps at once.
    Saving,
}

/// `[idle]`: how a core without work gives way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct IdleSection {
    /// How far.
    pub power: Power,
    /// Microseconds since the last work for which a core keeps looking; for [`Power::Balanced`].
    pub spin_us: Bounded<u32, 0, 1_000_000>,
    /// Microseconds after that for which it offers its CPU to others between looks; for [`Power::Balanced`].
    pub yield_us: Bounded<u32, 0, 1_000_000>,
    /// Milliseconds of the longest sleep; not for [`Power::Latency`].
    pub sleep_ms: Bounded<u32, 1, 100>,
}

impl Default for IdleSection {
    fn default() -> Self {
        let IdlePolicy { spin_us, yield_us, sleep_ms, .. } = IdlePolicy::BALANCED;
        Self {
            power: Power::Balanced,
            spin_us: Bounded::default_of(spin_us as u32),
            yield_us: Bounded::default_of(yield_us as u32),
            sleep_ms: Bounded::default_of(sleep_ms as u32),
        }
    }
}

/// What [`IdlePolicy::polled_us`] is for a core that saves power: a hundred looks a second cost less than a hundredth of a CPU.
const POLLED_SAVING_US: u64 = 10_000;

impl IdleSection {
    /// The policy that the section asks for.
    pub fn policy(&self) -> IdlePolicy {
        let balanced = IdlePolicy {
            spin_us: self.spin_us.get().into(),
            yield_us: self.yield_us.get().into(),
            sleep_ms: self.sleep_ms.get().into(),
            ..IdlePolicy::BALANCED
        };
        match self.power {
            Power::Latency => IdlePolicy { sleep_ms: 0, ..balanced },
            Power::Balanced => balanced,
            Power::Saving => IdlePolicy { spin_us: 0, yield_us: 0, polled_us: POLLED_SAVING_US, ..balanced },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_power_takes_the_phases_that_it_has() {
        let of = |power| {
            let IdlePolicy { spin_us, yield_us, sleep_ms, polled_us } =
                IdleSection { power, ..IdleSection::default() }.policy();
            (spin_us, yield_us, sleep_ms, polled_us)
        };
        assert_eq!(of(Power::Latency), (5, 100, 0, 100));
        assert_eq!(of(Power::Balanced), (5, 100, 100, 100));
        assert_eq!(of(Power::Saving), (0, 0, 100, 10_000));
    }
}
