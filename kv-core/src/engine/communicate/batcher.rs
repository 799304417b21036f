//! From frames to slots.
//!
//! The body of a native frame with many requests goes into the slot as it is, as a run of its own. Frames with few, and
//! MICA2's carry one as a rule, are gathered: consecutive ones share a run, so that their headers fold away.

use core::iter;
use core::ops::RangeInclusive;

use arch::Tick;
use qp_wire::batch::{RequestBatch, RequestWriter, response_len_min};
use qp_wire::limits::{DATAGRAM_LEN_MAX, REQUEST_COUNT_MAX, VALUE_LEN_MAX};
use qp_wire::native::FrameHeader;
use qp_wire::qp::{RUN_HEADER_LEN, SLOT_HEADER_LEN, put_run_header};
use qp_wire::{Opcode, RawRequest, batch, mica, native};

use super::deliver::WaitsFor;
use crate::counters::{Counter, Counters};
use crate::dma::{DmaEngine, Window};
use crate::engine::inbound::{Inbound, refused};
use crate::engine::link::Link;
use crate::engine::stage::{Profile, Stage};
use crate::hash::KeyHash;
use crate::ring::QueuePairGeometry;

/// Native frames of at most this many requests are gathered. A run of its own costs 12 bytes, gathering the encoding of
/// each request.
const GATHERED_COUNT_MAX: usize = 8;

/// Most bytes that the columns take of each request: operation, key length, value length.
const COLUMNS_LEN_MAX: usize = 4;

/// A slot that is being filled, and the run that is being gathered for it.
pub(super) struct Batcher<B> {
    open: Option<Open<B>>,
    gathered: RequestWriter,
    /// What the gathered run may come to when nothing folds, its headers included; 0 when nothing is gathered.
    gathered_len_max: usize,
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
    room: Room,
    len: usize,
    /// Room that the answers may take in the response slot, in bytes, those to gathered requests included.
    response_len: usize,
    count: usize,
    since: Tick,
}

/// What a frame is batched with.
pub(super) struct Batching<'b, D: DmaEngine, W, L> {
    pub(super) link: &'b mut Link<D, W>,
    pub(super) counters: &'b mut Counters,
    /// Whether its source is an administrator.
    pub(super) may_reset: bool,
    /// Longest payload that its source may get; enough for each request's result.
    pub(super) reply_len_max: usize,
    pub(super) now: Tick,
    pub(super) profile: &'b mut L,
}

/// Why a frame was not added to a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRoom {
    /// Every slot is in use; later there will be one.
    Now,
    /// No slot of this queue pair is long enough for the frame or its answer.
    Ever,
}

/// What a frame adds to a slot, or all that is in one.
#[derive(Clone, Copy)]
struct Need {
    len: usize,
    response_len: usize,
    count: usize,
}

impl Need {
    /// What an empty slot takes.
    const NOTHING: Self = Self { len: SLOT_HEADER_LEN, response_len: SLOT_HEADER_LEN, count: 0 };
}

/// How long a slot and the answer to it may become.
#[derive(Clone, Copy)]
struct Room {
    len: usize,
    response_len: usize,
}

impl Room {
    /// Whether a slot in which so much is `used` has room for what is needed.
    #[inline]
    fn fits(&self, need: Need, used: Need) -> bool {
        used.len + need.len <= self.len
            && used.response_len + need.response_len <= self.response_len
            && used.count + need.count <= REQUEST_COUNT_MAX
    }
}

/// What a shared run costs beside its requests and answers.
const RUN_OVERHEAD: usize = RUN_HEADER_LEN + batch::HEADER_LEN;

#[expect(single_use_lifetimes, reason = "what is elided in `impl Trait` needs a name as yet")]
impl<B: AsRef<[u8]> + AsMut<[u8]>> Batcher<B> {
    pub(super) fn new() -> Self {
        Self { open: None, gathered: RequestWriter::new(), gathered_len_max: 0, gathered_response_len: 0 }
    }

    /// Forgets what was not sent.
    pub(super) fn clear(&mut self) {
        self.open = None;
        self.clear_gathered();
    }

    fn clear_gathered(&mut self) {
        self.gathered.clear();
        self.gathered_len_max = 0;
        self.gathered_response_len = 0;
    }

    /// Bytes of the open slot, the gathered run included; 0 when nothing is open.
    pub(super) fn len(&self) -> usize {
        let gathered_len = if self.gathered.is_empty() { 0 } else { RUN_HEADER_LEN + self.gathered.encoded_len() };
        self.open.as_ref().map_or(0, |open| open.len + gathered_len)
    }

    /// What [`len`](Self::len) does not exceed, which takes less to know.
    pub(super) fn len_max(&self) -> usize {
        self.open.as_ref().map_or(0, |open| open.len + self.gathered_len_max)
    }

    /// Since when the open slot has held requests.
    pub(super) fn since(&self) -> Option<Tick> {
        self.open.as_ref().filter(|open| open.count > 0).map(|open| open.since)
    }

    /// Adds a valid frame's requests to a slot, and says what the frame waits for then.
    ///
    /// # Errors
    /// [`NoRoom`], and nothing was added.
    pub(super) fn add<D: DmaEngine<Buf = B>, W: Window, L: Profile>(
        &mut self,
        inbound: &Inbound<'_>,
        payload_len: usize,
        batching: &mut Batching<'_, D, W, L>,
    ) -> Result<WaitsFor, NoRoom> {
        batching.profile.enter(Stage::Post);
        match inbound {
            Inbound::Native { header, batch } => self.add_native(batch, *header, batching),
            Inbound::Mica(frame) => self.add_mica(frame, payload_len, batching),
        }
    }

    fn add_native<D: DmaEngine<Buf = B>, W: Window, L: Profile>(
        &mut self,
        batch: &RequestBatch<'_>,
        header: FrameHeader,
        batching: &mut Batching<'_, D, W, L>,
    ) -> Result<WaitsFor, NoRoom> {
        let count = batch.count();
        let slot_room = batching.link.geometry().response.slot_len() - SLOT_HEADER_LEN - RUN_HEADER_LEN;
        let response_len_max = (batching.reply_len_max - native::HEADER_LEN).min(slot_room);
        if response_len_max < response_len_min(count) {
            return Err(NoRoom::Ever);
        }
        // Whoever shares a run shares its room. An INCREMENT must find its own, so frames of sources that get no more
        // than they sent, where room is scarce, have their own runs.
        let is_roomy = response_len_max >= response_len_min(count) + size_of::<u64>() * count;
        let mut requests = batch.iter();
        if is_roomy
            && count == 1
            && let Some(raw) = requests.next()
        {
            // Most frames are such where hardly any has many requests, and a loop for one costs more than it does.
            self.gather_native(iter::once(raw), batch, response_len_max, batching)?;
            return Ok(WaitsFor::native(header, batch, true));
        }
        let refuse_reset = !batching.may_reset && requests.has_operation(Opcode::Reset.to_wire());
        if refuse_reset || is_roomy && count <= GATHERED_COUNT_MAX {
            if !is_roomy {
                self.close_gathered();
            }
            self.gather_native(requests, batch, response_len_max, batching)?;
            if !is_roomy {
                // A run of its own, since it began with an empty one.
                self.close_gathered();
            }
            return Ok(WaitsFor::native(header, batch, is_roomy));
        }
        let need =
            Need { len: RUN_HEADER_LEN + batch.bytes().len(), response_len: RUN_HEADER_LEN + response_len_max, count };
        self.make_room(need, batching)?;
        self.close_gathered();
        if let Some(open) = &mut self.open {
            let put = open.put_run(batch.bytes(), response_len_max);
            debug_assert!(put.is_some(), "room was made");
            open.count += count;
        }
        Ok(WaitsFor::native(header, batch, false))
    }

    /// Adds the requests of a native frame, which are those of `batch`, to the gathered run.
    #[inline]
    fn gather_native<'r, D: DmaEngine<Buf = B>, W: Window, L: Profile>(
        &mut self,
        requests: impl ExactSizeIterator<Item = RawRequest<'r>> + Clone,
        batch: &RequestBatch<'_>,
        response_len_max: usize,
        batching: &mut Batching<'_, D, W, L>,
    ) -> Result<(), NoRoom> {
        let len_max = batch.bytes().len() + COLUMNS_LEN_MAX * batch.count();
        let response_len = answers_len_max(requests.clone()).min(response_len_max - batch::HEADER_LEN);
        self.make_room_in_run(len_max, response_len, batch.count(), batching)?;
        let may_reset = batching.may_reset;
        self.gather(requests.map(|raw| if may_reset || !is_reset(&raw) { raw } else { refused(raw) }));
        Ok(())
    }

    fn add_mica<D: DmaEngine<Buf = B>, W: Window, L: Profile>(
        &mut self,
        frame: &mica::RequestFrame<'_>,
        payload_len: usize,
        batching: &mut Batching<'_, D, W, L>,
    ) -> Result<WaitsFor, NoRoom> {
        let count = frame.count();
        // The columns of an answer take at most 3 bytes a request, and the values less than the frame with its headers.
        // The columns of a request take fewer bytes than MICA2's header.
        self.make_room_in_run(payload_len, 3 * count + batching.reply_len_max, count, batching)?;
        let Batching { counters, may_reset, profile, .. } = batching;
        let allowed = mica_operations(*may_reset);
        self.gather(frame.requests().map(|request| {
            profile.enter(Stage::Hash);
            let raw = request.raw;
            let mismatch = !raw.key.is_empty() && KeyHash::of(raw.key).0 != request.key_hash;
            if mismatch {
                counters.add(Counter::HashMismatches, 1);
            }
            profile.enter(Stage::Post);
            if mismatch || !allowed.contains(&raw.operation) { refused(raw) } else { raw }
        }));
        Ok(WaitsFor::mica(frame))
    }

    /// Adds requests to the run that has room for them.
    #[inline]
    fn gather<'r>(&mut self, requests: impl Iterator<Item = RawRequest<'r>>) {
        let gathered = self.gathered.extend(requests);
        debug_assert!(gathered.is_ok(), "room was made");
    }

    /// Sees to it that the gathered run takes `count` more requests of at most `len_max` bytes with answers of at most
    /// `response_len`.
    #[inline(always)]
    fn make_room_in_run<D: DmaEngine<Buf = B>, W: Window, L: Profile>(
        &mut self,
        len_max: usize,
        response_len: usize,
        count: usize,
        batching: &mut Batching<'_, D, W, L>,
    ) -> Result<(), NoRoom> {
        let need = Need { len: RUN_OVERHEAD + len_max, response_len: RUN_OVERHEAD + response_len, count };
        self.make_room(need, batching)?;
        if self.gathered_len_max + need.len > DATAGRAM_LEN_MAX {
            self.close_gathered();
        }
        let Some(open) = &mut self.open else { return Err(NoRoom::Now) };
        if self.gathered.is_empty() {
            self.gathered_len_max = RUN_OVERHEAD;
            open.response_len += RUN_OVERHEAD;
        }
        self.gathered_len_max += len_max;
        self.gathered_response_len += response_len;
        open.response_len += response_len;
        open.count += count;
        Ok(())
    }

    /// Sees to it that a slot is open with room for `need`.
    #[inline(always)]
    fn make_room<D: DmaEngine<Buf = B>, W: Window, L: Profile>(
        &mut self,
        need: Need,
        batching: &mut Batching<'_, D, W, L>,
    ) -> Result<(), NoRoom> {
        if let Some(open) = &mut self.open
            && open.room.fits(need, open.used(self.gathered_len_max))
        {
            if open.count == 0 {
                open.since = batching.now;
            }
            return Ok(());
        }
        self.open_slot(need, batching)
    }

    /// Sends what is open and opens the next slot.
    #[inline(never)]
    fn open_slot<D: DmaEngine<Buf = B>, W: Window, L: Profile>(
        &mut self,
        need: Need,
        batching: &mut Batching<'_, D, W, L>,
    ) -> Result<(), NoRoom> {
        let Batching { link, counters, now, .. } = batching;
        let QueuePairGeometry { request, response, .. } = link.geometry();
        let room = Room { len: request.slot_len(), response_len: response.slot_len() };
        let response_slot_count = response.slot_count();
        if !room.fits(need, Need::NOTHING) {
            return Err(NoRoom::Ever);
        }
        self.flush(link, counters);
        if self.open.is_some() || link.slot_room() == 0 || link.in_flight() >= response_slot_count {
            return Err(NoRoom::Now);
        }
        let buf = link.alloc().ok_or(NoRoom::Now)?;
        let Need { len, response_len, count } = Need::NOTHING;
        self.open = Some(Open { buf, room, len, response_len, count, since: *now });
        Ok(())
    }

    /// Sends the open slot, if there is one with requests and the copy engine takes it now.
    pub(super) fn flush<D: DmaEngine<Buf = B>, W: Window>(&mut self, link: &mut Link<D, W>, counters: &mut Counters) {
        if !link.can_copy() || self.open.as_ref().is_none_or(|open| open.count == 0) {
            return;
        }
        self.close_gathered();
        if let Some(open) = self.open.take() {
            link.send(open.buf, open.len, counters);
        }
    }

    /// Makes a run of the gathered requests.
    fn close_gathered(&mut self) {
        if let (false, Some(open)) = (self.gathered.is_empty(), &mut self.open) {
            let closed = open.put_gathered(&self.gathered, batch::HEADER_LEN + self.gathered_response_len);
            debug_assert!(closed.is_some(), "what was gathered has room in its slot");
        }
        self.clear_gathered();
    }
}

/// The most that the answers to requests take in a shared run, in bytes. Only a GET can have a long one; room that others
/// do not need lets more frames into a slot.
#[inline]
#[expect(single_use_lifetimes, reason = "what is elided in `impl Trait` needs a name as yet")]
fn answers_len_max<'r>(requests: impl ExactSizeIterator<Item = RawRequest<'r>>) -> usize {
    let value_len_max = |raw: RawRequest<'_>| match raw.operation {
        operation if operation == Opcode::Get.to_wire() => VALUE_LEN_MAX,
        _ => size_of::<u64>(),
    };
    response_len_min(requests.len()) + requests.map(value_len_max).sum::<usize>()
}

/// The operations of MICA2's wire that a source may ask for. RESET is the first of them.
fn mica_operations(may_reset: bool) -> RangeInclusive<u8> {
    let first = if may_reset { Opcode::Reset } else { Opcode::NoopRead };
    first.to_wire()..=Opcode::Increment.to_wire()
}
const _: () = assert!(Opcode::Reset.to_wire() == 0 && Opcode::NoopRead.to_wire() == 1);

fn is_reset(raw: &RawRequest<'_>) -> bool {
    raw.operation == Opcode::Reset.to_wire()
}

impl<B> Open<B> {
    /// What is in the slot, with a gathered run of this length.
    #[inline]
    fn used(&self, gathered_len_max: usize) -> Need {
        Need { len: self.len + gathered_len_max, response_len: self.response_len, count: self.count }
    }
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

    /// The room for its answers is counted already.
    fn put_gathered(&mut self, gathered: &RequestWriter, response_len_max: usize) -> Option<()> {
        let run = self.buf.as_mut().get_mut(self.len..)?;
        let body_len = gathered.encode(run.get_mut(RUN_HEADER_LEN..)?)?;
        put_run_header(run, body_len, response_len_max)?;
        self.len += RUN_HEADER_LEN + body_len;
        Some(())
    }
}
