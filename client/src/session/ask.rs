//! Asking a server who it is, until it answers.

use std::time::Duration;

use crate::moment::Moment;

/// Until the first answer, questions are this far apart; then each waits twice as long, up to [`INTERVAL_MAX`]. Four
/// questions in the first second find a server that restarts, and load nobody.
const INTERVAL_MIN: Duration = Duration::from_millis(50);

/// The longest time between two questions. Well below the second within which a client should go on.
const INTERVAL_MAX: Duration = Duration::from_millis(200);

/// How long an answer is good before doubts lead to another question.
const CONTENT_FOR: Duration = Duration::from_millis(100);

/// The question to one server.
#[derive(Debug)]
pub(super) struct Ask {
    /// When the question is sent next; never while there is none.
    due: Moment,
    /// Whether it is in the outbox.
    queued: bool,
    batch_id: u32,
    /// How often it was sent since the last answer.
    sendings: u32,
    first_sent: Moment,
    last_sent: Moment,
    /// Doubts before this do not count.
    content_until: Moment,
}

impl Ask {
    /// A question that is due at once, under the first of its ids.
    pub(super) fn new(batch_id: u32) -> Self {
        Self {
            due: Moment::default(),
            queued: false,
            batch_id,
            sendings: 0,
            first_sent: Moment::NEVER,
            last_sent: Moment::NEVER,
            content_until: Moment::default(),
        }
    }

    /// The id under which it is sent.
    pub(super) const fn batch_id(&self) -> u32 {
        self.batch_id
    }

    /// When it is sent next.
    pub(super) const fn due(&self) -> Moment {
        if self.queued { Moment::NEVER } else { self.due }
    }

    /// Whether it was sent and has no answer yet.
    pub(super) const fn is_open(&self) -> bool {
        self.sendings > 0
    }

    /// Asks, unless that is being done or there was an answer a moment ago.
    pub(super) fn doubt(&mut self, now: Moment) {
        if self.due == Moment::NEVER {
            self.due = now.max(self.content_until);
        }
    }

    /// Asks again at some time, whatever the last answer was.
    pub(super) fn doubt_later(&mut self, now: Moment) {
        self.due = self.due.min(now.after(INTERVAL_MIN));
    }

    /// Whether the question goes into the outbox now. After a yes, it counts as being there.
    pub(super) fn enqueue(&mut self, now: Moment) -> bool {
        let is_due = !self.queued && self.due <= now;
        self.queued |= is_due;
        is_due
    }

    /// It was sent.
    pub(super) fn departed(&mut self, now: Moment) {
        if self.sendings == 0 {
            self.first_sent = now;
        }
        self.last_sent = now;
        self.queued = false;
        let interval = INTERVAL_MIN.saturating_mul(1 << self.sendings.min(8)).min(INTERVAL_MAX);
        self.due = now.after(interval);
        self.sendings = self.sendings.saturating_add(1);
    }

    /// Whether a frame with this id and stamp answers it. Does not end it.
    pub(super) fn is_answered_by(&self, batch_id: u32, stamp: Moment) -> bool {
        self.sendings > 0 && batch_id == self.batch_id && self.first_sent <= stamp && stamp <= self.last_sent
    }

    /// It has its answer.
    pub(super) fn answered(&mut self, now: Moment) {
        self.due = Moment::NEVER;
        self.batch_id = self.batch_id.wrapping_add(1);
        self.sendings = 0;
        self.content_until = now.after(CONTENT_FOR);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_ms(ms: u64) -> Moment {
        Moment::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn a_question_is_repeated_until_it_is_answered() {
        let mut ask = Ask::new(9);
        assert!(ask.enqueue(at_ms(0)));
        assert!(!ask.enqueue(at_ms(0)), "it is in the outbox");
        ask.departed(at_ms(0));
        assert!(!ask.enqueue(at_ms(49)));
        assert!(ask.enqueue(at_ms(50)));
        ask.departed(at_ms(50));
        assert_eq!(ask.due(), at_ms(150));
        assert!(ask.is_answered_by(9, at_ms(50)));
        ask.answered(at_ms(151));
        assert_eq!(ask.due(), Moment::NEVER);
        assert!(!ask.is_answered_by(9, at_ms(50)), "an answer counts once");
    }

    #[test]
    fn doubts_wait_for_a_moment_after_an_answer() {
        let mut ask = Ask::new(0);
        ask.departed(at_ms(0));
        ask.answered(at_ms(1));
        ask.doubt(at_ms(2));
        assert_eq!(ask.due(), at_ms(101));
        ask.doubt(at_ms(500));
        assert_eq!(ask.due(), at_ms(101), "a doubt does not put off another");
    }

    #[test]
    fn only_the_stamps_that_were_sent_are_answers() {
        let mut ask = Ask::new(3);
        assert!(!ask.is_answered_by(3, at_ms(0)), "nothing was sent");
        ask.departed(at_ms(10));
        assert!(!ask.is_answered_by(3, at_ms(9)));
        assert!(!ask.is_answered_by(3, at_ms(11)));
        assert!(!ask.is_answered_by(4, at_ms(10)));
        assert!(ask.is_answered_by(3, at_ms(10)));
    }
}
