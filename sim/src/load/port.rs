//! Requests that come at a pace, and what their answers show.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use arch::Tick;
use kv_core::port::{Burst, DropCounts, Frame, PacketPort};
use qp_wire::batch::RequestWriter;
use qp_wire::native::{FrameHeader, FrameKind, HEADER_LEN, encode_header};
use qp_wire::{Operation, Request};

use super::core_time::CoreTime;
use super::keys::KeySource;
use super::{Costs, GIGA, Load, Pace};
use crate::seed::Random;

/// Length of a frame's buffer, and of the longest answer.
pub(super) const FRAME_LEN: usize = 1_472;

/// Frames that wait in the receive ring at most.
const RING_COUNT: usize = 512;

/// When frames come.
#[derive(Debug)]
pub(super) struct Arrivals {
    pace: Pace,
    random: Random,
    next: Tick,
    /// Frames of a closed loop that have not been sent yet, or were answered.
    idle: usize,
}

impl Arrivals {
    pub(super) fn new(load: &Load, random: Random) -> Self {
        let idle = if let Pace::Closed(count) = load.pace { count } else { 0 };
        Self { pace: load.pace, random, next: Tick(0), idle }
    }

    /// When the next frame has come, if it has by `now`.
    fn take(&mut self, now: Tick) -> Option<Tick> {
        match self.pace {
            Pace::Open(rate) => {
                let at = Some(self.next).filter(|next| *next <= now)?;
                self.next = at.after(self.draw_gap(rate));
                Some(at)
            }
            Pace::Closed(_) => {
                self.idle = self.idle.checked_sub(1)?;
                Some(now)
            }
        }
    }

    /// Exponential, as of clients that do not know each other.
    fn draw_gap(&mut self, rate: u64) -> u64 {
        let uniform = (self.random.below(1 << 53) + 1) as f64 / (1_u64 << 53) as f64;
        (-uniform.ln() * GIGA as f64 / rate as f64).round() as u64
    }

    fn answered(&mut self) {
        self.idle += usize::from(matches!(self.pace, Pace::Closed(_)));
    }
}

/// What answers have shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Measured {
    /// From arrival to departure, of those that count.
    pub(super) latencies_ns: Vec<u64>,
    pub(super) arrived: u64,
    pub(super) lost: u64,
    answered: usize,
    counts: (usize, usize),
    first: Tick,
    last: Tick,
}

impl Measured {
    pub(super) fn is_done(&self) -> bool {
        self.answered >= self.counts.0 + self.counts.1
    }

    /// Answers a nanosecond, over the time in which they counted.
    pub(super) fn frames_per_ns(&self) -> f64 {
        self.latencies_ns.len() as f64 / (self.last.since(self.first.min(self.last)) as f64).max(1.0)
    }

    fn add(&mut self, arrived: Tick, left: Tick) {
        self.answered += 1;
        if self.answered == self.counts.0 {
            self.first = left;
            (self.arrived, self.lost) = (0, 0);
        } else if self.answered > self.counts.0 && !self.is_done() {
            self.latencies_ns.push(left.since(arrived));
            self.last = left;
        }
    }
}

/// A frame with its arrival.
#[derive(Debug)]
pub(super) struct LoadFrame {
    bytes: Box<[u8; FRAME_LEN]>,
    len: usize,
    arrived: Tick,
}

impl Frame for LoadFrame {
    fn payload(&self) -> &[u8] {
        &self.bytes[..self.len]
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

/// Where one DPU core's requests come from.
#[derive(Debug)]
pub(super) struct LoadPort {
    arrivals: Arrivals,
    ring: VecDeque<Tick>,
    time: CoreTime,
    costs: Costs,
    measured: Rc<RefCell<Measured>>,
    requests_per_frame: usize,
    /// What the core spends on a request before it is batched.
    request_in_ns: u64,
    keys: KeySource,
}

impl LoadPort {
    pub(super) fn new(
        load: &Load,
        arrivals: Arrivals,
        keys: KeySource,
        time: &CoreTime,
        measured: &Rc<RefCell<Measured>>,
    ) -> Self {
        measured.borrow_mut().counts = load.frame_counts;
        let look_up_ns = if load.hot_set_count > 0 { load.costs.look_up_ns } else { 0 };
        Self {
            arrivals,
            ring: VecDeque::new(),
            time: time.clone(),
            costs: load.costs,
            measured: Rc::clone(measured),
            requests_per_frame: load.requests_per_frame,
            request_in_ns: load.costs.request_in_ns + look_up_ns,
            keys,
        }
    }

    fn arrive(&mut self) {
        let now = self.time.now();
        while let Some(at) = self.arrivals.take(now) {
            let mut measured = self.measured.borrow_mut();
            measured.arrived += 1;
            if self.ring.len() < RING_COUNT {
                self.ring.push_back(at);
            } else {
                measured.lost += 1;
            }
        }
    }

    /// The next frame: each key is set once before any is read.
    fn frame(&mut self, arrived: Tick) -> LoadFrame {
        let mut writer = RequestWriter::new();
        for _ in 0..self.requests_per_frame {
            let (key, is_set) = self.keys.next();
            let key = key.to_le_bytes();
            let operation = if is_set { Operation::Set { value: &key, ttl: None } } else { Operation::Get };
            writer.push_request(&Request { key: &key, operation }).expect("room for a short request");
        }
        let mut bytes = Box::new([0; FRAME_LEN]);
        let header = FrameHeader { batch_id: 0, timestamp: arrived.0 };
        encode_header(&mut bytes[..], FrameKind::BatchRequest, 0, header).expect("room for a header");
        let body_len = writer.encode(&mut bytes[HEADER_LEN..]).expect("room for short requests");
        LoadFrame { bytes, len: HEADER_LEN + body_len, arrived }
    }
}

impl PacketPort for LoadPort {
    type Frame = LoadFrame;

    fn receive(&mut self, into: &mut Burst<LoadFrame>, _drops: &mut DropCounts) {
        self.arrive();
        while into.room() > 0 {
            let Some(arrived) = self.ring.pop_front() else { return };
            let frame = self.frame(arrived);
            self.time.spend(self.request_in_ns * self.requests_per_frame as u64);
            // There is room.
            let _ = into.push(frame);
        }
    }

    fn transmit(&mut self, from: &mut Burst<LoadFrame>, _drops: &mut DropCounts) {
        while let Some(frame) = from.pop() {
            self.time.spend(self.costs.request_out_ns * self.requests_per_frame as u64);
            self.measured.borrow_mut().add(frame.arrived, self.time.now());
            self.arrivals.answered();
        }
    }
}
