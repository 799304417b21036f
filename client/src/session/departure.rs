//! What leaves.

use std::net::SocketAddr;

use qp_wire::native::{FrameHeader, IDENTITY_RESPONSE_LEN_MAX, encode_identity_request};

use super::Session;
use super::flight::State;
use super::server::ServerId;
use crate::moment::Moment;
use crate::rtt::Bounds;

/// A frame that is ready to leave.
#[derive(Clone, Copy, Debug)]
pub struct Departure<'a> {
    /// What it is for.
    pub destination: Destination,
    /// Where it goes.
    pub address: SocketAddr,
    /// The UDP payload.
    pub payload: &'a [u8],
}

/// What a departing frame is for, which decides the socket that it leaves through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Asks a server who it is. The answer belongs into [`Session::receive_identity`], so it needs a socket of its own.
    Server(ServerId),
    /// Requests for one of the endpoints. All of them can share a socket.
    Endpoint,
}

/// What waits in the outbox.
#[derive(Clone, Copy, Debug)]
pub(super) enum Queued {
    /// The question who a server is.
    Question(ServerId),
    /// A flight, unless it has ended meanwhile.
    Flight { index: u16, batch_id: u32 },
}

impl Session {
    /// The next frame to send, or `None` when there is none. It stays the next one until
    /// [`departed`](Self::departed) or [`lost`](Self::lost).
    pub fn departure(&mut self, now: Moment) -> Option<Departure<'_>> {
        self.drop_stale();
        match *self.outbox.front()? {
            Queued::Question(server_id) => {
                let server = &self.servers[usize::from(server_id.0)];
                let header = FrameHeader { batch_id: server.ask.batch_id(), timestamp: self.stamp(now) };
                let (destination, address) = (Destination::Server(server_id), server.address());
                // A pad can bring a frame one byte beyond what is asked for.
                self.question.resize(IDENTITY_RESPONSE_LEN_MAX + 1, 0);
                let len = encode_identity_request(&mut self.question, header, IDENTITY_RESPONSE_LEN_MAX)?;
                Some(Departure { destination, address, payload: self.question.get(..len)? })
            }
            Queued::Flight { index, batch_id } => {
                let header = FrameHeader { batch_id, timestamp: self.stamp(now) };
                let flight = self.flights.get_mut(index)?;
                flight.stamp(now, header);
                let address = self.peers.address(flight.peer)?;
                Some(Departure { destination: Destination::Endpoint, address, payload: flight.payload() })
            }
        }
    }

    /// Whether there may be a frame to send: a cheap question before the clock is read.
    #[inline]
    pub fn has_departure(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Says that the frame of [`departure`](Self::departure) was handed to a socket.
    pub fn departed(&mut self, now: Moment) {
        match self.outbox.pop_front() {
            None => {}
            Some(Queued::Question(server_id)) => self.servers[usize::from(server_id.0)].ask.departed(now),
            Some(Queued::Flight { index, .. }) => self.flight_departed(now, index),
        }
    }

    /// Says that a socket refused the frame of [`departure`](Self::departure). It counts as sent and lost on the way, so
    /// that it is sent again in its time.
    pub fn lost(&mut self, now: Moment) {
        self.statistics.socket_errors += 1;
        self.departed(now);
    }

    /// Says that the system refused so many frames after they had departed.
    pub const fn lost_after_departure(&mut self, count: u64) {
        self.statistics.socket_errors += count;
    }

    fn flight_departed(&mut self, now: Moment, index: u16) {
        let bounds = Bounds { min: self.config.resend_after_min, max: self.config.resend_after_max };
        let Some(flight) = self.flights.get_mut(index) else { return };
        let statistics = &mut self.statistics;
        statistics.frames_sent += 1;
        statistics.frames_resent += u64::from(flight.sendings > 0);
        statistics.requests_sent += flight.requests.len() as u64;
        statistics.bytes_sent += flight.payload().len() as u64;
        flight.due = now.after(self.peers.resend_after(flight.peer, flight.tries().strikes, bounds));
        flight.sendings += 1;
        flight.state = State::Sent;
        self.next_wake = self.next_wake.min(flight.wake());
    }

    /// Takes what has ended while it waited from the front of the outbox.
    fn drop_stale(&mut self) {
        while let Some(&Queued::Flight { index, batch_id }) = self.outbox.front() {
            let is_queued = self.flights.get(index).is_some_and(|flight| flight.state == State::Queued);
            if is_queued && self.flights.batch_id(index) == batch_id {
                return;
            }
            self.outbox.pop_front();
        }
    }

    /// The time stamp of a frame that leaves now. It shows nobody how long this machine runs.
    fn stamp(&self, now: Moment) -> u64 {
        now.nanos() ^ self.stamp_mask
    }

    /// When the frame with this time stamp left.
    pub(super) fn unstamp(&self, timestamp: u64) -> Moment {
        Moment::from_nanos(timestamp ^ self.stamp_mask)
    }
}
