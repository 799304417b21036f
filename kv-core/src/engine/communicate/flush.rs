//! When a batch leaves.
//!
//! A batch leaves when it is long enough, when nothing else is in flight, or when it has waited long enough for company.
//! What is long enough, the core finds out while it runs ([`FlushLaw::Adaptive`]). Waiting pays in two cases, and only
//! then:
//!
//! * **The core is busy.** What a batch costs beside its requests is time that others wait for. The more of the time it
//!   works, the longer batches wait: nothing up to 30 % ([`LOAD_FREE`]), then up to a quarter of the shortest round trip
//!   ([`LOAD_PART`]).
//! * **Copies take longer than they could.** The copy engine or PCIe has too much to do, of this core or of others; fewer
//!   copies make all faster. Batches wait three times as long as copies take longer ([`EXCESS_GAIN`]).
//!
//! ```text
//! wait = min(round trip / 4 * max(0, load - 0.3) + 3 * (copy - shortest copy), 1.2 * round trip, flush_us)
//! ```
//!
//! Round trip and shortest copy are the least of the epoch: what a batch takes when nothing is in its way. The copy's
//! present time is the least of [`SAMPLE_COUNT`] batches, so that a core that looks late at one of them does not take
//! its own delay for the engine's. Waits are bounded by what a batch takes anyway ([`WAIT_PART_MAX`]): near saturation,
//! where delays have many causes, no wait feeds itself.
//!
//! With copies that end at once, as in shared memory, batches wait for the load alone. The numbers were found with
//! `cargo run -p sim --example flush_sweep`, which compares them with fixed waits.

use arch::{Tick, TickRate};

use crate::ring::SLOT_COUNT_MAX;

/// The whole of a share.
const WHOLE: u64 = 1 << 16;

/// Load at which nothing waits for its sake.
const LOAD_FREE: u64 = WHOLE * 3 / 10;

/// What part of the shortest round trip a batch waits for the load's sake, if there were nothing but work.
const LOAD_PART: u64 = 4;

/// Microseconds over which the load is averaged: some round trips, so that it is right before the load has changed again.
const LOAD_MEMORY_US: u64 = 50;

/// So many times what copies take longer than they could, a batch waits.
const EXCESS_GAIN: u64 = 3;

/// Batches whose least latency is the present one.
const SAMPLE_COUNT: u32 = 8;

/// The longest wait, in shortest round trips: numerator and denominator.
const WAIT_PART_MAX: (u64, u64) = (6, 5);

/// How a batch's wait is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushLaw {
    /// It is always the same.
    Fixed,
    /// It follows what copies take and how busy the core is.
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
    /// Copied, as far as the engine has told.
    pub(super) copied: u32,
    /// Answered.
    pub(super) answered: u32,
}

/// Decides when batches leave, from what it is told of each turn.
#[derive(Debug)]
pub(super) struct Flush {
    policy: FlushPolicy,
    load: Load,
    sent: u32,
    /// When the slots in flight were sent, by the end of their sequence number.
    sent_at: [Tick; SLOT_COUNT_MAX as usize],
    copy: Latency,
    round_trip: Latency,
}

impl Flush {
    pub(super) fn new(policy: FlushPolicy, rate: TickRate) -> Self {
        Self {
            policy,
            load: Load { share: 0, memory: rate.ticks_in_us(LOAD_MEMORY_US).max(1), last: Tick(0), has_worked: false },
            sent: 0,
            sent_at: [Tick(0); SLOT_COUNT_MAX as usize],
            copy: Latency::default(),
            round_trip: Latency::default(),
        }
    }

    /// Begins an epoch: nothing is in flight, and nothing is known of its copies.
    pub(super) fn attach(&mut self) {
        self.sent = 0;
        (self.copy, self.round_trip) = (Latency::default(), Latency::default());
    }

    /// Whether a batch of this many bytes is long enough.
    pub(super) fn is_full(&self, len: usize) -> bool {
        len >= self.policy.len
    }

    /// How long a batch waits for company, in ticks.
    pub(super) fn wait(&self) -> u64 {
        match (self.policy.law, self.round_trip.floor) {
            (FlushLaw::Fixed, _) => self.policy.ticks,
            // The first one shows what a round trip takes.
            (FlushLaw::Adaptive, None) => 0,
            (FlushLaw::Adaptive, Some(round_trip)) => {
                let load = self.load.share.saturating_sub(LOAD_FREE);
                let for_load = round_trip.saturating_mul(load) / (WHOLE * LOAD_PART);
                let for_copies = self.copy.excess().saturating_mul(EXCESS_GAIN);
                let longest = (round_trip / WAIT_PART_MAX.1).saturating_mul(WAIT_PART_MAX.0);
                for_load.saturating_add(for_copies).min(longest).min(self.policy.ticks)
            }
        }
    }

    /// A turn begins.
    pub(super) fn begin_turn(&mut self, now: Tick) {
        self.load.begin_turn(now);
    }

    /// A turn that began at `now` ends.
    pub(super) fn end_turn(&mut self, has_worked: bool, progress: Progress, now: Tick) {
        self.load.has_worked = has_worked;
        if self.policy.law == FlushLaw::Fixed {
            return;
        }
        // What is answered or copied in this turn was sent in an earlier one.
        self.copy.advance(progress.copied, self.sent, &self.sent_at, now);
        self.round_trip.advance(progress.answered, self.sent, &self.sent_at, now);
        while self.sent != progress.sent {
            self.sent = self.sent.wrapping_add(1);
            if let Some(at) = self.sent_at.get_mut((self.sent % SLOT_COUNT_MAX) as usize) {
                *at = now;
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

/// How long slots take to get somewhere.
#[derive(Debug, Default)]
struct Latency {
    /// The last slot that got there.
    last: u32,
    /// The least latency in this epoch.
    floor: Option<u64>,
    /// The least of the last whole sample.
    recent: u64,
    sample_min: u64,
    sample_count: u32,
}

impl Latency {
    /// Takes in that all slots up to `last`, of those `sent`, have got there by now.
    fn advance(&mut self, last: u32, sent: u32, sent_at: &[Tick; SLOT_COUNT_MAX as usize], now: Tick) {
        while self.last != last && self.last != sent {
            self.last = self.last.wrapping_add(1);
            let at = sent_at.get((self.last % SLOT_COUNT_MAX) as usize).copied().unwrap_or(now);
            self.add(now.since(at));
        }
    }

    fn add(&mut self, ticks: u64) {
        self.floor = Some(self.floor.map_or(ticks, |floor| floor.min(ticks)));
        self.sample_min = if self.sample_count == 0 { ticks } else { self.sample_min.min(ticks) };
        self.sample_count += 1;
        if self.sample_count == SAMPLE_COUNT {
            (self.recent, self.sample_count) = (self.sample_min, 0);
        }
    }

    /// How much longer it takes than it could.
    fn excess(&self) -> u64 {
        self.floor.map_or(0, |floor| self.recent.saturating_sub(floor))
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

    /// Sends `count` batches one after the other, whose copies and answers take so many ticks, with so many ticks of
    /// work between idle turns of 1000.
    fn play(flush: &mut Flush, count: u32, copy: u64, answer: u64, work: u64) {
        let mut now = flush.load.last.0 + LONG;
        for _ in 0..count {
            let before = Progress { sent: flush.sent, copied: flush.copy.last, answered: flush.round_trip.last };
            let sent = Progress { sent: flush.sent.wrapping_add(1), ..before };
            let copied = Progress { copied: sent.sent, ..sent };
            let answered = Progress { answered: sent.sent, ..copied };
            for (at, progress) in [(0, sent), (copy, copied), (answer, answered)] {
                flush.begin_turn(Tick(now + at));
                flush.end_turn(false, progress, Tick(now + at));
            }
            now += answer + 1_000;
            flush.begin_turn(Tick(now));
            flush.end_turn(work > 0, answered, Tick(now));
            now += work;
            flush.begin_turn(Tick(now));
            flush.end_turn(false, answered, Tick(now));
        }
    }

    #[test]
    fn a_fixed_wait_is_always_the_same() {
        let mut flush = flush(FlushLaw::Fixed, 5_000);
        assert_eq!(flush.wait(), 5_000);
        play(&mut flush, 100, 1_500, 3_500, 100_000);
        assert_eq!(flush.wait(), 5_000);
    }

    #[test]
    fn nothing_waits_while_there_is_time_and_copies_are_fast() {
        let mut flush = flush(FlushLaw::Adaptive, LONG);
        assert_eq!(flush.wait(), 0, "nothing is known yet");
        play(&mut flush, 100, 1_500, 3_500, 0);
        assert_eq!(flush.wait(), 0);
    }

    #[test]
    fn a_busy_core_lets_batches_wait_for_up_to_a_part_of_a_round_trip() {
        let mut flush = flush(FlushLaw::Adaptive, LONG);
        play(&mut flush, 100, 1_500, 4_000, 4_000);
        let wait = flush.wait();
        assert!((20..400).contains(&wait), "{wait} at a load of about 0.44");
        play(&mut flush, 100, 1_500, 4_000, 1_000_000);
        let wait = flush.wait();
        assert!((650..=700).contains(&wait), "{wait}: 0.7 / 4 of 4000");
    }

    #[test]
    fn slow_copies_let_batches_wait_three_times_as_long_as_they_are_slower() {
        let mut flush = flush(FlushLaw::Adaptive, LONG);
        play(&mut flush, 10 * SAMPLE_COUNT, 1_500, 3_500, 0);
        play(&mut flush, SAMPLE_COUNT, 1_900, 3_900, 0);
        assert_eq!(flush.wait(), 3 * 400);
        play(&mut flush, SAMPLE_COUNT, 1_500, 3_500, 0);
        assert_eq!(flush.wait(), 0, "smaller again as soon as they are fast again");
    }

    #[test]
    fn one_slow_copy_among_fast_ones_means_nothing() {
        let mut flush = flush(FlushLaw::Adaptive, LONG);
        play(&mut flush, 7, 1_500, 3_500, 0);
        play(&mut flush, 1, 90_000, 95_000, 0);
        assert_eq!(flush.wait(), 0);
    }

    #[test]
    fn no_wait_is_longer_than_configured_or_than_what_a_batch_takes_anyway() {
        let mut bounded = flush(FlushLaw::Adaptive, 700);
        let mut free = flush(FlushLaw::Adaptive, LONG);
        for flush in [&mut bounded, &mut free] {
            play(flush, 8, 1_500, 3_500, 0);
            play(flush, 8, 20_000, 25_000, 0);
        }
        assert_eq!((bounded.wait(), free.wait()), (700, 4_200));
    }

    #[test]
    fn sequence_numbers_are_counted_across_their_wrap() {
        let mut flush = flush(FlushLaw::Adaptive, LONG);
        flush.sent = u32::MAX - 3;
        (flush.copy.last, flush.round_trip.last) = (flush.sent, flush.sent);
        play(&mut flush, 8, 1_500, 3_500, 0);
        assert_eq!((flush.sent, flush.round_trip.floor, flush.copy.floor), (4, Some(3_500), Some(1_500)));
    }

    #[test]
    fn a_new_epoch_knows_nothing_of_the_old_ones_copies() {
        let mut flush = flush(FlushLaw::Adaptive, LONG);
        play(&mut flush, 8, 100, 200, 0);
        flush.attach();
        play(&mut flush, 8, 1_500, 3_500, 0);
        assert_eq!((flush.wait(), flush.round_trip.floor), (0, Some(3_500)));
    }
}
