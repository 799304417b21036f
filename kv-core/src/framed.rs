//! Datagrams over a port that gives whole frames.
//!
//! DPDK, AF_XDP and AF_PACKET leave Ethernet, IPv4 and UDP to us. [`Framed`] checks them once when a frame comes in and
//! turns them round in place when it leaves; the payload is not moved.

use core::net::{IpAddr, SocketAddr};

use qp_wire::DropReason;
use qp_wire::net::{Checksums, Datagram, HEADERS_LEN, Local, reply_headers};

use crate::port::{Burst, DropCounts, Frame, PacketPort, RawFrame, RawPort};

/// A [`PacketPort`] at one endpoint of a [`RawPort`].
#[derive(Debug)]
pub struct Framed<R: RawPort> {
    raw: R,
    local: Local,
    arrived: Burst<R::Frame>,
}

impl<R: RawPort> Framed<R> {
    /// The endpoint `local` at a port.
    pub fn new(raw: R, local: Local) -> Self {
        Self { raw, local, arrived: Burst::new() }
    }

    /// The port below.
    pub fn raw(&self) -> &R {
        &self.raw
    }
}

/// A whole frame, seen as its datagram.
#[derive(Debug)]
pub struct FramedDatagram<F> {
    raw: F,
    facts: Facts,
}

/// What is known of a frame beside its bytes.
#[derive(Clone, Copy, Debug)]
struct Facts {
    payload_len: usize,
    source: SocketAddr,
    checksums: Checksums,
    /// Whether the headers are those of the response already.
    is_turned: bool,
}

impl<F: RawFrame> FramedDatagram<F> {
    fn of(raw: F, local: &Local) -> Result<Self, DropReason> {
        let datagram = Datagram::decode(raw.bytes())?;
        local.accepts(&datagram)?;
        let source = datagram.source();
        let facts = Facts {
            payload_len: datagram.payload().len(),
            source: SocketAddr::new(IpAddr::V4(source.ipv4), source.port),
            checksums: datagram.checksums(),
            is_turned: false,
        };
        Ok(Self { raw, facts })
    }

    /// Turns the headers round, so that the frame can leave.
    fn turn(&mut self) -> Result<(), DropReason> {
        if !self.facts.is_turned {
            let Facts { payload_len, checksums, .. } = self.facts;
            let len = reply_headers(self.raw.buf(), payload_len, checksums).ok_or(DropReason::Long)?;
            self.raw.set_len(len);
            self.facts.is_turned = true;
        }
        Ok(())
    }
}

impl<F: RawFrame> Frame for FramedDatagram<F> {
    fn payload(&self) -> &[u8] {
        self.raw.bytes().get(HEADERS_LEN..).and_then(|rest| rest.get(..self.facts.payload_len)).unwrap_or_default()
    }

    fn source(&self) -> SocketAddr {
        self.facts.source
    }

    fn reply_buf(&mut self) -> &mut [u8] {
        self.raw.buf().get_mut(HEADERS_LEN..).unwrap_or_default()
    }

    fn set_reply(&mut self, len: usize) {
        self.facts.payload_len = len.min(self.reply_buf().len());
        self.raw.set_len(HEADERS_LEN + self.facts.payload_len);
    }
}

impl<R: RawPort> PacketPort for Framed<R> {
    type Frame = FramedDatagram<R::Frame>;

    fn receive(&mut self, into: &mut Burst<Self::Frame>, drops: &mut DropCounts) {
        while into.room() > 0 {
            if self.arrived.is_empty() {
                self.raw.receive(&mut self.arrived);
            }
            let Some(raw) = self.arrived.pop() else { return };
            match FramedDatagram::of(raw, &self.local) {
                // There is room.
                Ok(frame) => drop(into.push(frame)),
                Err(reason) => drops.count(reason),
            }
        }
    }

    fn transmit(&mut self, from: &mut Burst<Self::Frame>, drops: &mut DropCounts) {
        let mut leaving = Burst::new();
        let mut facts = Burst::new();
        while let Some(mut frame) = from.pop() {
            match frame.turn() {
                // A burst has room for a burst.
                Ok(()) => drop((leaving.push(frame.raw), facts.push(frame.facts))),
                Err(reason) => drops.count(reason),
            }
        }
        self.raw.transmit(&mut leaving);
        // The first ones have left; the others go back to where they were.
        while let (Some(raw), Some(facts)) = (leaving.pop_last(), facts.pop_last()) {
            drop(from.unpop(FramedDatagram { raw, facts }));
        }
    }
}
