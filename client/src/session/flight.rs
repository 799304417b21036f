//! Frames between gathering and their answer.

use qp_wire::native::{self, FrameHeader, FrameKind};

use super::gather::Gather;
use super::peer::PeerId;
use super::pending::{Pending, Status};
use super::server::ServerId;
use crate::moment::Moment;

/// What requests have gone through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tries {
    /// How often they were sent.
    pub(super) attempts: u32,
    /// How often they were sent since the server last took one of their frame. So often they were sent in vain.
    pub(super) strikes: u32,
}

/// Where a flight stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nowhere: its memory waits for the next frame.
    Free,
    /// It waits for a server to say where the requests go.
    Parked,
    /// It waits before it is sent, since the server refused its requests a moment ago.
    Delayed,
    /// It is in the outbox.
    Queued,
    /// It was sent.
    Sent,
    /// It was sent and must not be sent again; an answer may still come.
    Spent,
}

/// A frame, with what is remembered of its requests.
#[derive(Debug)]
pub(super) struct Flight {
    /// Which frame this is in the same memory.
    generation: u16,
    pub(super) state: State,
    pub(super) server: ServerId,
    /// Where it goes; meaningless while it is parked.
    pub(super) peer: PeerId,
    bytes: Vec<u8>,
    /// Of the frame, its pad included.
    len: usize,
    /// Of the batch behind the header.
    batch_len: usize,
    flags: u8,
    pub(super) requests: Vec<Pending>,
    /// What these requests went through in flights before this one.
    before: Tries,
    /// How often this flight was sent.
    pub(super) sendings: u32,
    first_sent: Moment,
    last_sent: Moment,
    /// When its state asks for something: to be sent, or to be sent again.
    pub(super) due: Moment,
    /// When the time of its oldest request is up.
    pub(super) expiry: Moment,
}

impl Flight {
    fn new(generation: u16) -> Self {
        Self {
            generation,
            state: State::Free,
            server: ServerId(0),
            peer: PeerId(0),
            bytes: Vec::new(),
            len: 0,
            batch_len: 0,
            flags: 0,
            requests: Vec::new(),
            before: Tries::default(),
            sendings: 0,
            first_sent: Moment::NEVER,
            last_sent: Moment::NEVER,
            due: Moment::NEVER,
            expiry: Moment::NEVER,
        }
    }

    /// What its requests have gone through.
    pub(super) const fn tries(&self) -> Tries {
        Tries { attempts: self.before.attempts + self.sendings, strikes: self.before.strikes + self.sendings }
    }

    /// When it needs attention.
    pub(super) fn wake(&self) -> Moment {
        self.due.min(self.expiry)
    }

    /// Whether an attempt is out and may be answered yet.
    pub(super) fn in_air(&self) -> bool {
        matches!(self.state, State::Sent | State::Spent)
    }

    /// Whether it was sent at some time from `stamp`'s point of view: an answer with another stamp is forged.
    pub(super) fn was_sent_at(&self, stamp: Moment) -> bool {
        self.sendings > 0 && self.first_sent <= stamp && stamp <= self.last_sent
    }

    /// Whether every request has ended or moved.
    fn is_empty(&self) -> bool {
        self.requests.iter().all(|pending| pending.status == Status::Gone)
    }

    /// The length of the batch behind the header, in bytes.
    pub(super) const fn batch_len(&self) -> usize {
        self.batch_len
    }

    /// The frame.
    pub(super) fn payload(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Writes the header for a frame that leaves now.
    pub(super) fn stamp(&mut self, now: Moment, header: FrameHeader) {
        let written = native::encode_header(&mut self.bytes, FrameKind::BatchRequest, self.flags, header);
        debug_assert!(written.is_some(), "a frame without room for its header");
        if self.sendings == 0 {
            self.first_sent = now;
        }
        self.last_sent = now;
    }

    /// Pads the frame so that a server may answer with `answer_len` bytes.
    fn pad(&mut self, answer_len: usize) {
        // The longest pad brings a frame one byte beyond `answer_len`.
        if self.bytes.len() < answer_len + 1 {
            self.bytes.resize(answer_len + 1, 0);
        }
        // `pad` looks at the flags that an earlier frame may have left.
        let header = FrameHeader { batch_id: 0, timestamp: 0 };
        let _ = native::encode_header(&mut self.bytes, FrameKind::BatchRequest, 0, header);
        if let Some(len) = native::pad(&mut self.bytes, self.len, answer_len)
            && len != self.len
        {
            self.len = len;
            self.flags = native::FLAG_PADDED;
        }
    }
}

/// Under which conditions a frame starts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Launch {
    pub(super) server: ServerId,
    /// Where it goes, if that is known.
    pub(super) peer: Option<PeerId>,
    pub(super) before: Tries,
    /// When it may leave; at once when that is not later than now.
    pub(super) not_before: Moment,
    /// How long the answer may be, in bytes, if that has to be shown to the server.
    pub(super) answer_len: usize,
    /// When the time of its oldest request is up.
    pub(super) expiry: Moment,
}

/// All flights. Their memory is used again.
#[derive(Debug)]
pub(super) struct Flights {
    list: Vec<Flight>,
    free: Vec<u16>,
    /// Where batch ids begin, so that those of two sessions differ and none can be guessed.
    base: u32,
}

impl Flights {
    pub(super) const fn new(base: u32) -> Self {
        Self { list: Vec::new(), free: Vec::new(), base }
    }

    /// How many there are, free ones included.
    pub(super) fn count(&self) -> usize {
        self.list.len()
    }

    pub(super) fn get(&self, index: u16) -> Option<&Flight> {
        self.list.get(usize::from(index))
    }

    pub(super) fn get_mut(&mut self, index: u16) -> Option<&mut Flight> {
        self.list.get_mut(usize::from(index))
    }

    /// The flight that an answer with this id is for, unless it has ended.
    pub(super) fn find(&self, batch_id: u32) -> Option<u16> {
        let id = batch_id.wrapping_sub(self.base);
        let (generation, index) = ((id >> 16) as u16, id as u16);
        let flight = self.get(index)?;
        (flight.state != State::Free && flight.generation == generation).then_some(index)
    }

    /// The id under which the flight is sent.
    pub(super) fn batch_id(&self, index: u16) -> u32 {
        let generation = self.get(index).map_or(0, |flight| flight.generation);
        self.base.wrapping_add(u32::from(generation) << 16 | u32::from(index))
    }

    /// Makes the requests of `gather`, at least one, a flight. It is parked, delayed or, if it may leave, queued.
    pub(super) fn launch(&mut self, now: Moment, gather: &mut Gather, launch: &Launch) -> u16 {
        let index = self.free.pop().unwrap_or_else(|| {
            // A window of 65535 requests has no more flights, one that is being moved included.
            debug_assert!(self.list.len() <= usize::from(u16::MAX), "more flights than requests");
            let index = self.list.len() as u16;
            self.list.push(Flight::new(0));
            index
        });
        let flight = &mut self.list[usize::from(index)];
        flight.len = gather.take_into(&mut flight.bytes, &mut flight.requests);
        flight.batch_len = flight.len - native::HEADER_LEN;
        flight.flags = 0;
        if launch.answer_len > flight.len {
            flight.pad(launch.answer_len);
        }
        flight.server = launch.server;
        flight.peer = launch.peer.unwrap_or(PeerId(0));
        flight.before = launch.before;
        flight.sendings = 0;
        flight.expiry = launch.expiry;
        (flight.state, flight.due) = match launch.peer {
            None => (State::Parked, Moment::NEVER),
            Some(_) if launch.not_before > now => (State::Delayed, launch.not_before),
            Some(_) => (State::Queued, Moment::NEVER),
        };
        index
    }

    /// Takes the frame and what is remembered of its requests out of a flight, to launch them anew. The header may not
    /// have been written yet.
    pub(super) fn open(&mut self, index: u16) -> (Vec<u8>, Vec<Pending>) {
        let Some(flight) = self.get_mut(index) else { return (Vec::new(), Vec::new()) };
        (std::mem::take(&mut flight.bytes), std::mem::take(&mut flight.requests))
    }

    /// Gives back what [`open`](Self::open) has taken.
    pub(super) fn close(&mut self, index: u16, bytes: Vec<u8>, requests: Vec<Pending>) {
        if let Some(flight) = self.get_mut(index) {
            flight.bytes = bytes;
            flight.requests = requests;
        }
    }

    /// Makes the flight's memory free if every request has ended or moved.
    pub(super) fn free_if_empty(&mut self, index: u16) {
        if self.get(index).is_some_and(|flight| flight.state != State::Free && flight.is_empty()) {
            self.free(index);
        }
    }

    /// Makes the memory of a flight free of which every request has ended or moved.
    pub(super) fn free(&mut self, index: u16) {
        let Some(flight) = self.get_mut(index) else { return };
        flight.state = State::Free;
        flight.generation = flight.generation.wrapping_add(1);
        flight.requests.clear();
        self.free.push(index);
    }
}
