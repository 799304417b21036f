//! Where frames go: the endpoints of all servers.

use std::net::SocketAddr;
use std::time::Duration;

use crate::rtt::{Bounds, Rtt};

/// An endpoint's number within a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PeerId(pub(super) u16);

/// An endpoint of a server.
#[derive(Debug)]
struct Peer {
    address: SocketAddr,
    rtt: Rtt,
    /// How many frames in a row went without an answer.
    silence: u32,
    /// Whether a server names it.
    in_use: bool,
}

/// All endpoints.
#[derive(Debug, Default)]
pub(super) struct Peers {
    list: Vec<Peer>,
}

impl Peers {
    /// The number of the endpoint at `address`, which may be new. `round_trip` was measured to its server.
    ///
    /// `None` when 65536 endpoints are in use: more than servers can name.
    pub(super) fn intern(&mut self, address: SocketAddr, round_trip: Duration) -> Option<PeerId> {
        let known = self.list.iter().position(|peer| peer.address == address);
        let index = known.or_else(|| self.list.iter().position(|peer| !peer.in_use)).unwrap_or(self.list.len());
        let id = PeerId(u16::try_from(index).ok()?);
        if known.is_none() {
            let mut rtt = Rtt::default();
            rtt.sample(round_trip);
            let peer = Peer { address, rtt, silence: 0, in_use: true };
            match self.list.get_mut(index) {
                Some(unused) => *unused = peer,
                None => self.list.push(peer),
            }
        }
        self.list[index].in_use = true;
        Some(id)
    }

    /// Lets go of the endpoints that no server names.
    pub(super) fn retain(&mut self, is_named: impl Fn(PeerId) -> bool) {
        for (index, peer) in self.list.iter_mut().enumerate() {
            peer.in_use = is_named(PeerId(index as u16));
        }
    }

    /// The address of an endpoint.
    pub(super) fn address(&self, id: PeerId) -> Option<SocketAddr> {
        self.list.get(usize::from(id.0)).map(|peer| peer.address)
    }

    /// An answer came.
    pub(super) fn answered(&mut self, id: PeerId, round_trip: Duration) {
        if let Some(peer) = self.list.get_mut(usize::from(id.0)) {
            peer.rtt.sample(round_trip);
            peer.silence = 0;
        }
    }

    /// A frame went without an answer. Returns how many did in a row.
    pub(super) fn silent(&mut self, id: PeerId) -> u32 {
        self.list.get_mut(usize::from(id.0)).map_or(0, |peer| {
            peer.silence = peer.silence.saturating_add(1);
            peer.silence
        })
    }

    /// How long to wait before a frame is sent again.
    pub(super) fn resend_after(&self, id: PeerId, attempts_before: u32, bounds: Bounds) -> Duration {
        let rtt = self.list.get(usize::from(id.0)).map_or_else(Rtt::default, |peer| peer.rtt);
        rtt.resend_after(attempts_before, bounds)
    }
}
