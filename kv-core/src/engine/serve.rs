//! `Serve`: packets in, table, packets out, on one core. The role of `cpu-only`, `dpu-only` and `shrd`, and of spare
//! cores in `dual`.

use arch::{Tick, TickRate};
use heapless::Vec;
use qp_wire::batch::{ResponseColumns, ResponseWriter};
use qp_wire::native::{self, FrameKind};
use qp_wire::{DropReason, ResultCode, mica};

use super::execute::{Answer, execute};
use super::inbound::{HereOnly, IdentityBytes, Inbound, Requests, Screened, answer_here, mica_result, screen};
use super::lookahead::Lookahead;
use super::outbound::transmit;
use super::policy::Policy;
use super::stage::{Profile, Stage, Unprofiled};
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
pub struct Serve<'m, P: PacketPort, L = Unprofiled> {
    port: P,
    store: Store<'m>,
    policy: Policy,
    identity: IdentityBytes,
    rate: TickRate,
    /// Frames that arrived, and then the same ones with their answers.
    burst: Burst<P::Frame>,
    replies: Replies,
    counters: Counters,
    profile: L,
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
        Self::with_profile(port, store, policy, rate, Unprofiled)
    }
}

impl<'m, P: PacketPort, L: Profile> Serve<'m, P, L> {
    /// The same core, with somebody who is told of its stages.
    pub fn with_profile(port: P, store: Store<'m>, policy: Policy, rate: TickRate, profile: L) -> Self {
        Self {
            port,
            store,
            policy: policy.bounded(),
            identity: IdentityBytes::new(),
            rate,
            burst: Burst::new(),
            replies: Replies { bytes: [0; REPLIES_LEN], columns: ResponseColumns::new() },
            counters: Counters::default(),
            profile,
        }
    }

    /// Who is told of its stages.
    pub fn profile(&mut self) -> &mut L {
        &mut self.profile
    }

    /// Says what clients are told of the server: the encoded body of an identity response.
    pub fn set_identity(&mut self, identity: IdentityBytes) {
        self.identity = identity;
    }

    /// The port, so that a shell can wait for it.
    pub fn port(&self) -> &P {
        &self.port
    }

    /// Answers frames of the burst, all but the first `done`, or as many of them as the reply memory surely holds. What
    /// gets no answer leaves the burst. Returns how many frames of it are done then.
    fn answer_some(&mut self, done: usize, now: Millis) -> usize {
        self.profile.enter(Stage::Parse);
        let mut rooms: Vec<usize, BURST_COUNT_MAX> = Vec::new();
        let mut room = REPLIES_LEN;
        for frame in self.burst.iter_mut().skip(done) {
            let frame_room = frame.reply_buf().len();
            let reply_room = frame_room.min(self.policy.reply_len_max);
            if reply_room > room && !rooms.is_empty() {
                break;
            }
            room = room.saturating_sub(reply_room);
            // It has the capacity of a burst.
            let _ = rooms.push(frame_room);
        }
        let answers = self.execute_burst(done, &rooms, now);
        self.profile.enter(Stage::Respond);
        let (mut start, mut done) = (0, done);
        for answer in answers {
            let Some(frame) = self.burst.get_mut(done) else { break };
            let sent = match answer {
                Answered::Here(here) => answer_here(frame, here, &self.identity, &self.policy),
                Answered::Store { region_len, len } => {
                    let reply = self.replies.bytes.get(start..start + len).unwrap_or_default();
                    start += region_len;
                    reply_with(frame, reply)
                }
            };
            match sent {
                Ok(()) => done += 1,
                Err(reason) => {
                    drop(self.burst.remove(done));
                    self.counters.drops.count(reason);
                }
            }
        }
        done
    }

    /// Executes the requests of the frames after the first `done` in one pipeline: of as many as there are `rooms`, of which
    /// each is the longest answer that its frame takes. Returns what there is to do with each frame.
    fn execute_burst(&mut self, done: usize, rooms: &[usize], now: Millis) -> Vec<Answered, BURST_COUNT_MAX> {
        let screened: Vec<(Outcome<'_>, bool), BURST_COUNT_MAX> = self
            .burst
            .iter()
            .skip(done)
            .zip(rooms)
            .map(|(frame, room)| (screen(frame, *room, &self.policy), self.policy.may_reset(frame.source().ip())))
            .collect();
        let frames = screened.iter().filter_map(|(frame, may_reset)| Some((frame.as_ref().ok()?, may_reset)));
        let mut lookahead = Lookahead::new(frames.map(|(frame, may_reset)| frame.inbound.requests(*may_reset)));
        lookahead.begin(&self.store, &mut self.profile);
        let mut answers = Vec::new();
        let mut rest = &mut self.replies.bytes[..];
        for (screened, _) in &screened {
            let answer = match screened {
                Err(here) => Answered::Here(*here),
                Ok(Screened { inbound, reply_len_max }) => {
                    let (region, behind) = rest.split_at_mut((*reply_len_max).min(rest.len()));
                    rest = behind;
                    let region_len = region.len();
                    let mut core =
                        Core { store: &mut self.store, now, counters: &mut self.counters, profile: &mut self.profile };
                    let len = core.answer_frame(inbound, &mut lookahead, region, &mut self.replies.columns);
                    Answered::Store { region_len, len: len.unwrap_or_default() }
                }
            };
            // There is one for each frame of a burst.
            let _ = answers.push(answer);
        }
        answers
    }
}

/// What a frame asks for.
type Outcome<'a> = Result<Screened<'a>, HereOnly>;

/// What becomes of a frame.
#[derive(Clone, Copy, Debug)]
enum Answered {
    /// It does not ask for the store.
    Here(HereOnly),
    /// Its answer is in the reply memory: how much of that is the frame's own, and how much its answer takes.
    Store { region_len: usize, len: usize },
}

/// Puts a finished answer into its request's frame.
fn reply_with<F: Frame>(frame: &mut F, reply: &[u8]) -> Result<(), DropReason> {
    match frame.reply_buf().get_mut(..reply.len()) {
        Some(buf) if !reply.is_empty() => buf.copy_from_slice(reply),
        _ => return Err(DropReason::Backpressure),
    }
    frame.set_reply(reply.len());
    Ok(())
}

/// What an execution needs beside the requests and the place for their answers.
struct Core<'c, 'm, L> {
    store: &'c mut Store<'m>,
    now: Millis,
    counters: &'c mut Counters,
    profile: &'c mut L,
}

impl<L: Profile> Core<'_, '_, L> {
    /// Executes one frame's requests and returns the length of its answer; `None` when the place is too small for any.
    fn answer_frame<'a>(
        &mut self,
        inbound: &Inbound<'_>,
        lookahead: &mut Lookahead<'a, impl Iterator<Item = Requests<'a>>>,
        region: &mut [u8],
        columns: &mut ResponseColumns,
    ) -> Option<usize> {
        match inbound {
            Inbound::Native { header, batch } => {
                let encoded = native::encode_header(region, FrameKind::BatchResponse, 0, *header);
                let body = region.get_mut(native::HEADER_LEN..).unwrap_or_default();
                let Some(mut writer) = ResponseWriter::new(body, columns, batch.count()).filter(|_| encoded.is_some())
                else {
                    lookahead.skip(batch.count(), self.store, self.profile);
                    return None;
                };
                for _ in 0..batch.count() {
                    let prepared = lookahead.next(self.store, self.profile)?;
                    execute(prepared, self.store, self.now, &mut writer, self.counters, self.profile);
                }
                Some(native::HEADER_LEN + writer.finish())
            }
            Inbound::Mica(frame) => {
                let Some(mut writer) = mica::ResponseWriter::new(region, frame.response_len_min()) else {
                    lookahead.skip(frame.count(), self.store, self.profile);
                    return None;
                };
                for head in frame.heads() {
                    let prepared = lookahead.next(self.store, self.profile)?;
                    let mut answer = MicaAnswer { writer: &mut writer, head };
                    execute(prepared, self.store, self.now, &mut answer, self.counters, self.profile);
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

    #[inline]
    fn push_word(&mut self, word: [u8; 8]) -> bool {
        Self::push_word(self, ResultCode::Success, word)
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

    #[inline]
    fn push_word(&mut self, word: [u8; 8]) -> bool {
        self.writer.push(self.head, ResultCode::Success, Some(&word)).is_ok()
    }
}

impl<P: PacketPort, L: Profile> Engine for Serve<'_, P, L> {
    fn turn(&mut self, now: Tick) -> Turn {
        self.profile.enter(Stage::Others);
        self.port.begin_turn(now);
        transmit(&mut self.burst, &mut self.port, &mut self.counters, &mut self.profile);
        if !self.burst.is_empty() {
            // The wire is full: what arrives meanwhile is shed at the port.
            return Turn { work: 0, waiting: Waiting::Wire };
        }
        self.profile.enter(Stage::Receive);
        self.port.receive(&mut self.burst, &mut self.counters.drops);
        let work = self.burst.count() as u32;
        self.counters.add(Counter::FramesReceived, work.into());
        let now = Millis(self.rate.ms(now.0));
        let mut done = 0;
        while done < self.burst.count() {
            done = self.answer_some(done, now);
        }
        transmit(&mut self.burst, &mut self.port, &mut self.counters, &mut self.profile);
        Turn { work, waiting: Waiting::Packets }
    }

    fn counters(&mut self) -> &mut Counters {
        super::gauge(&self.store, &mut self.counters);
        self.port.count(&mut self.counters);
        &mut self.counters
    }
}
