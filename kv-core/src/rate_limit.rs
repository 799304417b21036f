//! How often something may happen, without a timer.
//!
//! The limit remembers one time: when it would have been used up by everything so far, had that come evenly. What comes
//! no more than a burst ahead of that time may happen. (ATM networks call this the generic cell rate algorithm.)

use arch::{Tick, TickRate};

/// So many a second, and so many at once after a pause.
#[derive(Clone, Copy, Debug)]
pub struct RateLimit {
    /// Ticks between two, when they come evenly.
    interval: u64,
    /// How far ahead of time one may be, in ticks.
    slack: u64,
    even: Tick,
}

impl RateLimit {
    /// A limit that nothing has used yet. Both numbers are at least 1; smaller ones count as 1.
    pub fn new(per_second: u32, burst: u32, rate: TickRate) -> Self {
        let interval = (rate.ticks_in_ms(1000) / u64::from(per_second.max(1))).max(1);
        Self { interval, slack: interval.saturating_mul(u64::from(burst.max(1)) - 1), even: Tick(0) }
    }

    /// Whether it may happen now; if so, it has.
    pub fn allows(&mut self, now: Tick) -> bool {
        let even = Tick(self.even.0.max(now.0));
        if even.since(now) > self.slack {
            return false;
        }
        self.even = Tick(even.0.saturating_add(self.interval));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1000 ticks a second, 10 a second, 3 at once.
    fn limit() -> RateLimit {
        RateLimit::new(10, 3, TickRate::from_hz(1000).expect("a rate"))
    }

    fn allowed(limit: &mut RateLimit, times: impl Iterator<Item = u64>) -> usize {
        times.filter(|now| limit.allows(Tick(*now))).count()
    }

    #[test]
    fn a_burst_passes_and_then_only_what_comes_evenly() {
        let mut limit = limit();
        assert_eq!(allowed(&mut limit, [5000; 10].into_iter()), 3);
        assert_eq!(allowed(&mut limit, 5001..5100), 0);
        assert_eq!(allowed(&mut limit, [5100; 5].into_iter()), 1);
        assert_eq!(allowed(&mut limit, 5101..6100), 9);
    }

    #[test]
    fn a_pause_gives_no_more_than_a_burst() {
        let mut limit = limit();
        assert_eq!(allowed(&mut limit, [0; 5].into_iter()), 3);
        assert_eq!(allowed(&mut limit, [1_000_000; 50].into_iter()), 3);
    }

    #[test]
    fn a_second_has_as_many_as_the_limit_says_and_a_burst() {
        assert_eq!(allowed(&mut limit(), (0..1000).flat_map(|now| [now; 4])), 10 + 2);
    }

    #[test]
    fn the_end_of_time_and_a_clock_that_goes_back_are_survived() {
        let mut limit = limit();
        assert_eq!(allowed(&mut limit, [u64::MAX; 9].into_iter()), 9, "time is saturated and never beyond");
        assert_eq!(allowed(&mut limit, [0, 1, 2].into_iter()), 0);
        let mut fast = RateLimit::new(u32::MAX, u32::MAX, TickRate::from_hz(1).expect("a rate"));
        assert_eq!(allowed(&mut fast, [7; 9].into_iter()), 9);
    }
}
