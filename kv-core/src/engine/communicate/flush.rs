//! When a batch leaves.
//!
//! A batch leaves when it is long enough, when nothing else is in flight, or when it has waited long enough for company.
//! What is long enough, the core finds out while it runs ([`FlushLaw::Adaptive`]), from what it sees itself: how long its
//! batches are under way, and how much of its time it works.
//!
//! ```text
//! gap    = R / 5 + gain * excess, at most flush_us
//! gain   = max(3, 14 * (1 - load))
//! excess = mean of max(0, round trip - 9/8 * R)
//! ```
//!
//! The gap is the least time between two departures, so that a request that comes after a pause leaves at once. R is the
//! least round trip of the epoch, what a batch takes when nothing is in its way.
//!
//! * **There is always a gap**, so that what a batch costs beside its requests is not paid five times in one round trip.
//! * **Batches that take longer than they could** wait somewhere: for the copy engine, for PCIe, or for a host core that has
//!   other queue pairs as well. Each of them costs that place something beside its requests, so fewer of them make all
//!   faster. With a queue in which batches wait for Q, the sum of both waits is least for a gap of some times Q.
//! * **A core that works most of its time gains less**, since it is itself what its requests wait for: its gap is shorter.
//! * **Its own delay counts for nothing.** A batch left before the turn ended in which it was sent, and its answer was not there
//!   when the turn before this one looked for it. Only what lies between these two moments is certain, and only that is
//!   compared with R. An eighth of R is what a longer batch takes longer.
//!
//! No gap can feed itself for long: as soon as nothing is in flight, a batch leaves whatever the gap, and it does so
//! before the answers that have come are handed out, which takes as long as they are many. So the longest gap is stop and
//! wait. The numbers were found with `cargo run --release -p sim --example flush_sweep`, which compares them with fixed waits.

use arch::{Tick, TickRate};

use crate::ring::SLOT_COUNT_MAX;

/// The whole of a share.
const WHOLE: u64 = 1 << 16;

/// Microseconds over which the load is averaged: some round trips, so that it is right before the load has changed again.
const LOAD_MEMORY_US: u64 = 50;

/// What part of the shortest round trip lies between two departures at least.
const GAP_PART: u64 = 5;

/// So many times what round trips take longer than they could lies between two departures, on a core without work.
const GAIN_IDLE: u64 = 14;

/// The same on a core that always works.
const GAIN_BUSY: u64 = 3;

/// What part of the shortest round trip others may take longer: longer batches do.
const SLACK_PART: u64 = 8;

/// What one batch takes longer counts up to so many shortest round trips: a host core may have slept.
const EXCESS_MAX: u64 = 4;

/// Batches over which the excess is averaged.
const SAMPLE_COUNT: u64 = 16;

/// How a batch's wait is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushLaw {
    /// It is always the same.
    Fixed,
    /// It follows what round trips take and how busy the core is.
    Adaptive,
}

/// When a batch that is not full is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushPolicy {
    /// A batch of this many bytes is sent at once. Above 1 KiB a copy gains little and PCIe latency grows (the paper's
    /// measurement with `dual`).
    pub len: usize,
    /// While other batches are in flight, a smaller one waits for company this long, in ticks, or at most so long if the
    /// law is adaptive. With none in flight it never waits.
    pub ticks: u64,
    /// Whether it always waits so long.
    pub law: FlushLaw,
}

/// How many slots have come how far, ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// Given to the copy engine.
    pub(super) sent: u32,
    /// Answered.
    pub(super) answered: u32,
}

/// Between which moments a slot left.
#[derive(Clone, Copy, Debug, Default)]
struct Departure {
    earliest: Tick,
    latest: Tick,
}

/// Decides when batches leave, from what it is told of each turn.
#[derive(Debug)]
pub(super) struct Flush {
    policy: FlushPolicy,
    load: Load,
    /// When the turn before this one began.
    before: Tick,
    /// Slots whose earliest departure is known, ever.
    sent: u32,
    /// Slots whose latest departure is known, too, ever.
    left: u32,
    /// Those of the slots in flight, by the end of their sequence number.
    departures: [Departure; SLOT_COUNT_MAX as usize],
    /// The last of them.
    last_departure: Tick,
    round_trip: RoundTrip,
}

impl Flush {
    pub(super) fn new(policy: FlushPolicy, rate: TickRate) -> Self {
        Self {
            policy,
            load: Load { share: 0, memory: rate.ticks_in_us(LOAD_MEMORY_US).max(1), last: Tick(0), has_worked: false },
            before: Tick(0),
            sent: 0,
            left: 0,
            departures: [Departure::default(); SLOT_COUNT_MAX as usize],
            last_departure: Tick(0),
            round_trip: RoundTrip::default(),
        }
    }

    /// Begins an epoch: nothing is in flight, and nothing is known of its round trips.
    pub(super) fn attach(&mut self) {
        (self.sent, self.left) = (0, 0);
        self.round_trip = RoundTrip::default();
    }

    /// Whether a batch of this many bytes is long enough.
    pub(super) fn is_full(&self, len: usize) -> bool {
        len >= self.policy.len
    }

    /// Whether a batch that has held requests since then has waited long enough for company.
    pub(super) fn is_due(&self, since: Tick, now: Tick) -> bool {
        match self.policy.law {
            FlushLaw::Fixed => now.since(since) >= self.policy.ticks,
            FlushLaw::Adaptive => now.since(self.last_departure) >= self.gap(),
        }
    }

    /// How long after another batch the next one leaves, in ticks. The first round trip of an epoch shows what one takes.
    fn gap(&self) -> u64 {
        let Some(least) = self.round_trip.least else { return 0 };
        let gain = (GAIN_IDLE * WHOLE.saturating_sub(self.load.share)).max(GAIN_BUSY * WHOLE);
        let for_excess = self.round_trip.excess().saturating_mul(gain) / WHOLE;
        (least / GAP_PART).saturating_add(for_excess).min(self.policy.ticks)
    }

    /// A turn begins, and the one before it has ended.
    pub(super) fn begin_turn(&mut self, now: Tick) {
        self.before = self.load.last;
        self.load.begin_turn(now);
        self.end_departures(now);
    }

    /// Slots up to `sent` left when the turn that began at `now` had only looked for answers.
    pub(super) fn left_early(&mut self, sent: u32, now: Tick) {
        if self.policy.law == FlushLaw::Adaptive {
            self.begin_departures(sent, now);
            self.end_departures(now);
        }
    }

    /// A turn that began at `now` ends.
    pub(super) fn end_turn(&mut self, has_worked: bool, progress: Progress, now: Tick) {
        self.load.has_worked = has_worked;
        if self.policy.law == FlushLaw::Fixed {
            return;
        }
        // What is answered in this turn was sent in an earlier one.
        while self.round_trip.answered != progress.answered && self.round_trip.answered != self.left {
            self.round_trip.answered = self.round_trip.answered.wrapping_add(1);
            let departure = self.departures.get((self.round_trip.answered % SLOT_COUNT_MAX) as usize);
            if let Some(&Departure { earliest, latest }) = departure {
                self.round_trip.add(now.since(earliest), self.before.since(latest));
            }
        }
        self.begin_departures(progress.sent, now);
    }

    fn begin_departures(&mut self, sent: u32, now: Tick) {
        while self.sent != sent {
            self.sent = self.sent.wrapping_add(1);
            if let Some(departure) = self.departures.get_mut((self.sent % SLOT_COUNT_MAX) as usize) {
                departure.earliest = now;
            }
        }
    }

    fn end_departures(&mut self, now: Tick) {
        while self.left != self.sent {
            self.left = self.left.wrapping_add(1);
            self.last_departure = now;
            if let Some(departure) = self.departures.get_mut((self.left % SLOT_COUNT_MAX) as usize) {
                departure.latest = now;
            }
        }
    }
}

/// How much of the recent time the core has worked.
#[derive(Debug)]
struct Load {
    /// Of [`WHOLE`].
    share: u64,
    /// Ticks over which it is averaged.
    memory: u64,
    last: Tick,
    /// Whether the turn that began then found work, and so took the time until now.
    has_worked: bool,
}

impl Load {
    fn begin_turn(&mut self, now: Tick) {
        let passed = now.since(self.last).min(self.memory);
        let worked = if self.has_worked { WHOLE * passed } else { 0 };
        self.share = (self.share * (self.memory - passed) + worked) / self.memory;
        self.last = now;
    }
}

/// How long batches are under way.
#[derive(Debug, Default)]
struct RoundTrip {
    /// The last slot that was answered.
    answered: u32,
    /// The least of the epoch.
    least: Option<u64>,
    /// By how much it is exceeded, times [`SAMPLE_COUNT`].
    excess_sum: u64,
}

impl RoundTrip {
    /// Takes in a round trip of at most and at least so many ticks.
    fn add(&mut self, most: u64, certain: u64) {
        let least = self.least.map_or(most, |least| least.min(most));
        self.least = Some(least);
        let excess = certain.saturating_sub(least.saturating_add(least / SLACK_PART));
        self.excess_sum -= self.excess_sum / SAMPLE_COUNT;
        self.excess_sum = self.excess_sum.saturating_add(excess.min(least.saturating_mul(EXCESS_MAX)));
    }

    fn excess(&self) -> u64 {
        self.excess_sum / SAMPLE_COUNT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: u64 = 1_000_000;

    fn flush(law: FlushLaw, ticks: u64) -> Flush {
        // A tick is a nanosecond.
        Flush::new(FlushPolicy { len: 1024, ticks, law }, TickRate::from_hz(1_000_000_000).expect("not zero"))
    }

    fn turn(flush: &mut Flush, now: u64, has_worked: bool, progress: Progress) {
        flush.begin_turn(Tick(now));
        flush.end_turn(has_worked, progress, Tick(now));
    }

    /// Sends `count` batches one after the other, whose answers take so many ticks and are looked for all the time, with so
    /// many ticks of work between idle turns.
    fn play(flush: &mut Flush, count: u32, answer: u64, work: u64) {
        let mut now = flush.load.last.0 + LONG;
        for _ in 0..count {
            let before = Progress { sent: flush.sent, answered: flush.round_trip.answered };
            let sent = Progress { sent: flush.sent.wrapping_add(1), ..before };
            let answered = Progress { answered: sent.sent, ..sent };
            turn(flush, now, false, sent);
            turn(flush, now, false, sent);
            turn(flush, now + answer, false, sent);
            turn(flush, now + answer, false, answered);
            now += answer + 1_000;
            turn(flush, now, work > 0, answered);
            now += work;
            turn(flush, now, false, answered);
        }
    }

    #[test]
    fn a_fixed_wait_is_always_the_same() {
        let mut flush = flush(FlushLaw::Fixed, 5_000);
        for _ in 0..2 {
            assert!(!flush.is_due(Tick(LONG), Tick(LONG + 4_999)) && flush.is_due(Tick(LONG), Tick(LONG + 5_000)));
            play(&mut flush, 100, 3_500, 100_000);
        }
    }

    #[test]
    fn batches_that_nothing_is_in_the_way_of_leave_a_fifth_of_a_round_trip_apart() {
        let mut flush = flush(FlushLaw::Adaptive, LONG);
        assert_eq!(flush.gap(), 0, "nothing is known yet");
        play(&mut flush, 100, 3_500, 0);
        assert_eq!(flush.gap(), 700);
        play(&mut flush, 100, 3_900, 0);
        assert_eq!(flush.gap(), 700, "longer batches take longer");
    }

    #[test]
    fn a_gap_begins_with_the_last_departure_and_not_with_the_first_request() {
        let mut flush = flush(FlushLaw::Adaptive, LONG);
        play(&mut flush, 1, 3_500, 0);
        let last = flush.last_departure.0;
        let at = |after: u64| Tick(last + after);
        assert!(!flush.is_due(at(600), at(699)) && flush.is_due(at(600), at(700)));
        assert!(flush.is_due(at(9_000), at(9_000)), "after a pause nothing waits");
    }

    #[test]
    fn slow_round_trips_let_batches_wait_some_times_as_long_as_they_are_slower() {
        let mut flush = flush(FlushLaw::Adaptive, LONG);
        play(&mut flush, 10, 3_200, 0);
        play(&mut flush, 200, 4_600, 0);
        let gap = flush.gap();
        assert!((640 + 14 * 950..=640 + 14 * 1_000).contains(&gap), "{gap}: 1000 more than 9/8 of 3200");
        play(&mut flush, 200, 4_600, LONG);
        let gap = flush.gap();
        assert!((640 + 3 * 950..=640 + 3 * 1_000).contains(&gap), "{gap} on a busy core");
        play(&mut flush, 200, 3_200, 0);
        assert_eq!(flush.gap(), 640, "shorter again when they are fast again");
    }

    #[test]
    fn what_the_core_may_have_missed_itself_counts_for_nothing() {
        let mut flush = flush(FlushLaw::Adaptive, LONG);
        play(&mut flush, 10, 3_200, 0);
        for _ in 0..100 {
            let now = flush.load.last.0 + LONG;
            let answered = Progress { sent: flush.sent, answered: flush.round_trip.answered };
            let sent = Progress { sent: flush.sent.wrapping_add(1), ..answered };
            // It sends at some time in a long turn, and looks again after another one.
            turn(&mut flush, now, true, sent);
            turn(&mut flush, now + 20_000, true, sent);
            turn(&mut flush, now + 40_000, false, Progress { answered: sent.sent, ..sent });
        }
        assert_eq!(flush.gap(), 640);
    }

    #[test]
    fn what_leaves_early_in_a_turn_is_under_way_from_then_on() {
        let mut flush = flush(FlushLaw::Adaptive, LONG);
        play(&mut flush, 10, 3_200, 0);
        for _ in 0..200 {
            let now = flush.load.last.0 + LONG;
            let sent = Progress { sent: flush.sent.wrapping_add(1), answered: flush.round_trip.answered };
            flush.begin_turn(Tick(now));
            flush.left_early(sent.sent, Tick(now));
            flush.end_turn(true, sent, Tick(now));
            turn(&mut flush, now + 4_600, false, sent);
            turn(&mut flush, now + 4_600, false, Progress { answered: sent.sent, ..sent });
        }
        let excess = flush.round_trip.excess();
        assert!((950..=1_000).contains(&excess), "{excess}");
    }

    #[test]
    fn no_gap_is_longer_than_configured_and_none_remembers_a_host_that_slept_for_long() {
        let mut bounded = flush(FlushLaw::Adaptive, 700);
        let mut free = flush(FlushLaw::Adaptive, LONG);
        for flush in [&mut bounded, &mut free] {
            play(flush, 8, 3_200, 0);
            play(flush, 1, 50 * LONG, 0);
        }
        assert_eq!((bounded.gap(), free.gap()), (700, 640 + 14 * 4 * 3_200 / SAMPLE_COUNT));
    }

    #[test]
    fn sequence_numbers_are_counted_across_their_wrap() {
        let mut flush = flush(FlushLaw::Adaptive, LONG);
        flush.sent = u32::MAX - 3;
        (flush.left, flush.round_trip.answered) = (flush.sent, flush.sent);
        play(&mut flush, 8, 3_500, 0);
        assert_eq!((flush.sent, flush.left, flush.round_trip.least), (4, 4, Some(3_500)));
    }

    #[test]
    fn a_new_epoch_knows_nothing_of_the_old_ones_round_trips() {
        let mut flush = flush(FlushLaw::Adaptive, LONG);
        play(&mut flush, 8, 200, 0);
        flush.attach();
        play(&mut flush, 8, 3_500, 0);
        assert_eq!((flush.gap(), flush.round_trip.least), (700, Some(3_500)));
    }
}
