//! The clock of this machine, with its rate.
//!
//! The loop of a core reads the CPU's counter, which costs one instruction. What a tick is worth is found once, at
//! start: from the CPU if it says so, from the clock of the operating system otherwise, and in either case the two are
//! compared, because firmware is known to state false rates.

use std::thread;
use std::time::Duration;

use arch::{RateMeasurement, Tick, TickRate};
use rustix::time::{ClockId, clock_gettime};

/// How long the counter is compared with the clock of the operating system. The reading error, some 100 ns, makes the
/// measured rate wrong by less than 10 ppm.
const MEASUREMENT: Duration = Duration::from_millis(15);

/// Readings of both clocks are taken so often, and the closest pair is used: the thread may be interrupted in between.
const READING_COUNT: usize = 8;

/// What the stated and the measured rate may differ by, as a share. The operating system's clock may be slewed by
/// 500 ppm (adjtimex(2)); a false statement is off by far more.
const DIFFERENCE_MAX: f64 = 0.01;

/// Where a rate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateSource {
    /// The CPU states it, and the measurement agrees.
    Cpu,
    /// It was measured: the CPU does not state any.
    Measured,
    /// It was measured: the CPU states another one, which is false.
    MeasuredAgainstCpu {
        /// What the CPU states.
        stated: TickRate,
    },
}

/// The counter does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the counter of this CPU stands still or goes backwards: no time can be measured on this machine")]
pub struct ClockError;

/// The counter of this machine and its rate. Find it once and copy it to each core.
#[derive(Clone, Copy, Debug)]
pub struct MonotonicClock {
    rate: TickRate,
    source: RateSource,
}

impl MonotonicClock {
    /// Finds the rate. Sleeps about 15 ms for it.
    ///
    /// # Errors
    /// [`ClockError`], when the counter does not move.
    pub fn start() -> Result<Self, ClockError> {
        let measurement = {
            let (tick, os_ns) = read_both();
            RateMeasurement::start(tick, os_ns)
        };
        thread::sleep(MEASUREMENT);
        let (tick, os_ns) = read_both();
        let measured = measurement.finish(tick, os_ns).ok_or(ClockError)?;
        let (rate, source) = choose(arch::rate_from_cpu(), measured);
        Ok(Self { rate, source })
    }

    /// The counter's present value.
    #[inline]
    pub fn now(&self) -> Tick {
        arch::now()
    }

    /// How fast it counts.
    pub fn rate(&self) -> TickRate {
        self.rate
    }

    /// Where the rate comes from.
    pub fn source(&self) -> RateSource {
        self.source
    }
}

/// The exact rate if there is one that can be believed, or else the measured one.
fn choose(stated: Option<TickRate>, measured: TickRate) -> (TickRate, RateSource) {
    let Some(stated) = stated else { return (measured, RateSource::Measured) };
    let difference = stated.hz().abs_diff(measured.hz()) as f64 / measured.hz() as f64;
    if difference <= DIFFERENCE_MAX {
        (stated, RateSource::Cpu)
    } else {
        (measured, RateSource::MeasuredAgainstCpu { stated })
    }
}

/// The counter and the monotonic clock of the operating system at about the same time.
fn read_both() -> (Tick, u64) {
    let readings = (0..READING_COUNT).map(|_| {
        let before = arch::now();
        let os_ns = clock_ns(ClockId::Monotonic);
        let width = arch::now().since(before);
        (width, before.after(width / 2), os_ns)
    });
    let closest = readings.min_by_key(|(width, ..)| *width);
    closest.map_or_else(|| (arch::now(), clock_ns(ClockId::Monotonic)), |(_, tick, os_ns)| (tick, os_ns))
}

/// Nanoseconds of CPU time that the calling thread has used so far. A system call: not for every turn of a loop.
pub fn thread_cpu_ns() -> u64 {
    clock_ns(ClockId::ThreadCPUTime)
}

/// A reading of a clock that is never negative.
fn clock_ns(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn rate(hz: u64) -> TickRate {
        TickRate::from_hz(hz).expect("a rate that is not zero")
    }

    #[test]
    fn the_clock_agrees_with_the_operating_systems() {
        let clock = MonotonicClock::start().expect("a clock");
        let (outer, start) = (Instant::now(), clock.now());
        let inner = Instant::now();
        while inner.elapsed() < Duration::from_millis(5) {
            arch::spin_hint();
        }
        // However long this thread is taken away, the counter's interval contains one of the operating system's and is
        // contained in another.
        let inner_ns = inner.elapsed().as_nanos() as f64;
        let ns = clock.rate().ns(clock.now().since(start)) as f64;
        let outer_ns = outer.elapsed().as_nanos() as f64;
        assert!(inner_ns * 0.99 <= ns && ns <= outer_ns * 1.01, "{inner_ns} <= {ns} <= {outer_ns}");
    }

    #[test]
    fn a_stated_rate_is_used_when_the_measurement_agrees() {
        assert_eq!(choose(Some(rate(1_000_000_000)), rate(1_000_900_000)), (rate(1_000_000_000), RateSource::Cpu));
        assert_eq!(choose(Some(rate(1_000_000_000)), rate(999_000_000)), (rate(1_000_000_000), RateSource::Cpu));
    }

    #[test]
    fn a_false_statement_is_not_believed_and_remembered() {
        let (stated, measured) = (rate(1_000_000_000), rate(62_500_000));
        assert_eq!(choose(Some(stated), measured), (measured, RateSource::MeasuredAgainstCpu { stated }));
        assert_eq!(choose(Some(measured), stated), (stated, RateSource::MeasuredAgainstCpu { stated: measured }));
    }

    #[test]
    fn without_a_statement_the_measured_rate_is_used() {
        assert_eq!(choose(None, rate(5)), (rate(5), RateSource::Measured));
    }

    #[test]
    fn a_thread_that_computes_uses_cpu_time() {
        let start = thread_cpu_ns();
        while thread_cpu_ns() - start < 1_000_000 {
            arch::spin_hint();
        }
        let other = thread::spawn(thread_cpu_ns).join().expect("a thread");
        assert!(other < thread_cpu_ns(), "a new thread has not used what this one has");
    }
}
