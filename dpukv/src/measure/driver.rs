//! One thread's requests in flight, and what became of them.

use std::time::{Duration, Instant};

use client::{Answer, Config, ConnectError, Operation, Outcome, Pipeline, ResultCode, SubmitError};
use hdrhistogram::Histogram;
use qp_wire::limits::{KEY_LEN_MAX, VALUE_LEN_MAX};

use crate::workload::{KeySpace, ValueCheck, ValueShape};

/// Longest latency that is told apart, in nanoseconds: a minute.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// What answers came to.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) stored: u64,
    /// SETs that found the store full.
    pub(super) full: u64,
    /// Requests that got no answer in time.
    pub(super) lost: u64,
    /// Wrong values and unexpected results.
    pub(super) errors: u64,
    /// Nanoseconds.
    pub(super) latency: Histogram<u64>,
}

impl Tally {
    pub(super) fn new() -> Self {
        let latency = Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("constant bounds are valid");
        Self { hits: 0, misses: 0, stored: 0, full: 0, lost: 0, errors: 0, latency }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.hits += other.hits;
        self.misses += other.misses;
        self.stored += other.stored;
        self.full += other.full;
        self.lost += other.lost;
        self.errors += other.errors;
        self.latency.add(&other.latency).expect("both histograms have the same bounds");
    }

    pub(super) fn answered(&self) -> u64 {
        self.hits + self.misses + self.stored + self.full + self.errors
    }

    fn record(&mut self, issued: &Issued, answer: &Answer<'_>, values: ValueShape) {
        let code = match answer.outcome {
            Outcome::Answered(code) => code,
            Outcome::TimedOut | Outcome::Unknown => {
                self.lost += 1;
                return;
            }
        };
        match (issued.is_get, code) {
            (true, ResultCode::Success) => match values.check(issued.index, answer.value.unwrap_or_default()) {
                ValueCheck::Right => self.hits += 1,
                ValueCheck::Wrong => self.errors += 1,
            },
            (true, ResultCode::NotFound) => self.misses += 1,
            (false, ResultCode::Success) => self.stored += 1,
            (false, ResultCode::InsufficientSpace) => self.full += 1,
            _ => self.errors += 1,
        }
        let latency = issued.due.map_or(answer.latency, |due| due.elapsed());
        self.latency.saturating_record(nanos(latency));
    }
}

fn nanos(latency: Duration) -> u64 {
    u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX).max(1)
}

#[derive(Clone, Copy, Debug)]
struct Issued {
    index: u64,
    is_get: bool,
    /// When it should have been sent; `None` where that is when it was.
    due: Option<Instant>,
}

/// One thread's pipeline.
pub(super) struct Driver {
    pipeline: Pipeline,
    keys: KeySpace,
    values: ValueShape,
    issued: Vec<Issued>,
    free: Vec<u32>,
    sequence: u32,
    key: Box<[u8; KEY_LEN_MAX]>,
    value: Box<[u8; VALUE_LEN_MAX]>,
    pub(super) tally: Tally,
}

impl Driver {
    pub(super) fn connect(config: &Config, keys: KeySpace, values: ValueShape) -> Result<Self, ConnectError> {
        let slots = u32::try_from(config.window).unwrap_or(u32::MAX);
        Ok(Self {
            pipeline: Pipeline::connect(config)?,
            keys,
            values,
            issued: vec![Issued { index: 0, is_get: false, due: None }; config.window],
            free: (0..slots).collect(),
            sequence: 0,
            key: Box::new([0; KEY_LEN_MAX]),
            value: Box::new([0; VALUE_LEN_MAX]),
            tally: Tally::new(),
        })
    }

    /// Whether another request can be issued.
    pub(super) fn has_room(&self) -> bool {
        !self.free.is_empty() && self.pipeline.window_room() > 0
    }

    pub(super) fn outstanding(&self) -> usize {
        self.pipeline.outstanding()
    }

    /// Issues a request; `false` when there was no room after all.
    pub(super) fn issue(&mut self, index: u64, is_get: bool, due: Option<Instant>) -> bool {
        let Some(slot) = self.free.pop() else { return false };
        let key = self.keys.encode(index, &mut self.key);
        let operation = if is_get {
            Operation::Get
        } else {
            self.sequence = self.sequence.wrapping_add(1);
            Operation::Set { value: self.values.encode(index, self.sequence, &mut self.value), ttl: None }
        };
        match self.pipeline.submit(key, operation, u64::from(slot)) {
            Ok(()) => {
                self.issued[slot as usize] = Issued { index, is_get, due };
                true
            }
            Err(SubmitError::Full) => {
                self.free.push(slot);
                false
            }
            Err(_) => {
                self.free.push(slot);
                self.tally.errors += 1;
                true
            }
        }
    }

    /// Sends and receives; `unfinished` is told the index of each SET that got no answer. How many answers came.
    pub(super) fn poll(&mut self, wait: Duration, mut unfinished: impl FnMut(u64)) -> usize {
        let Self { pipeline, issued, free, tally, values, .. } = self;
        pipeline.poll(wait, &mut |answer| {
            let request = &issued[answer.tag as usize];
            if !request.is_get && !matches!(answer.outcome, Outcome::Answered(_)) {
                unfinished(request.index);
            }
            tally.record(request, &answer, *values);
            free.push(answer.tag as u32);
        })
    }

    pub(super) fn flush(&mut self) {
        self.pipeline.flush();
    }
}
