//! A port in memory, at whose other end prepared frames come and answers go.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use kv_core::port::{BURST_COUNT_MAX, Burst, DropCounts, Holds, RawFrame, RawPort};

use super::frames::{FRAME_LEN_MAX, Frames};

/// Frames on either side of a port; whoever holds a clone is at the same cable.
///
/// Bytes are put into a frame outside of what is measured, as a network device does.
#[derive(Clone, Debug)]
pub(super) struct Cable(Rc<RefCell<Ends>>);

#[derive(Debug)]
struct Ends {
    source: Frames,
    arriving: VecDeque<CableFrame>,
    left: Vec<CableFrame>,
}

/// A frame with memory of its own.
#[derive(Debug)]
pub(super) struct CableFrame {
    buf: Box<[u8]>,
    len: usize,
}

impl Cable {
    /// A cable with so many buffers.
    pub(super) fn new(source: Frames, buffers: usize) -> Self {
        let buffer = || CableFrame { buf: vec![0; FRAME_LEN_MAX].into_boxed_slice(), len: 0 };
        let arriving = VecDeque::with_capacity(buffers);
        Self(Rc::new(RefCell::new(Ends { source, arriving, left: (0..buffers).map(|_| buffer()).collect() })))
    }

    /// Other frames come from now on.
    pub(super) fn set_source(&self, source: Frames) {
        self.0.borrow_mut().source = source;
    }

    /// Lets frames come until a burst waits, in the buffers of answers that have left.
    pub(super) fn fill(&self) {
        let Ends { source, arriving, left } = &mut *self.0.borrow_mut();
        while arriving.len() < BURST_COUNT_MAX
            && let Some(mut frame) = left.pop()
        {
            let bytes = source.next();
            frame.buf[..bytes.len()].copy_from_slice(bytes);
            frame.len = bytes.len();
            arriving.push_back(frame);
        }
    }
}

impl RawFrame for CableFrame {
    fn bytes(&self) -> &[u8] {
        &self.buf[..self.len]
    }

    fn buf(&mut self) -> &mut [u8] {
        &mut self.buf
    }

    fn set_len(&mut self, len: usize) {
        self.len = len.min(self.buf.len());
    }
}

impl RawPort for Cable {
    type Frame = CableFrame;

    fn alloc(&mut self) -> Option<CableFrame> {
        self.0.borrow_mut().left.pop()
    }

    fn receive(&mut self, into: &mut Burst<CableFrame>, _: &mut DropCounts) {
        let arriving = &mut self.0.borrow_mut().arriving;
        while into.room() > 0
            && let Some(frame) = arriving.pop_front()
        {
            // There is room.
            let _ = into.push(frame);
        }
    }

    fn transmit<H: Holds<CableFrame>>(&mut self, from: &mut Burst<H>, _: &mut DropCounts) {
        let left = &mut self.0.borrow_mut().left;
        while let Some(held) = from.pop() {
            left.push(held.into_frame());
        }
    }
}
