//! How long an answer may take before its frame is taken for lost.
//!
//! The estimator is that of TCP (RFC 6298, section 2): a smoothed round-trip time plus four times its variation. An
//! answer echoes the time at which its request was sent, so every sample is certain and Karn's rule (RFC 6298, section
//! 3) is not needed.

use std::time::Duration;

use crate::moment::duration_nanos;

/// Before the first sample. RFC 6298 takes a second for the whole Internet; a store is in the same building.
const INITIAL: Duration = Duration::from_millis(100);

/// No sample counts for more. Somebody's clock or bytes are wrong then.
const SAMPLE_MAX: Duration = Duration::from_secs(60);

/// Between which bounds a frame is sent again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) min: Duration,
    pub(crate) max: Duration,
}

/// The round-trip time to one endpoint.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rtt {
    /// Smoothed time and variation, in nanoseconds.
    estimate: Option<(u64, u64)>,
}

impl Rtt {
    /// Takes a measured round trip into account.
    pub(crate) fn sample(&mut self, round_trip: Duration) {
        let sample = duration_nanos(round_trip.min(SAMPLE_MAX));
        self.estimate = Some(match self.estimate {
            None => (sample, sample / 2),
            Some((smoothed, variation)) => {
                let error = smoothed.abs_diff(sample);
                (smoothed - smoothed / 8 + sample / 8, variation - variation / 4 + error / 4)
            }
        });
    }

    /// How long to wait for the answer to an attempt before the next one, doubled for each attempt before it.
    pub(crate) fn resend_after(&self, attempts_before: u32, bounds: Bounds) -> Duration {
        let once = match self.estimate {
            None => INITIAL,
            Some((smoothed, variation)) => Duration::from_nanos(smoothed + 4 * variation),
        };
        let doubled = once.max(bounds.min).checked_mul(1 << attempts_before.min(16));
        doubled.map_or(bounds.max, |doubled| doubled.min(bounds.max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { min: Duration::from_millis(10), max: Duration::from_millis(200) };

    #[test]
    fn a_short_round_trip_waits_the_shortest_time() {
        let mut rtt = Rtt::default();
        assert_eq!(rtt.resend_after(0, BOUNDS), INITIAL);
        rtt.sample(Duration::from_micros(50));
        assert_eq!(rtt.resend_after(0, BOUNDS), BOUNDS.min);
    }

    #[test]
    fn each_attempt_waits_twice_as_long_up_to_the_bound() {
        let mut rtt = Rtt::default();
        rtt.sample(Duration::from_micros(50));
        assert_eq!(rtt.resend_after(1, BOUNDS), 2 * BOUNDS.min);
        assert_eq!(rtt.resend_after(4, BOUNDS), 16 * BOUNDS.min);
        assert_eq!(rtt.resend_after(5, BOUNDS), BOUNDS.max);
        assert_eq!(rtt.resend_after(u32::MAX, BOUNDS), BOUNDS.max);
    }

    #[test]
    fn the_estimate_follows_the_samples() {
        let mut rtt = Rtt::default();
        for _ in 0..100 {
            rtt.sample(Duration::from_millis(40));
        }
        let steady = rtt.resend_after(0, BOUNDS);
        assert!(steady >= Duration::from_millis(39) && steady < Duration::from_millis(45), "{steady:?}");
        rtt.sample(Duration::from_millis(80));
        assert!(rtt.resend_after(0, BOUNDS) > steady + Duration::from_millis(20));
    }

    #[test]
    fn an_absurd_sample_does_not_overflow() {
        let mut rtt = Rtt::default();
        rtt.sample(Duration::MAX);
        rtt.sample(Duration::MAX);
        assert_eq!(rtt.resend_after(0, BOUNDS), BOUNDS.max);
    }
}
