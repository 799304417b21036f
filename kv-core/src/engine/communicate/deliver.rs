//! From slots to frames.
//!
//! Network addresses, cookies and timestamps never cross PCIe. They stay with their frames, which wait here in the
//! order in which their requests were sent; answers come in the same order.

use arch::Tick;
use heapless::Deque;
use qp_wire::batch::{RequestBatch, Response, ResponseColumns, ResponseWriter};
use qp_wire::native::{self, FrameHeader, FrameKind};
use qp_wire::qp::{ResponseRun, response_runs};
use qp_wire::{DropReason, ResultCode, mica};

use super::hot::{HotKeys, Watch};
use crate::counters::{Counter, Counters};
use crate::engine::inbound::{Inbound, mica_result, write_reply};
use crate::engine::outbound::{hand_over, transmit};
use crate::engine::stage::{Profile, Stage};
use crate::port::{Burst, Frame, PacketPort};

/// Most frames that wait for answers from one queue pair.
pub(super) const FLIGHT_COUNT_MAX: usize = 512;

/// What a frame waits for. It is moved with the frame, so its numbers are short: no datagram has longer ones.
#[derive(Clone, Copy, Debug)]
pub(super) enum WaitsFor {
    /// So many responses, in a run of its own or in one that it shares with its neighbours.
    Native { header: FrameHeader, count: u16, is_gathered: bool },
    /// So many responses of a run that it shares with its neighbours.
    Mica { count: u16 },
}

impl WaitsFor {
    /// The responses to a frame's requests, not in a run of their own.
    pub(super) fn gathered(inbound: &Inbound<'_>) -> Self {
        match inbound {
            Inbound::Native { header, batch } => Self::native(*header, batch, true),
            Inbound::Mica(frame) => Self::mica(frame),
        }
    }

    #[inline]
    pub(super) fn native(header: FrameHeader, batch: &RequestBatch<'_>, is_gathered: bool) -> Self {
        Self::Native { header, count: batch.count() as u16, is_gathered }
    }

    #[inline]
    pub(super) fn mica(frame: &mica::RequestFrame<'_>) -> Self {
        Self::Mica { count: frame.count() as u16 }
    }
}

/// A frame that waits, for what, and the longest answer that its source may get.
#[derive(Debug)]
struct Waiting<F> {
    frame: F,
    waits_for: WaitsFor,
    reply_len_max: u16,
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
        let reply_len_max = reply_len_max as u16;
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

/// The way of answers: from those that wait to the port.
#[derive(Debug)]
pub(super) struct Delivery<P: PacketPort, L> {
    pub(super) port: P,
    pub(super) flight: Flight<P::Frame>,
    pub(super) answered: Burst<P::Frame>,
    pub(super) counters: Counters,
    pub(super) profile: L,
    scribe: Scribe,
}

/// What writes answers into the frames that wait for them.
#[derive(Debug)]
struct Scribe {
    columns: ResponseColumns,
    replier: mica::Replier,
}

#[expect(single_use_lifetimes, reason = "what is elided in `impl Trait` needs a name as yet")]
impl<P: PacketPort, L: Profile> Delivery<P, L> {
    pub(super) fn new(port: P, profile: L) -> Self {
        Self {
            port,
            flight: Flight::new(),
            answered: Burst::new(),
            counters: Counters::default(),
            profile,
            scribe: Scribe { columns: ResponseColumns::new(), replier: mica::Replier::new() },
        }
    }

    /// Offers answered frames to the wire.
    pub(super) fn transmit(&mut self) {
        transmit(&mut self.answered, &mut self.port, &mut self.counters, &mut self.profile);
    }

    /// Queues an answered frame for the wire.
    #[inline]
    pub(super) fn hand_over(&mut self, frame: P::Frame) {
        hand_over(frame, &mut self.answered, &mut self.port, &mut self.counters, &mut self.profile);
    }

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
        count: u16,
        hot: &mut HotKeys<'_>,
    ) -> Option<()> {
        let batch = &run.batch;
        if batch.count() != usize::from(count) {
            return None;
        }
        let Waiting { frame, reply_len_max, watch, .. } = self.flight.frames.front_mut()?;
        let news = hot.news(run);
        if hot.listens(*watch, news) {
            hot.learn(frame.payload(), *watch, news, batch.iter(), &mut self.counters);
        }
        // The host was told how long the answer may be, and is not believed.
        let reply = frame.reply_buf().get_mut(..usize::from(*reply_len_max))?;
        let len = write_reply(reply, FrameKind::BatchResponse, header, batch.bytes())?;
        frame.set_reply(len);
        self.hand_over_first(count)
    }

    fn deliver_shared_run(&mut self, run: &ResponseRun<'_>, hot: &mut HotKeys<'_>) -> Option<()> {
        let news = hot.news(run);
        let mut left = run.batch.count();
        let mut responses = run.batch.iter();
        while left > 0 {
            let Waiting { frame, waits_for, reply_len_max, watch } = self.flight.frames.front_mut()?;
            let count = match *waits_for {
                WaitsFor::Mica { count } | WaitsFor::Native { count, is_gathered: true, .. } => count,
                WaitsFor::Native { is_gathered: false, .. } => return None,
            };
            left = left.checked_sub(count.into())?;
            if hot.listens(*watch, news) {
                hot.learn(frame.payload(), *watch, news, responses.clone(), &mut self.counters);
            }
            self.scribe.answer(frame, *waits_for, *reply_len_max, &mut responses, &mut self.counters)?;
            self.hand_over_first(count)?;
        }
        Some(())
    }

    /// Hands over the first of the frames that wait, which has its answers.
    #[inline]
    fn hand_over_first(&mut self, count: u16) -> Option<()> {
        self.counters.add(Counter::Requests, count.into());
        let Waiting { frame, .. } = self.flight.frames.pop_front()?;
        self.hand_over(frame);
        Some(())
    }

    /// Answers a frame that waits for nobody, and hands it over.
    pub(super) fn answer_now<'r>(
        &mut self,
        mut frame: P::Frame,
        waits_for: WaitsFor,
        reply_len_max: usize,
        mut responses: impl Iterator<Item = Response<'r>> + Clone,
    ) {
        let (WaitsFor::Mica { count } | WaitsFor::Native { count, .. }) = waits_for;
        match self.scribe.answer(&mut frame, waits_for, reply_len_max as u16, &mut responses, &mut self.counters) {
            Some(()) => {
                self.counters.add(Counter::Requests, count.into());
                self.hand_over(frame);
            }
            None => self.counters.drops.count(DropReason::Epoch),
        }
    }
}

#[expect(single_use_lifetimes, reason = "what is elided in `impl Trait` needs a name as yet")]
impl Scribe {
    /// Makes a frame its own answer, with the next responses. `None` when they make no answer.
    #[inline]
    fn answer<'r, F: Frame>(
        &mut self,
        frame: &mut F,
        waits_for: WaitsFor,
        reply_len_max: u16,
        responses: &mut (impl Iterator<Item = Response<'r>> + Clone),
        counters: &mut Counters,
    ) -> Option<()> {
        let len = match waits_for {
            WaitsFor::Mica { .. } => self.answer_mica(frame, reply_len_max.into(), responses, counters),
            WaitsFor::Native { header, count, .. } => {
                let reply = frame.reply_buf().get_mut(..usize::from(reply_len_max))?;
                native::encode_header(reply, FrameKind::BatchResponse, 0, header)?;
                let body = reply.get_mut(native::HEADER_LEN..)?;
                let len = match count {
                    1 => answer_alone(body, responses.next()?, counters)?,
                    _ => self.answer_native(body, count.into(), responses, counters)?,
                };
                Some(native::HEADER_LEN + len)
            }
        };
        frame.set_reply(len?);
        Some(())
    }

    fn answer_native<'r>(
        &mut self,
        into: &mut [u8],
        count: usize,
        responses: &mut impl Iterator<Item = Response<'r>>,
        counters: &mut Counters,
    ) -> Option<usize> {
        let mut writer = ResponseWriter::new(into, &mut self.columns, count)?;
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
                        counters.add(Counter::NotProcessed, 1);
                        writer.push(ResultCode::NotProcessed);
                    }
                },
            }
        }
        Some(writer.finish())
    }

    #[inline]
    fn answer_mica<'r, F: Frame>(
        &mut self,
        frame: &mut F,
        reply_len_max: usize,
        responses: &mut (impl Iterator<Item = Response<'r>> + Clone),
        counters: &mut Counters,
    ) -> Option<usize> {
        let is_whole = frame.payload().len() <= reply_len_max;
        if !is_whole {
            self.replier.keep(frame.payload());
        }
        let room = frame.reply_buf().get_mut(..reply_len_max)?;
        let reply = if is_whole {
            self.replier.reply(room, responses, mica_result)
        } else {
            self.replier.reply_apart(room, responses, mica_result)
        };
        let mica::Reply { len, not_processed } = reply?;
        counters.add(Counter::NotProcessed, not_processed);
        Some(len)
    }
}

/// Writes the answer to a lone request: the body that columns would make, for a tenth of the work.
#[inline]
fn answer_alone(into: &mut [u8], response: Response<'_>, counters: &mut Counters) -> Option<usize> {
    response.encode_alone(into).or_else(|| {
        counters.add(Counter::NotProcessed, 1);
        Response { result: ResultCode::NotProcessed, value: None }.encode_alone(into)
    })
}
