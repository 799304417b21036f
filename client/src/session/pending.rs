//! One request between its submission and its end.

use std::time::Duration;

use qp_wire::{Opcode, ResultCode};

use crate::answer::{Answer, Outcome};
use crate::config::Resend;
use crate::moment::Moment;

/// What is remembered of a request apart from its bytes, which its frame has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    /// The application's.
    pub(super) tag: u64,
    /// When it was submitted.
    pub(super) submitted: Moment,
    /// What it asks for.
    pub(super) opcode: Opcode,
    /// What is to become of it.
    pub(super) status: Status,
    /// Whether it was sent without an answer, so that it may have been executed already.
    pub(super) unsure: bool,
    /// The last refusal, if it was refused.
    pub(super) refusal: Option<ResultCode>,
}

/// What is to become of a request in its flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// It waits for the flight's answer.
    Waiting,
    /// It goes into another flight next.
    Again,
    /// It has ended, or another flight has it.
    Gone,
}

impl Pending {
    /// A request that has just been submitted.
    pub(super) const fn new(tag: u64, submitted: Moment, opcode: Opcode) -> Self {
        Self { tag, submitted, opcode, status: Status::Waiting, unsure: false, refusal: None }
    }

    /// Whether it waits in this flight.
    pub(super) fn is_waiting(&self) -> bool {
        self.status == Status::Waiting
    }

    /// Whether it must not be sent again once it may have been executed.
    pub(super) fn is_once(&self, resend: Resend) -> bool {
        resend == Resend::Harmless && matches!(self.opcode, Opcode::Increment | Opcode::Append)
    }

    /// When its time is up.
    pub(super) fn expiry(&self, timeout: Duration) -> Moment {
        self.submitted.after(timeout)
    }

    /// How an answer ends it.
    pub(super) fn answered(&self, result: ResultCode) -> Outcome {
        if self.unsure && may_be_own_doing(self.opcode, result) { Outcome::Unknown } else { Outcome::Answered(result) }
    }

    /// How it ends without an answer. `in_air` says whether its last attempt was sent and never answered.
    pub(super) fn given_up(&self, in_air: bool) -> Outcome {
        let maybe_executed = self.unsure || in_air;
        match self.refusal {
            _ if maybe_executed && !self.opcode.is_read() => Outcome::Unknown,
            Some(result) => Outcome::Answered(result),
            None => Outcome::TimedOut,
        }
    }

    /// The answer for the application.
    pub(super) const fn answer<'a>(
        &self,
        now: Moment,
        attempts: u32,
        outcome: Outcome,
        value: Option<&'a [u8]>,
    ) -> Answer<'a> {
        Answer { tag: self.tag, outcome, value, latency: now.since(self.submitted), attempts }
    }
}

/// Whether an earlier attempt of the same request may be why the server answers so.
const fn may_be_own_doing(opcode: Opcode, result: ResultCode) -> bool {
    match opcode {
        Opcode::Add => matches!(result, ResultCode::Exists | ResultCode::InsufficientSpace),
        // Not found, too: the first attempt may have been executed, and somebody else have deleted the key since.
        Opcode::CompareAndSet => {
            matches!(result, ResultCode::Mismatch | ResultCode::NotFound | ResultCode::InsufficientSpace)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(opcode: Opcode) -> Pending {
        Pending::new(7, Moment::from_nanos(1000), opcode)
    }

    #[test]
    fn a_first_answer_is_believed_as_it_is() {
        for opcode in Opcode::ALL {
            for result in ResultCode::ALL {
                assert_eq!(pending(opcode).answered(result), Outcome::Answered(result));
            }
        }
    }

    #[test]
    fn after_a_silent_attempt_an_add_that_exists_settles_nothing() {
        let add = Pending { unsure: true, ..pending(Opcode::Add) };
        assert_eq!(add.answered(ResultCode::Exists), Outcome::Unknown);
        assert_eq!(add.answered(ResultCode::Success), Outcome::Answered(ResultCode::Success));
        let compare = Pending { unsure: true, ..pending(Opcode::CompareAndSet) };
        assert_eq!(compare.answered(ResultCode::Mismatch), Outcome::Unknown);
        assert_eq!(compare.answered(ResultCode::NotFound), Outcome::Unknown);
        let set = Pending { unsure: true, ..pending(Opcode::Set) };
        assert_eq!(set.answered(ResultCode::InsufficientSpace), Outcome::Answered(ResultCode::InsufficientSpace));
    }

    #[test]
    fn only_a_mutation_that_was_sent_ends_as_unknown() {
        assert_eq!(pending(Opcode::Get).given_up(true), Outcome::TimedOut);
        assert_eq!(pending(Opcode::Set).given_up(false), Outcome::TimedOut);
        assert_eq!(pending(Opcode::Set).given_up(true), Outcome::Unknown);
        let refused = Pending { refusal: Some(ResultCode::Rejected), ..pending(Opcode::Set) };
        assert_eq!(refused.given_up(false), Outcome::Answered(ResultCode::Rejected));
        assert_eq!(Pending { unsure: true, ..refused }.given_up(false), Outcome::Unknown);
    }

    #[test]
    fn increments_and_appends_are_sent_once_unless_allowed_otherwise() {
        for opcode in Opcode::ALL {
            let once = matches!(opcode, Opcode::Increment | Opcode::Append);
            assert_eq!(pending(opcode).is_once(Resend::Harmless), once, "{opcode:?}");
            assert!(!pending(opcode).is_once(Resend::All));
        }
    }
}
