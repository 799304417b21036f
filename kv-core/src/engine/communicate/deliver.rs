//! From slots to frames.
//!
//! Network addresses, cookies and timestamps never cross PCIe. They stay with their frames, which wait here in the
//! order in which their requests were sent; answers come in the same order.

use core::slice;

use arch::Tick;
use heapless::{Deque, Vec};
use qp_wire::batch::{Response, ResponseColumns, ResponseWriter};
use qp_wire::native::{self, FrameHeader, FrameKind};
use qp_wire::qp::{ResponseRun, response_runs};
use qp_wire::{DropReason, ResultCode, mica};

use super::hot::{HotKeys, Watch};
use crate::counters::{Counter, Counters};
use crate::engine::inbound::{Inbound, mica_result, write_reply};
use crate::engine::outbound::hand_over;
use crate::engine::stage::{Profile, Stage};
use crate::port::{Burst, Frame, PacketPort};

/// Most frames that wait for answers from one queue pair.
pub(super) const FLIGHT_COUNT_MAX: usize = 512;

/// What is put aside of a frame's requests while their answers take their place. 4 KiB, given once.
pub(super) type Heads = Vec<mica::ResponseHead, { mica::ENTRY_COUNT_MAX }>;

/// What a frame waits for.
#[derive(Clone, Copy, Debug)]
pub(super) enum WaitsFor {
    /// So many responses, in a run of its own or in one that it shares with its neighbours.
    Native { header: FrameHeader, count: usize, is_gathered: bool },
    /// So many responses of a run that it shares with its neighbours.
    Mica { count: usize },
}

impl WaitsFor {
    /// The responses to a frame's requests, not in a run of their own.
    pub(super) fn gathered(inbound: &Inbound<'_>) -> Self {
        match inbound {
            Inbound::Native { header, batch } => {
                Self::Native { header: *header, count: batch.count(), is_gathered: true }
            }
            Inbound::Mica(frame) => Self::Mica { count: frame.count() },
        }
    }
}

/// A frame that waits, for what, and the longest answer that its source may get.
#[derive(Debug)]
struct Waiting<F> {
    frame: F,
    waits_for: WaitsFor,
    reply_len_max: usize,
    watch: Watch,
}

/// The frames that wait for answers, first sent first.
#[derive(Debug)]
pub(super) struct Flight<F> {
    frames: Deque<Waiting<F>, FLIGHT_COUNT_MAX>,
    /// When the first of them became the first, or was sent.
    since: Tick,
}

impl<F> Flight<F> {
    pub(super) fn new() -> Self {
        Self { frames: Deque::new(), since: Tick::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.frames.is_full()
    }

    /// Adds a frame behind the others; the caller has seen that there is room.
    pub(super) fn push(&mut self, frame: F, waits_for: WaitsFor, reply_len_max: usize, watch: Watch, now: Tick) {
        if self.frames.is_empty() {
            self.since = now;
        }
        let pushed = self.frames.push_back(Waiting { frame, waits_for, reply_len_max, watch });
        debug_assert!(pushed.is_ok(), "room was there");
    }

    /// Gives all frames back to their pool; how many there were.
    pub(super) fn clear(&mut self) -> u64 {
        let count = self.frames.len() as u64;
        self.frames.clear();
        count
    }

    /// Whether the first frame has waited for longer than `ticks`.
    pub(super) fn is_stalled(&self, now: Tick, ticks: u64) -> bool {
        !self.frames.is_empty() && now.since(self.since) > ticks
    }
}

/// What a delivery touches.
pub(super) struct Delivery<'e, P: PacketPort, L> {
    pub(super) flight: &'e mut Flight<P::Frame>,
    pub(super) answered: &'e mut Burst<P::Frame>,
    pub(super) port: &'e mut P,
    pub(super) counters: &'e mut Counters,
    pub(super) columns: &'e mut ResponseColumns,
    pub(super) heads: &'e mut Heads,
    pub(super) profile: &'e mut L,
}

#[expect(single_use_lifetimes, reason = "what is elided in `impl Trait` needs a name as yet")]
impl<P: PacketPort, L: Profile> Delivery<'_, P, L> {
    /// Answers the frames that a response slot is for. `None` when the answers are not those to what was asked; frames
    /// answered until then are answered.
    pub(super) fn deliver(&mut self, slot: &[u8], hot: &mut HotKeys<'_>, now: Tick) -> Option<()> {
        self.profile.enter(Stage::Respond);
        for run in response_runs(slot).ok()? {
            match self.flight.frames.front()?.waits_for {
                WaitsFor::Native { header, count, is_gathered: false } => self.deliver_run(&run, header, count, hot)?,
                _ => self.deliver_shared_run(&run, hot)?,
            }
        }
        self.flight.since = now;
        self.profile.enter(Stage::Wait);
        Some(())
    }

    fn deliver_run(
        &mut self,
        run: &ResponseRun<'_>,
        header: FrameHeader,
        count: usize,
        hot: &mut HotKeys<'_>,
    ) -> Option<()> {
        let batch = &run.batch;
        if batch.count() != count {
            return None;
        }
        let Waiting { mut frame, reply_len_max, watch, .. } = self.flight.frames.pop_front()?;
        let news = hot.news(run);
        if hot.listens(watch, news) {
            hot.learn(frame.payload(), watch, news, batch.iter(), self.counters);
        }
        self.counters.add(Counter::Requests, count as u64);
        // The host was told how long the answer may be, and is not believed.
        let reply = frame.reply_buf().get_mut(..reply_len_max).unwrap_or_default();
        let len = write_reply(reply, FrameKind::BatchResponse, header, batch.bytes());
        self.finish(frame, len)
    }

    fn deliver_shared_run(&mut self, run: &ResponseRun<'_>, hot: &mut HotKeys<'_>) -> Option<()> {
        let news = hot.news(run);
        let mut left = run.batch.count();
        let mut responses = run.batch.iter();
        while left > 0 {
            let waits_for = self.flight.frames.front()?.waits_for;
            let count = match waits_for {
                WaitsFor::Mica { count } | WaitsFor::Native { count, is_gathered: true, .. } => count,
                WaitsFor::Native { is_gathered: false, .. } => return None,
            };
            left = left.checked_sub(count)?;
            let Waiting { frame, reply_len_max, watch, .. } = self.flight.frames.pop_front()?;
            if hot.listens(watch, news) {
                hot.learn(frame.payload(), watch, news, responses.clone(), self.counters);
            }
            self.answer(frame, waits_for, reply_len_max, &mut responses)?;
        }
        Some(())
    }

    /// Answers a frame with the next responses. `None` when they make no answer.
    pub(super) fn answer<'r>(
        &mut self,
        mut frame: P::Frame,
        waits_for: WaitsFor,
        reply_len_max: usize,
        responses: &mut impl Iterator<Item = Response<'r>>,
    ) -> Option<()> {
        let len = match waits_for {
            WaitsFor::Mica { count } => {
                self.counters.add(Counter::Requests, count as u64);
                self.answer_mica(&mut frame, count, reply_len_max, responses)
            }
            WaitsFor::Native { header, count, .. } => {
                self.counters.add(Counter::Requests, count as u64);
                let reply = frame.reply_buf().get_mut(..reply_len_max).unwrap_or_default();
                self.answer_native(reply, header, count, responses)
            }
        };
        self.finish(frame, len)
    }

    /// Hands an answered frame over. Without an answer the host has broken its word, and the frame goes the way of all
    /// others in flight.
    fn finish(&mut self, mut frame: P::Frame, len: Option<usize>) -> Option<()> {
        let Some(len) = len else {
            self.counters.drops.count(DropReason::Epoch);
            return None;
        };
        frame.set_reply(len);
        hand_over(frame, self.answered, self.port, self.counters, self.profile);
        Some(())
    }

    fn answer_native<'r>(
        &mut self,
        reply: &mut [u8],
        header: FrameHeader,
        count: usize,
        responses: &mut impl Iterator<Item = Response<'r>>,
    ) -> Option<usize> {
        native::encode_header(reply, FrameKind::BatchResponse, 0, header)?;
        let mut writer = ResponseWriter::new(reply.get_mut(native::HEADER_LEN..)?, self.columns, count)?;
        for response in responses.take(count) {
            match response.value {
                None => writer.push(response.result),
                Some(value) => match writer.value_buf().get_mut(..value.len()) {
                    Some(buf) => {
                        buf.copy_from_slice(value);
                        writer.push_value(response.result, value.len());
                    }
                    // Only a GET's value can be longer than what `Batcher` has found room for.
                    None => {
                        self.counters.add(Counter::NotProcessed, 1);
                        writer.push(ResultCode::NotProcessed);
                    }
                },
            }
        }
        Some(native::HEADER_LEN + writer.finish())
    }

    fn answer_mica<'r>(
        &mut self,
        frame: &mut P::Frame,
        count: usize,
        reply_len_max: usize,
        responses: &mut impl Iterator<Item = Response<'r>>,
    ) -> Option<usize> {
        // The response takes the request's place, so what it must repeat is put aside first.
        let lone;
        let heads = if count == 1 {
            lone = mica::heads(frame.payload()).next()?;
            slice::from_ref(&lone)
        } else {
            self.heads.clear();
            self.heads.extend(mica::heads(frame.payload()));
            &*self.heads
        };
        let response_len_min = mica::response_len_min(heads);
        let mut writer = mica::ResponseWriter::new(frame.reply_buf().get_mut(..reply_len_max)?, response_len_min)?;
        for &head in heads {
            let response = responses.next()?;
            let result = mica_result(head.operation, response.result);
            if writer.push(head, result, response.value).is_err() {
                self.counters.add(Counter::NotProcessed, 1);
                writer.push(head, ResultCode::NotProcessed, None).ok()?;
            }
        }
        Some(writer.finish())
    }
}
