//! What clients know of a server: which address executes what.

use std::net::SocketAddr;

use kv_core::design::{Endpoint, OwnerLabel, Plan};
use kv_core::hash::KeyHash;

/// A server's partitions and endpoints, as its plan has them.
#[derive(Clone, Debug)]
pub struct Directory {
    plan: Plan,
    endpoints: Vec<(Endpoint, SocketAddr)>,
}

impl Directory {
    /// The directory of a plan, whose endpoint number i has the address `address(i)`.
    pub fn new(plan: &Plan, address: impl Fn(usize) -> SocketAddr) -> Self {
        let endpoints = plan.endpoints().enumerate().map(|(index, endpoint)| (endpoint, address(index))).collect();
        Self { plan: *plan, endpoints }
    }

    /// Every endpoint and its address.
    pub fn endpoints(&self) -> &[(Endpoint, SocketAddr)] {
        &self.endpoints
    }

    /// The address for an operation on a key with this hash. Where several will do, `choice` decides.
    pub fn endpoint(&self, hash: KeyHash, is_read: bool, choice: u64) -> SocketAddr {
        let suitable: Vec<_> =
            self.endpoints.iter().map(|(_, address)| *address).filter(|to| self.executes(*to, hash, is_read)).collect();
        suitable[(choice % suitable.len() as u64) as usize]
    }

    /// Whether operations on a key with this hash may be sent to this address.
    pub fn executes(&self, address: SocketAddr, hash: KeyHash, is_read: bool) -> bool {
        let label = self.label(hash);
        let is_any_reader = is_read && self.plan.concurrent_read();
        self.endpoints.iter().any(|(endpoint, at)| *at == address && (is_any_reader || endpoint.label == label))
    }

    fn label(&self, hash: KeyHash) -> OwnerLabel {
        self.plan.label(hash.partition(self.plan.topology().partitions).0)
    }
}
