//! Answers to requests.

use std::net::SocketAddr;

use qp_wire::batch::ResponseBatch;
use qp_wire::native::{ResponseBody, ResponseFrame};
use qp_wire::{Opcode, ResultCode};

use super::Session;
use super::moving::Again;
use super::pending::Status;
use super::server::Allowance;
use crate::answer::{Answer, Outcome};
use crate::moment::Moment;
use crate::rtt::Bounds;

/// What an answer says of its requests taken together.
#[derive(Clone, Copy, Debug, Default)]
struct Findings {
    /// A request has ended.
    progress: bool,
    /// A request has to be sent again.
    again: bool,
    /// A request went to the wrong endpoint.
    rejected: bool,
    /// A request was not looked at, perhaps for want of room in the answer.
    held_back: bool,
}

impl Session {
    /// Takes a datagram that came from `source` to the socket of the endpoints. Whatever its bytes are, it ends the
    /// requests that it answers and no others; their ends are told to `on_answer`.
    pub fn receive<F>(&mut self, now: Moment, source: SocketAddr, payload: &[u8], on_answer: &mut F)
    where
        F: FnMut(Answer<'_>),
    {
        let Ok(frame) = ResponseFrame::decode(payload) else {
            self.statistics.malformed += 1;
            return;
        };
        let Some(index) = self.flights.find(frame.header.batch_id) else {
            self.statistics.duplicates += 1;
            return;
        };
        let stamp = self.unstamp(frame.header.timestamp);
        let Some(flight) = self.flights.get(index) else { return };
        if self.peers.address(flight.peer) != Some(source) || !flight.was_sent_at(stamp) {
            self.statistics.malformed += 1;
            return;
        }
        match frame.body {
            ResponseBody::Batch(batch) if batch.count() == flight.requests.len() => {
                self.statistics.frames_received += 1;
                self.statistics.bytes_received += payload.len() as u64;
                self.peers.answered(flight.peer, now.since(stamp));
                self.answered(now, index, &batch, payload.len(), on_answer);
            }
            ResponseBody::Version { theirs } => {
                let server = &mut self.servers[usize::from(flight.server.0)];
                server.foreign_version = Some(theirs);
                server.ask.doubt(now);
            }
            ResponseBody::Batch(_) | ResponseBody::Identity(_) => self.statistics.malformed += 1,
        }
    }

    /// Ends the requests of a flight, or moves them on.
    fn answered<F>(&mut self, now: Moment, index: u16, batch: &ResponseBatch<'_>, answer_len: usize, on_answer: &mut F)
    where
        F: FnMut(Answer<'_>),
    {
        let Some(flight) = self.flights.get_mut(index) else { return };
        let server = &mut self.servers[usize::from(flight.server.0)];
        let attempts = flight.tries().attempts;
        let mut findings = Findings::default();
        for (pending, response) in flight.requests.iter_mut().zip(batch.iter()) {
            if !pending.is_waiting() {
                continue;
            }
            if matches!(response.result, ResultCode::NotProcessed | ResultCode::Rejected) {
                pending.refusal = Some(response.result);
                pending.status = Status::Again;
                self.statistics.refusals += 1;
                findings.again = true;
                findings.rejected |= response.result == ResultCode::Rejected;
                findings.held_back |= response.result == ResultCode::NotProcessed;
                continue;
            }
            if pending.opcode == Opcode::Get
                && let Some(value) = response.value
            {
                server.saw_value(value.len());
            }
            let outcome = pending.answered(response.result);
            self.statistics.unknown += u64::from(outcome == Outcome::Unknown);
            pending.status = Status::Gone;
            self.outstanding -= 1;
            findings.progress = true;
            on_answer(pending.answer(now, attempts, outcome, response.value));
        }
        if answer_len > flight.payload().len() {
            server.allowance = Allowance::Frame;
        } else if findings.held_back && !findings.progress && server.allowance == Allowance::Untested {
            server.allowance = Allowance::Request;
        }
        if findings.rejected {
            server.ask.doubt(now);
        }
        if findings.again {
            self.refused(now, index, findings, on_answer);
        } else {
            // What did not wait had ended or left before.
            self.flights.free(index);
        }
    }

    /// Sends the refused requests of a flight again: at once when the server may just have had no room for all answers,
    /// later when it keeps taking none of them. Those that went to the wrong endpoint wait, too; when the server tells
    /// where they belong, they go there at once.
    fn refused<F>(&mut self, now: Moment, index: u16, findings: Findings, on_answer: &mut F)
    where
        F: FnMut(Answer<'_>),
    {
        let bounds = Bounds { min: self.config.resend_after_min, max: self.config.resend_after_max };
        let Some(flight) = self.flights.get(index) else { return };
        let mut before = flight.tries();
        if findings.progress {
            before.strikes = 0;
        } else if before.strikes >= self.config.attempts_max {
            return self.give_up(now, index, |_| true, on_answer);
        }
        // The first refusal may be for want of room in the answer, which a pad mends.
        let not_before = if !findings.rejected && before.strikes <= 1 {
            now
        } else {
            now.after(self.peers.resend_after(flight.peer, before.strikes.saturating_sub(2), bounds))
        };
        self.move_on(now, index, Again { before, not_before });
    }
}
