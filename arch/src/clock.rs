//! The counter of this machine, and how fast it counts.
//!
//! The loop of an engine knows time as a [`Tick`]: one register read, no system call. A tick is not a cycle (many
//! AArch64 counters run at 25 to 100 MHz, and the counter of x86-64 keeps its rate when the core changes its own), and
//! ticks of two machines have nothing in common. A [`TickRate`] turns them into time, at the edges: time-outs become
//! ticks when a configuration is read, ticks become nanoseconds when a counter is shown.

use core::num::NonZero;

use crate::imp::native;

const NS_PER_S: u64 = 1_000_000_000;
const US_PER_S: u64 = 1_000_000;
const MS_PER_S: u64 = 1_000;

/// A reading of this machine's counter. Comparable with readings of the same machine since its last start, and with
/// nothing else: never send one to another machine, never keep one in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub u64);

impl Tick {
    /// Ticks from `earlier` to `self`; zero if `earlier` is in fact later.
    ///
    /// That happens: a reading may be taken a few instructions early, the counters of two cores differ by a little,
    /// and a virtual machine that moves to another host may see its counter jump back.
    #[must_use]
    pub const fn since(self, earlier: Tick) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The reading `ticks` later than this one. Stays at the largest value, which no counter reaches: it means never.
    #[must_use]
    pub const fn after(self, ticks: u64) -> Tick {
        Tick(self.0.saturating_add(ticks))
    }
}

/// Reads the counter: RDTSC on x86-64, CNTVCT_EL0 on AArch64, a count of calls in [`crate::portable`].
///
/// Readings of one thread do not decrease. They are not ordered with other instructions: a load before the call may
/// still be under way when the counter is read, so that what is measured may be off by the cost of one cache miss. To
/// wait for it would cost each caller more than that on every reading, on either CPU.
#[inline]
#[must_use]
pub fn now() -> Tick {
    native::now()
}

/// The counter's rate as the CPU or the hypervisor states it, exactly, or `None` if neither does.
///
/// `None` is common: AMD CPUs and most virtual machines on x86-64 do not tell. Then the shell measures the rate with a
/// [`RateMeasurement`]. An AArch64 firmware may state a wrong rate, so a careful shell measures there too and
/// compares.
#[must_use]
pub fn rate_from_cpu() -> Option<TickRate> {
    native::rate_from_cpu()
}

/// How many ticks make a second; never zero.
///
/// No conversion overflows. A result that does not fit into 64 bits becomes `u64::MAX`: 584 years in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TickRate {
    hz: NonZero<u64>,
}

impl TickRate {
    /// A rate of `hz` ticks per second, or `None` for zero, at which no time would ever pass.
    #[must_use]
    pub const fn from_hz(hz: u64) -> Option<TickRate> {
        match NonZero::new(hz) {
            Some(hz) => Some(TickRate { hz }),
            None => None,
        }
    }

    /// Ticks per second.
    #[must_use]
    pub const fn hz(self) -> u64 {
        self.hz.get()
    }

    /// The least count of ticks that lasts `us` microseconds or longer: a time-out in ticks is never too short.
    #[must_use]
    pub fn ticks_in_us(self, us: u64) -> u64 {
        self.ticks_in(us, US_PER_S)
    }

    /// The least count of ticks that lasts `ms` milliseconds or longer.
    #[must_use]
    pub fn ticks_in_ms(self, ms: u64) -> u64 {
        self.ticks_in(ms, MS_PER_S)
    }

    /// Whole nanoseconds in `ticks`.
    #[must_use]
    pub fn ns(self, ticks: u64) -> u64 {
        self.time_in(ticks, NS_PER_S)
    }

    /// Whole microseconds in `ticks`.
    #[must_use]
    pub fn us(self, ticks: u64) -> u64 {
        self.time_in(ticks, US_PER_S)
    }

    /// Whole milliseconds in `ticks`.
    #[must_use]
    pub fn ms(self, ticks: u64) -> u64 {
        self.time_in(ticks, MS_PER_S)
    }

    // Both conversions divide in 64 bits when the product fits: a division of 128 bits is a call, many times slower.

    fn ticks_in(self, units: u64, units_per_s: u64) -> u64 {
        match units.checked_mul(self.hz()) {
            Some(product) => product.div_ceil(units_per_s),
            None => saturate((u128::from(units) * u128::from(self.hz())).div_ceil(u128::from(units_per_s))),
        }
    }

    fn time_in(self, ticks: u64, units_per_s: u64) -> u64 {
        match ticks.checked_mul(units_per_s) {
            Some(product) => product / self.hz,
            None => saturate(u128::from(ticks) * u128::from(units_per_s) / NonZero::<u128>::from(self.hz)),
        }
    }
}

fn saturate(wide: u128) -> u64 {
    u64::try_from(wide).unwrap_or(u64::MAX)
}

/// A rate found by comparing the counter with a clock of the operating system, which the caller reads.
///
/// Read both clocks as close together as possible, at the start and again some time later. An error of 1 µs between
/// the two reads over 10 ms makes the rate wrong by 100 ppm, over 100 ms by 10 ppm.
#[derive(Clone, Copy, Debug)]
pub struct RateMeasurement {
    start: Tick,
    start_ns: u64,
}

impl RateMeasurement {
    /// Begins with the counter at `start` while the other clock showed `start_ns` nanoseconds.
    #[must_use]
    pub const fn start(start: Tick, start_ns: u64) -> Self {
        Self { start, start_ns }
    }

    /// The rate between the start and now, when the counter is at `end` and the other clock shows `end_ns`, rounded to
    /// the nearest Hz.
    ///
    /// `None` if either clock stood still or went back, or if the rate is below 1 Hz or beyond 64 bits: then one of
    /// the clocks is not a clock. A measurement may be finished more than once, each time with a longer base.
    #[must_use]
    pub fn finish(&self, end: Tick, end_ns: u64) -> Option<TickRate> {
        let ns = NonZero::new(u128::from(end_ns.saturating_sub(self.start_ns)))?;
        let tick_ns_per_s = u128::from(end.since(self.start)) * u128::from(NS_PER_S);
        let hz = (tick_ns_per_s + ns.get() / 2) / ns;
        TickRate::from_hz(u64::try_from(hz).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(hz: u64) -> TickRate {
        TickRate::from_hz(hz).expect("a rate that is not zero")
    }

    #[test]
    fn a_rate_of_zero_does_not_exist() {
        assert_eq!(TickRate::from_hz(0), None);
    }

    #[test]
    fn ticks_become_time_at_the_rates_of_real_counters() {
        let bluefield = rate(62_500_000);
        assert_eq!(bluefield.ns(1), 16);
        assert_eq!(bluefield.ticks_in_us(1), 63);
        assert_eq!(bluefield.ticks_in_ms(1), 62_500);
        let xeon = rate(2_400_000_000);
        assert_eq!(xeon.ns(2_400), 1_000);
        assert_eq!(xeon.us(2_400_000), 1_000);
        assert_eq!(xeon.ms(2_400_000_000), 1_000);
        assert_eq!(xeon.hz(), 2_400_000_000);
    }

    #[test]
    fn an_earlier_reading_is_zero_ticks_after_a_later_one() {
        assert_eq!(Tick(9).since(Tick(10)), 0);
        assert_eq!(Tick(10).since(Tick(9)), 1);
        assert_eq!(Tick(u64::MAX).since(Tick(0)), u64::MAX);
    }

    #[test]
    fn a_deadline_beyond_the_counter_is_never() {
        assert_eq!(Tick(5).after(7), Tick(12));
        assert_eq!(Tick(u64::MAX - 1).after(7), Tick(u64::MAX));
    }

    #[test]
    fn a_measurement_finds_the_rate_and_rounds_it() {
        let measurement = RateMeasurement::start(Tick(1_000), 500);
        assert_eq!(measurement.finish(Tick(26_000), 1_000_500), TickRate::from_hz(25_000_000));
        assert_eq!(measurement.finish(Tick(1_002), 3 + 500), TickRate::from_hz(666_666_667));
        assert_eq!(measurement.finish(Tick(1_001), 3 + 500), TickRate::from_hz(333_333_333));
    }

    #[test]
    fn a_measurement_without_time_or_ticks_has_no_rate() {
        let measurement = RateMeasurement::start(Tick(1_000), 500);
        assert_eq!(measurement.finish(Tick(2_000), 500), None);
        assert_eq!(measurement.finish(Tick(2_000), 499), None);
        assert_eq!(measurement.finish(Tick(1_000), 5_000), None);
        assert_eq!(measurement.finish(Tick(999), 5_000), None);
        assert_eq!(measurement.finish(Tick(u64::MAX), 501), None);
    }

    proptest! {
        #[test]
        fn time_in_ticks_is_the_exact_quotient_or_the_largest_value(hz in 1..=u64::MAX, ticks: u64) {
            let exact = |units_per_s: u128| {
                u64::try_from(u128::from(ticks) * units_per_s / u128::from(hz)).unwrap_or(u64::MAX)
            };
            prop_assert_eq!(rate(hz).ns(ticks), exact(1_000_000_000));
            prop_assert_eq!(rate(hz).us(ticks), exact(1_000_000));
            prop_assert_eq!(rate(hz).ms(ticks), exact(1_000));
        }

        #[test]
        fn a_time_out_in_ticks_is_never_shorter_than_asked_and_at_most_a_tick_longer(
            hz in 1_000_u64..=10_000_000_000, us in 0_u64..=1_000_000_000_000, ms in 0_u64..=1_000_000_000,
        ) {
            let rate = rate(hz);
            let (for_us, for_ms) = (rate.ticks_in_us(us), rate.ticks_in_ms(ms));
            prop_assert!(rate.us(for_us) >= us || for_us == u64::MAX);
            prop_assert!(rate.ms(for_ms) >= ms || for_ms == u64::MAX);
            prop_assert!(us == 0 || rate.us(for_us - 1) < us);
            prop_assert!(ms == 0 || rate.ms(for_ms - 1) < ms);
        }

        #[test]
        fn no_input_overflows(hz in 1..=u64::MAX, units: u64) {
            let exact = |units_per_s: u128| {
                u64::try_from((u128::from(units) * u128::from(hz)).div_ceil(units_per_s)).unwrap_or(u64::MAX)
            };
            prop_assert_eq!(rate(hz).ticks_in_us(units), exact(1_000_000));
            prop_assert_eq!(rate(hz).ticks_in_ms(units), exact(1_000));
        }

        #[test]
        fn a_measurement_of_a_steady_counter_gives_its_rate(
            hz in 1_000_000_u64..=5_000_000_000, start: u32, start_ns: u32, ms in 1_u64..=10_000,
        ) {
            let (start, start_ns) = (Tick(u64::from(start)), u64::from(start_ns));
            let end = start.after(hz * ms / 1_000);
            let found = RateMeasurement::start(start, start_ns).finish(end, start_ns + ms * 1_000_000);
            // The count of ticks is rounded down by less than one, which is 1000 Hz in the shortest measurement.
            let hz_error_max = 1_000 / ms + 1;
            prop_assert!(found.is_some_and(|rate| rate.hz().abs_diff(hz) <= hz_error_max), "{:?}", found);
        }
    }
}
