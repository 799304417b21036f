//! What happens because time has passed.

use super::Session;
use super::departure::Queued;
use super::flight::State;
use super::moving::Again;
use super::pending::{Pending, Status};
use crate::answer::{Answer, Outcome};
use crate::moment::Moment;

/// After so many frames in a row without an answer, a server is asked whether it has moved. One may just be lost.
const SILENCE_MAX: u32 = 2;

impl Session {
    /// Does what is due: frames are sent again, requests whose time is up end, servers are asked.
    pub fn turn<F>(&mut self, now: Moment, on_answer: &mut F)
    where
        F: FnMut(Answer<'_>),
    {
        self.ask_where_due(now);
        if now < self.next_wake {
            return;
        }
        self.next_wake = Moment::NEVER;
        for index in 0..self.flights.count() {
            // At most 65536 flights, so the number fits.
            let index = index as u16;
            let Some(flight) = self.flights.get(index) else { continue };
            if flight.state == State::Free {
                continue;
            }
            if flight.wake() <= now {
                self.wake(now, index, on_answer);
            }
            if let Some(flight) = self.flights.get(index)
                && flight.state != State::Free
            {
                self.next_wake = self.next_wake.min(flight.wake());
            }
        }
    }

    /// When [`turn`](Self::turn) has something to do next; [`Moment::NEVER`] when it has not.
    pub fn next_turn(&self) -> Moment {
        self.servers.iter().fold(self.next_wake, |next, server| next.min(server.ask.due()))
    }

    /// Attends to one flight.
    fn wake<F>(&mut self, now: Moment, index: u16, on_answer: &mut F)
    where
        F: FnMut(Answer<'_>),
    {
        let timeout = self.config.timeout;
        if self.flights.get(index).is_some_and(|flight| flight.expiry <= now) {
            self.give_up(now, index, |pending| pending.expiry(timeout) <= now, on_answer);
        }
        let Some(flight) = self.flights.get_mut(index) else { return };
        match flight.state {
            State::Delayed if flight.due <= now => {
                flight.state = State::Queued;
                flight.due = Moment::NEVER;
                self.outbox.push_back(Queued::Flight { index, batch_id: self.flights.batch_id(index) });
            }
            State::Sent if flight.due <= now => self.unanswered(now, index, on_answer),
            _ => {}
        }
    }

    /// Sends a flight again whose answer should have come.
    fn unanswered<F>(&mut self, now: Moment, index: u16, on_answer: &mut F)
    where
        F: FnMut(Answer<'_>),
    {
        let resend = self.config.resend;
        let Some(flight) = self.flights.get_mut(index) else { return };
        if self.peers.silent(flight.peer) >= SILENCE_MAX {
            self.servers[usize::from(flight.server.0)].ask.doubt(now);
        }
        let before = flight.tries();
        if before.strikes >= self.config.attempts_max {
            return self.give_up(now, index, |_| true, on_answer);
        }
        for pending in &mut flight.requests {
            pending.unsure = true;
        }
        flight.due = Moment::NEVER;
        if !flight.requests.iter().any(|pending| pending.is_waiting() && pending.is_once(resend)) {
            flight.state = State::Queued;
            self.outbox.push_back(Queued::Flight { index, batch_id: self.flights.batch_id(index) });
            return;
        }
        // Some may not be sent again. They stay for a late answer; the others go on in frames without them.
        flight.state = State::Spent;
        for pending in flight.requests.iter_mut().filter(|pending| pending.is_waiting()) {
            if !pending.is_once(resend) {
                pending.status = Status::Again;
            }
        }
        self.move_on(now, index, Again { before, not_before: now });
    }

    /// Ends those requests of a flight that have not left it and that `is_over` names. The flight is freed when none is
    /// left.
    pub(super) fn give_up<F>(&mut self, now: Moment, index: u16, is_over: impl Fn(&Pending) -> bool, on_answer: &mut F)
    where
        F: FnMut(Answer<'_>),
    {
        let timeout = self.config.timeout;
        let Some(flight) = self.flights.get_mut(index) else { return };
        let (in_air, attempts) = (flight.in_air(), flight.tries().attempts);
        let mut next_expiry = Moment::NEVER;
        for pending in flight.requests.iter_mut().filter(|pending| pending.status != Status::Gone) {
            if !is_over(pending) {
                next_expiry = next_expiry.min(pending.expiry(timeout));
                continue;
            }
            // A refused request was answered: it is not in the air.
            let outcome = pending.given_up(in_air && pending.is_waiting());
            self.statistics.timed_out += u64::from(outcome == Outcome::TimedOut);
            self.statistics.unknown += u64::from(outcome == Outcome::Unknown);
            pending.status = Status::Gone;
            self.outstanding -= 1;
            on_answer(pending.answer(now, attempts, outcome, None));
        }
        flight.expiry = next_expiry;
        self.flights.free_if_empty(index);
    }
}
