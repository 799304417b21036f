//! `Communicate`: the communication engine. Packets to and from one queue pair.

mod batcher;
mod deliver;
mod flush;
mod hot;

use arch::{Tick, TickRate};
use qp_wire::DropReason;

use self::batcher::{Batcher, Batching, NoRoom};
use self::deliver::{Delivery, WaitsFor};
use self::flush::{Flush, Progress};
pub use self::flush::{FlushLaw, FlushPolicy};
use self::hot::{Hits, Seen, Watch};
pub use self::hot::{HotKeys, HotRule, HotRules, HotSet};
use super::inbound::{IdentityBytes, Screened, answer_here, screen};
use super::link::{Fault, Link, QueuePairEnd};
use super::policy::Policy;
use super::stage::{Profile, Stage, Unprofiled};
use super::{Engine, Turn, Waiting};
use crate::counters::{Counter, Counters};
use crate::design::{QueuePairId, Side};
use crate::dma::{DmaEngine, Window};
use crate::port::{Burst, Frame, PacketPort};
use crate::ring::{ResponseWay, SLOT_LEN_MAX};

/// The communication engine: it batches what arrives at its port into its queue pair, and sends what comes back.
#[derive(Debug)]
pub struct Communicate<'m, P: PacketPort, D: DmaEngine, W, L = Unprofiled> {
    policy: Policy,
    flush: Flush,
    rate: TickRate,
    identity: IdentityBytes,
    received: Burst<P::Frame>,
    link: Option<Link<D, W>>,
    hot: HotKeys<'m>,
    batcher: Batcher<D::Buf>,
    delivery: Delivery<P, L>,
    private: Private,
}

/// Why a frame is in no batch.
enum Unbatched {
    /// It has to wait for room.
    Later,
    /// It gets no answer.
    Dropped(DropReason),
}

/// Private memory for one slot.
struct Private([u8; SLOT_LEN_MAX as usize]);

impl core::fmt::Debug for Private {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        out.debug_struct("Private").finish_non_exhaustive()
    }
}

impl<P: PacketPort, D: DmaEngine, W: Window> Communicate<'_, P, D, W> {
    /// A core that communicates at `port`. Until a queue pair is [attached](Self::attach), requests are dropped.
    pub fn new(port: P, policy: Policy, flush: FlushPolicy, rate: TickRate) -> Self {
        Self::with_profile(port, policy, flush, rate, Unprofiled)
    }
}

impl<'m, P: PacketPort, D: DmaEngine, W: Window, L: Profile> Communicate<'m, P, D, W, L> {
    /// The same core, with somebody who is told of its stages.
    pub fn with_profile(port: P, policy: Policy, flush: FlushPolicy, rate: TickRate, profile: L) -> Self {
        Self {
            policy: policy.bounded(),
            flush: Flush::new(flush, rate),
            rate,
            identity: IdentityBytes::new(),
            received: Burst::new(),
            link: None,
            hot: HotKeys::default(),
            batcher: Batcher::new(),
            delivery: Delivery::new(port, profile),
            private: Private([0; SLOT_LEN_MAX as usize]),
        }
    }

    /// Who is told of its stages.
    pub fn profile(&mut self) -> &mut L {
        &mut self.delivery.profile
    }

    /// The rate of the ticks given to [`turn`](Engine::turn).
    pub fn rate(&self) -> TickRate {
        self.rate
    }

    /// Says what clients are told of the server: the encoded body of an identity response.
    pub fn set_identity(&mut self, identity: IdentityBytes) {
        self.identity = identity;
    }

    /// Answers GETs of hot keys from this cache. Only where all requests for a partition come through this core.
    pub fn set_hot_keys(&mut self, hot: HotKeys<'m>) {
        self.hot = hot;
    }

    /// The port, so that a shell can wait for it.
    pub fn port(&self) -> &P {
        &self.delivery.port
    }

    /// Begins an epoch of the queue pair. An earlier one ends.
    pub fn attach(&mut self, end: QueuePairEnd<D, W>) {
        self.detach();
        self.delivery.counters.set(Counter::Epoch, u64::from(end.epoch));
        self.flush.attach();
        self.link = Some(Link::new(end, Side::Dpu));
    }

    /// Ends the present epoch, if there is one. Requests in flight get no answer: they may have been executed or not.
    pub fn detach(&mut self) {
        let given_up = self.delivery.flight.clear();
        self.delivery.counters.drops.add(DropReason::Epoch, given_up);
        self.batcher.clear();
        self.hot.end_epoch();
        if let Some(mut link) = self.link.take() {
            link.count(&mut self.delivery.counters);
            self.delivery.counters.add(Counter::QueuePairResets, 1);
            self.delivery.counters.set(Counter::Epoch, 0);
        }
    }

    /// Why the queue pair was given up, if it was. Requests are dropped until it is attached anew.
    pub fn fault(&self) -> Option<(QueuePairId, Fault)> {
        self.link.as_ref().and_then(|link| link.fault().map(|fault| (link.id(), fault)))
    }

    /// The present epoch, while the queue pair works.
    pub fn epoch(&self) -> Option<u32> {
        self.link.as_ref().filter(|link| link.fault().is_none()).map(Link::epoch)
    }

    fn working_link(&mut self) -> Option<&mut Link<D, W>> {
        self.link.as_mut().filter(|link| link.fault().is_none())
    }

    /// Hands everything that came back to the frames that wait for it; how many slots that were.
    fn take_responses(&mut self, now: Tick) -> u32 {
        let mut slots = 0;
        let Some(link) = self.link.as_mut().filter(|link| link.fault().is_none()) else { return 0 };
        let delivery = &mut self.delivery;
        delivery.profile.enter(Stage::Wait);
        match link.geometry().way {
            ResponseWay::Push => {
                let _ = link.complete(now, &mut delivery.counters);
                while let Some(slot) = link.receive(&mut self.private.0, now, &mut delivery.counters) {
                    slots += 1;
                    send_if_alone(&mut self.batcher, link, &mut delivery.counters);
                    if delivery.deliver(slot.runs, &mut self.hot, now).is_none() {
                        link.give_up(Fault::Malformed);
                        break;
                    }
                }
            }
            ResponseWay::Pull => {
                let pulled = link.complete(now, &mut delivery.counters);
                let slot = pulled.as_ref().and_then(|buf| link.open_pulled(buf.as_ref(), now, &mut delivery.counters));
                if let Some(slot) = slot {
                    slots += 1;
                    send_if_alone(&mut self.batcher, link, &mut delivery.counters);
                    if delivery.deliver(slot.runs, &mut self.hot, now).is_none() {
                        link.give_up(Fault::Malformed);
                    }
                }
                if link.in_flight() > 0 && link.fault().is_none() {
                    link.pull(&mut delivery.counters);
                }
            }
        }
        self.flush.left_early(link.sent(), now);
        if slots == 0 {
            link.check_torn(now);
            if self.delivery.flight.is_stalled(now, link.stall_ticks()) {
                link.give_up(Fault::Stalled);
            }
        }
        if link.fault() == Some(Fault::Malformed) {
            self.delivery.counters.add(Counter::SlotsMalformed, 1);
        }
        slots
    }

    /// Batches what arrived, as far as there is room; how many frames left the burst.
    fn take_requests(&mut self, now: Tick) -> u32 {
        if self.received.is_empty() {
            self.delivery.profile.enter(Stage::Receive);
            self.delivery.port.receive(&mut self.received, &mut self.delivery.counters.drops);
            self.delivery.counters.add(Counter::FramesReceived, self.received.count() as u64);
        }
        let waiting = self.received.count();
        while let Some(frame) = self.received.pop() {
            if let Err(frame) = self.take_request(frame, now) {
                // It came out of the very place that it goes back to.
                let _ = self.received.unpop(frame);
                break;
            }
        }
        (waiting - self.received.count()) as u32
    }

    /// Batches, answers or drops one frame.
    ///
    /// # Errors
    /// The frame, when it has to wait for room.
    fn take_request(&mut self, mut frame: P::Frame, now: Tick) -> Result<(), P::Frame> {
        self.delivery.profile.enter(Stage::Parse);
        let reply_room = frame.reply_buf().len();
        let here = match screen(&frame, reply_room, &self.policy) {
            Ok(screened) => {
                let reply_len_max = screened.reply_len_max;
                let watch = match self.see(&frame, &screened) {
                    Seen::Here(hits) => {
                        let waits_for = WaitsFor::gathered(&screened.inbound);
                        self.answer_from_cache(frame, waits_for, reply_len_max, &hits);
                        return Ok(());
                    }
                    Seen::Asked(watch) => watch,
                };
                match self.batch(&frame, &screened, now) {
                    Ok(waits_for) => self.await_answer(frame, waits_for, reply_len_max, watch, now),
                    Err(Unbatched::Later) => return Err(frame),
                    Err(Unbatched::Dropped(reason)) => self.delivery.counters.drops.count(reason),
                }
                return Ok(());
            }
            Err(here) => here,
        };
        self.delivery.profile.enter(Stage::Respond);
        match answer_here(&mut frame, here, &self.identity, &self.policy) {
            Ok(()) => self.delivery.hand_over(frame),
            Err(reason) => self.delivery.counters.drops.count(reason),
        }
        Ok(())
    }

    /// Shows a frame to the cache of hot keys, if there is one.
    #[inline]
    fn see(&mut self, frame: &P::Frame, screened: &Screened<'_>) -> Seen {
        if self.hot.is_off() { Seen::Asked(Watch::default()) } else { self.ask_cache(frame, screened) }
    }

    /// Without a working queue pair nothing is answered from the cache.
    #[inline(never)]
    fn ask_cache(&mut self, frame: &P::Frame, screened: &Screened<'_>) -> Seen {
        if self.working_link().is_none() {
            return Seen::Asked(Watch::default());
        }
        self.delivery.profile.enter(Stage::Process);
        let may_reset = self.policy.may_reset(frame.source().ip());
        self.hot.see(&screened.inbound, may_reset, &mut self.delivery.counters)
    }

    /// Answers a frame all of which is in the cache of hot keys.
    #[inline(never)]
    fn answer_from_cache(&mut self, frame: P::Frame, waits_for: WaitsFor, reply_len_max: usize, hits: &Hits) {
        self.delivery.profile.enter(Stage::Respond);
        self.delivery.counters.add(Counter::HotHits, hits.len() as u64);
        self.delivery.answer_now(frame, waits_for, reply_len_max, self.hot.answers(hits));
    }

    /// Adds a frame's requests to a batch, and says what the frame waits for then.
    fn batch(&mut self, frame: &P::Frame, screened: &Screened<'_>, now: Tick) -> Result<WaitsFor, Unbatched> {
        let Some(link) = self.link.as_mut().filter(|link| link.fault().is_none()) else {
            return Err(Unbatched::Dropped(DropReason::PeerDown));
        };
        if self.delivery.flight.is_full() {
            return Err(Unbatched::Later);
        }
        let mut batching = Batching {
            link,
            counters: &mut self.delivery.counters,
            may_reset: self.policy.may_reset(frame.source().ip()),
            reply_len_max: screened.reply_len_max,
            now,
            profile: &mut self.delivery.profile,
        };
        self.batcher.add(&screened.inbound, frame.payload().len(), &mut batching).map_err(|no_room| match no_room {
            NoRoom::Now => Unbatched::Later,
            NoRoom::Ever => Unbatched::Dropped(DropReason::Long),
        })
    }

    /// Keeps a frame until its answer comes, and sends the batch that it is in when that is long enough.
    fn await_answer(&mut self, frame: P::Frame, waits_for: WaitsFor, reply_len_max: usize, watch: Watch, now: Tick) {
        self.delivery.flight.push(frame, waits_for, reply_len_max, watch, now);
        if self.flush.is_full(self.batcher.len_max())
            && self.flush.is_full(self.batcher.len())
            && let Some(link) = &mut self.link
        {
            self.batcher.flush(link, &mut self.delivery.counters);
        }
    }

    /// Sends the open batch when it has waited long enough.
    fn flush_when_due(&mut self, now: Tick) {
        self.delivery.profile.enter(Stage::Post);
        let Some(link) = self.link.as_mut().filter(|link| link.fault().is_none()) else { return };
        let alone = link.in_flight() == 0;
        if self.batcher.since().is_some_and(|since| alone || self.flush.is_due(since, now)) {
            self.batcher.flush(link, &mut self.delivery.counters);
        }
    }
}

/// Sends the open batch, if there is one, when nothing else is in flight: the host has nothing to do while answers are
/// handed out.
fn send_if_alone<D: DmaEngine, W: Window>(
    batcher: &mut Batcher<D::Buf>,
    link: &mut Link<D, W>,
    counters: &mut Counters,
) {
    if link.in_flight() == 0 {
        batcher.flush(link, counters);
    }
}

impl<P: PacketPort, D: DmaEngine, W: Window, L: Profile> Engine for Communicate<'_, P, D, W, L> {
    fn turn(&mut self, now: Tick) -> Turn {
        self.delivery.profile.enter(Stage::Others);
        self.delivery.port.begin_turn(now);
        self.flush.begin_turn(now);
        let slots = self.take_responses(now);
        self.delivery.transmit();
        let frames = self.take_requests(now);
        self.flush_when_due(now);
        self.delivery.transmit();
        self.delivery.profile.enter(Stage::Others);
        if let Some(link) = self.working_link() {
            let progress = Progress { sent: link.sent(), answered: link.taken() };
            self.flush.end_turn(slots + frames > 0, progress, now);
        } else {
            // What still waited for room in a queue pair that is gone waits for nothing.
            self.batcher.clear();
        }
        let waiting = if !self.delivery.answered.is_empty() {
            Waiting::Wire
        } else if self.delivery.flight.is_empty() && self.received.is_empty() {
            Waiting::Packets
        } else {
            Waiting::Copies
        };
        Turn { work: slots + frames, waiting }
    }

    fn counters(&mut self) -> &mut Counters {
        self.delivery.port.count(&mut self.delivery.counters);
        if let Some(link) = &mut self.link {
            link.count(&mut self.delivery.counters);
        }
        &mut self.delivery.counters
    }
}
