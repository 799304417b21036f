//! One thread's requests in flight, and what became of them.

use std::time::Duration;

use client::{Answer, Config, ConnectError, Moment, Operation, Outcome, Pipeline, ResultCode, SubmitError};
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

    /// Counts an answer; whether its latency is one.
    #[inline]
    fn count(&mut self, request: Request, answer: &Answer<'_>, values: ValueShape) -> bool {
        let code = match answer.outcome {
            Outcome::Answered(code) => code,
            Outcome::TimedOut | Outcome::Unknown => {
                self.lost += 1;
                return false;
            }
        };
        match (request.is_get, code) {
            (true, ResultCode::Success) => match values.check(request.index, answer.value.unwrap_or_default()) {
                ValueCheck::Right => self.hits += 1,
                ValueCheck::Wrong => self.errors += 1,
            },
            (true, ResultCode::NotFound) => self.misses += 1,
            (false, ResultCode::Success) => self.stored += 1,
            (false, ResultCode::InsufficientSpace) => self.full += 1,
            _ => self.errors += 1,
        }
        true
    }
}

/// Answers in a row with one latency, as those of a frame are that was submitted at one moment. To record them together
/// takes as long as to record one.
#[derive(Debug, Default)]
struct Alike {
    latency: Duration,
    count: u64,
}

impl Alike {
    /// Takes one more, once the others are recorded if it differs.
    #[inline]
    fn add(&mut self, latency: Duration, into: &mut Histogram<u64>) {
        if latency != self.latency {
            self.record(into);
            self.latency = latency;
        }
        self.count += 1;
    }

    fn record(&mut self, into: &mut Histogram<u64>) {
        if self.count > 0 {
            into.saturating_record_n(nanos(self.latency), self.count);
            self.count = 0;
        }
    }
}

fn nanos(latency: Duration) -> u64 {
    u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX).max(1)
}

/// A request as it was drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    /// Of its key.
    pub(super) index: u64,
    pub(super) is_get: bool,
}

/// One thread's pipeline.
pub(super) struct Driver {
    pipeline: Pipeline,
    keys: KeySpace,
    values: ValueShape,
    sequence: u32,
    key: Box<[u8; KEY_LEN_MAX]>,
    value: Box<[u8; VALUE_LEN_MAX]>,
    /// When requests are submitted, and how many more count as submitted then.
    moment: Moment,
    moment_for: usize,
    pub(super) tally: Tally,
}

impl Driver {
    pub(super) fn connect(config: &Config, keys: KeySpace, values: ValueShape) -> Result<Self, ConnectError> {
        Ok(Self {
            pipeline: Pipeline::connect(config)?,
            keys,
            values,
            sequence: 0,
            key: Box::new([0; KEY_LEN_MAX]),
            value: Box::new([0; VALUE_LEN_MAX]),
            moment: Moment::default(),
            moment_for: 0,
            tally: Tally::new(),
        })
    }

    /// How many more requests can be issued.
    pub(super) fn room(&self) -> usize {
        self.pipeline.window_room()
    }

    pub(super) fn outstanding(&self) -> usize {
        self.pipeline.outstanding()
    }

    /// Issues a request; `false` when there was no room after all.
    ///
    /// The clock is read once for as many requests as a frame has, as `bench peer` reads it for a command.
    #[inline]
    pub(super) fn issue(&mut self, tag: u64, Request { index, is_get }: Request) -> bool {
        if self.moment_for == 0 {
            self.moment = self.pipeline.now();
            self.moment_for = self.pipeline.config().requests_per_frame;
        }
        self.moment_for -= 1;
        let key = self.keys.encode(index, &mut self.key);
        let submitted = if is_get {
            self.pipeline.submit_at(self.moment, key, Operation::Get, tag)
        } else {
            self.sequence = self.sequence.wrapping_add(1);
            let value = self.values.encode(index, self.sequence, &mut self.value);
            self.pipeline.submit_at(self.moment, key, Operation::Set { value, ttl: None }, tag)
        };
        match submitted {
            Ok(()) => true,
            Err(SubmitError::Full) => false,
            Err(_) => {
                self.tally.errors += 1;
                true
            }
        }
    }

    /// Sends and receives. `request_of` tells what a tag stands for, and `latency_of` what counts as its latency in place of that
    /// since its submission; `unfinished` is told the tag of each SET that got no answer. How many answers came.
    pub(super) fn poll(
        &mut self,
        wait: Duration,
        request_of: impl Fn(u64) -> Request,
        latency_of: impl Fn(u64, Duration) -> Duration,
        mut unfinished: impl FnMut(u64),
    ) -> usize {
        let Self { pipeline, tally, values, moment_for, .. } = self;
        *moment_for = 0;
        let mut alike = Alike::default();
        let answered = pipeline.poll(wait, &mut |answer| {
            let request = request_of(answer.tag);
            if !request.is_get && !matches!(answer.outcome, Outcome::Answered(_)) {
                unfinished(answer.tag);
            }
            if tally.count(request, &answer, *values) {
                alike.add(latency_of(answer.tag, answer.latency), &mut tally.latency);
            }
        });
        alike.record(&mut tally.latency);
        answered
    }

    pub(super) fn flush(&mut self) {
        self.pipeline.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_recorded_as_if_one_by_one() {
        let latencies = [5, 5, 5, 7, 5, 0, 0, 90_000_000].map(Duration::from_micros);
        let (mut together, mut one_by_one) = (Tally::new().latency, Tally::new().latency);
        let mut alike = Alike::default();
        for latency in latencies {
            alike.add(latency, &mut together);
            one_by_one.saturating_record(nanos(latency));
        }
        alike.record(&mut together);
        assert_eq!(together, one_by_one);
        assert_eq!(together.len(), 8);
    }
}
