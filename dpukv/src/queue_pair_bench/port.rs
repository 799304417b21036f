//! A port whose requests are ready, and come as soon as others are answered.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use arch::{Tick, TickRate};
use hdrhistogram::Histogram;
use kv_core::port::{Burst, DropCounts, Frame, PacketPort};
use qp_wire::batch::RequestWriter;
use qp_wire::native::{FrameHeader, FrameKind, HEADER_LEN, encode_header};
use qp_wire::{Operation, Request};

/// Length of a frame's buffer, and of the longest answer.
pub(super) const FRAME_LEN: usize = 1472;

/// Keys of 8 bytes, with values as long.
const KEY_COUNT: u64 = 4096;

/// The frames: first those that set each key, then those that read each, over and over.
#[derive(Debug)]
pub(super) struct Frames {
    filling: Vec<Box<[u8]>>,
    reading: Vec<Box<[u8]>>,
    next: usize,
}

impl Frames {
    /// Frames of so many requests, at most as many as are short enough for an answer with all values.
    pub(super) fn new(requests_per_frame: usize) -> Self {
        let keys: Vec<[u8; 8]> =
            (0..KEY_COUNT).map(|index| index.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes()).collect();
        let frames = |fill: &dyn Fn(&mut RequestWriter, &[u8; 8])| {
            keys.chunks_exact(requests_per_frame)
                .map(|keys| encode(|writer| keys.iter().for_each(|key| fill(writer, key))))
                .collect()
        };
        Self {
            filling: frames(&|writer, key| push(writer, key, Operation::Set { value: key, ttl: None })),
            reading: frames(&|writer, key| push(writer, key, Operation::Get)),
            next: 0,
        }
    }

    /// Frames before the first one that reads.
    pub(super) fn filling_count(&self) -> u64 {
        self.filling.len() as u64
    }

    fn next(&mut self) -> &[u8] {
        let index = self.next;
        self.next += 1;
        match self.filling.get(index) {
            Some(frame) => frame,
            None => &self.reading[index % self.reading.len()],
        }
    }
}

fn push(writer: &mut RequestWriter, key: &[u8; 8], operation: Operation<'_>) {
    let pushed = writer.push_request(&Request { key, operation });
    debug_assert!(pushed.is_ok(), "a frame has room for as many as its answer");
}

fn encode(fill: impl FnOnce(&mut RequestWriter)) -> Box<[u8]> {
    let mut writer = RequestWriter::new();
    fill(&mut writer);
    let mut frame = vec![0; HEADER_LEN + writer.encoded_len()];
    let header = FrameHeader { batch_id: 0, timestamp: 0 };
    let encoded = encode_header(&mut frame, FrameKind::BatchRequest, 0, header)
        .and_then(|_| writer.encode(frame.get_mut(HEADER_LEN..)?));
    debug_assert!(encoded.is_some(), "the frame is as long as its parts");
    frame.into_boxed_slice()
}

/// What the answers have shown.
#[derive(Debug)]
pub(super) struct Measured {
    rate: TickRate,
    /// Frames answered, ever.
    pub(super) answered: u64,
    before: u64,
    pub(super) latency_ns: Histogram<u64>,
}

impl Measured {
    pub(super) fn new(rate: TickRate) -> Self {
        let latency_ns = Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("constant bounds are valid");
        Self { rate, answered: 0, before: 0, latency_ns }
    }

    /// Forgets what was, but for its count.
    pub(super) fn begin(&mut self) {
        self.before = self.answered;
        self.latency_ns.reset();
    }

    /// Frames answered since then.
    pub(super) fn since_begin(&self) -> u64 {
        self.answered - self.before
    }
}

/// A frame that comes back again and again.
#[derive(Debug)]
pub(super) struct PreparedFrame {
    bytes: Box<[u8; FRAME_LEN]>,
    len: usize,
    arrived: Tick,
}

impl Frame for PreparedFrame {
    fn payload(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    fn source(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, 1))
    }

    fn reply_buf(&mut self) -> &mut [u8] {
        &mut self.bytes[..]
    }

    fn set_reply(&mut self, len: usize) {
        self.len = len.min(FRAME_LEN);
    }
}

/// A closed loop of frames.
#[derive(Debug)]
pub(super) struct PreparedPort {
    frames: Frames,
    idle: Vec<PreparedFrame>,
    measured: Rc<RefCell<Measured>>,
}

impl PreparedPort {
    pub(super) fn new(frames: Frames, window: usize, measured: &Rc<RefCell<Measured>>) -> Self {
        let idle = || PreparedFrame { bytes: Box::new([0; FRAME_LEN]), len: 0, arrived: Tick(0) };
        Self { frames, idle: (0..window).map(|_| idle()).collect(), measured: Rc::clone(measured) }
    }
}

impl PacketPort for PreparedPort {
    type Frame = PreparedFrame;

    fn receive(&mut self, into: &mut Burst<PreparedFrame>, _drops: &mut DropCounts) {
        let now = arch::now();
        while into.room() > 0 {
            let Some(mut frame) = self.idle.pop() else { return };
            let request = self.frames.next();
            frame.len = request.len();
            frame.arrived = now;
            if let Some(bytes) = frame.bytes.get_mut(..request.len()) {
                bytes.copy_from_slice(request);
            }
            // There is room.
            let _ = into.push(frame);
        }
    }

    fn transmit(&mut self, from: &mut Burst<PreparedFrame>, _drops: &mut DropCounts) {
        if from.is_empty() {
            return;
        }
        let (now, mut measured) = (arch::now(), self.measured.borrow_mut());
        while let Some(frame) = from.pop() {
            let ns = measured.rate.ns(now.since(frame.arrived));
            measured.latency_ns.saturating_record(ns.max(1));
            measured.answered += 1;
            self.idle.push(frame);
        }
    }
}
