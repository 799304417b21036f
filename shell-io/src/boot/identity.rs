//! What clients are told of the server.
//!
//! A side alone knows its own endpoints; once both sides are attached, each tells the same of both.

use directory::Entry;
use kv_core::design::{OwnerLabel, Plan, Side};
use kv_core::engine::IdentityBytes;
use qp_wire::limits::{DATAGRAM_LEN_MAX, KEY_LEN_MAX, VALUE_LEN_MAX};
use qp_wire::native::{Endpoint, Identity};

use crate::control::{EndpointAddress, Epoch, Introduction};

/// What a side knows of the server by itself.
#[derive(Clone, Debug)]
pub(super) struct Directory {
    pub(super) plan: Plan,
    pub(super) side: Side,
    pub(super) server_id: u64,
    pub(super) frame_len_max: u16,
    pub(super) endpoints: Vec<EndpointAddress>,
}

impl Directory {
    /// The encoded identity: of this side alone, or with the other one. Empty where no core could tell it.
    pub(super) fn identity(&self, epoch: Epoch, peer: Option<&Introduction>) -> IdentityBytes {
        let addresses = self.addresses(peer);
        let endpoints: Vec<_> = addresses.iter().map(endpoint).collect();
        let owners: Vec<u8> =
            (0..self.plan.topology().partitions).map(|partition| self.plan.label(partition).0).collect();
        let identity = Identity {
            server_id: self.server_id(peer),
            epoch,
            design: self.plan.design() as u8,
            concurrent_read: self.plan.concurrent_read(),
            complete: self.is_complete(&addresses, peer.is_some()),
            frame_len_max: self.frame_len_max,
            value_len_max: value_len_max(self.frame_len_max),
            key_len_max: KEY_LEN_MAX as u8,
            owners: &owners,
            endpoints: &endpoints,
        };
        let mut bytes = IdentityBytes::new();
        // All numbers come from a plan that holds. Without an endpoint there is nothing to encode and nobody to ask.
        let len = bytes.resize(identity.encoded_len(), 0).ok().and_then(|()| identity.encode(&mut bytes).ok());
        bytes.truncate(len.unwrap_or_default());
        bytes
    }

    /// What a directory has of the server: of both sides, once each owner has an endpoint and somebody behind it.
    pub(super) fn entry(&self, peer: Option<&Introduction>) -> Option<Entry> {
        let addresses = self.addresses(peer);
        let endpoint = |address: &EndpointAddress| directory::Endpoint {
            owner: address.label.0.into(),
            mac: address.mac,
            ipv4: address.address,
            udp_port: address.port,
        };
        self.is_complete(&addresses, peer.is_some()).then(|| Entry {
            concurrent_read: self.plan.concurrent_read(),
            // Each partition has one owner, who alone writes.
            concurrent_write: false,
            partitions: (0..self.plan.topology().partitions)
                .map(|partition| self.plan.label(partition).0.into())
                .collect(),
            endpoints: addresses.iter().map(endpoint).collect(),
        })
    }

    /// Endpoints in the order of their labels.
    fn addresses(&self, peer: Option<&Introduction>) -> Vec<EndpointAddress> {
        let others = peer.map(|peer| peer.endpoints.as_slice()).unwrap_or_default();
        let mut addresses: Vec<_> = self.endpoints.iter().chain(others).copied().collect();
        addresses.sort_by_key(|address| address.label);
        addresses
    }

    /// Changes with the life of each side that holds items: other ids may mean other items.
    fn server_id(&self, peer: Option<&Introduction>) -> u64 {
        let (own, other) = (self.server_id, peer.map_or(0, |peer| peer.server_id));
        let (host, dpu) = if self.side == Side::Host { (own, other) } else { (other, own) };
        match (self.plan.has_tables(Side::Host), self.plan.has_tables(Side::Dpu)) {
            (true, true) => host ^ dpu.rotate_left(32),
            (true, false) => host,
            (false, _) => dpu,
        }
    }

    /// Whether each owner has an endpoint, and somebody behind it.
    fn is_complete(&self, addresses: &[EndpointAddress], is_attached: bool) -> bool {
        let has_endpoint = |label: OwnerLabel| addresses.iter().any(|address| address.label == label);
        let mut labels = (0..self.plan.topology().partitions).map(|partition| self.plan.label(partition));
        (is_attached || self.plan.queue_pair_count() == 0) && labels.all(has_endpoint)
    }
}

fn endpoint(address: &EndpointAddress) -> Endpoint {
    Endpoint::new(address.label.0, address.address.octets(), address.port)
}

/// A frame of the longest length holds one value of this length with the longest key, as [`VALUE_LEN_MAX`] has it for
/// the longest frame of all.
const fn value_len_max(frame_len_max: u16) -> u16 {
    frame_len_max.saturating_sub((DATAGRAM_LEN_MAX - VALUE_LEN_MAX) as u16)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use kv_core::design::{Design, Topology};
    use qp_wire::net::MacAddr;

    use super::*;
    use crate::control::Agreement;

    fn directory(design: Design, side: Side) -> Directory {
        let topology = Topology { host_cores: 2, dpu_cores: 2, spare_cores: 1, partitions: 4, concurrent_read: false };
        let plan = Plan::new(design, topology).expect("a plan");
        let own = plan.endpoints().filter(|endpoint| endpoint.side == side).map(|endpoint| EndpointAddress {
            core: endpoint.core,
            label: endpoint.label,
            mac: MacAddr([0; 6]),
            address: Ipv4Addr::LOCALHOST,
            port: 7600 + u16::from(endpoint.label.0),
        });
        let server_id = if side == Side::Host { 0x11 } else { 0x22 };
        Directory { endpoints: own.collect(), plan, side, server_id, frame_len_max: 1472 }
    }

    fn introduction(directory: &Directory) -> Introduction {
        Introduction {
            software: String::new(),
            agreement: Agreement::of_plan(&directory.plan),
            server_id: directory.server_id,
            epoch: 1,
            endpoints: directory.endpoints.clone(),
            windows: vec![],
        }
    }

    #[test]
    fn both_sides_tell_the_same_once_they_are_attached() {
        for design in Design::ALL {
            let (host, dpu) = (directory(design, Side::Host), directory(design, Side::Dpu));
            let by_host = host.identity(7, Some(&introduction(&dpu)));
            assert_eq!(by_host, dpu.identity(7, Some(&introduction(&host))), "{design:?}");
            let identity = Identity::decode(&by_host).expect("an identity");
            assert!(identity.complete && identity.epoch == 7, "{design:?}");
            let labels: Vec<_> = identity.endpoints.iter().map(Endpoint::label).collect();
            let ports: Vec<_> = identity.endpoints.iter().map(Endpoint::udp_port).collect();
            assert_eq!(labels.len(), host.plan.endpoints().count(), "{design:?}");
            assert!(labels.iter().zip(0..).all(|(label, index)| *label == index), "{design:?}");
            assert!(ports.iter().zip(7600..).all(|(port, expected)| *port == expected), "{design:?}");
        }
    }

    #[test]
    fn a_side_alone_says_so_unless_it_is_the_whole_server() {
        for (design, side, complete) in [
            (Design::CpuOnly, Side::Host, Some(true)),
            (Design::CpuOnly, Side::Dpu, None),
            (Design::DpuOnly, Side::Dpu, Some(true)),
            (Design::Lat, Side::Host, None),
            (Design::Lat, Side::Dpu, Some(false)),
            (Design::Dual, Side::Host, Some(false)),
            (Design::Dual, Side::Dpu, Some(false)),
            (Design::Shrd, Side::Host, Some(false)),
            (Design::Shrd, Side::Dpu, Some(false)),
        ] {
            let bytes = directory(design, side).identity(3, None);
            let told = (!bytes.is_empty()).then(|| Identity::decode(&bytes).expect("an identity").complete);
            assert_eq!(told, complete, "{design:?} {side:?}");
        }
    }

    #[test]
    fn the_server_is_another_one_when_a_side_with_items_was_started_anew() {
        for (design, with_host, with_dpu) in [
            (Design::CpuOnly, true, false),
            (Design::DpuOnly, false, true),
            (Design::Lat, true, false),
            (Design::Shrd, true, true),
        ] {
            let (host, dpu) = (directory(design, Side::Host), directory(design, Side::Dpu));
            let (new_host, new_dpu) =
                (Directory { server_id: 5, ..host.clone() }, Directory { server_id: 6, ..dpu.clone() });
            let id = |host: &Directory, dpu: &Directory| host.server_id(Some(&introduction(dpu)));
            assert_eq!(id(&host, &dpu) != id(&new_host, &dpu), with_host, "{design:?}");
            assert_eq!(id(&host, &dpu) != id(&host, &new_dpu), with_dpu, "{design:?}");
        }
    }

    #[test]
    fn an_entry_has_what_a_client_of_mica2_needs_to_reach_each_owner() {
        for design in Design::ALL {
            let (host, dpu) = (directory(design, Side::Host), directory(design, Side::Dpu));
            let entry = host.entry(Some(&introduction(&dpu))).expect("an entry");
            assert_eq!(dpu.entry(Some(&introduction(&host))).as_ref(), Some(&entry), "{design:?}");
            assert_eq!(Entry::parse(&entry.to_json()).as_ref(), Ok(&entry), "{design:?}");
            assert_eq!(entry.concurrent_read, host.plan.concurrent_read(), "{design:?}");
            for (partition, owner) in (0..).zip(&entry.partitions) {
                // MICA2's client sends to the first endpoint with the owner's label.
                let first = entry.endpoints.iter().find(|endpoint| endpoint.owner == *owner).expect("an endpoint");
                let planned = host.plan.endpoints().find(|endpoint| endpoint.label == host.plan.label(partition));
                let label = planned.expect("an endpoint").label.0;
                assert_eq!(first.udp_port, 7600 + u16::from(label), "{design:?}, partition {partition}");
            }
        }
    }

    #[test]
    fn half_a_server_is_not_published() {
        for design in Design::ALL {
            for side in [Side::Host, Side::Dpu] {
                let alone = directory(design, side);
                let is_whole = matches!((design, side), (Design::CpuOnly, Side::Host) | (Design::DpuOnly, Side::Dpu));
                assert_eq!(alone.entry(None).is_some(), is_whole, "{design:?} {side:?}");
            }
        }
    }

    #[test]
    fn the_longest_value_fits_the_longest_frame() {
        assert_eq!(usize::from(value_len_max(DATAGRAM_LEN_MAX as u16)), VALUE_LEN_MAX);
        assert_eq!(value_len_max(1472), 1472 - 16 - 8 - 8 - 255);
    }
}
