//! The client without sockets and clocks: which request goes where, in which frame, when again.
//!
//! ```text
//!  submit ──► route's gather ──► flight ──► outbox ──► departure      (to a socket)
//!                                  ▲ │
//!            time-out, refusal,    │ ▼
//!            moved partition ──────┘ receive ──► Answer               (from a socket)
//! ```
//!
//! Requests that go the same way are gathered. A full gather, or a flushed one, becomes a *flight*: a frame with a batch
//! id of its own and what is remembered of its requests. A flight without an answer is sent again, as the same frame
//! under the same id, so the answer to any of its copies ends it, and every further one finds nothing to end. Requests
//! that a server did not look at, or that have to go elsewhere, move to new flights.
//!
//! An answer counts only when it comes from the address that was asked, under an id that is under way, with a time stamp
//! that was sent, and with as many responses as there were requests. The ids begin at random and the stamps are masked
//! at random, so nobody who does not see the frames can forge one.
//!
//! The owner gives each call the time, hands [`departures`](Session::departure) to its sockets, gives what
//! arrives to [`receive`](Session::receive) and [`receive_identity`](Session::receive_identity), and calls
//! [`turn`](Session::turn) when [`next_turn`](Session::next_turn) has come.

mod ask;
mod control;
mod departure;
mod flight;
mod gather;
mod moving;
mod peer;
mod pending;
mod receive;
mod server;
mod timer;

pub use control::Readiness;
pub use departure::{Departure, Destination};
pub use server::{ServerId, ServerInfo};

use std::collections::VecDeque;

use kv_core::hash::KeyHash;
use qp_wire::limits::VALUE_LEN_MAX;
use qp_wire::{Opcode, Operation, RawRequest};

use crate::config::Config;
use crate::error::{ConfigError, SubmitError};
use crate::moment::{Moment, duration_nanos};
use crate::statistics::Statistics;
use departure::Queued;
use flight::{Flights, Launch, State, Tries};
use gather::Gather;
use peer::{PeerId, Peers};
use pending::Pending;
use server::Server;

/// Longest value field that any server takes, in bytes: a time to live, and two values with the length of the first.
const OPERANDS_LEN_MAX: usize = size_of::<u64>() + size_of::<u16>() + 2 * VALUE_LEN_MAX;

/// Requests under way to a list of servers. See the [module](self).
#[derive(Debug)]
pub struct Session {
    config: Config,
    servers: Vec<Server>,
    peers: Peers,
    flights: Flights,
    outbox: VecDeque<Queued>,
    /// Requests on their way from one flight to another.
    moving: Gather,
    /// No flight needs attention before this.
    next_wake: Moment,
    outstanding: usize,
    /// Hides the time in time stamps.
    stamp_mask: u64,
    question: Vec<u8>,
    /// Where value fields are written that are more than an operand.
    operands: Vec<u8>,
    statistics: Statistics,
}

impl Session {
    /// A session that first asks the servers of `config` who they are. `random` chooses its ids and stamps; two
    /// sessions with the same number do the same.
    ///
    /// # Errors
    /// What [`Config::check`] says.
    pub fn new(config: &Config, random: u64) -> Result<Self, ConfigError> {
        config.check()?;
        let base = (random >> 32) as u32;
        let servers = config.servers.iter().map(|&address| Server::new(address, base)).collect();
        let mut session = Self {
            config: config.clone(),
            servers,
            peers: Peers::default(),
            flights: Flights::new(base),
            outbox: VecDeque::new(),
            moving: Gather::new(),
            next_wake: Moment::NEVER,
            outstanding: 0,
            stamp_mask: random.rotate_left(17).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            question: Vec::new(),
            operands: Vec::new(),
            statistics: Statistics::default(),
        };
        session.ask_where_due(Moment::default());
        Ok(session)
    }

    /// What it was made with.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Takes a request, whose end will be told as an [`Answer`](crate::Answer) with this `tag`. It waits for company in its frame
    /// until the frame is full or [`flush`](Self::flush) is called.
    ///
    /// # Errors
    /// Every [`SubmitError`]. The request was not taken then, and there will be no answer.
    // Where it is called the operation is known, and all that depends on it falls away.
    #[inline(always)]
    pub fn submit(&mut self, now: Moment, key: &[u8], operation: Operation<'_>, tag: u64) -> Result<(), SubmitError> {
        match operation.plain_value() {
            Some(value) => {
                let request = RawRequest { operation: operation.to_wire(), key, value };
                let pending = Pending::new(tag, now, operation.opcode());
                if self.take_easily(&request, pending) { Ok(()) } else { self.take(&request, value.len(), pending) }
            }
            None => self.encode(now, key, &operation, tag),
        }
    }

    /// Takes a request whose value field has to be written first.
    fn encode(&mut self, now: Moment, key: &[u8], operation: &Operation<'_>, tag: u64) -> Result<(), SubmitError> {
        let mut operands = std::mem::take(&mut self.operands);
        operands.resize(OPERANDS_LEN_MAX, 0);
        // What does not fit is longer than any server takes, and refused for that.
        let len = operation.encode_value(&mut operands).unwrap_or_default();
        let request = RawRequest { operation: operation.to_wire(), key, value: &operands[..len] };
        let taken = self.take(&request, value_len(operation), Pending::new(tag, now, operation.opcode()));
        self.operands = operands;
        taken
    }

    /// Takes a request whose value field is an operand, if nothing about it takes a closer look: most are short, and not the
    /// first of their frame.
    #[inline(always)]
    fn take_easily(&mut self, request: &RawRequest<'_>, pending: Pending) -> bool {
        if self.outstanding >= self.config.window {
            return false;
        }
        let (server_id, route) = self.way_of(request.key, pending.opcode);
        let Some(server) = self.servers.get_mut(usize::from(server_id.0)) else { return false };
        if !server.takes(request.key.len(), request.value.len()) {
            return false;
        }
        let gather = &mut server.route_mut(route).gather;
        if !gather.push_easily(request, pending) {
            return false;
        }
        self.outstanding += 1;
        if gather.count() >= self.config.requests_per_frame {
            self.launch(pending.submitted, server_id, route);
        }
        true
    }

    /// Takes any request, which compares or stores values of up to `value_len` bytes.
    fn take(&mut self, request: &RawRequest<'_>, value_len: usize, pending: Pending) -> Result<(), SubmitError> {
        if self.outstanding >= self.config.window {
            return Err(SubmitError::Full);
        }
        let now = pending.submitted;
        let (server_id, route) = self.way_of(request.key, pending.opcode);
        let server = &mut self.servers[usize::from(server_id.0)];
        server.check(request, pending.opcode, value_len)?;
        let room = server.room(self.config.requests_per_frame);
        if !server.route_mut(route).gather.has_room(request, pending.opcode, &room) {
            self.launch(now, server_id, route);
        }
        let gather = &mut self.servers[usize::from(server_id.0)].route_mut(route).gather;
        if !gather.push(request, pending, &room) {
            // `check` has compared it with limits that are not above the writer's.
            debug_assert!(false, "a request that fits no frame");
            return Err(SubmitError::Full);
        }
        let is_full = gather.count() >= self.config.requests_per_frame;
        self.outstanding += 1;
        if is_full {
            self.launch(now, server_id, route);
        }
        Ok(())
    }

    /// The server and the route of a request. Where there is no choice, nothing is hashed.
    #[inline(always)]
    fn way_of(&self, key: &[u8], opcode: Opcode) -> (ServerId, u8) {
        match self.servers.as_slice() {
            [only] if !only.is_divided() => (ServerId(0), only.route_of(KeyHash(0), opcode.is_read())),
            servers => {
                let hash = KeyHash::of(key);
                let index = hash.server(servers.len() as u16);
                (ServerId(index), servers[usize::from(index)].route_of(hash, opcode.is_read()))
            }
        }
    }

    /// Makes every gathered request leave with the next departures.
    pub fn flush(&mut self, now: Moment) {
        self.flush_before(now, Moment::NEVER);
    }

    /// As [`flush`](Self::flush), for the frames whose first request has waited for [`Config::linger`].
    pub fn flush_lingering(&mut self, now: Moment) {
        let linger = duration_nanos(self.config.linger);
        self.flush_before(now, Moment::from_nanos(now.nanos().saturating_sub(linger)));
    }

    fn flush_before(&mut self, now: Moment, limit: Moment) {
        for index in 0..self.servers.len() {
            for route in self.servers[index].routes() {
                let gather = &self.servers[index].route_mut(route).gather;
                if gather.first().is_some_and(|first| first.submitted <= limit) {
                    self.launch(now, ServerId(index as u16), route);
                }
            }
        }
    }

    /// How many requests have not ended.
    pub const fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// How many requests [`submit`](Self::submit) would take now.
    pub const fn window_room(&self) -> usize {
        self.config.window - self.outstanding
    }

    /// What was counted so far.
    pub const fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// Makes the requests that a route has gathered a flight to one of its endpoints.
    fn launch(&mut self, now: Moment, server_id: ServerId, route: u8) {
        let route_state = self.servers[usize::from(server_id.0)].route_mut(route);
        if !route_state.gather.is_empty() {
            let peer = route_state.next_peer();
            self.launch_to(now, server_id, route, peer);
        }
    }

    /// Makes the requests that a route has gathered a flight to `peer`, or a parked one.
    fn launch_to(&mut self, now: Moment, server_id: ServerId, route: u8, peer: Option<PeerId>) -> Option<u16> {
        let server = &mut self.servers[usize::from(server_id.0)];
        let room_to_show = server.room_to_show();
        let gather = &mut server.route_mut(route).gather;
        let first = gather.first()?;
        let launch = Launch {
            server: server_id,
            expiry: first.expiry(self.config.timeout),
            peer,
            before: Tries::default(),
            not_before: now,
            answer_len: gather.answer_len(room_to_show),
        };
        let index = self.flights.launch(now, gather, &launch);
        self.launched(index);
        Some(index)
    }

    /// Does what every new flight needs.
    fn launched(&mut self, index: u16) {
        let Some(flight) = self.flights.get(index) else { return };
        self.next_wake = self.next_wake.min(flight.wake());
        if flight.state == State::Queued {
            self.outbox.push_back(Queued::Flight { index, batch_id: self.flights.batch_id(index) });
        }
    }
}

/// The longest value that an operation compares or stores, in bytes.
fn value_len(operation: &Operation<'_>) -> usize {
    match operation {
        Operation::Add { value, .. } | Operation::Set { value, .. } => value.len(),
        Operation::CompareAndSet { expected, new, .. } => expected.len().max(new.len()),
        Operation::Append { suffix } => suffix.len(),
        _ => 0,
    }
}
