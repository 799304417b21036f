//! The phases of a benchmark, over all its threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use client::{Config, ConnectError};
use hdrhistogram::Histogram;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::driver::{Driver, Tally};
use crate::workload::{Distribution, KeySampler, KeySpace, ValueShape};

/// Requests that each thread draws beforehand.
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

fn load_range(driver: &mut Driver, range: std::ops::Range<u64>, progress: &Progress) {
    let mut fresh = range;
    let mut again = Vec::new();
    loop {
        while driver.has_room() {
            let Some(index) = again.pop().or_else(|| fresh.next()) else { break };
            if !driver.issue(index, false, None) {
                again.push(index);
                break;
            }
        }
        if driver.outstanding() == 0 && again.is_empty() && fresh.is_empty() {
            return;
        }
        driver.flush();
        let answered = driver.poll(POLL_WAIT, |index| again.push(index));
        progress.fetch_add(answered as u64, Ordering::Relaxed);
    }
}

/// Runs the workload and measures it.
///
/// # Errors
/// [`ConnectError`] when a server cannot be reached at the start.
pub(crate) fn run(phase: &Phase, progress: &Progress) -> Result<Measured, ConnectError> {
    let draws: Vec<Vec<Draw>> = (0..phase.threads as u64).map(|thread| draw(phase, thread)).collect();
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

/// A request as it was drawn: the index of its key, and whether it is a GET.
type Draw = (u64, bool);

/// What one thread asks for, again from the first when it comes to the last. Drawn beforehand, since a Zipf number costs as
/// much as a request.
fn draw(phase: &Phase, thread: u64) -> Vec<Draw> {
    let sampler = KeySampler::new(phase.keys, phase.distribution);
    let mut random = Xoshiro256PlusPlus::seed_from_u64(phase.seed ^ thread.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    (0..DRAW_COUNT)
        .map(|_| {
            let is_get = random.random_bool(phase.gets);
            (sampler.sample(&mut random), is_get)
        })
        .collect()
}

fn run_thread(driver: &mut Driver, phase: &Phase, draws: &[Draw], progress: &Progress) {
    let mut draws = draws.iter().cycle();
    let interval = phase.rate.map(|rate| Duration::from_secs_f64(phase.threads as f64 / rate));
    let started = Instant::now();
    let end = started + phase.duration;
    let mut due = started;
    loop {
        if !phase.pause.is_zero() && driver.outstanding() == 0 {
            thread::sleep(phase.pause);
        }
        let now = Instant::now();
        if now >= end && driver.outstanding() == 0 {
            return;
        }
        let mut wait = POLL_WAIT;
        while now < end && driver.has_room() {
            if interval.is_some() && due > now {
                wait = wait.min(due - now);
                break;
            }
            let Some(&(index, is_get)) = draws.next() else { break };
            if !driver.issue(index, is_get, interval.map(|_| due)) {
                break;
            }
            due += interval.unwrap_or_default();
        }
        if interval.is_some() {
            // Who comes at a rate does not wait for company.
            driver.flush();
        }
        let answered = driver.poll(wait, |_| {});
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
