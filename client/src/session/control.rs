//! Who the servers are.

use qp_wire::native::{Identity, NativeError, ResponseBody, ResponseFrame};

use super::Session;
use super::departure::Queued;
use super::flight::State;
use super::moving::Again;
use super::pending::Status;
use super::server::{Change, ServerId, ServerInfo};
use crate::answer::Answer;
use crate::config::Resend;
use crate::moment::Moment;

/// Whether requests can be sent to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It takes requests for every partition.
    Ready,
    /// It has answered, and does not take requests for every partition yet.
    Incomplete,
    /// It speaks another version of the protocol.
    Foreign {
        /// Its version.
        theirs: u8,
    },
    /// Nothing listens at its address, says the network.
    Unreachable {
        /// How often it said so.
        count: u32,
    },
    /// It has not answered.
    Silent,
}

impl Session {
    /// Whether requests can be sent to each server, in their order.
    pub fn readiness(&self) -> impl Iterator<Item = Readiness> + '_ {
        self.servers.iter().map(|server| match (server.foreign_version, server.info()) {
            (Some(theirs), _) => Readiness::Foreign { theirs },
            (None, Some(info)) if info.complete => Readiness::Ready,
            (None, Some(_)) => Readiness::Incomplete,
            (None, None) if server.unreachable > 0 => Readiness::Unreachable { count: server.unreachable },
            (None, None) => Readiness::Silent,
        })
    }

    /// What the servers said about themselves, as far as they did.
    pub fn servers(&self) -> impl Iterator<Item = &ServerInfo> + '_ {
        self.servers.iter().filter_map(|server| server.info())
    }

    /// Takes a datagram that came from a server to the socket on which it was asked who it is.
    ///
    /// Requests that have to go elsewhere now move; those that must not be sent again and can have no answer any more
    /// end.
    pub fn receive_identity<F>(&mut self, now: Moment, server_id: ServerId, payload: &[u8], on_answer: &mut F)
    where
        F: FnMut(Answer<'_>),
    {
        let frame = match ResponseFrame::decode(payload) {
            Ok(frame) => frame,
            // Not an answer by the rules, but plain enough.
            Err(NativeError::Version { theirs }) => return self.foreign(server_id, theirs),
            Err(_) => {
                self.statistics.malformed += 1;
                return;
            }
        };
        let stamp = self.unstamp(frame.header.timestamp);
        let Some(server) = self.servers.get_mut(usize::from(server_id.0)) else { return };
        if !server.ask.is_answered_by(frame.header.batch_id, stamp) {
            self.statistics.duplicates += 1;
            return;
        }
        match frame.body {
            ResponseBody::Identity(identity) => self.identified(now, server_id, &identity, stamp, on_answer),
            ResponseBody::Version { theirs } => self.foreign(server_id, theirs),
            ResponseBody::Batch(_) => self.statistics.malformed += 1,
        }
    }

    /// Whether a server has been asked who it is and has not answered, so that there is something to receive from its
    /// socket.
    pub fn is_asking(&self) -> bool {
        self.servers.iter().any(|server| server.ask.is_open())
    }

    /// Says that nothing listens at a server's address, as an ICMP message tells.
    pub fn unreachable(&mut self, server_id: ServerId) {
        if let Some(server) = self.servers.get_mut(usize::from(server_id.0)) {
            server.unreachable = server.unreachable.saturating_add(1);
        }
    }

    /// Puts the questions that are due into the outbox.
    pub(super) fn ask_where_due(&mut self, now: Moment) {
        for (index, server) in self.servers.iter_mut().enumerate() {
            if server.ask.enqueue(now) {
                // At most 32768 servers, so the number fits.
                self.outbox.push_back(Queued::Question(ServerId(index as u16)));
            }
        }
    }

    fn foreign(&mut self, server_id: ServerId, theirs: u8) {
        if let Some(server) = self.servers.get_mut(usize::from(server_id.0)) {
            server.foreign_version = Some(theirs);
        }
    }

    fn identified<F>(
        &mut self,
        now: Moment,
        server_id: ServerId,
        identity: &Identity<'_>,
        stamp: Moment,
        on_answer: &mut F,
    ) where
        F: FnMut(Answer<'_>),
    {
        let server = &mut self.servers[usize::from(server_id.0)];
        server.ask.answered(now);
        server.foreign_version = None;
        server.unreachable = 0;
        if !identity.complete {
            server.ask.doubt_later(now);
        }
        let change = server.change(identity);
        if change == Change::None {
            return;
        }
        self.statistics.identities += 1;
        // Whatever was gathered has been told its way by the old routes.
        let affected = self.flights_of(server_id);
        let gathered = self.park_gathered(now, server_id);
        let server = &mut self.servers[usize::from(server_id.0)];
        server.adopt(identity, &mut self.peers, now.since(stamp));
        let servers = &self.servers;
        self.peers.retain(|peer| servers.iter().any(|server| server.names(peer)));
        for index in affected {
            self.redirect(now, index, change, on_answer);
        }
        for index in gathered {
            self.redirect(now, index, change, on_answer);
        }
    }

    /// The flights to a server.
    fn flights_of(&self, server_id: ServerId) -> Vec<u16> {
        let is_its = |index: &u16| {
            self.flights.get(*index).is_some_and(|flight| flight.state != State::Free && flight.server == server_id)
        };
        (0..self.flights.count()).map(|index| index as u16).filter(is_its).collect()
    }

    /// Makes what is gathered for a server parked flights.
    fn park_gathered(&mut self, now: Moment, server_id: ServerId) -> Vec<u16> {
        let mut parked = Vec::new();
        for route in self.servers[usize::from(server_id.0)].routes() {
            parked.extend(self.launch_to(now, server_id, route, None));
        }
        parked
    }

    /// Sends the requests of a flight along the new routes, unless it can still be answered where it went.
    fn redirect<F>(&mut self, now: Moment, index: u16, change: Change, on_answer: &mut F)
    where
        F: FnMut(Answer<'_>),
    {
        let resend = self.config.resend;
        let Some(flight) = self.flights.get_mut(index) else { return };
        let was_sent = flight.sendings > 0;
        let is_named = self.servers[usize::from(flight.server.0)].names(flight.peer);
        if was_sent && is_named && change != Change::Restarted {
            return;
        }
        let before = flight.tries();
        for pending in flight.requests.iter_mut().filter(|pending| pending.is_waiting()) {
            pending.unsure |= was_sent;
            pending.status = Status::Again;
        }
        if was_sent && resend == Resend::Harmless {
            // Whoever had them is gone.
            self.give_up(now, index, |pending| pending.is_once(resend), on_answer);
        }
        self.move_on(now, index, Again { before, not_before: now });
    }
}
