//! The client core of `bench frames`: closed loops, which ask as fast as answers come, open ones, which ask at a rate, and
//! floods, which ask at a rate beyond what they could write and check, in frames that were written before.

use std::time::{Duration, Instant};

use arch::Tick;
use client::frames::{FrameAnswer, FrameClient, FrameClientConfig, FrameDirectory, FrameSubmitError, PreparedFrames};
use hdrhistogram::Histogram;
use kv_core::port::BURST_COUNT_MAX;
use qp_wire::net::Local;
use qp_wire::{Opcode, ResultCode};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use shell_io::clock::MonotonicClock;
use shell_io::port::dpdk::{self, DpdkConfig, DpdkPort};

use super::Args;
use crate::exit::Failure;

/// How long a server is asked whether it is there.
const PROBE_PATIENCE: Duration = Duration::from_secs(30);

/// Longest latency that is told apart, in ticks. Nothing is waited for longer than a time-out or so.
const LATENCY_TICKS_MAX: u64 = 1_000_000_000;

/// Frames in the client's pool at most, however large its window is: what is beyond is in nobody's queue.
const FRAMES_MAX: u32 = 8192;

/// Requests outstanding at most in an open loop: what a server loses takes a place until its time is up.
const OPEN_WINDOW: u16 = u16::MAX - 1;

/// Samples drawn beforehand for each run: drawing must not cost what is measured.
const SAMPLE_COUNT: usize = 1 << 22;

/// Requests written beforehand for a flood. They come again and again, so they are many: their lines of the table must not
/// stay in a cache.
const PREPARED_COUNT: usize = 1 << 21;

/// Nothing is under way when no answer has come for so long.
const SILENCE: Duration = Duration::from_millis(100);

/// What answers came to.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) offered: u64,
    /// Of these, how many the port took, as far as that was counted.
    pub(super) sent: u64,
    pub(super) answered: u64,
    pub(super) misses: u64,
    pub(super) timed_out: u64,
    pub(super) errors: u64,
    pub(super) latency_ticks: Histogram<u64>,
}

impl Tally {
    pub(super) fn new() -> Self {
        let latency_ticks = Histogram::new_with_bounds(1, LATENCY_TICKS_MAX, 2).expect("constant bounds are valid");
        Self { offered: 0, sent: 0, answered: 0, misses: 0, timed_out: 0, errors: 0, latency_ticks }
    }

    fn record(&mut self, answer: &FrameAnswer<'_>) {
        if answer.result == ResultCode::TimedOut {
            self.timed_out += 1;
        } else {
            self.count(answer.result);
            self.latency_ticks.saturating_record(answer.ticks);
        }
    }

    fn count(&mut self, result: ResultCode) {
        match result {
            ResultCode::Success => {}
            ResultCode::NotFound => self.misses += 1,
            _ => self.errors += 1,
        }
        self.answered += 1;
    }
}

/// What is asked for.
#[derive(Debug)]
pub(super) struct Requests {
    samples: Vec<u64>,
    next: usize,
    random: Xoshiro256PlusPlus,
    /// Of 2^32, how many are GETs.
    gets: u32,
}

impl Requests {
    /// Keys as `draw` gives them.
    pub(super) fn new(seed: u64, draw: impl Fn(&mut Xoshiro256PlusPlus) -> u64) -> Self {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let samples = (0..SAMPLE_COUNT).map(|_| draw(&mut random)).collect();
        Self { samples, next: 0, random, gets: u32::MAX }
    }

    /// The share of GETs from now on; the samples begin elsewhere, so that no two runs are the same.
    pub(super) fn begin(&mut self, gets: f64) {
        self.gets = (gets * f64::from(u32::MAX)) as u32;
        self.next = self.random.random_range(0..self.samples.len());
    }

    fn next(&mut self) -> (bool, u64) {
        self.next = if self.next + 1 < self.samples.len() { self.next + 1 } else { 0 };
        let is_get = self.gets == u32::MAX || self.random.random::<u32>() < self.gets;
        (is_get, self.samples[self.next])
    }
}

/// What is due at a rate.
struct Schedule {
    ticks_each: f64,
    /// How many were due so far.
    due: u64,
}

impl Schedule {
    /// Whole frames that have become due, and the tick at which the first one's first request was, counted from the start.
    fn frames_until(&mut self, elapsed: u64, requests_per_frame: u64) -> (u64, f64) {
        let frame_count = ((elapsed as f64 / self.ticks_each) as u64).saturating_sub(self.due) / requests_per_frame;
        let first = self.due as f64 * self.ticks_each;
        self.due += frame_count * requests_per_frame;
        (frame_count, first)
    }
}

/// A client core at its port.
pub(super) struct Load {
    client: FrameClient<DpdkPort>,
    clock: MonotonicClock,
    /// Requests outstanding at most in a closed loop.
    window: usize,
    requests_per_frame: usize,
}

impl Load {
    pub(super) fn open(args: &Args, server: FrameDirectory) -> Result<Self, Failure> {
        let usage = |error: &dyn std::fmt::Display| Failure::Usage(error.to_string());
        let clock = MonotonicClock::start().map_err(|error| usage(&error))?;
        let opened = dpdk::open(&DpdkConfig {
            device: args.device()?,
            eal: Vec::new(),
            core_count: 1,
            queue_count_max: 1,
            first_udp_port: 0,
            buffers: (2 * u32::from(args.window)).min(FRAMES_MAX),
            payload_len_max: 1472,
            huge_pages: !args.no_huge_pages,
            interrupts: false,
        });
        let opened = opened.map_err(|error| usage(&error))?;
        let local = Local { mac: opened.mac, ipv4: args.address, port: 0 };
        let ports = opened.ports.into_iter().map(|port| (port, local));
        let config = FrameClientConfig {
            window: if args.has_open_loop() { OPEN_WINDOW } else { args.window },
            timeout_us: args.timeout_us,
            ..FrameClientConfig::new(args.wire.wire(), args.requests_per_frame)
        };
        let client = FrameClient::new(ports, server, config, clock.rate());
        let mut load =
            Self { client, clock, window: args.window.into(), requests_per_frame: args.requests_per_frame.into() };
        load.connect(args)?;
        Ok(load)
    }

    fn connect(&mut self, args: &Args) -> Result<(), Failure> {
        let start = Instant::now();
        while start.elapsed() < PROBE_PATIENCE {
            self.client.probe();
            let probed = Instant::now();
            while probed.elapsed() < Duration::from_millis(200) {
                self.client.poll(self.clock.now(), &mut |_| {});
                if self.client.is_connected() {
                    return Ok(());
                }
            }
        }
        Err(Failure::Usage(format!("no answer to probes at all of {} endpoints within 30 s", args.endpoint.len())))
    }

    /// Stores every key, and again what got no answer.
    pub(super) fn store(&mut self, count: u64) -> Result<(), Failure> {
        let (mut fresh, mut again, mut errors) = (0..count, Vec::new(), 0u64);
        loop {
            while self.room() > 0
                && let Some(index) = again.pop().or_else(|| fresh.next())
            {
                if self.submit(self.clock.now(), false, index, index).is_err() {
                    again.push(index);
                    break;
                }
            }
            let now = self.clock.now();
            self.client.flush(now);
            self.client.poll(now, &mut |answer| match answer.result {
                ResultCode::TimedOut => again.push(answer.tag),
                ResultCode::Success => {}
                _ => errors += 1,
            });
            if fresh.is_empty() && again.is_empty() && self.client.outstanding() == 0 {
                break;
            }
        }
        if errors > 0 {
            return Err(Failure::Usage(format!(
                "{errors} of {count} keys cannot be stored: give the server more memory"
            )));
        }
        Ok(())
    }

    /// Microseconds of so many ticks.
    pub(super) fn us(&self, ticks: u64) -> f64 {
        self.clock.rate().ns(ticks) as f64 / 1e3
    }

    /// Frames that the port did not take so far.
    pub(super) fn unsent(&self) -> u64 {
        self.client.counts().unsent
    }

    /// How many more requests a closed loop submits.
    fn room(&self) -> usize {
        self.window.saturating_sub(self.client.outstanding())
    }

    fn submit(&mut self, now: Tick, is_get: bool, index: u64, tag: u64) -> Result<(), FrameSubmitError> {
        let key = index.to_le_bytes();
        let (opcode, value): (_, &[u8]) = if is_get { (Opcode::Get, &[]) } else { (Opcode::Set, &key) };
        self.client.submit(now, opcode, &key, value, tag)
    }

    /// As many requests as may be outstanding, for so many seconds. Returns how many millions a second were answered, the
    /// last ones included.
    pub(super) fn closed_loop(&mut self, seconds: f64, requests: &mut Requests, tally: &mut Tally) -> f64 {
        let started = self.clock.now();
        let (ticks, before) = (self.ticks(seconds), tally.answered);
        loop {
            let now = self.clock.now();
            let is_over = now.since(started) >= ticks;
            if is_over && self.client.outstanding() == 0 {
                return self.mops(tally.answered - before, now.since(started));
            }
            // A burst of frames at a time, lest answers wait for all of a window to be written.
            let room = if is_over { 0 } else { self.room().min(BURST_COUNT_MAX * self.requests_per_frame) };
            for _ in 0..room {
                let (is_get, index) = requests.next();
                if self.submit(now, is_get, index, 0).is_err() {
                    break;
                }
                tally.offered += 1;
            }
            if is_over || self.room() == 0 {
                self.client.flush(now);
            }
            self.client.poll(self.clock.now(), &mut |answer| tally.record(&answer));
        }
    }

    /// So many requests a second, whether they are answered or not, each timed from the moment at which it was due. What
    /// this core does not get to in time is not offered. Returns how many millions a second were answered meanwhile.
    pub(super) fn open_loop(&mut self, seconds: f64, mops: f64, requests: &mut Requests, tally: &mut Tally) -> f64 {
        let started = self.clock.now();
        let (ticks, mut schedule, before) = (self.ticks(seconds), self.schedule(mops), tally.answered);
        let answered = loop {
            let now = self.clock.now();
            let elapsed = now.since(started);
            if elapsed >= ticks {
                break self.mops(tally.answered - before, elapsed);
            }
            // Whole frames, and no more than a burst of them before answers are looked at.
            let (frame_count, first) = schedule.frames_until(elapsed, self.requests_per_frame as u64);
            for index in 0..frame_count.min(BURST_COUNT_MAX as u64) * self.requests_per_frame as u64 {
                let (is_get, key) = requests.next();
                let due = Tick(started.0 + (first + index as f64 * schedule.ticks_each) as u64);
                tally.offered += u64::from(self.submit(due, is_get, key, 0).is_ok());
            }
            if frame_count > 0 {
                self.client.flush(now);
            }
            self.client.poll(self.clock.now(), &mut |answer| tally.record(&answer));
        };
        // What is under way is out of the way of the next run.
        while self.client.outstanding() > 0 {
            self.client.poll(self.clock.now(), &mut |answer| tally.record(&answer));
        }
        answered
    }

    /// Frames for [`flood`](Self::flood).
    pub(super) fn prepare(&mut self, requests: &mut Requests) -> PreparedFrames {
        let asked = (0..PREPARED_COUNT).map(|_| {
            let (is_get, index) = requests.next();
            let key = index.to_le_bytes();
            if is_get { (Opcode::Get, key, Vec::new()) } else { (Opcode::Set, key, key.to_vec()) }
        });
        self.client.prepare(asked).expect("8 bytes fit a frame")
    }

    /// So many requests a second in prepared frames, whether the port takes them or not. What this core does not get to in
    /// time is not offered. Returns how many millions a second were answered meanwhile.
    pub(super) fn flood(&mut self, seconds: f64, mops: f64, frames: &mut PreparedFrames, tally: &mut Tally) -> f64 {
        // A closed loop before may have given up what is answered late.
        self.hear_out(&mut |_| {});
        let started = self.clock.now();
        let (ticks, mut schedule, before) = (self.ticks(seconds), self.schedule(mops), tally.answered);
        let answered = loop {
            let elapsed = self.clock.now().since(started);
            if elapsed >= ticks {
                break self.mops(tally.answered - before, elapsed);
            }
            let (frame_count, _) = schedule.frames_until(elapsed, self.requests_per_frame as u64);
            let (offered, sent) = self.client.flood(frames, frame_count as usize);
            tally.offered += (offered * self.requests_per_frame) as u64;
            tally.sent += (sent * self.requests_per_frame) as u64;
            self.client.hear(&mut |result| tally.count(result));
        };
        self.hear_out(&mut |result| tally.count(result));
        answered
    }

    /// Takes answers until none comes any more.
    fn hear_out(&mut self, on_result: &mut impl FnMut(ResultCode)) {
        let mut heard = Instant::now();
        while heard.elapsed() < SILENCE {
            if self.client.hear(on_result) > 0 {
                heard = Instant::now();
            }
        }
    }

    fn ticks(&self, seconds: f64) -> u64 {
        (seconds * self.clock.rate().hz() as f64) as u64
    }

    fn schedule(&self, mops: f64) -> Schedule {
        Schedule { ticks_each: self.clock.rate().hz() as f64 / (mops * 1e6), due: 0 }
    }

    fn mops(&self, count: u64, ticks: u64) -> f64 {
        count as f64 * 1e3 / self.clock.rate().ns(ticks) as f64
    }
}
