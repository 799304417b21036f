//! Points in time, as numbers that a test can choose.

use std::time::Duration;

/// A point in time: nanoseconds since a beginning that the owner of a session chooses and keeps to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// After every other moment: 584 years after the beginning.
    pub const NEVER: Self = Self(u64::MAX);

    /// The moment so many nanoseconds after the beginning.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the beginning.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// The moment `duration` later, or [`NEVER`](Self::NEVER).
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration_nanos(duration)))
    }

    /// How long ago `earlier` was; nothing when it is not earlier.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A duration in nanoseconds, cut to 584 years.
pub(crate) fn duration_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_do_not_wrap() {
        assert_eq!(Moment::from_nanos(5).after(Duration::MAX), Moment::NEVER);
        assert_eq!(Moment::from_nanos(5).since(Moment::from_nanos(7)), Duration::ZERO);
        assert_eq!(Moment::from_nanos(7).since(Moment::from_nanos(5)), Duration::from_nanos(2));
    }
}
