//! A network port, a copy engine and shared memory that do what a script says, when it says so.
//!
//! They keep the contracts of `kv-core` and nothing beyond them: a copy starts at a flush and ends when the script ends
//! it, the wire takes as many frames as the script lets it take. What the engines do wrong against the contracts themselves is
//! found here.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;

use kv_core::dma::{COPY_ALIGN, Completion, CopyOutcome, Direction, DmaEngine, Job, Window};
use kv_core::port::{Burst, DropCounts, Frame, PacketPort};
use kv_core::sync::{AtomicU64, Ordering};
use qp_wire::DropReason;

/// Memory that several parties reach.
#[derive(Clone, Debug)]
pub(crate) struct Memory(Rc<[AtomicU64]>);

impl Memory {
    /// `len` zero bytes, rounded up to whole words.
    pub(crate) fn new(len: usize) -> Self {
        Self((0..len.div_ceil(8)).map(|_| AtomicU64::new(0)).collect())
    }

    pub(crate) fn write_word(&self, index: usize, value: u64) {
        if let Some(word) = self.0.get(index) {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// Writes from a word's beginning on; the last word is filled up with zeros.
    pub(crate) fn write(&self, offset: usize, bytes: &[u8]) {
        for (index, chunk) in bytes.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_word(offset / 8 + index, u64::from_le_bytes(word));
        }
    }

    pub(crate) fn read(&self, offset: usize, len: usize) -> Vec<u8> {
        let words = &self.0[offset / 8..(offset + len) / 8];
        words.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect()
    }
}

impl Window for Memory {
    fn words(&self) -> &[AtomicU64] {
        &self.0
    }
}

/// A buffer of an [`Engine`].
#[derive(Debug)]
pub(crate) struct Buf {
    bytes: Vec<u8>,
    free: Rc<Cell<usize>>,
}

impl AsRef<[u8]> for Buf {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AsMut<[u8]> for Buf {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Buf {
    fn drop(&mut self) {
        self.free.set(self.free.get() + 1);
    }
}

/// A push, as it was submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Push {
    pub(crate) offset: usize,
    pub(crate) bytes: Vec<u8>,
}

/// A copy engine. Clones are the same engine: one for its owner, one for the script.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    free: Rc<Cell<usize>>,
    jobs: Rc<RefCell<Jobs>>,
    size: EngineSize,
}

/// How much an engine has of everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EngineSize {
    pub(crate) buf_len: usize,
    pub(crate) buf_count: usize,
    pub(crate) job_count: usize,
    pub(crate) window_len: usize,
}

#[derive(Debug, Default)]
struct Jobs {
    accepted: VecDeque<Job<Buf>>,
    /// How many of them, from the front, were flushed.
    started: usize,
    done: VecDeque<Completion<Buf>>,
    /// Pushes since they were last taken.
    pushes: Vec<Push>,
    /// Buffers lent since they were last counted.
    lent: usize,
    /// Failures since they were last counted that were polled with this tag or a greater one.
    failed_tags: Vec<u32>,
}

impl Engine {
    pub(crate) fn new(size: EngineSize) -> Self {
        Self { free: Rc::new(Cell::new(size.buf_count)), jobs: Rc::default(), size }
    }

    /// Ends a copy that was started: the one with this number, counted round. A pull reads `peer` at this moment. Returns a
    /// push whose bytes have arrived.
    pub(crate) fn finish(&self, number: u8, outcome: CopyOutcome, peer: &Memory) -> Option<Push> {
        let mut jobs = self.jobs.borrow_mut();
        let index = usize::from(number).checked_rem(jobs.started)?;
        jobs.started -= 1;
        let mut job = jobs.accepted.remove(index)?;
        let mut arrived = None;
        match (outcome, job.direction) {
            (CopyOutcome::Failed, _) => {}
            (CopyOutcome::Copied, Direction::Pull) => {
                job.buf.bytes[..job.len].copy_from_slice(&peer.read(job.offset, job.len));
            }
            (CopyOutcome::Copied, Direction::Push) => arrived = Some(push_of(&job)),
        }
        jobs.done.push_back(Completion { job, outcome });
        arrived
    }

    /// How many copies are under way and started.
    pub(crate) fn started_count(&self) -> usize {
        self.jobs.borrow().started
    }

    /// Whether every copy that was accepted was started too.
    pub(crate) fn is_flushed(&self) -> bool {
        self.jobs.borrow().started == self.jobs.borrow().accepted.len()
    }

    /// The pushes that were submitted since the last call, repeated ones included.
    pub(crate) fn take_pushes(&self) -> Vec<Push> {
        std::mem::take(&mut self.jobs.borrow_mut().pushes)
    }

    /// How many buffers were lent since the last call.
    pub(crate) fn take_lent(&self) -> usize {
        std::mem::take(&mut self.jobs.borrow_mut().lent)
    }

    /// The tags of failed copies that the owner was told of since the last call.
    pub(crate) fn take_failed_tags(&self) -> Vec<u32> {
        std::mem::take(&mut self.jobs.borrow_mut().failed_tags)
    }
}

fn push_of(job: &Job<Buf>) -> Push {
    Push { offset: job.offset, bytes: job.buf.bytes[..job.len].to_vec() }
}

impl DmaEngine for Engine {
    type Buf = Buf;

    fn room(&self) -> usize {
        let jobs = self.jobs.borrow();
        self.size.job_count - jobs.accepted.len() - jobs.done.len()
    }

    fn alloc(&mut self) -> Option<Buf> {
        let left = self.free.get().checked_sub(1)?;
        self.free.set(left);
        self.jobs.borrow_mut().lent += 1;
        Some(Buf { bytes: vec![0xa5; self.size.buf_len], free: Rc::clone(&self.free) })
    }

    fn submit(&mut self, job: Job<Buf>) -> Result<(), Job<Buf>> {
        assert!(
            job.offset.is_multiple_of(COPY_ALIGN) && job.len.is_multiple_of(COPY_ALIGN),
            "an unaligned copy: {job:?}"
        );
        assert!(job.len > 0 && job.len <= job.buf.bytes.len(), "a copy beyond its buffer");
        assert!(job.offset + job.len <= self.size.window_len, "a copy beyond the window");
        if self.room() == 0 {
            return Err(job);
        }
        let mut jobs = self.jobs.borrow_mut();
        if job.direction == Direction::Push {
            jobs.pushes.push(push_of(&job));
        }
        jobs.accepted.push_back(job);
        Ok(())
    }

    fn flush(&mut self) {
        let mut jobs = self.jobs.borrow_mut();
        jobs.started = jobs.accepted.len();
    }

    fn poll(&mut self) -> Option<Completion<Buf>> {
        let mut jobs = self.jobs.borrow_mut();
        let completion = jobs.done.pop_front()?;
        if completion.outcome == CopyOutcome::Failed {
            jobs.failed_tags.push(completion.job.tag);
        }
        Some(completion)
    }
}

/// A frame that was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) request: Vec<u8>,
    pub(crate) source: SocketAddr,
    /// The longest answer that its buffer could hold, in bytes.
    pub(crate) room: usize,
    pub(crate) payload: Vec<u8>,
}

/// A network port. Clones are the same port: one for the engine, one for the script.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wire {
    state: Rc<RefCell<WireState>>,
}

#[derive(Debug, Default)]
struct WireState {
    arriving: VecDeque<Packet>,
    answers: Vec<Answer>,
    /// How many frames it takes before it is full.
    takes: usize,
    /// How many frames it refuses for good before it takes any.
    refuses: usize,
    counts: WireCounts,
}

/// What has become of frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WireCounts {
    /// Taken by the engine.
    pub(crate) received: u64,
    /// Answered.
    pub(crate) transmitted: u64,
    /// Given back without an answer.
    pub(crate) dropped: u64,
}

impl WireCounts {
    /// How many frames the engine holds.
    pub(crate) fn held(&self) -> u64 {
        self.received - self.transmitted - self.dropped
    }
}

impl Wire {
    /// Lets a datagram arrive, in a buffer of at least `room` bytes.
    pub(crate) fn arrive(&self, source: SocketAddr, payload: &[u8], room: usize) {
        let mut buf = payload.to_vec();
        buf.resize(payload.len().max(room), 0xa5);
        let packet =
            Packet { wire: self.clone(), request: payload.to_vec(), source, len: payload.len(), buf, is_ours: false };
        self.state.borrow_mut().arriving.push_back(packet);
    }

    /// Lets so many frames more leave, after so many that are lost at once.
    pub(crate) fn take(&self, takes: usize, refuses: usize) {
        let mut state = self.state.borrow_mut();
        (state.takes, state.refuses) = (takes, refuses);
    }

    /// What has left since the last call.
    pub(crate) fn take_answers(&self) -> Vec<Answer> {
        std::mem::take(&mut self.state.borrow_mut().answers)
    }

    pub(crate) fn counts(&self) -> WireCounts {
        self.state.borrow().counts
    }

    /// How many datagrams have not been taken yet.
    pub(crate) fn arriving_count(&self) -> usize {
        self.state.borrow().arriving.len()
    }
}

/// A frame of a [`Wire`].
#[derive(Debug)]
pub(crate) struct Packet {
    wire: Wire,
    request: Vec<u8>,
    source: SocketAddr,
    buf: Vec<u8>,
    len: usize,
    /// Whether the engine has it.
    is_ours: bool,
}

impl Frame for Packet {
    fn payload(&self) -> &[u8] {
        &self.buf[..self.len]
    }

    fn source(&self) -> SocketAddr {
        self.source
    }

    fn reply_buf(&mut self) -> &mut [u8] {
        &mut self.buf
    }

    fn set_reply(&mut self, len: usize) {
        self.len = len.min(self.buf.len());
    }
}

impl Drop for Packet {
    fn drop(&mut self) {
        if self.is_ours {
            self.wire.state.borrow_mut().counts.dropped += 1;
        }
    }
}

impl PacketPort for Wire {
    type Frame = Packet;

    fn receive(&mut self, into: &mut Burst<Packet>, _: &mut DropCounts) {
        while into.room() > 0 {
            let Some(mut packet) = self.state.borrow_mut().arriving.pop_front() else { return };
            packet.is_ours = true;
            self.state.borrow_mut().counts.received += 1;
            into.push(packet).expect("there is room");
        }
    }

    fn transmit(&mut self, from: &mut Burst<Packet>, drops: &mut DropCounts) {
        while !from.is_empty() {
            let (takes, refuses) = (self.state.borrow().takes, self.state.borrow().refuses);
            if refuses > 0 {
                self.state.borrow_mut().refuses -= 1;
                drops.count(DropReason::Transmit);
                drop(from.pop());
                continue;
            }
            if takes == 0 {
                return;
            }
            let Some(mut packet) = from.pop() else { return };
            packet.is_ours = false;
            let mut state = self.state.borrow_mut();
            state.takes -= 1;
            state.counts.transmitted += 1;
            let answer = Answer {
                request: std::mem::take(&mut packet.request),
                source: packet.source,
                room: packet.buf.len(),
                payload: packet.payload().to_vec(),
            };
            state.answers.push(answer);
        }
    }
}
