//! One end of a queue pair in one epoch: rings, copy engine and window together.

use arch::Tick;
use qp_wire::qp::SLOT_HEADER_LEN;

use crate::counters::{Counter, Counters};
use crate::design::{QueuePairId, Side};
use crate::dma::{COPY_ALIGN, CopyOutcome, Direction, DmaEngine, Job, Window};
use crate::ring::{CopySpan, QueuePairGeometry, Received, SlotReceiver, SlotSender, request_ring, response_ring};

/// How often a copy that failed is started again before the queue pair is given up.
const COPY_RETRIES: u32 = 3;

/// Marks the jobs that pull responses; the others are pushes, tagged with how often they failed.
const PULL_TAG: u32 = 1 << 31;

/// Shortest pull: a slot's header and, as a rule, the whole answer to a small batch.
const PULL_LEN_MIN: usize = 8 * COPY_ALIGN;

/// One end of a queue pair, as a handshake made it.
#[derive(Debug)]
pub struct QueuePairEnd<D, W> {
    /// Which queue pair.
    pub id: QueuePairId,
    /// Its epoch, the same at both ends and new with every handshake.
    pub epoch: u32,
    /// Its sizes, the same at both ends.
    pub geometry: QueuePairGeometry,
    /// Copies between our buffers and the peer's window. Where responses are pulled, the host's engine copies into the
    /// response ring of the host's own window instead.
    pub engine: D,
    /// Our memory that the peer's engine reaches.
    pub window: W,
    /// How long the next slot may stay torn before the queue pair is given up, in ticks.
    pub torn_ticks: u64,
    /// How long batches may stay unanswered before the queue pair is given up, in ticks.
    pub stall_ticks: u64,
}

/// Why a queue pair was given up. A new handshake begins a new epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The peer counts slots that were never sent.
    Credit,
    /// A slot with the right checksum and contents that no peer of ours writes.
    Malformed,
    /// A slot that never became whole.
    Torn,
    /// Batches that were never answered.
    Stalled,
    /// A copy that failed again and again, or never ended.
    CopyFailed,
}

/// A queue pair's end at work.
#[derive(Debug)]
pub(super) struct Link<D: DmaEngine, W> {
    side: Side,
    end: QueuePairEnd<D, W>,
    sender: SlotSender,
    receiver: SlotReceiver,
    fault: Option<Fault>,
    /// Whether a pull is under way.
    pulling: bool,
    pull_len: usize,
    pull_failures: u32,
    /// Copies that were started and have not ended.
    copying: u32,
    /// Since when none of them has.
    copying_since: Option<Tick>,
}

impl<D: DmaEngine, W: Window> Link<D, W> {
    /// The end of `side`, with nothing sent yet.
    pub(super) fn new(end: QueuePairEnd<D, W>, side: Side) -> Self {
        let request = (end.geometry.request, request_ring(end.id, end.epoch));
        let response = (end.geometry.response, response_ring(end.id, end.epoch));
        let (out, back) = if side == Side::Dpu { (request, response) } else { (response, request) };
        Self {
            side,
            sender: SlotSender::new(out.0, out.1),
            receiver: SlotReceiver::new(back.0, back.1),
            end,
            fault: None,
            pulling: false,
            pull_len: PULL_LEN_MIN,
            pull_failures: 0,
            copying: 0,
            copying_since: None,
        }
    }

    pub(super) fn id(&self) -> QueuePairId {
        self.end.id
    }

    pub(super) fn epoch(&self) -> u32 {
        self.end.epoch
    }

    pub(super) fn geometry(&self) -> &QueuePairGeometry {
        &self.end.geometry
    }

    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault
    }

    pub(super) fn give_up(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
    }

    /// Adds what the copy engine has counted by itself.
    pub(super) fn count(&mut self, counters: &mut Counters) {
        self.end.engine.count(counters);
    }

    /// How many slots were sent and how many were taken out, ever.
    pub(super) fn sent(&self) -> u32 {
        self.sender.sent()
    }

    pub(super) fn taken(&self) -> u32 {
        self.receiver.taken()
    }

    /// How many slots were sent whose answers were not taken out yet.
    pub(super) fn in_flight(&self) -> u32 {
        self.sent().wrapping_sub(self.taken())
    }

    pub(super) fn stall_ticks(&self) -> u64 {
        self.end.stall_ticks
    }

    /// How many slots the peer has room for.
    pub(super) fn slot_room(&self) -> u32 {
        self.sender.room()
    }

    /// Whether a copy could be started now.
    pub(super) fn can_copy(&self) -> bool {
        self.end.engine.room() > 0
    }

    /// A buffer for the next slot, if a copy could be started with it now.
    pub(super) fn alloc(&mut self) -> Option<D::Buf> {
        self.alloc_beside(0)
    }

    /// A buffer for a slot, if a copy could be started with it after those of `held` others.
    pub(super) fn alloc_beside(&mut self, held: usize) -> Option<D::Buf> {
        if self.end.engine.room() > held { self.end.engine.alloc() } else { None }
    }

    /// Seals the first `len` bytes of a buffer and starts its copy.
    pub(super) fn send(&mut self, mut buf: D::Buf, len: usize, counters: &mut Counters) {
        let Some(sealed) = self.sender.seal(buf.as_mut(), len, self.receiver.taken()) else {
            // The peer granted no slot for what it must be told.
            self.give_up(Fault::Credit);
            return;
        };
        counters.add(Counter::BatchesSent, 1);
        counters.add(Counter::BatchBytesSent, len as u64);
        let len = match self.end.geometry.copy {
            CopySpan::Used => sealed.copy_len,
            CopySpan::Whole => self.sent_slot_len(),
        };
        let job = Job { direction: Direction::Push, offset: sealed.offset, len, buf, tag: 0 };
        self.submit(job, counters);
        self.end.engine.flush();
    }

    /// Length of the slots that this end sends, in bytes.
    fn sent_slot_len(&self) -> usize {
        match self.side {
            Side::Dpu => self.end.geometry.request.slot_len(),
            Side::Host => self.end.geometry.response.slot_len(),
        }
    }

    /// Length of the next pull, in bytes.
    fn pull_len(&self) -> usize {
        let slot_len = self.end.geometry.response.slot_len();
        match self.end.geometry.copy {
            CopySpan::Used => self.pull_len.min(slot_len),
            CopySpan::Whole => slot_len,
        }
    }

    fn submit(&mut self, job: Job<D::Buf>, counters: &mut Counters) {
        let len = job.len;
        if self.end.engine.submit(job).is_err() {
            self.give_up(Fault::CopyFailed);
            return;
        }
        self.copying = self.copying.wrapping_add(1);
        counters.add(Counter::Copies, 1);
        counters.add(Counter::CopyBytes, len as u64);
    }

    /// Takes the ends of copies, starts failed ones again, and returns a pulled buffer if there is one. Gives the queue pair
    /// up when copies have been under way for too long: each one that never ends keeps a buffer.
    pub(super) fn complete(&mut self, now: Tick, counters: &mut Counters) -> Option<D::Buf> {
        while let Some(completion) = self.end.engine.poll() {
            self.copying = self.copying.saturating_sub(1);
            self.copying_since = None;
            let mut job = completion.job;
            let failed = completion.outcome == CopyOutcome::Failed;
            counters.add(Counter::CopiesFailed, u64::from(failed));
            match (job.tag & PULL_TAG != 0, failed) {
                (false, false) => {}
                (false, true) if job.tag < COPY_RETRIES => {
                    job.tag += 1;
                    self.submit(job, counters);
                    self.end.engine.flush();
                }
                (true, false) => {
                    self.pulling = false;
                    self.pull_failures = 0;
                    return Some(job.buf);
                }
                (true, true) if self.pull_failures < COPY_RETRIES => {
                    self.pulling = false;
                    self.pull_failures += 1;
                }
                (_, true) => self.give_up(Fault::CopyFailed),
            }
        }
        if self.copying > 0 && now.since(*self.copying_since.get_or_insert(now)) > self.end.stall_ticks {
            self.give_up(Fault::CopyFailed);
        }
        None
    }

    /// Starts to pull the next slot of the response ring, unless that is under way.
    pub(super) fn pull(&mut self, counters: &mut Counters) {
        if self.pulling {
            return;
        }
        let Some(buf) = self.alloc() else { return };
        let job = Job {
            direction: Direction::Pull,
            offset: self.end.geometry.response_offset() + self.receiver.next_offset(),
            len: self.pull_len(),
            buf,
            tag: PULL_TAG,
        };
        self.pulling = true;
        self.submit(job, counters);
        self.end.engine.flush();
    }

    /// Looks at a pulled buffer for the next slot. A slot longer than the pull is asked for again, whole.
    pub(super) fn open_pulled<'a>(
        &mut self,
        buf: &'a [u8],
        now: Tick,
        counters: &mut Counters,
    ) -> Option<OpenedSlot<'a>> {
        let (head, _) = buf.split_first_chunk::<SLOT_HEADER_LEN>()?;
        let (first, second) = head.split_first_chunk::<8>()?;
        let words = [u64::from_le_bytes(*first), u64::from_le_bytes(*second.first_chunk()?)];
        let header = qp_wire::qp::SlotHeader::from_words(words);
        if !self.receiver.is_expected(header) {
            return None;
        }
        let slot_len = self.end.geometry.response.slot_len();
        let needed = (header.len as usize).min(slot_len).next_multiple_of(COPY_ALIGN);
        let pulled = self.pull_len();
        self.pull_len = needed.clamp(PULL_LEN_MIN, slot_len);
        if needed > pulled {
            return None;
        }
        let received = self.receiver.open(buf.get(..pulled)?, now);
        self.taken_out(&received, counters)
    }

    /// Looks for the next slot in our window. `into` is private memory, at least a slot long.
    pub(super) fn receive<'a>(
        &mut self,
        into: &'a mut [u8],
        now: Tick,
        counters: &mut Counters,
    ) -> Option<OpenedSlot<'a>> {
        let received = self.receiver.receive(self.end.window.words(), into, now);
        self.taken_out(&received, counters)
    }

    fn taken_out<'a>(&mut self, received: &Received<'a>, counters: &mut Counters) -> Option<OpenedSlot<'a>> {
        match received {
            Received::Slot(slot) => {
                counters.add(Counter::BatchesReceived, 1);
                if self.sender.credit(slot.credit).is_err() || self.is_out_of_step() {
                    self.give_up(Fault::Credit);
                    return None;
                }
                Some(OpenedSlot { runs: slot.runs() })
            }
            Received::Torn => {
                counters.add(Counter::SlotsTorn, 1);
                None
            }
            Received::Empty => None,
        }
    }

    /// Whether the host answers what it was not sent (rule W-Q-8), or has not taken out what it answers. Nobody could
    /// tell what the first is for; the second would leave us without room for ever.
    fn is_out_of_step(&self) -> bool {
        let owed = self.sent().wrapping_sub(self.taken());
        self.side == Side::Dpu && (owed > self.end.geometry.response.slot_count() || self.sender.in_flight() > owed)
    }

    /// Gives the queue pair up when its next slot has been torn for too long.
    pub(super) fn check_torn(&mut self, now: Tick) {
        if self.receiver.torn_since().is_some_and(|since| now.since(since) > self.end.torn_ticks) {
            self.give_up(Fault::Torn);
        }
    }
}

/// A slot that was taken out and whose checksum and credit hold.
#[derive(Debug)]
pub(super) struct OpenedSlot<'a> {
    pub(super) runs: &'a [u8],
}
