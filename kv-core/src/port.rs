//! Where packets come from and go to.
//!
//! A kernel socket gives datagrams with a peer address; a DPDK queue gives whole frames. Engines want the datagram
//! only, so [`PacketPort`] speaks of datagrams, and neither kind of port pays for the other: a socket implements it
//! directly, a queue of raw frames implements [`RawPort`] and becomes a [`PacketPort`] inside
//! [`Framed`](crate::framed::Framed), which parses and writes the network headers in the frame itself.

use core::mem;
use core::net::SocketAddr;

use arch::Tick;
use qp_wire::DropReason;

use crate::counters::Counters;

/// Most frames that one call of a port moves.
pub const BURST_COUNT_MAX: usize = 32;

/// A short queue of owned frames, first in, first out.
#[derive(Debug)]
pub struct Burst<F> {
    /// Frames stand from `first` to `end`, and nowhere else.
    frames: [Option<F>; BURST_COUNT_MAX],
    first: usize,
    end: usize,
}

impl<F> Default for Burst<F> {
    fn default() -> Self {
        Self { frames: [const { None }; BURST_COUNT_MAX], first: 0, end: 0 }
    }
}

impl<F> Burst<F> {
    /// An empty burst.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many frames are in it.
    #[inline]
    pub fn count(&self) -> usize {
        self.end - self.first
    }

    /// How many more frames it takes.
    #[inline]
    pub fn room(&self) -> usize {
        BURST_COUNT_MAX - self.count()
    }

    /// Whether it holds no frame.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.first == self.end
    }

    /// Puts a frame behind the others.
    ///
    /// # Errors
    /// The frame, when [`room`](Self::room) is 0.
    #[inline]
    pub fn push(&mut self, frame: F) -> Result<(), F> {
        if self.end == BURST_COUNT_MAX {
            self.frames.rotate_left(self.first);
            (self.first, self.end) = (0, self.count());
        }
        let Some(place) = self.frames.get_mut(self.end) else { return Err(frame) };
        // Nothing is there that would have to be dropped.
        mem::forget(place.replace(frame));
        self.end += 1;
        Ok(())
    }

    /// Takes the frame that came first.
    #[inline]
    pub fn pop(&mut self) -> Option<F> {
        if self.is_empty() {
            return None;
        }
        let frame = self.frames.get_mut(self.first)?.take();
        self.first += 1;
        if self.first == self.end {
            (self.first, self.end) = (0, 0);
        }
        frame
    }

    /// Puts a frame back in front, after a [`pop`](Self::pop) that could not be completed.
    ///
    /// # Errors
    /// The frame, when [`room`](Self::room) is 0.
    pub fn unpop(&mut self, frame: F) -> Result<(), F> {
        if self.room() == 0 {
            return Err(frame);
        }
        if self.first == 0 {
            self.frames.rotate_right(1);
            (self.first, self.end) = (1, self.end + 1);
        }
        self.first -= 1;
        if let Some(place) = self.frames.get_mut(self.first) {
            *place = Some(frame);
        }
        Ok(())
    }

    /// Takes the frame before which there are `index` others.
    pub fn remove(&mut self, index: usize) -> Option<F> {
        let behind = self.frames.get_mut(self.first + index..self.end)?;
        let frame = behind.first_mut()?.take();
        behind.rotate_left(1);
        self.end -= 1;
        frame
    }

    /// Drops all frames.
    pub fn clear(&mut self) {
        while self.pop().is_some() {}
    }

    /// The frames, first come first.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = &F> {
        self.frames.get(self.first..self.end).unwrap_or_default().iter().flatten()
    }

    /// The frames, first come first.
    #[inline]
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut F> {
        self.frames.get_mut(self.first..self.end).unwrap_or_default().iter_mut().flatten()
    }

    /// The frame before which there are `index` others.
    #[inline]
    pub fn get_mut(&mut self, index: usize) -> Option<&mut F> {
        self.frames.get_mut(self.first..self.end)?.get_mut(index)?.as_mut()
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

    /// The memory in which the response's payload is built: as long as the longest response that this port can send. It
    /// begins where the request's payload begins, and holds all of that unless it is shorter.
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

    /// See [`PacketPort::transmit`]. Frames leave as they come, with what is known of them still beside them.
    fn transmit<H: Holds<Self::Frame>>(&mut self, from: &mut Burst<H>, drops: &mut DropCounts);
}

/// A frame, or a frame with something beside it.
pub trait Holds<F> {
    /// The frame.
    fn frame(&self) -> &F;

    /// The frame alone.
    fn into_frame(self) -> F;
}

impl<F> Holds<F> for F {
    #[inline]
    fn frame(&self) -> &F {
        self
    }

    #[inline]
    fn into_frame(self) -> F {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::boxed::Box;
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Push,
        Pop,
        Unpop,
        Remove(usize),
        Clear,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            9 => Just(Step::Push),
            5 => Just(Step::Pop),
            2 => Just(Step::Unpop),
            2 => (0..BURST_COUNT_MAX).prop_map(Step::Remove),
            1 => Just(Step::Clear),
        ]
    }

    proptest! {
        #[test]
        fn a_burst_is_a_queue_and_drops_nothing(steps in prop::collection::vec(step(), 0..200)) {
            let (mut burst, mut model) = (Burst::new(), VecDeque::new());
            for (number, step) in steps.into_iter().enumerate() {
                // A box, so that a frame that is lost or dropped twice is found by the tools that look for that.
                let (frame, has_room) = (Box::new(number), model.len() < BURST_COUNT_MAX);
                match step {
                    Step::Push if has_room => {
                        prop_assert!(burst.push(frame).is_ok());
                        model.push_back(number);
                    }
                    Step::Unpop if has_room => {
                        prop_assert!(burst.unpop(frame).is_ok());
                        model.push_front(number);
                    }
                    Step::Push => prop_assert_eq!(burst.push(frame), Err(Box::new(number))),
                    Step::Unpop => prop_assert_eq!(burst.unpop(frame), Err(Box::new(number))),
                    Step::Pop => prop_assert_eq!(burst.pop().map(|frame| *frame), model.pop_front()),
                    Step::Remove(index) => {
                        prop_assert_eq!(burst.get_mut(index).map(|frame| **frame), model.get(index).copied());
                        prop_assert_eq!(burst.remove(index).map(|frame| *frame), model.remove(index));
                    }
                    Step::Clear => {
                        burst.clear();
                        model.clear();
                    }
                }
                prop_assert_eq!(burst.iter().map(|frame| **frame).collect::<VecDeque<_>>(), model.clone());
                prop_assert_eq!(burst.iter_mut().count(), model.len());
                prop_assert_eq!((burst.count(), burst.is_empty()), (model.len(), model.is_empty()));
                prop_assert_eq!(burst.room(), BURST_COUNT_MAX - model.len());
            }
        }
    }
}
