//! One server: who it says it is, and which way requests for it go.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use kv_core::hash::KeyHash;
use qp_wire::limits::{DATAGRAM_LEN_MAX, KEY_LEN_MAX, VALUE_LEN_MAX};
use qp_wire::native::{Endpoint, HEADER_LEN, Identity};
use qp_wire::{Opcode, RawRequest, batch};

use super::ask::Ask;
use super::gather::{Gather, Room, RoomToShow};
use super::peer::{PeerId, Peers};
use crate::error::{SubmitError, TooLarge};

/// A server's place in the list of servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerId(pub u16);

/// What a server says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerInfo {
    /// The address at which it was asked.
    pub address: SocketAddr,
    /// The number of this life of the server.
    pub server_id: u64,
    /// Counts the changes of what follows.
    pub epoch: u32,
    /// The number of its design.
    pub design: u8,
    /// Whether any endpoint takes reads of any key.
    pub concurrent_read: bool,
    /// Whether every partition has an endpoint.
    pub complete: bool,
    /// Longest frame in either direction, in bytes of UDP payload.
    pub frame_len_max: usize,
    /// Longest value, in bytes.
    pub value_len_max: usize,
    /// Longest key, in bytes.
    pub key_len_max: usize,
    /// How many partitions it has.
    pub partition_count: usize,
    /// Where it takes requests.
    pub endpoints: Vec<SocketAddr>,
}

/// The route of requests that nobody is known to take.
const LIMBO: u8 = 0;

/// How long an answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allowance {
    /// Nothing has shown it yet.
    Untested,
    /// As long as a frame may be.
    Frame,
    /// As long as the request: the server does not know this machine, and so it is padded (W-C-53).
    Request,
}

/// What a request to a server may have at most, in bytes: what the server says and this library can.
#[derive(Clone, Copy, Debug)]
struct Limits {
    key_len_max: usize,
    value_len_max: usize,
    frame_len_max: usize,
}

impl Limits {
    /// Those of a server that has said nothing.
    const UNKNOWN: Self =
        Self { key_len_max: KEY_LEN_MAX, value_len_max: VALUE_LEN_MAX, frame_len_max: DATAGRAM_LEN_MAX };

    fn of(identity: &Identity<'_>) -> Self {
        Self {
            key_len_max: identity.key_len_max.into(),
            value_len_max: usize::from(identity.value_len_max).min(VALUE_LEN_MAX),
            frame_len_max: usize::from(identity.frame_len_max).min(DATAGRAM_LEN_MAX),
        }
    }
}

/// Endpoints that take the same requests, and the requests that wait for the next frame to one of them.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) gather: Gather,
    peers: Vec<PeerId>,
    next: usize,
}

impl Route {
    fn new(peers: Vec<PeerId>) -> Self {
        Self { gather: Gather::new(), peers, next: 0 }
    }

    /// The endpoint whose turn it is.
    pub(super) fn next_peer(&mut self) -> Option<PeerId> {
        let peer = self.peers.get(self.next).or(self.peers.first()).copied();
        self.next = if self.next + 1 < self.peers.len() { self.next + 1 } else { 0 };
        peer
    }
}

/// What an answer about itself changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    None,
    /// Something: requests may have to go elsewhere.
    Told,
    /// It is another life of the server: what was sent to the last one will not be answered.
    Restarted,
}

/// One server.
#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    info: Option<ServerInfo>,
    limits: Limits,
    owners: Vec<u8>,
    endpoints: Vec<Endpoint>,
    routes: Vec<Route>,
    /// The route of each partition's writes.
    partition_routes: Vec<u8>,
    /// The route of all reads, if any endpoint takes them.
    read_route: Option<u8>,
    pub(super) ask: Ask,
    pub(super) allowance: Allowance,
    /// How long the values of late were, the longer ones remembered longer.
    value_len_expected: usize,
    /// The version that it speaks, if that is not ours.
    pub(super) foreign_version: Option<u8>,
    /// How often the system said that nothing listens at its address, since its last answer.
    pub(super) unreachable: u32,
}

impl Server {
    pub(super) fn new(address: SocketAddr, batch_id: u32) -> Self {
        Self {
            address,
            info: None,
            limits: Limits::UNKNOWN,
            owners: Vec::new(),
            endpoints: Vec::new(),
            routes: vec![Route::new(Vec::new())],
            partition_routes: Vec::new(),
            read_route: None,
            ask: Ask::new(batch_id),
            allowance: Allowance::Untested,
            value_len_expected: 0,
            foreign_version: None,
            unreachable: 0,
        }
    }

    /// Where it is asked who it is.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it said about itself.
    pub(super) const fn info(&self) -> Option<&ServerInfo> {
        self.info.as_ref()
    }

    /// Whether it takes keys and values of these lengths, none of which is 0 by mistake: a cheap question.
    #[inline(always)]
    pub(super) const fn takes(&self, key_len: usize, value_len: usize) -> bool {
        key_len != 0 && key_len <= self.limits.key_len_max && value_len <= self.limits.value_len_max
    }

    /// Whether a request can be sent to it at all. Its operation compares or stores values of up to `value_len` bytes.
    ///
    /// # Errors
    /// [`SubmitError::NoKey`] and [`SubmitError::TooLarge`].
    pub(super) fn check(&self, request: &RawRequest<'_>, opcode: Opcode, value_len: usize) -> Result<(), SubmitError> {
        let RawRequest { key, value, .. } = *request;
        if key.is_empty() && opcode.has_key() {
            return Err(SubmitError::NoKey);
        }
        let Limits { key_len_max, value_len_max, frame_len_max } = self.limits;
        if key.len() > key_len_max {
            return Err(TooLarge::Key { len: key.len(), max: key_len_max }.into());
        }
        if value_len > value_len_max {
            return Err(TooLarge::Value { len: value_len, max: value_len_max }.into());
        }
        let frame_len = HEADER_LEN + batch::HEADER_LEN + key.len() + value.len();
        if frame_len > frame_len_max {
            return Err(TooLarge::Frame { len: frame_len, max: frame_len_max }.into());
        }
        Ok(())
    }

    /// What bounds its frames, of which none shall have more than `count_max` requests.
    #[inline]
    pub(super) const fn room(&self, count_max: usize) -> Room {
        let value_len_expected = self.value_len_expected;
        Room { frame_len_max: self.limits.frame_len_max, count_max, value_len_expected }
    }

    /// Remembers how long the value of a GET was.
    #[inline]
    pub(super) fn saw_value(&mut self, len: usize) {
        if len == self.value_len_expected {
            return;
        }
        self.value_len_expected = len.max(self.value_len_expected - self.value_len_expected.div_ceil(64));
    }

    /// What its frames have to show, if it answers with no more bytes than it got.
    pub(super) fn room_to_show(&self) -> Option<RoomToShow> {
        let knows_values = self.value_len_expected > 0;
        let room = RoomToShow { frame_len_max: self.limits.frame_len_max, knows_values };
        (self.allowance == Allowance::Request).then_some(room)
    }

    /// Whether it depends on a key's hash where its requests go.
    #[inline]
    pub(super) const fn is_divided(&self) -> bool {
        self.partition_routes.len() > 1
    }

    /// The route of a request.
    #[inline]
    pub(super) fn route_of(&self, hash: KeyHash, is_read: bool) -> u8 {
        if is_read && let Some(route) = self.read_route {
            return route;
        }
        if !self.is_divided() {
            return self.partition_routes.first().copied().unwrap_or(LIMBO);
        }
        // At most 256 partitions, so the count fits.
        let partition = hash.partition(self.partition_routes.len() as u16);
        self.partition_routes.get(usize::from(partition.0)).copied().unwrap_or(LIMBO)
    }

    #[inline]
    pub(super) fn route_mut(&mut self, route: u8) -> &mut Route {
        let index = usize::from(route);
        // A number of a route is never older than the routes themselves.
        debug_assert!(index < self.routes.len(), "no route {route}");
        let index = if index < self.routes.len() { index } else { usize::from(LIMBO) };
        &mut self.routes[index]
    }

    /// The numbers of all routes.
    pub(super) fn routes(&self) -> std::ops::Range<u8> {
        0..self.routes.len() as u8
    }

    /// Whether one of its routes leads to an endpoint.
    pub(super) fn names(&self, peer: PeerId) -> bool {
        self.routes.iter().any(|route| route.peers.contains(&peer))
    }

    /// What `identity` changes.
    pub(super) fn change(&self, identity: &Identity<'_>) -> Change {
        let Some(info) = &self.info else { return Change::Told };
        if info.server_id != identity.server_id {
            return Change::Restarted;
        }
        let known = Identity {
            server_id: info.server_id,
            epoch: info.epoch,
            design: info.design,
            concurrent_read: info.concurrent_read,
            complete: info.complete,
            frame_len_max: identity.frame_len_max,
            value_len_max: identity.value_len_max,
            key_len_max: identity.key_len_max,
            owners: &self.owners,
            endpoints: &self.endpoints,
        };
        let same_limits = info.frame_len_max == usize::from(identity.frame_len_max)
            && info.value_len_max == usize::from(identity.value_len_max)
            && info.key_len_max == usize::from(identity.key_len_max);
        if known == *identity && same_limits { Change::None } else { Change::Told }
    }

    /// Believes `identity`. Every gather must be empty, since the routes are new.
    pub(super) fn adopt(&mut self, identity: &Identity<'_>, peers: &mut Peers, round_trip: Duration) {
        debug_assert!(self.routes.iter().all(|route| route.gather.is_empty()), "requests on an old route");
        let addresses: Vec<SocketAddr> =
            identity.endpoints.iter().map(|endpoint| endpoint_address(endpoint, self.address)).collect();
        let peer_ids: Vec<Option<PeerId>> =
            addresses.iter().map(|&address| peers.intern(address, round_trip)).collect();
        self.set_routes(identity, &peer_ids);
        self.owners = identity.owners.to_vec();
        self.endpoints = identity.endpoints.to_vec();
        self.allowance = Allowance::Untested;
        self.limits = Limits::of(identity);
        self.info = Some(ServerInfo {
            address: self.address,
            server_id: identity.server_id,
            epoch: identity.epoch,
            design: identity.design,
            concurrent_read: identity.concurrent_read,
            complete: identity.complete,
            frame_len_max: usize::from(identity.frame_len_max),
            value_len_max: usize::from(identity.value_len_max),
            key_len_max: usize::from(identity.key_len_max),
            partition_count: identity.owners.len(),
            endpoints: addresses,
        });
    }

    /// One route for each owner that has endpoints, one for reads if every endpoint takes them.
    fn set_routes(&mut self, identity: &Identity<'_>, peers: &[Option<PeerId>]) {
        self.routes.truncate(1);
        let mut route_of_label = [LIMBO; 256];
        for (endpoint, peer) in identity.endpoints.iter().zip(peers) {
            let Some(peer) = *peer else { continue };
            let route = &mut route_of_label[usize::from(endpoint.label())];
            if *route == LIMBO {
                // At most 32 endpoints, so the number fits.
                *route = self.routes.len() as u8;
                self.routes.push(Route::new(Vec::new()));
            }
            self.routes[usize::from(*route)].peers.push(peer);
        }
        self.partition_routes = identity.owners.iter().map(|&label| route_of_label[usize::from(label)]).collect();
        self.read_route = None;
        let all: Vec<PeerId> = peers.iter().copied().flatten().collect();
        if identity.concurrent_read && !all.is_empty() {
            self.read_route = Some(self.routes.len() as u8);
            self.routes.push(Route::new(all));
        }
    }
}

/// The address of an endpoint of the server that was asked at `asked`.
fn endpoint_address(endpoint: &Endpoint, asked: SocketAddr) -> SocketAddr {
    let ip = endpoint.ipv4().map_or(asked.ip(), |octets| IpAddr::V4(Ipv4Addr::from(octets)));
    SocketAddr::new(ip, endpoint.udp_port())
}
