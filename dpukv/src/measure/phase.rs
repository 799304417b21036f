//! The phases of a benchmark, over all its threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use client::{Config, ConnectError};
use hdrhistogram::Histogram;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::driver::{Driver, Request, Tally};
use crate::workload::{Distribution, KeySampler, KeySpace, ValueShape};

/// Requests that each thread draws beforehand. A power of two, since numbers are divided by it.
const DRAW_COUNT: usize = 1 << 20;

/// Longest wait for answers before the loop looks at the clock again.
const POLL_WAIT: Duration = Duration::from_millis(1);

/// What a phase does.
#[derive(Clone, Debug)]
pub(crate) struct Phase {
    /// How to reach the servers; the window is each thread's.
    pub(crate) config: Config,
    /// The data set.
    pub(crate) keys: KeySpace,
    /// Its values.
    pub(crate) values: ValueShape,
    /// Which keys are asked for.
    pub(crate) distribution: Distribution,
    /// Share of GET, 0 to 1; the rest is SET.
    pub(crate) gets: f64,
    /// Client threads.
    pub(crate) threads: usize,
    /// How long to measure.
    pub(crate) duration: Duration,
    /// Requests a second over all threads for an open loop; `None` for a closed one.
    pub(crate) rate: Option<f64>,
    /// How long each thread of a closed loop rests whenever everything is answered.
    pub(crate) pause: Duration,
    /// What all random choices follow from.
    pub(crate) seed: u64,
}

/// How many requests were answered so far, over all threads.
pub(crate) type Progress = AtomicU64;

/// What the load phase came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loaded {
    /// Keys that the store acknowledged.
    pub(crate) stored: u64,
    /// Keys that it had no space for.
    pub(crate) full: u64,
    /// Keys that got another answer than that.
    pub(crate) errors: u64,
    /// How long it took.
    pub(crate) seconds: f64,
}

/// What the measured phase came to.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    /// Requests that were answered.
    pub(crate) ops: u64,
    /// From the first request to the last answer.
    pub(crate) seconds: f64,
    /// GETs that found their key, with the right value.
    pub(crate) hits: u64,
    /// GETs that did not find it.
    pub(crate) misses: u64,
    /// Requests that got no answer in time.
    pub(crate) lost: u64,
    /// Wrong values and unexpected results, a full store among them.
    pub(crate) errors: u64,
    /// Nanoseconds.
    pub(crate) latency: Histogram<u64>,
}

impl Measured {
    /// Million answers a second.
    pub(crate) fn mops(&self) -> f64 {
        self.ops as f64 / self.seconds / 1e6
    }

    /// A latency quantile in microseconds.
    pub(crate) fn latency_us(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1e3
    }
}

/// Stores every key once.
///
/// # Errors
/// [`ConnectError`] when a server cannot be reached at the start.
pub(crate) fn load(phase: &Phase, progress: &Progress) -> Result<Loaded, ConnectError> {
    let threads = phase.threads as u64;
    let (tally, seconds) = on_threads(phase, |thread, driver| {
        let share = |thread: usize| u128::from(phase.keys.count()) * thread as u128 / u128::from(threads);
        let (first, end) = (share(thread) as u64, share(thread + 1) as u64);
        load_range(driver, first..end, progress);
    })?;
    Ok(Loaded { stored: tally.stored, full: tally.full, errors: tally.errors, seconds })
}

/// The tag of a request is the index of its key.
fn load_range(driver: &mut Driver, range: std::ops::Range<u64>, progress: &Progress) {
    let mut fresh = range;
    let mut again = Vec::new();
    let set = |index| Request { index, is_get: false };
    loop {
        for _ in 0..driver.room() {
            let Some(index) = again.pop().or_else(|| fresh.next()) else { break };
            if !driver.issue(index, set(index)) {
                again.push(index);
                break;
            }
        }
        if driver.outstanding() == 0 && again.is_empty() && fresh.is_empty() {
            return;
        }
        driver.flush();
        let answered = driver.poll(POLL_WAIT, set, |_, latency| latency, |index| again.push(index));
        progress.fetch_add(answered as u64, Ordering::Relaxed);
    }
}

/// Runs the workload and measures it.
///
/// # Errors
/// [`ConnectError`] when a server cannot be reached at the start.
pub(crate) fn run(phase: &Phase, progress: &Progress) -> Result<Measured, ConnectError> {
    let draws: Vec<Vec<Request>> = (0..phase.threads as u64).map(|thread| draw(phase, thread)).collect();
    let (tally, seconds) = on_threads(phase, |thread, driver| run_thread(driver, phase, &draws[thread], progress))?;
    Ok(Measured {
        ops: tally.answered(),
        seconds,
        hits: tally.hits,
        misses: tally.misses,
        lost: tally.lost,
        errors: tally.errors + tally.full,
        latency: tally.latency,
    })
}

/// What one thread asks for, again from the first when it comes to the last. Drawn beforehand, since a Zipf number costs as
/// much as a request.
fn draw(phase: &Phase, thread: u64) -> Vec<Request> {
    let sampler = KeySampler::new(phase.keys, phase.distribution);
    let mut random = Xoshiro256PlusPlus::seed_from_u64(phase.seed ^ thread.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    (0..DRAW_COUNT)
        .map(|_| {
            let is_get = random.random_bool(phase.gets);
            Request { index: sampler.sample(&mut random), is_get }
        })
        .collect()
}

/// When the requests of an open loop are due.
#[derive(Clone, Copy, Debug)]
struct Schedule {
    started: Instant,
    interval: Duration,
}

impl Schedule {
    /// When the request of this number is.
    fn due(&self, number: u64) -> Instant {
        // Less than a day, as long as a phase lasts.
        let ns = u64::try_from(self.interval.as_nanos()).unwrap_or(u64::MAX).saturating_mul(number);
        self.started + Duration::from_nanos(ns)
    }
}

/// The tag of a request is its number. A function of its own, so that a profile can be taken of this alone.
#[inline(never)]
fn run_thread(driver: &mut Driver, phase: &Phase, draws: &[Request], progress: &Progress) {
    let started = Instant::now();
    let end = started + phase.duration;
    let interval = phase.rate.map(|rate| Duration::from_secs_f64(phase.threads as f64 / rate));
    let schedule = interval.map(|interval| Schedule { started, interval });
    let request_of = |number: u64| draws[number as usize % DRAW_COUNT];
    let latency_of = |number, latency| schedule.map_or(latency, |schedule: Schedule| schedule.due(number).elapsed());
    let mut next = 0;
    loop {
        if !phase.pause.is_zero() && driver.outstanding() == 0 {
            thread::sleep(phase.pause);
        }
        let now = Instant::now();
        if now >= end && driver.outstanding() == 0 {
            return;
        }
        let mut wait = POLL_WAIT;
        let room = if now < end { driver.room() } else { 0 };
        for _ in 0..room {
            if let Some(due) = schedule.map(|schedule| schedule.due(next)).filter(|due| *due > now) {
                wait = wait.min(due - now);
                break;
            }
            if !driver.issue(next, request_of(next)) {
                break;
            }
            next += 1;
        }
        if schedule.is_some() {
            // Who comes at a rate does not wait for company.
            driver.flush();
        }
        let answered = driver.poll(wait, request_of, latency_of, |_| {});
        progress.fetch_add(answered as u64, Ordering::Relaxed);
    }
}

/// Runs `work` on each thread with a driver of its own, adds up what they counted, and says how many seconds it took.
fn on_threads(phase: &Phase, work: impl Fn(usize, &mut Driver) + Sync) -> Result<(Tally, f64), ConnectError> {
    let mut drivers = (0..phase.threads)
        .map(|_| Driver::connect(&phase.config, phase.keys, phase.values))
        .collect::<Result<Vec<_>, _>>()?;
    let started = Instant::now();
    thread::scope(|scope| {
        for (thread, driver) in drivers.iter_mut().enumerate() {
            let work = &work;
            scope.spawn(move || work(thread, driver));
        }
    });
    let seconds = started.elapsed().as_secs_f64();
    let mut total = Tally::new();
    for driver in &drivers {
        total.add(&driver.tally);
    }
    Ok((total, seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_an_open_loop_are_due_at_equal_distances() {
        let started = Instant::now();
        let schedule = Schedule { started, interval: Duration::from_nanos(1500) };
        assert_eq!(schedule.due(0), started);
        assert_eq!(schedule.due(1) - started, Duration::from_nanos(1500));
        assert_eq!(schedule.due(57_600_000_000) - started, Duration::from_secs(86_400));
    }
}
