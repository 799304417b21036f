//! `Serve`: packets in, table, packets out, on one core. The role of `cpu-only`, `dpu-only` and `shrd`, and of spare
//! cores in `dual`.

use arch::{Tick, TickRate};
use heapless::Vec;
use qp_wire::batch::{ResponseColumns, ResponseWriter};
use qp_wire::native::{self, FrameKind};
use qp_wire::{DropReason, ResultCode, mica};

use super::execute::{Answer, execute};
use super::inbound::{Decoded, IdentityBytes, Inbound, answer_here, mica_result, screen};
use super::lookahead::{Incoming, Lookahead};
use super::outbound::transmit;
use super::policy::Policy;
use super::{Engine, Turn, Waiting};
use crate::counters::{Counter, Counters};
use crate::partition::Store;
use crate::port::{BURST_COUNT_MAX, Burst, Frame, PacketPort};
use crate::table::Millis;

/// Room for the answers of one burst before they go into their frames. A burst whose answers could take more is served
/// in parts.
const REPLIES_LEN: usize = 64 * 1024;

/// Both engines on one core: it answers what arrives at its port from the partitions that it may use.
#[derive(Debug)]
pub struct Serve<'m, P: PacketPort> {
    port: P,
    store: Store<'m>,
    policy: Policy,
    identity: IdentityBytes,
    rate: TickRate,
    received: Burst<P::Frame>,
    answered: Burst<P::Frame>,
    replies: Replies,
    counters: Counters,
}

/// Memory for answers, whose requests still occupy their frames.
struct Replies {
    bytes: [u8; REPLIES_LEN],
    columns: ResponseColumns,
}

impl core::fmt::Debug for Replies {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        out.debug_struct("Replies").finish_non_exhaustive()
    }
}

impl<'m, P: PacketPort> Serve<'m, P> {
    /// A core that serves `store` at `port`. `rate` is that of the ticks given to [`turn`](Engine::turn); the store's
    /// time starts at tick 0.
    pub fn new(port: P, store: Store<'m>, policy: Policy, rate: TickRate) -> Self {
        let policy = policy.bounded();
        Self {
            port,
            store,
            policy,
            identity: IdentityBytes::new(),
            rate,
            received: Burst::new(),
            answered: Burst::new(),
            replies: Replies { bytes: [0; REPLIES_LEN], columns: ResponseColumns::new() },
            counters: Counters::default(),
        }
    }

    /// Says what clients are told of the server: the encoded body of an identity response.
    pub fn set_identity(&mut self, identity: IdentityBytes) {
        self.identity = identity;
    }

    /// The port, so that a shell can wait for it.
    pub fn port(&self) -> &P {
        &self.port
    }

    /// Answers as many of the received frames as the reply memory surely holds.
    fn answer_some(&mut self, now: Millis) {
        let mut taken: Vec<P::Frame, BURST_COUNT_MAX> = Vec::new();
        let mut room = REPLIES_LEN;
        while let Some(mut frame) = self.received.pop() {
            let reply_room = frame.reply_buf().len().min(self.policy.reply_len_max);
            if reply_room > room && !taken.is_empty() {
                // It came out of the very place that it goes back to.
                let _ = self.received.unpop(frame);
                break;
            }
            room = room.saturating_sub(reply_room);
            if let Some(frame) = self.screen(frame) {
                // `taken` has the capacity of a burst.
                let _ = taken.push(frame);
            }
        }
        let lens = self.execute_burst(&mut taken, now);
        let mut start = 0;
        for (mut frame, (region_len, len)) in taken.into_iter().zip(lens) {
            let reply = self.replies.bytes.get(start..start + len).unwrap_or_default();
            start += region_len;
            match frame.reply_buf().get_mut(..len) {
                Some(buf) if len > 0 => {
                    buf.copy_from_slice(reply);
                    frame.set_reply(len);
                    // At most a burst of answers for a burst of requests.
                    let _ = self.answered.push(frame);
                }
                _ => self.counters.drops.count(DropReason::Backpressure),
            }
        }
    }

    /// Answers or drops a frame that does not ask for the store, or lets it through.
    fn screen(&mut self, mut frame: P::Frame) -> Option<P::Frame> {
        self.counters.add(Counter::FramesReceived, 1);
        let Err(here) = screen(&mut frame, &self.policy) else { return Some(frame) };
        match answer_here(&mut frame, here, &self.identity, &self.policy) {
            Ok(()) => {
                // At most a burst of answers for a burst of requests.
                let _ = self.answered.push(frame);
            }
            Err(reason) => self.counters.drops.count(reason),
        }
        None
    }

    /// Executes the requests of all frames in one pipeline. Returns, for each frame, how much of the reply memory is
    /// its own and how much of that its answer takes.
    fn execute_burst(&mut self, frames: &mut [P::Frame], now: Millis) -> Vec<(usize, usize), BURST_COUNT_MAX> {
        let rooms: Vec<usize, BURST_COUNT_MAX> = frames.iter_mut().map(|frame| frame.reply_buf().len()).collect();
        let inbound: Vec<(Inbound<'_>, bool, usize), BURST_COUNT_MAX> = frames
            .iter()
            .zip(rooms)
            .filter_map(|(frame, room)| {
                let Decoded::Requests(inbound) = Decoded::of(frame.payload()) else { return None };
                let source = frame.source().ip();
                let budget = inbound.reply_len_max(&self.policy, source, frame.payload().len(), room);
                Some((inbound, self.policy.may_reset(source), budget))
            })
            .collect();
        let requests = inbound.iter().flat_map(|(inbound, may_reset, _)| inbound.requests(*may_reset));
        let mut lookahead = Lookahead::new(requests, &self.store);
        let mut lens = Vec::new();
        let mut rest = &mut self.replies.bytes[..];
        for (inbound, _, budget) in &inbound {
            let (region, behind) = rest.split_at_mut((*budget).min(rest.len()));
            rest = behind;
            let region_len = region.len();
            let mut core = Core { store: &mut self.store, now, counters: &mut self.counters };
            let len = core.answer_frame(inbound, &mut lookahead, region, &mut self.replies.columns);
            // `lens` has the capacity of a burst.
            let _ = lens.push((region_len, len.unwrap_or_default()));
        }
        lens
    }
}

/// What an execution needs beside the requests and the place for their answers.
struct Core<'c, 'm> {
    store: &'c mut Store<'m>,
    now: Millis,
    counters: &'c mut Counters,
}

impl Core<'_, '_> {
    /// Executes one frame's requests and returns the length of its answer; `None` when the place is too small for any.
    fn answer_frame<'a>(
        &mut self,
        inbound: &Inbound<'_>,
        lookahead: &mut Lookahead<'a, impl Iterator<Item = Incoming<'a>>>,
        region: &mut [u8],
        columns: &mut ResponseColumns,
    ) -> Option<usize> {
        match inbound {
            Inbound::Native { header, batch } => {
                let encoded = native::encode_header(region, FrameKind::BatchResponse, 0, *header);
                let body = region.get_mut(native::HEADER_LEN..).unwrap_or_default();
                let Some(mut writer) = ResponseWriter::new(body, columns, batch.count()).filter(|_| encoded.is_some())
                else {
                    lookahead.skip(batch.count(), self.store);
                    return None;
                };
                for _ in 0..batch.count() {
                    let prepared = lookahead.next(self.store)?;
                    execute(&prepared, self.store, self.now, &mut writer, self.counters);
                }
                Some(native::HEADER_LEN + writer.finish())
            }
            Inbound::Mica(frame) => {
                let Some(mut writer) = mica::ResponseWriter::new(region, frame.response_len_min()) else {
                    lookahead.skip(frame.count(), self.store);
                    return None;
                };
                for request in frame.requests() {
                    let prepared = lookahead.next(self.store)?;
                    let mut answer = MicaAnswer { writer: &mut writer, head: request.head() };
                    execute(&prepared, self.store, self.now, &mut answer, self.counters);
                }
                Some(writer.finish())
            }
        }
    }
}

impl Answer for ResponseWriter<'_> {
    fn value_buf(&mut self) -> &mut [u8] {
        Self::value_buf(self)
    }

    fn push(&mut self, result: ResultCode, value_len: Option<usize>) {
        match value_len {
            Some(len) => self.push_value(result, len),
            None => Self::push(self, result),
        }
    }
}

/// The place of one answer in a MICA2 frame.
struct MicaAnswer<'w, 'b> {
    writer: &'w mut mica::ResponseWriter<'b>,
    head: mica::ResponseHead,
}

impl Answer for MicaAnswer<'_, '_> {
    fn value_buf(&mut self) -> &mut [u8] {
        self.writer.value_buf(self.head)
    }

    fn push(&mut self, result: ResultCode, value_len: Option<usize>) {
        let result = mica_result(self.head.operation, result);
        let pushed = self.writer.push_in_place(self.head, result, value_len.unwrap_or_default());
        debug_assert!(pushed.is_ok(), "a response has less room than its request");
    }
}

impl<P: PacketPort> Engine for Serve<'_, P> {
    fn turn(&mut self, now: Tick) -> Turn {
        self.port.begin_turn(now);
        transmit(&mut self.answered, &mut self.port, &mut self.counters);
        if !self.answered.is_empty() {
            // The wire is full: what arrives meanwhile is shed at the port.
            return Turn { work: 0, waiting: Waiting::Wire };
        }
        self.port.receive(&mut self.received, &mut self.counters.drops);
        let work = self.received.count() as u32;
        let now = Millis(self.rate.ms(now.0));
        while !self.received.is_empty() {
            self.answer_some(now);
        }
        transmit(&mut self.answered, &mut self.port, &mut self.counters);
        Turn { work, waiting: Waiting::Packets }
    }

    fn counters(&mut self) -> &mut Counters {
        super::gauge(&self.store, &mut self.counters);
        self.port.count(&mut self.counters);
        &mut self.counters
    }
}
