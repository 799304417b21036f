//! What a packet of the network is: a datagram, or a whole frame around one.
//!
//! A kernel socket gives datagrams, a DPDK queue whole frames. A world has one of the two kinds throughout; servers and
//! clients are the same in both. Addresses become MAC addresses by a rule, so nobody needs ARP.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use kv_core::framed::Framed;
use kv_core::port::PacketPort;
use qp_wire::net::{Checksums, Datagram, HEADERS_LEN, Local, MacAddr, Remote, request_headers};

use crate::clock::Clock;
use crate::link::Network;
use crate::physics::Physics;
use crate::port::{PortGeometry, SimPort};
use crate::raw_port::SimRawPort;

/// What the network carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// UDP payloads.
    Datagrams,
    /// Ethernet frames, with or without an IPv4 checksum.
    Frames(Checksums),
}

/// A port that servers can be given.
pub trait ServerPort: PacketPort<Frame: fmt::Debug> + Sized + fmt::Debug {
    /// Opens a port at an address.
    fn open(physics: &Physics, network: &Network, address: SocketAddr, geometry: PortGeometry) -> Self;

    /// How many frames it has lent out and not got back.
    fn frames_out(&self) -> usize;
}

impl ServerPort for SimPort {
    fn open(physics: &Physics, network: &Network, address: SocketAddr, geometry: PortGeometry) -> Self {
        Self::open(physics, network, address, geometry)
    }

    fn frames_out(&self) -> usize {
        self.pool().used_count()
    }
}

impl ServerPort for Framed<SimRawPort> {
    fn open(physics: &Physics, network: &Network, address: SocketAddr, geometry: PortGeometry) -> Self {
        let geometry = PortGeometry { frame_len: geometry.frame_len + HEADERS_LEN, ..geometry };
        Self::new(SimRawPort::open(physics, network, address, geometry), local(address), Clock::rate())
    }

    fn frames_out(&self) -> usize {
        self.raw().pool().used_count()
    }
}

impl Medium {
    /// A packet with this payload.
    pub fn wrap(self, from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
        let Self::Frames(checksums) = self else { return payload.to_vec() };
        let mut frame = vec![0; HEADERS_LEN];
        frame.extend_from_slice(payload);
        let Local { mac, ipv4, port } = local(to);
        let written = request_headers(&mut frame, &local(from), &Remote { mac, ipv4, port }, payload.len(), checksums);
        assert_eq!(written, Some(frame.len()), "a payload fits a datagram");
        frame
    }

    /// The payload of a packet that arrived at `address`, or `None` if it is not one for that address.
    pub fn unwrap(self, address: SocketAddr, packet: &[u8]) -> Option<&[u8]> {
        let Self::Frames(_) = self else { return Some(packet) };
        let datagram = Datagram::decode(packet).ok()?;
        local(address).accepts(&datagram).ok()?;
        Some(datagram.payload())
    }
}

/// The endpoint at an address.
fn local(address: SocketAddr) -> Local {
    let ipv4 = match address.ip() {
        IpAddr::V4(ipv4) => ipv4,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    };
    Local { mac: mac_of(ipv4), ipv4, port: address.port() }
}

/// A locally administered MAC address. Those of 10.0.0.1 and 10.0.1.1 are the ones in MICA2's captured frames.
fn mac_of(ipv4: Ipv4Addr) -> MacAddr {
    let [_, b, c, d] = ipv4.octets();
    MacAddr([2, 0, 0, b, 0, c + d])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], port))
    }

    #[test]
    fn what_is_wrapped_is_found_at_its_address_and_nowhere_else() {
        for medium in [Medium::Frames(Checksums::Zero), Medium::Frames(Checksums::Computed)] {
            let packet = medium.wrap(address(1, 5), address(2, 6), b"payload");
            assert_eq!(packet.len(), HEADERS_LEN + 7);
            assert_eq!(medium.unwrap(address(2, 6), &packet), Some(&b"payload"[..]));
            assert_eq!(medium.unwrap(address(2, 7), &packet), None);
            assert_eq!(medium.unwrap(address(3, 6), &packet), None);
            assert_eq!(medium.unwrap(address(2, 6), &packet[..packet.len() - 1]), None);
        }
        assert_eq!(Medium::Datagrams.wrap(address(1, 5), address(2, 6), b"payload"), b"payload");
    }
}
