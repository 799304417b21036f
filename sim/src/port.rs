//! A port of the simulated network that gives datagrams, as a kernel socket does.

use std::net::SocketAddr;

use kv_core::port::{Burst, DropCounts, Frame, PacketPort};

use crate::fault::FaultClass;
use crate::link::Network;
use crate::physics::Physics;
use crate::pool::{Pool, Pooled};
use crate::seed::Random;

/// One datagram in a buffer of its port's pool.
#[derive(Debug)]
pub struct SimFrame {
    buf: Pooled,
    len: usize,
    source: SocketAddr,
}

impl Frame for SimFrame {
    fn payload(&self) -> &[u8] {
        &self.buf.as_ref()[..self.len]
    }

    fn source(&self) -> SocketAddr {
        self.source
    }

    fn reply_buf(&mut self) -> &mut [u8] {
        self.buf.as_mut()
    }

    fn set_reply(&mut self, len: usize) {
        self.len = len.min(self.buf.as_ref().len());
    }
}

/// How many frames a port has, and how long each may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortGeometry {
    /// Length of a frame's buffer in bytes: no datagram that arrives or leaves is longer.
    pub frame_len: usize,
    /// Frames between arrival and transmission at most.
    pub frame_count: usize,
}

/// A datagram port at one address.
///
/// Without a free frame, packets wait in the network, up to its bound. Dropping the port closes the address.
#[derive(Debug)]
pub struct SimPort {
    physics: Physics,
    random: Random,
    network: Network,
    address: SocketAddr,
    pool: Pool,
}

impl SimPort {
    /// Opens a port at `address`.
    pub fn open(physics: &Physics, network: &Network, address: SocketAddr, geometry: PortGeometry) -> Self {
        network.open(address);
        Self {
            physics: physics.clone(),
            random: physics.stream("port", u64::from(address.port())),
            network: network.clone(),
            address,
            pool: Pool::new(geometry.frame_len, geometry.frame_count),
        }
    }

    /// Its frames.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }
}

impl PacketPort for SimPort {
    type Frame = SimFrame;

    fn receive(&mut self, into: &mut Burst<SimFrame>, _drops: &mut DropCounts) {
        while into.room() > 0 && self.pool.free_count() > 0 {
            let Some(packet) = self.network.receive(self.address) else { return };
            let Some(mut buf) = self.pool.take() else { return };
            // A datagram longer than the buffer is cut to it, as a kernel socket does without being asked.
            let len = packet.bytes.len().min(buf.as_ref().len());
            buf.as_mut()[..len].copy_from_slice(&packet.bytes[..len]);
            if into.push(SimFrame { buf, len, source: packet.from }).is_err() {
                return;
            }
        }
    }

    fn transmit(&mut self, from: &mut Burst<SimFrame>, _drops: &mut DropCounts) {
        let count = transmit_count(&self.physics, &mut self.random, from.count());
        for frame in (0..count).map_while(|_| from.pop()) {
            self.network.send(self.address, frame.source, frame.payload());
        }
    }
}

impl Drop for SimPort {
    fn drop(&mut self) {
        self.network.close(self.address);
    }
}

/// How many of `count` frames the wire takes now: all, unless it is full.
pub(crate) fn transmit_count(physics: &Physics, random: &mut Random, count: usize) -> usize {
    let faults = physics.faults();
    let chance = faults.plan().link.transmit_full;
    if count > 0 && faults.strikes(random, chance, FaultClass::TransmitFull) {
        random.below(count as u64) as usize
    } else {
        count
    }
}

#[cfg(test)]
mod tests {
    use arch::Tick;

    use super::*;
    use crate::fault::FaultPlan;
    use crate::seed::Chance;

    const GEOMETRY: PortGeometry = PortGeometry { frame_len: 100, frame_count: 4 };

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    fn received(port: &mut SimPort) -> Burst<SimFrame> {
        let mut burst = Burst::new();
        port.receive(&mut burst, &mut DropCounts::default());
        burst
    }

    #[test]
    fn a_response_leaves_in_the_requests_frame() {
        let physics = Physics::new(1, FaultPlan::NONE);
        let network = Network::new(&physics);
        let mut port = SimPort::open(&physics, &network, address(1), GEOMETRY);
        network.open(address(2));
        network.send(address(2), address(1), b"ping");
        physics.advance(Tick(5_000));
        let mut frame = received(&mut port).pop().expect("the request");
        assert_eq!((frame.payload(), frame.source()), (&b"ping"[..], address(2)));
        frame.reply_buf()[..5].copy_from_slice(b"pong!");
        frame.set_reply(5);
        let mut burst = Burst::new();
        assert!(burst.push(frame).is_ok());
        assert_eq!(port.pool().used_count(), 1);
        port.transmit(&mut burst, &mut DropCounts::default());
        assert_eq!(port.pool().used_count(), 0);
        physics.advance(Tick(10_000));
        assert_eq!(network.receive(address(2)).map(|packet| packet.bytes), Some(b"pong!".to_vec()));
    }

    #[test]
    fn packets_wait_while_all_frames_are_out() {
        let physics = Physics::new(1, FaultPlan::NONE);
        let network = Network::new(&physics);
        let mut port = SimPort::open(&physics, &network, address(1), GEOMETRY);
        for _ in 0..6 {
            network.send(address(2), address(1), b"x");
        }
        physics.advance(Tick(5_000));
        let held = received(&mut port);
        assert_eq!((held.count(), received(&mut port).count()), (4, 0));
        drop(held);
        assert_eq!(received(&mut port).count(), 2);
    }

    #[test]
    fn a_full_wire_leaves_frames_where_they_were() {
        let mut plan = FaultPlan::NONE;
        plan.link.transmit_full = Chance::percent(100);
        let physics = Physics::new(1, plan);
        let network = Network::new(&physics);
        let mut port = SimPort::open(&physics, &network, address(1), GEOMETRY);
        for _ in 0..4 {
            network.send(address(2), address(1), b"x");
        }
        physics.advance(Tick(5_000));
        let mut burst = received(&mut port);
        port.transmit(&mut burst, &mut DropCounts::default());
        assert!(burst.count() > 0);
        assert_eq!(network.counts().sent as usize - 4 + burst.count(), 4);
        assert_eq!(port.pool().used_count(), burst.count());
    }
}
