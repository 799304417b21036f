//! Where packets come from and go to.
//!
//! A kernel socket gives datagrams with a peer address; a DPDK queue gives whole frames. Engines want the datagram
//! only, so [`PacketPort`] speaks of datagrams, and neither kind of port pays for the other: a socket implements it
//! directly, a queue of raw frames implements [`RawPort`] and becomes a [`PacketPort`] inside
//! [`Framed`](crate::framed::Framed), which parses and writes the network headers in the frame itself.

use core::net::SocketAddr;

use arch::Tick;
use heapless::Deque;
use qp_wire::DropReason;

use crate::counters::Counters;

/// Most frames that one call of a port moves.
pub const BURST_COUNT_MAX: usize = 32;

/// A short queue of owned frames, first in, first out.
#[derive(Debug)]
pub struct Burst<F> {
    frames: Deque<F, BURST_COUNT_MAX>,
}

impl<F> Default for Burst<F> {
    fn default() -> Self {
        Self { frames: Deque::new() }
    }
}

impl<F> Burst<F> {
    /// An empty burst.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many frames are in it.
    pub fn count(&self) -> usize {
        self.frames.len()
    }

    /// How many more frames it takes.
    pub fn room(&self) -> usize {
        BURST_COUNT_MAX - self.frames.len()
    }

    /// Whether it holds no frame.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Puts a frame behind the others.
    ///
    /// # Errors
    /// The frame, when [`room`](Self::room) is 0.
    pub fn push(&mut self, frame: F) -> Result<(), F> {
        self.frames.push_back(frame)
    }

    /// Takes the frame that came first.
    pub fn pop(&mut self) -> Option<F> {
        self.frames.pop_front()
    }

    /// Takes the frame that came last.
    pub fn pop_last(&mut self) -> Option<F> {
        self.frames.pop_back()
    }

    /// Puts a frame back in front, after a [`pop`](Self::pop) that could not be completed.
    ///
    /// # Errors
    /// The frame, when [`room`](Self::room) is 0.
    pub fn unpop(&mut self, frame: F) -> Result<(), F> {
        self.frames.push_front(frame)
    }

    /// The frames, first come first.
    pub fn iter(&self) -> impl Iterator<Item = &F> {
        self.frames.iter()
    }
}

/// How many frames were dropped, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DropCounts {
    counts: [u64; DropReason::ALL.len()],
}

impl DropCounts {
    /// Counts one dropped frame.
    pub fn count(&mut self, reason: DropReason) {
        self.add(reason, 1);
    }

    /// Counts `frames` dropped frames.
    pub fn add(&mut self, reason: DropReason, frames: u64) {
        if let Some(count) = self.counts.get_mut(reason as usize) {
            *count = count.wrapping_add(frames);
        }
    }

    /// How many frames were dropped for this reason.
    pub fn get(&self, reason: DropReason) -> u64 {
        self.counts.get(reason as usize).copied().unwrap_or_default()
    }

    /// How many frames were dropped in all.
    pub fn total(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.wrapping_add(*count))
    }
}

/// An owned buffer with one datagram. Dropping it gives it back to its pool.
///
/// A frame comes as a request and leaves as the response, in the same memory.
pub trait Frame {
    /// The UDP payload that arrived, or, after [`set_reply`](Self::set_reply), the one that will leave.
    fn payload(&self) -> &[u8];

    /// Who sent the request, and so who gets the response.
    fn source(&self) -> SocketAddr;

    /// The memory in which the response's payload is built: as long as the longest response that this port can send.
    /// It overlaps the request's payload.
    fn reply_buf(&mut self) -> &mut [u8];

    /// Makes the frame a response of the first `len` bytes of [`reply_buf`](Self::reply_buf), addressed to
    /// [`source`](Self::source). A `len` beyond the buffer is cut to it.
    fn set_reply(&mut self, len: usize);
}

/// One queue pair of a network port, owned by one core. Nothing here blocks, allocates or fails.
pub trait PacketPort {
    /// An owned buffer; dropping it gives it back to its pool.
    type Frame: Frame;

    /// Tells the port that a turn begins, and when. For ports that limit something in time.
    fn begin_turn(&mut self, _now: Tick) {}

    /// Brings what the port counts by itself up to date. Not for each turn.
    fn count(&self, _counters: &mut Counters) {}

    /// Takes datagrams that have arrived, until none is left or `into` is full. What is refused on the way is counted
    /// in `drops`.
    fn receive(&mut self, into: &mut Burst<Self::Frame>, drops: &mut DropCounts);

    /// Hands responses to the wire from the front; what does not fit now stays in `from`. What the wire refuses for
    /// good is counted in `drops`.
    fn transmit(&mut self, from: &mut Burst<Self::Frame>, drops: &mut DropCounts);
}

/// An owned buffer with one whole frame, from the Ethernet header on.
pub trait RawFrame {
    /// The frame's bytes.
    fn bytes(&self) -> &[u8];

    /// The whole buffer, of which [`bytes`](Self::bytes) is the beginning. At least 60 bytes long.
    fn buf(&mut self) -> &mut [u8];

    /// Makes the first `len` bytes of [`buf`](Self::buf) the frame. A `len` beyond the buffer is cut to it.
    fn set_len(&mut self, len: usize);

    /// Whether the port has found the checksums of IPv4 header and datagram right. `false` says nothing about them.
    fn is_verified(&self) -> bool {
        false
    }

    /// Leaves the checksum of the frame's IPv4 header, which is zero then, to the port. `false` where it cannot.
    fn offload_ipv4_checksum(&mut self) -> bool {
        false
    }
}

/// A port that gives whole frames and leaves the network headers to us. The contract is [`PacketPort`]'s.
pub trait RawPort {
    /// An owned buffer; dropping it gives it back to its pool.
    type Frame: RawFrame;

    /// See [`PacketPort::count`].
    fn count(&self, _counters: &mut Counters) {}

    /// A frame to fill, with nothing in it, for who sends without having been asked: a client. `None` when all buffers
    /// are taken.
    fn alloc(&mut self) -> Option<Self::Frame>;

    /// See [`PacketPort::receive`].
    fn receive(&mut self, into: &mut Burst<Self::Frame>, drops: &mut DropCounts);

    /// See [`PacketPort::transmit`].
    fn transmit(&mut self, from: &mut Burst<Self::Frame>, drops: &mut DropCounts);
}
