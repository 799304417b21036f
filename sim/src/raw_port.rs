//! A port of the simulated network that gives whole frames, as a DPDK queue does.
//!
//! The network knows addresses and bytes. A raw port hands it whole frames and finds the receiver's address where any
//! switch would: in the IPv4 and UDP headers. A frame without them goes nowhere, and is counted.

use std::net::{Ipv4Addr, SocketAddr};

use kv_core::port::{Burst, DropCounts, Holds, RawFrame, RawPort};

use crate::link::Network;
use crate::physics::Physics;
use crate::pool::{Pool, Pooled};
use crate::port::{PortGeometry, transmit_count};
use crate::seed::Random;

/// Where IPv4 source and destination and the UDP ports stand in an Ethernet II frame without VLAN and IP options.
const SOURCE_IP_OFFSET: usize = 26;
const DESTINATION_IP_OFFSET: usize = 30;
const SOURCE_PORT_OFFSET: usize = 34;
const DESTINATION_PORT_OFFSET: usize = 36;

/// One whole frame in a buffer of its port's pool.
#[derive(Debug)]
pub struct SimRawFrame {
    buf: Pooled,
    len: usize,
}

impl RawFrame for SimRawFrame {
    fn bytes(&self) -> &[u8] {
        &self.buf.as_ref()[..self.len]
    }

    fn buf(&mut self) -> &mut [u8] {
        self.buf.as_mut()
    }

    fn set_len(&mut self, len: usize) {
        self.len = len.min(self.buf.as_ref().len());
    }
}

/// A frame port at one address. Dropping it closes the address.
#[derive(Debug)]
pub struct SimRawPort {
    physics: Physics,
    random: Random,
    network: Network,
    address: SocketAddr,
    pool: Pool,
    unroutable: u64,
}

impl SimRawPort {
    /// Opens a port to which the network brings frames for `address`.
    pub fn open(physics: &Physics, network: &Network, address: SocketAddr, geometry: PortGeometry) -> Self {
        network.open(address);
        Self {
            physics: physics.clone(),
            random: physics.stream("raw port", u64::from(address.port())),
            network: network.clone(),
            address,
            pool: Pool::new(geometry.frame_len, geometry.frame_count),
            unroutable: 0,
        }
    }

    /// Its frames.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Frames that left without a destination.
    pub fn unroutable_count(&self) -> u64 {
        self.unroutable
    }
}

/// Sends a whole frame from and to the addresses in its headers. Returns whether it had any.
pub fn send_frame(network: &Network, frame: &[u8]) -> bool {
    let from = address_at(frame, SOURCE_IP_OFFSET, SOURCE_PORT_OFFSET);
    let to = address_at(frame, DESTINATION_IP_OFFSET, DESTINATION_PORT_OFFSET);
    match from.zip(to) {
        Some((from, to)) => {
            network.send(from, to, frame);
            true
        }
        None => false,
    }
}

fn address_at(frame: &[u8], ip_offset: usize, port_offset: usize) -> Option<SocketAddr> {
    let ip: [u8; 4] = frame.get(ip_offset..)?.first_chunk().copied()?;
    let port: [u8; 2] = frame.get(port_offset..)?.first_chunk().copied()?;
    Some(SocketAddr::from((Ipv4Addr::from(ip), u16::from_be_bytes(port))))
}

impl RawPort for SimRawPort {
    type Frame = SimRawFrame;

    fn alloc(&mut self) -> Option<SimRawFrame> {
        Some(SimRawFrame { buf: self.pool.take()?, len: 0 })
    }

    fn receive(&mut self, into: &mut Burst<SimRawFrame>, _: &mut DropCounts) {
        while into.room() > 0 && self.pool.free_count() > 0 {
            let Some(packet) = self.network.receive(self.address) else { return };
            let Some(mut buf) = self.pool.take() else { return };
            let len = packet.bytes.len().min(buf.as_ref().len());
            buf.as_mut()[..len].copy_from_slice(&packet.bytes[..len]);
            if into.push(SimRawFrame { buf, len }).is_err() {
                return;
            }
        }
    }

    fn transmit<H: Holds<SimRawFrame>>(&mut self, from: &mut Burst<H>, _: &mut DropCounts) {
        let count = transmit_count(&self.physics, &mut self.random, from.count());
        for held in (0..count).map_while(|_| from.pop()) {
            if !send_frame(&self.network, held.frame().bytes()) {
                self.unroutable += 1;
            }
        }
    }
}

impl Drop for SimRawPort {
    fn drop(&mut self) {
        self.network.close(self.address);
    }
}

#[cfg(test)]
mod tests {
    use arch::Tick;

    use super::*;
    use crate::fault::FaultPlan;

    fn frame(from: u16, to: u16) -> Vec<u8> {
        let mut frame = vec![0; 60];
        frame[SOURCE_IP_OFFSET..][..8].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
        frame[SOURCE_PORT_OFFSET..][..2].copy_from_slice(&from.to_be_bytes());
        frame[DESTINATION_PORT_OFFSET..][..2].copy_from_slice(&to.to_be_bytes());
        frame
    }

    #[test]
    fn whole_frames_go_where_their_headers_say() {
        let physics = Physics::new(1, FaultPlan::NONE);
        let network = Network::new(&physics);
        let geometry = PortGeometry { frame_len: 1_514, frame_count: 4 };
        let address = SocketAddr::from(([10, 0, 0, 2], 7));
        let mut port = SimRawPort::open(&physics, &network, address, geometry);
        assert!(send_frame(&network, &frame(3, 7)));
        physics.advance(Tick(5_000));
        let mut burst = Burst::new();
        port.receive(&mut burst, &mut DropCounts::default());
        assert_eq!(burst.iter().map(|frame| frame.bytes().to_vec()).collect::<Vec<_>>(), [frame(3, 7)]);
        port.transmit(&mut burst, &mut DropCounts::default());
        assert_eq!((network.counts().sent, port.unroutable_count(), port.pool().used_count()), (2, 0, 0));
    }

    #[test]
    fn a_frame_too_short_for_addresses_goes_nowhere() {
        let network = Network::new(&Physics::new(1, FaultPlan::NONE));
        assert!(!send_frame(&network, &frame(3, 7)[..37]));
        assert_eq!(network.counts().sent, 0);
    }
}
