//! The time of a pipeline: the operating system's clock, carried on by the CPU's counter between two readings of it.
//!
//! Each request is stamped when it is submitted. To ask the operating system for that costs as much as all else that
//! a submission does; to read a counter costs next to nothing, but nobody says reliably how fast one counts, and
//! virtual machines move. So the counter is believed for a millisecond at a time, at a rate that was measured within the last
//! second or so, and where the CPU does not promise that it counts steadily, not at all.

use std::cell::Cell;
use std::time::{Duration, Instant};

use arch::Tick;

use crate::moment::{Moment, duration_nanos};

/// How long the counter is believed before the operating system is asked again.
const TRUST: Duration = Duration::from_millis(1);

/// The least time over which a rate is measured. A reading is some 100 ns off, so the rate is by less than 50 ppm: 50 ns in
/// a [`TRUST`].
const BASE_MIN: Duration = Duration::from_millis(4);

/// A rate is not measured over more, so that a counter that has jumped is believed again.
const BASE_MAX: Duration = Duration::from_secs(1);

/// Readings of both clocks are taken so often, and the closest pair is used: the thread may be interrupted in between.
const READING_COUNT: usize = 3;

/// Nanoseconds are counted in parts of 2 to the power of minus this.
const FRACTION_BITS: u32 = 32;

/// A clock that never goes backwards, and is as right as the operating system's but for less than a microsecond.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    start: Instant,
    /// Whether the counter is a clock at all.
    is_steady: bool,
    /// Where the measurement of the rate begins.
    base: Cell<Reading>,
    anchor: Cell<Anchor>,
    latest: Cell<u64>,
}

/// Both clocks at about the same time.
#[derive(Clone, Copy, Debug)]
struct Reading {
    tick: Tick,
    ns: u64,
}

/// From where the counter carries on.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    reading: Reading,
    /// Parts of nanoseconds in a tick.
    scale: u64,
    /// Ticks for which it is believed; none while there is no rate.
    trusted_ticks: u64,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        let start = Instant::now();
        let reading = read_both(start);
        Self {
            start,
            is_steady: arch::cpu_features().steady_counter,
            base: Cell::new(reading),
            anchor: Cell::new(Anchor::without_rate(reading)),
            latest: Cell::new(0),
        }
    }

    #[inline]
    pub(crate) fn now(&self) -> Moment {
        let ns = self.anchor.get().ns_at(arch::now()).unwrap_or_else(|| self.ask());
        let latest = self.latest.get().max(ns);
        self.latest.set(latest);
        Moment::from_nanos(latest)
    }

    /// Asks the operating system, and lets the counter carry on from there.
    #[cold]
    fn ask(&self) -> u64 {
        if !self.is_steady {
            return duration_nanos(self.start.elapsed());
        }
        let (reading, base) = (read_both(self.start), self.base.get());
        self.anchor.set(Anchor::measured(base, reading));
        if reading.tick < base.tick || reading.ns - base.ns >= duration_nanos(BASE_MAX) {
            self.base.set(reading);
        }
        reading.ns
    }
}

impl Anchor {
    const fn without_rate(reading: Reading) -> Self {
        Self { reading, scale: 0, trusted_ticks: 0 }
    }

    /// At `reading`, with the rate since `base` if that is long enough ago.
    fn measured(base: Reading, reading: Reading) -> Self {
        let (ns, ticks) = (reading.ns.saturating_sub(base.ns), reading.tick.since(base.tick));
        if ns < duration_nanos(BASE_MIN) || ticks == 0 {
            return Self::without_rate(reading);
        }
        let trusted_ticks = u128::from(ticks) * u128::from(duration_nanos(TRUST)) / u128::from(ns);
        let scale = (u128::from(ns) << FRACTION_BITS) / u128::from(ticks);
        match (u64::try_from(scale), u64::try_from(trusted_ticks)) {
            (Ok(scale), Ok(trusted_ticks)) => Self { reading, scale, trusted_ticks },
            // Not the counter of any CPU.
            _ => Self::without_rate(reading),
        }
    }

    /// The time at a tick, while that can be told.
    #[inline]
    fn ns_at(&self, tick: Tick) -> Option<u64> {
        let ticks = tick.0.checked_sub(self.reading.tick.0).filter(|&ticks| ticks < self.trusted_ticks)?;
        // At most a millisecond, in parts that 64 bits have room for.
        Some(self.reading.ns + (ticks.wrapping_mul(self.scale) >> FRACTION_BITS))
    }
}

fn read_both(start: Instant) -> Reading {
    let read = || {
        let before = arch::now();
        let ns = duration_nanos(start.elapsed());
        let width = arch::now().since(before);
        (width, Reading { tick: before.after(width / 2), ns })
    };
    let first = read();
    let closest =
        (1..READING_COUNT).map(|_| read()).fold(first, |best, next| if next.0 < best.0 { next } else { best });
    closest.1
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn reading(tick: u64, ns: u64) -> Reading {
        Reading { tick: Tick(tick), ns }
    }

    #[test]
    fn it_never_goes_backwards_and_stays_with_the_operating_systems() {
        let stopwatch = Stopwatch::start();
        let (mut before, outer) = (stopwatch.now(), Instant::now());
        while outer.elapsed() < Duration::from_millis(30) {
            let earliest = duration_nanos(stopwatch.start.elapsed());
            let now = stopwatch.now();
            let latest = duration_nanos(stopwatch.start.elapsed());
            assert!(now >= before, "{now:?} after {before:?}");
            // However long this thread is taken away, the reading lies between two of the other clock.
            let slack = 100_000;
            assert!(now.nanos() + slack >= earliest && now.nanos() <= latest + slack, "{earliest} {now:?} {latest}");
            before = now;
        }
    }

    #[test]
    fn the_counter_carries_on_for_a_millisecond() {
        let anchor = Anchor::measured(reading(0, 0), reading(20_000_000, 10_000_000));
        assert_eq!(anchor.ns_at(Tick(20_000_000)), Some(10_000_000));
        assert_eq!(anchor.ns_at(Tick(20_002_000)), Some(10_001_000));
        assert_eq!(anchor.ns_at(Tick(22_000_000)), None, "a millisecond later");
        assert_eq!(anchor.ns_at(Tick(19_999_999)), None, "it has jumped back");
    }

    #[test]
    fn every_rate_of_a_counter_is_one() {
        for hz in [1_000_000, 62_500_000, 2_400_000_000, 5_000_000_000_u64] {
            let anchor = Anchor::measured(reading(7, 0), reading(7 + hz, 1_000_000_000));
            let half_ms = Tick(7 + hz + hz / 2000);
            let ns = anchor.ns_at(half_ms).expect("within a millisecond");
            assert!((1_000_499_999..=1_000_500_000).contains(&ns), "{hz} Hz: {ns}");
        }
    }

    #[test]
    fn without_a_base_no_counter_is_believed() {
        for (base, now) in [
            (reading(0, 0), reading(10_000_000, 3_000_000)),
            (reading(5, 0), reading(5, 1_000_000_000)),
            (reading(9, 0), reading(5, 1_000_000_000)),
        ] {
            assert_eq!(Anchor::measured(base, now).ns_at(now.tick), None);
        }
    }
}
