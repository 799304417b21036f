//! Datagrams over a port that gives whole frames.
//!
//! DPDK, AF_XDP and AF_PACKET leave Ethernet, IPv4 and UDP to us. [`Framed`] checks them once when a frame comes in and
//! turns them round in place when it leaves; the payload is not moved. What asks for the interface itself, ARP and
//! ICMP's echo, it answers on the spot, so often and no oftener.

use core::net::{Ipv4Addr, SocketAddr};

use arch::{Tick, TickRate};
use qp_wire::DropReason;
use qp_wire::net::{Checksums, Datagram, HEADERS_LEN, Local, Question, reply_headers};

use crate::counters::{Counter, Counters};
use crate::port::{Burst, DropCounts, Frame, Holds, PacketPort, RawFrame, RawPort};
use crate::rate_limit::RateLimit;

/// Most bursts that one [`PacketPort::receive`] takes from the port below. More than one is needed only when frames were
/// refused or answered on the spot, and a flood of those must not hold the core.
const RAW_BURST_COUNT_MAX: usize = 4;

/// Questions of either kind that are answered in a second, and at once. Linux has these numbers for the ICMP messages
/// that it sends (`net.ipv4.icmp_msgs_per_sec`, `icmp_msgs_burst`).
const ANSWERS_PER_SECOND: u32 = 1000;
const ANSWERS_BURST: u32 = 50;

/// A [`PacketPort`] at one endpoint of a [`RawPort`].
#[derive(Debug)]
pub struct Framed<R: RawPort> {
    raw: R,
    local: Local,
    arrived: Burst<R::Frame>,
    answers: Burst<R::Frame>,
    desk: Desk,
}

impl<R: RawPort> Framed<R> {
    /// The endpoint `local` at a port. `rate` is that of the ticks given to [`begin_turn`](PacketPort::begin_turn);
    /// until the first of them it is tick 0.
    pub fn new(raw: R, local: Local, rate: TickRate) -> Self {
        Self { raw, local, arrived: Burst::new(), answers: Burst::new(), desk: Desk::new(rate) }
    }

    /// The port below.
    pub fn raw(&self) -> &R {
        &self.raw
    }

    /// Answers a frame that is no datagram, if it asks for this interface.
    fn answer(&mut self, mut raw: R::Frame, drops: &mut DropCounts) {
        if self.answers.room() == 0 {
            self.send_answers(drops);
        }
        match self.desk.answer(&mut raw, &self.local) {
            // There is room.
            Ok(()) => drop(self.answers.push(raw)),
            Err(reason) => drops.count(reason),
        }
    }

    /// Whoever got no answer asks again, so nothing waits for the wire.
    fn send_answers(&mut self, drops: &mut DropCounts) {
        if !self.answers.is_empty() {
            self.raw.transmit(&mut self.answers, drops);
            drops.add(DropReason::Transmit, self.answers.count() as u64);
            self.answers.clear();
        }
    }
}

/// Where questions to the interface are answered.
#[derive(Debug)]
struct Desk {
    now: Tick,
    arp: RateLimit,
    echo: RateLimit,
    arp_replies: u64,
    echo_replies: u64,
}

impl Desk {
    fn new(rate: TickRate) -> Self {
        let limit = RateLimit::new(ANSWERS_PER_SECOND, ANSWERS_BURST, rate);
        Self { now: Tick(0), arp: limit, echo: limit, arp_replies: 0, echo_replies: 0 }
    }

    /// Makes the frame the answer to itself.
    fn answer<F: RawFrame>(&mut self, raw: &mut F, local: &Local) -> Result<(), DropReason> {
        let question = Question::decode(raw.bytes(), local)?;
        let (limit, replies) = match question {
            Question::Arp(_) => (&mut self.arp, &mut self.arp_replies),
            Question::Echo(_) => (&mut self.echo, &mut self.echo_replies),
        };
        if !limit.allows(self.now) {
            return Err(DropReason::Limited);
        }
        let len = question.answer(local, raw.buf()).ok_or(DropReason::Long)?;
        raw.set_len(len);
        *replies += 1;
        Ok(())
    }
}

/// A whole frame, seen as its datagram.
#[derive(Debug)]
pub struct FramedDatagram<F> {
    raw: F,
    facts: Facts,
}

/// What is known of a frame beside its bytes. It is moved with the frame from burst to burst, so it is short.
#[derive(Clone, Copy, Debug)]
struct Facts {
    source: Ipv4Addr,
    source_port: u16,
    payload_len: u16,
    checksums: Checksums,
    /// Whether the headers are those of the response already.
    is_turned: bool,
}

impl Facts {
    fn of(raw: &impl RawFrame, local: &Local) -> Result<Self, DropReason> {
        let decode = if raw.is_verified() { Datagram::decode_verified } else { Datagram::decode };
        let datagram = decode(raw.bytes())?;
        local.accepts(&datagram)?;
        let source = datagram.source();
        Ok(Self {
            source: source.ipv4,
            source_port: source.port,
            payload_len: u16::try_from(datagram.payload().len()).map_err(|_| DropReason::Long)?,
            checksums: datagram.checksums(),
            is_turned: false,
        })
    }
}

impl<F: RawFrame> FramedDatagram<F> {
    /// Turns the headers round, so that the frame can leave.
    fn turn(&mut self) -> Result<(), DropReason> {
        if !self.facts.is_turned {
            let Facts { payload_len, mut checksums, .. } = self.facts;
            if checksums == Checksums::Computed && self.raw.offload_ipv4_checksum() {
                // Computed, but not here.
                checksums = Checksums::Zero;
            }
            let len = reply_headers(self.raw.buf(), payload_len.into(), checksums).ok_or(DropReason::Long)?;
            self.raw.set_len(len);
            self.facts.is_turned = true;
        }
        Ok(())
    }
}

impl<F: RawFrame> Holds<F> for FramedDatagram<F> {
    #[inline]
    fn frame(&self) -> &F {
        &self.raw
    }

    #[inline]
    fn into_frame(self) -> F {
        self.raw
    }
}

impl<F: RawFrame> Frame for FramedDatagram<F> {
    fn payload(&self) -> &[u8] {
        self.raw
            .bytes()
            .get(HEADERS_LEN..)
            .and_then(|rest| rest.get(..self.facts.payload_len.into()))
            .unwrap_or_default()
    }

    fn source(&self) -> SocketAddr {
        SocketAddr::from((self.facts.source, self.facts.source_port))
    }

    fn reply_buf(&mut self) -> &mut [u8] {
        self.raw.buf().get_mut(HEADERS_LEN..).unwrap_or_default()
    }

    fn set_reply(&mut self, len: usize) {
        let len = len.min(self.reply_buf().len());
        // No datagram is longer.
        self.facts.payload_len = u16::try_from(len).unwrap_or(u16::MAX);
        self.raw.set_len(HEADERS_LEN + len);
    }
}

impl<R: RawPort> PacketPort for Framed<R> {
    type Frame = FramedDatagram<R::Frame>;

    fn begin_turn(&mut self, now: Tick) {
        self.desk.now = now;
    }

    fn count(&self, counters: &mut Counters) {
        counters.set(Counter::ArpReplies, self.desk.arp_replies);
        counters.set(Counter::EchoReplies, self.desk.echo_replies);
        self.raw.count(counters);
    }

    fn receive(&mut self, into: &mut Burst<Self::Frame>, drops: &mut DropCounts) {
        for _ in 0..RAW_BURST_COUNT_MAX {
            if self.arrived.is_empty() {
                self.raw.receive(&mut self.arrived, drops);
            }
            while into.room() > 0
                && let Some(raw) = self.arrived.pop()
            {
                match Facts::of(&raw, &self.local) {
                    // There is room.
                    Ok(facts) => drop(into.push(FramedDatagram { raw, facts })),
                    Err(DropReason::NotUdp) => self.answer(raw, drops),
                    Err(reason) => drops.count(reason),
                }
            }
            if into.room() == 0 {
                break;
            }
        }
        self.send_answers(drops);
    }

    fn transmit(&mut self, from: &mut Burst<Self::Frame>, drops: &mut DropCounts) {
        let mut turned = 0;
        while let Some(frame) = from.get_mut(turned) {
            match frame.turn() {
                Ok(()) => turned += 1,
                Err(reason) => {
                    drop(from.remove(turned));
                    drops.count(reason);
                }
            }
        }
        self.raw.transmit(from, drops);
    }
}
