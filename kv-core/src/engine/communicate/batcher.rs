//! From frames to slots.
//!
//! A native frame's body goes into the slot as it is, as a run of its own. MICA2 frames carry one request each as a
//! rule; consecutive ones are gathered into one run, so that their headers fold away.

use arch::Tick;
use qp_wire::batch::{RequestBatch, RequestWriter};
use qp_wire::limits::{DATAGRAM_LEN_MAX, REQUEST_COUNT_MAX};
use qp_wire::native::FrameHeader;
use qp_wire::qp::{RUN_HEADER_LEN, SLOT_HEADER_LEN, put_run_header};
use qp_wire::{Opcode, RawRequest, batch, mica, native};

use super::deliver::WaitsFor;
use crate::counters::{Counter, Counters};
use crate::dma::{DmaEngine, Window};
use crate::engine::inbound::{Decoded, Inbound, as_native, holds_reset, refused};
use crate::engine::link::Link;
use crate::hash::KeyHash;

/// A slot that is being filled, and the run that is being gathered for it.
pub(super) struct Batcher<B> {
    open: Option<Open<B>>,
    gathered: RequestWriter,
    /// Room that the gathered requests' answers may take, in bytes.
    gathered_response_len: usize,
}

impl<B> core::fmt::Debug for Batcher<B> {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        out.debug_struct("Batcher").field("gathered", &self.gathered.count()).finish_non_exhaustive()
    }
}

struct Open<B> {
    buf: B,
    len: usize,
    /// Room that the answers may take in the response slot, in bytes.
    response_len: usize,
    count: usize,
    since: Tick,
}

/// What a frame is batched with.
pub(super) struct Batching<'b, D: DmaEngine, W> {
    pub(super) link: &'b mut Link<D, W>,
    pub(super) counters: &'b mut Counters,
    /// Whether its source is an administrator.
    pub(super) may_reset: bool,
    /// Longest payload that its source may get; enough for each request's result.
    pub(super) reply_len_max: usize,
    pub(super) now: Tick,
}

/// What a frame adds to a slot.
#[derive(Clone, Copy)]
struct Need {
    len: usize,
    response_len: usize,
    count: usize,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Batcher<B> {
    pub(super) fn new() -> Self {
        Self { open: None, gathered: RequestWriter::new(), gathered_response_len: 0 }
    }

    /// Forgets what was not sent.
    pub(super) fn clear(&mut self) {
        self.open = None;
        self.gathered.clear();
        self.gathered_response_len = 0;
    }

    /// Bytes of the open slot, the gathered run included; 0 when nothing is open.
    pub(super) fn len(&self) -> usize {
        self.open.as_ref().map_or(0, |open| open.len + self.gathered_len())
    }

    /// Since when the open slot has held requests.
    pub(super) fn since(&self) -> Option<Tick> {
        self.open.as_ref().map(|open| open.since)
    }

    fn gathered_len(&self) -> usize {
        if self.gathered.is_empty() { 0 } else { RUN_HEADER_LEN + self.gathered.encoded_len() }
    }

    /// Adds a valid frame's requests to a slot, and says what the frame waits for then. `None`, and nothing added, when
    /// there is no room for them now.
    pub(super) fn add<D: DmaEngine<Buf = B>, W: Window>(
        &mut self,
        payload: &[u8],
        batching: &mut Batching<'_, D, W>,
    ) -> Option<WaitsFor> {
        let Decoded::Requests(inbound) = Decoded::of(payload) else { return None };
        match inbound {
            Inbound::Native { header, batch } => self.add_native(&batch, header, batching),
            Inbound::Mica(frame) => self.add_mica(frame, payload.len(), batching),
        }
    }

    fn add_native<D: DmaEngine<Buf = B>, W: Window>(
        &mut self,
        batch: &RequestBatch<'_>,
        header: FrameHeader,
        batching: &mut Batching<'_, D, W>,
    ) -> Option<WaitsFor> {
        let count = batch.count();
        let response_len_max = batching.reply_len_max - native::HEADER_LEN;
        let need =
            Need { len: RUN_HEADER_LEN + batch.bytes().len(), response_len: RUN_HEADER_LEN + response_len_max, count };
        self.make_room(need, batching)?;
        self.close_gathered()?;
        if !batching.may_reset && holds_reset(batch) {
            for raw in batch.iter() {
                // There is room for the whole frame.
                self.gathered.push(&if is_reset(&raw) { refused(raw) } else { raw }).ok()?;
            }
            self.gathered_response_len = response_len_max - batch::HEADER_LEN;
            self.open.as_mut()?.response_len += response_len_max - batch::HEADER_LEN;
            self.close_gathered()?;
        } else {
            self.open.as_mut()?.put_run(batch.bytes(), response_len_max)?;
        }
        self.open.as_mut()?.count += count;
        Some(WaitsFor::Native { header, count })
    }

    fn add_mica<D: DmaEngine<Buf = B>, W: Window>(
        &mut self,
        frame: mica::RequestFrame<'_>,
        payload_len: usize,
        batching: &mut Batching<'_, D, W>,
    ) -> Option<WaitsFor> {
        let count = frame.count();
        // The columns of an answer take at most 3 bytes a request, and the values less than the frame with its headers.
        let response_len = 3 * count + batching.reply_len_max;
        let need = Need {
            // The columns of a request take at most 4 bytes where MICA2's header takes 24.
            len: RUN_HEADER_LEN + payload_len,
            response_len: RUN_HEADER_LEN + batch::HEADER_LEN + response_len,
            count,
        };
        self.make_room(need, batching)?;
        if self.gathered.encoded_len() + payload_len > DATAGRAM_LEN_MAX {
            self.close_gathered()?;
        }
        for request in frame.requests() {
            let raw = as_native(&request);
            let mismatch = !raw.key.is_empty() && KeyHash::of(raw.key).0 != request.key_hash;
            batching.counters.add(Counter::HashMismatches, u64::from(mismatch));
            let raw = if mismatch || is_reset(&raw) && !batching.may_reset { refused(raw) } else { raw };
            // There is room for the whole frame.
            self.gathered.push(&raw).ok()?;
        }
        self.gathered_response_len += response_len;
        let open = self.open.as_mut()?;
        open.count += count;
        open.response_len += response_len;
        Some(WaitsFor::Mica { count })
    }

    /// Sees to it that a slot is open with room for `need`; `None` when that cannot be now.
    fn make_room<D: DmaEngine<Buf = B>, W: Window>(
        &mut self,
        need: Need,
        batching: &mut Batching<'_, D, W>,
    ) -> Option<()> {
        let Batching { link, counters, now, .. } = batching;
        let slot_len = link.geometry().request.slot_len();
        let response_slot_len = link.geometry().response.slot_len();
        let gathered_len = self.gathered_len();
        let fits = self.open.as_ref().is_some_and(|open| {
            open.len + gathered_len + need.len <= slot_len
                && open.response_len + need.response_len <= response_slot_len
                && open.count + need.count <= REQUEST_COUNT_MAX
        });
        if fits {
            return Some(());
        }
        self.flush(link, counters);
        let answers_owed = link.sent().wrapping_sub(link.taken());
        if link.slot_room() == 0 || answers_owed >= link.geometry().response.slot_count() {
            return None;
        }
        let buf = link.alloc()?;
        self.open = Some(Open { buf, len: SLOT_HEADER_LEN, response_len: SLOT_HEADER_LEN, count: 0, since: *now });
        Some(())
    }

    /// Sends the open slot, if there is one.
    pub(super) fn flush<D: DmaEngine<Buf = B>, W: Window>(&mut self, link: &mut Link<D, W>, counters: &mut Counters) {
        let closed = self.close_gathered();
        debug_assert!(closed.is_some(), "what was gathered has room in its slot");
        if let Some(open) = self.open.take() {
            link.send(open.buf, open.len, counters);
        }
    }

    /// Makes a run of the gathered requests.
    fn close_gathered(&mut self) -> Option<()> {
        if self.gathered.is_empty() {
            return Some(());
        }
        let open = self.open.as_mut()?;
        let body = open.buf.as_mut().get_mut(open.len + RUN_HEADER_LEN..)?;
        let body_len = self.gathered.encode(body)?;
        let response_len_max = batch::HEADER_LEN + self.gathered_response_len;
        put_run_header(open.buf.as_mut().get_mut(open.len..)?, body_len, response_len_max)?;
        open.len += RUN_HEADER_LEN + body_len;
        open.response_len += RUN_HEADER_LEN + batch::HEADER_LEN;
        self.gathered.clear();
        self.gathered_response_len = 0;
        Some(())
    }
}

fn is_reset(raw: &RawRequest<'_>) -> bool {
    raw.operation == Opcode::Reset.to_wire()
}

impl<B: AsMut<[u8]>> Open<B> {
    fn put_run(&mut self, body: &[u8], response_len_max: usize) -> Option<()> {
        let run = self.buf.as_mut().get_mut(self.len..)?;
        put_run_header(run, body.len(), response_len_max)?;
        run.get_mut(RUN_HEADER_LEN..)?.get_mut(..body.len())?.copy_from_slice(body);
        self.len += RUN_HEADER_LEN + body.len();
        self.response_len += RUN_HEADER_LEN + response_len_max;
        Some(())
    }
}
