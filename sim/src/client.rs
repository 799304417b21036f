//! Clients that keep a server busy and remember everything they saw.
//!
//! A client has some frames in flight, sends a frame again when it hears nothing for a while, gives up after some
//! tries, and ignores answers to frames that it no longer waits for. It judges what can be judged at once, such as a
//! value that nobody stored; the rest is for [`history`](crate::history).

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;

use arch::Tick;
use qp_wire::{Operation, Request, ResultCode};

use crate::directory::Directory;
use crate::history::{Action, Outcome, Record};
use crate::link::Network;
use crate::medium::Medium;
use crate::physics::Physics;
use crate::seed::Random;
use crate::value::ValueId;
use crate::wire::{Reply, Wire};
use crate::workload::{KeySpace, Kind, Mix};
use crate::world::{Actor, Progress};

/// How a client behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// Where answers go. Each client has its own.
    pub address: SocketAddr,
    /// The name under which it writes. Each client has its own.
    pub writer: u8,
    /// Whether the server knows it, and may answer with more bytes than were asked with. If not, it pads its frames
    /// where its protocol has pads.
    pub is_listed: bool,
    /// What its packets are.
    pub medium: Medium,
    /// The protocol that it speaks.
    pub wire: Wire,
    /// Frames in flight at most.
    pub frame_count_max: usize,
    /// Requests in a frame at most, up to 255.
    pub batch_count_max: usize,
    /// Longest payload, in bytes.
    pub payload_len_max: usize,
    /// How long it waits for an answer, in nanoseconds.
    pub timeout_ns: u64,
    /// How often it sends a frame before it gives up; `None` is for ever.
    pub try_count_max: Option<u32>,
    /// How long it rests after a frame at most, in nanoseconds.
    pub think_ns_max: u64,
}

/// Something that no correct server answers, whatever goes wrong on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Anomaly {
    /// A value that nobody has ever stored under the key.
    WrongValue {
        /// The key's number.
        key: usize,
        /// What was read.
        value: Vec<u8>,
    },
    /// A result that this request cannot have.
    WrongResult {
        /// What was asked.
        action: Action,
        /// What was answered.
        result: ResultCode,
    },
    /// A frame with other answers than its request had questions, or an answer to a frame of another time.
    WrongFrame {
        /// The frame.
        frame_id: u32,
    },
    /// More bytes than an unlisted source may get for its request.
    Amplified {
        /// Length of the request's payload.
        request_len: usize,
        /// Length of the response's payload.
        response_len: usize,
    },
    /// Bytes that are no response frame.
    Undecodable {
        /// How many.
        len: usize,
    },
}

/// How many operations ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientCounts {
    /// Operations that were answered.
    pub answered: u64,
    /// Operations that were given up.
    pub given_up: u64,
    /// Frames that were sent, again or for the first time.
    pub frames_sent: u64,
    /// Frames that were sent again.
    pub frames_repeated: u64,
    /// Frames that were given up.
    pub frames_given_up: u64,
    /// Responses to frames that were no longer waited for.
    pub late: u64,
    /// Requests that the server did not process, and that were asked again.
    pub not_processed: u64,
    /// Writes that were answered `InsufficientSpace`.
    pub no_space: u64,
}

/// Operations of one client on one key at a time. Enough to meet in one frame; with more, the search for an order of
/// overlapping operations would take too long.
const OPEN_COUNT_MAX: usize = 3;

/// A client.
#[derive(Debug)]
pub struct Client {
    physics: Physics,
    random: Random,
    network: Network,
    directory: Rc<Directory>,
    keys: Rc<KeySpace>,
    config: ClientConfig,
    mix: Mix,
    to_draw: u64,
    waiting: VecDeque<usize>,
    in_flight: BTreeMap<u32, InFlight>,
    next_frame_id: u32,
    /// It sends no new frame before.
    resting_until: Tick,
    next_value: u32,
    seen: BTreeMap<usize, ValueId>,
    records: Vec<Record>,
    anomalies: Vec<Anomaly>,
    counts: ClientCounts,
}

#[derive(Debug)]
struct InFlight {
    to: SocketAddr,
    payload: Vec<u8>,
    sent: Tick,
    operations: Vec<usize>,
    deadline: Tick,
    tries: u32,
}

impl Client {
    /// A client of the servers in `directory`, which asks for nothing yet.
    pub fn new(
        physics: &Physics,
        network: &Network,
        directory: &Rc<Directory>,
        keys: &Rc<KeySpace>,
        config: ClientConfig,
    ) -> Self {
        network.open(config.address);
        Self {
            physics: physics.clone(),
            random: physics.stream("client", u64::from(config.writer)),
            network: network.clone(),
            directory: Rc::clone(directory),
            keys: Rc::clone(keys),
            config,
            mix: Mix::ALL,
            to_draw: 0,
            waiting: VecDeque::new(),
            in_flight: BTreeMap::new(),
            next_frame_id: 1,
            resting_until: Tick(0),
            next_value: 0,
            seen: BTreeMap::new(),
            records: Vec::new(),
            anomalies: Vec::new(),
            counts: ClientCounts::default(),
        }
    }

    /// Asks for `count` more operations, drawn from a mix.
    pub fn ask(&mut self, count: u64, mix: Mix) {
        self.mix = mix;
        self.to_draw += count;
    }

    /// Asks for a GET of every key.
    pub fn ask_for_all(&mut self) {
        for key in 0..self.keys.count() {
            self.plan(key, Kind::Get);
        }
    }

    /// Makes counters of the keys that should be some.
    pub fn create_counters(&mut self) {
        for key in 0..self.keys.count() {
            if self.keys.is_counter(key) {
                self.plan(key, Kind::Add);
            }
        }
    }

    /// From now on sends every frame until it is answered, and does not rest.
    pub fn hurry(&mut self) {
        self.config.try_count_max = None;
        self.config.think_ns_max = 0;
    }

    /// Its protocol.
    pub fn wire(&self) -> Wire {
        self.config.wire
    }

    /// Whether everything that was asked for has ended.
    pub fn is_done(&self) -> bool {
        self.to_draw == 0 && self.waiting.is_empty() && self.in_flight.is_empty()
    }

    /// Everything that it asked for.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// How many operations were answered that only look at something.
    pub fn read_count(&self) -> u64 {
        let is_read =
            |record: &&Record| record.answered.is_some() && matches!(record.action, Action::Get | Action::Test);
        self.records.iter().filter(is_read).count() as u64
    }

    /// What no correct server answers.
    pub fn anomalies(&self) -> &[Anomaly] {
        &self.anomalies
    }

    /// How operations ended.
    pub fn counts(&self) -> ClientCounts {
        self.counts
    }

    /// Draws an operation, unless its key is busy.
    fn draw(&mut self) {
        let key = self.random.below(self.keys.count() as u64) as usize;
        if self.open_count(key) >= OPEN_COUNT_MAX {
            return;
        }
        self.to_draw -= 1;
        let kind = if !self.keys.is_counter(key) {
            self.mix.draw(&mut self.random)
        } else if self.random.below(2) == 0 {
            Kind::Get
        } else {
            Kind::Increment
        };
        self.plan(key, kind);
    }

    /// How many operations on a key have not ended.
    fn open_count(&self, key: usize) -> usize {
        let in_flight = self.in_flight.values().flat_map(|frame| &frame.operations);
        self.waiting.iter().chain(in_flight).filter(|operation| self.records[**operation].key == key).count()
    }

    fn plan(&mut self, key: usize, kind: Kind) {
        let mut new_value = || {
            self.next_value += 1;
            ValueId::new(self.keys.key(key), self.config.writer, self.next_value)
        };
        let action = match kind {
            Kind::Get => Action::Get,
            Kind::Test => Action::Test,
            Kind::Delete => Action::Delete,
            Kind::Increment => Action::Increment,
            Kind::Set => Action::Set(new_value()),
            Kind::Add => Action::Add(new_value()),
            Kind::CompareAndSet => match self.seen.get(&key) {
                Some(expected) if self.config.wire == Wire::Native => {
                    Action::CompareAndSet { expected: *expected, new: new_value() }
                }
                _ => Action::Set(new_value()),
            },
        };
        let called = self.physics.now();
        self.waiting.push_back(self.records.len());
        self.records.push(Record { key, action, called, answered: None, copies: 0 });
    }

    /// Sends frames until enough are in flight. Returns whether it sent any.
    fn send_frames(&mut self, now: Tick) -> bool {
        let before = self.counts.frames_sent;
        while self.in_flight.len() < self.config.frame_count_max && self.resting_until <= now {
            let wanted = self.random.within(1..=self.config.batch_count_max as u64) as usize;
            // Not every draw finds a key that is not busy.
            for _ in 0..2 * wanted {
                if self.to_draw > 0 && self.waiting.len() < wanted {
                    self.draw();
                }
            }
            let Some(first) = self.waiting.front() else { break };
            let to = self.endpoint(*first);
            self.send_frame(to, wanted, now);
            self.resting_until = now.after(self.random.within(0..=self.config.think_ns_max));
        }
        self.counts.frames_sent > before
    }

    /// Where an operation goes.
    fn endpoint(&mut self, operation: usize) -> SocketAddr {
        let Record { key, action, .. } = self.records[operation];
        let is_read = matches!(action, Action::Get | Action::Test);
        self.directory.endpoint(self.keys.hash(key), is_read, self.random.bits())
    }

    /// Sends the waiting operations that `to` can execute, up to `wanted` of them and as many as fit.
    fn send_frame(&mut self, to: SocketAddr, wanted: usize, now: Tick) {
        let fitting: Vec<usize> = self
            .waiting
            .iter()
            .copied()
            .filter(|operation| {
                let Record { key, action, .. } = self.records[*operation];
                let is_read = matches!(action, Action::Get | Action::Test);
                self.directory.executes(to, self.keys.hash(key), is_read)
            })
            .take(wanted)
            .collect();
        let frame_id = self.next_frame_id;
        let (payload, count) = self.encode(frame_id, now, &fitting);
        assert!(count > 0, "an operation of the workload fits a frame");
        let operations = fitting[..count].to_vec();
        self.waiting.retain(|operation| !operations.contains(operation));
        self.next_frame_id += 1;
        let frame = InFlight { to, payload, sent: now, operations, deadline: now, tries: 0 };
        self.in_flight.insert(frame_id, frame);
        self.transmit(frame_id, now);
    }

    fn encode(&self, frame_id: u32, now: Tick, operations: &[usize]) -> (Vec<u8>, usize) {
        let bytes = |id: ValueId| id.bytes(self.keys.value_len_max);
        let operands: Vec<_> = operations
            .iter()
            .map(|operation| match self.records[*operation].action {
                // A counter is created with the value 0.
                Action::Add(_) if self.keys.is_counter(self.records[*operation].key) => (vec![0; 8], Vec::new()),
                Action::Set(new) | Action::Add(new) => (bytes(new), Vec::new()),
                Action::CompareAndSet { expected, new } => (bytes(new), bytes(expected)),
                _ => (Vec::new(), Vec::new()),
            })
            .collect();
        let requests: Vec<_> = operations
            .iter()
            .zip(&operands)
            .map(|(operation, (value, expected))| {
                let Record { key, action, .. } = self.records[*operation];
                Request { key: self.keys.key(key), operation: operation_of(action, value, expected) }
            })
            .collect();
        let (payload, count) = self.config.wire.encode(frame_id, now.0, &requests, self.config.payload_len_max);
        let pad_to = if self.config.is_listed { 0 } else { self.config.payload_len_max };
        (self.config.wire.pad(payload, pad_to), count)
    }

    /// Sends a frame, again or for the first time.
    fn transmit(&mut self, frame_id: u32, now: Tick) {
        let Some(frame) = self.in_flight.get_mut(&frame_id) else { return };
        frame.tries += 1;
        // Patience grows, or a slow server would drown in repetitions.
        frame.deadline = now.after(self.config.timeout_ns << frame.tries.min(5) >> 1);
        let packet = self.config.medium.wrap(self.config.address, frame.to, &frame.payload);
        let copies = self.network.send(self.config.address, frame.to, &packet);
        for operation in &frame.operations {
            let record = &mut self.records[*operation];
            if frame.tries == 1 && record.copies == 0 {
                record.called = now;
            }
            record.copies += copies;
        }
        self.counts.frames_sent += 1;
        self.counts.frames_repeated += u64::from(frame.tries > 1);
    }

    /// Takes what has arrived. Returns whether anything had.
    fn receive(&mut self, now: Tick) -> bool {
        let mut received = false;
        while let Some(packet) = self.network.receive(self.config.address) {
            received = true;
            let payload = self.config.medium.unwrap(self.config.address, &packet.bytes);
            match payload.and_then(|payload| Some((self.config.wire.decode(payload)?, payload.len()))) {
                Some((reply, len)) => self.take(&reply, len, now),
                None => self.anomalies.push(Anomaly::Undecodable { len: packet.bytes.len() }),
            }
        }
        received
    }

    fn take(&mut self, reply: &Reply, response_len: usize, now: Tick) {
        let Some(frame) = self.in_flight.get(&reply.frame_id) else {
            self.counts.late += 1;
            return;
        };
        let request_len = frame.payload.len();
        if response_len > request_len && !self.config.is_listed {
            self.anomalies.push(Anomaly::Amplified { request_len, response_len });
        }
        let in_order = reply.answers.iter().enumerate().all(|(place, answer)| answer.index == place);
        let is_echo = reply.timestamp.is_none_or(|timestamp| timestamp == frame.sent.0);
        if reply.answers.len() != frame.operations.len() || !in_order || !is_echo {
            self.anomalies.push(Anomaly::WrongFrame { frame_id: reply.frame_id });
            return;
        }
        let Some(frame) = self.in_flight.remove(&reply.frame_id) else { return };
        for (operation, answer) in frame.operations.into_iter().zip(&reply.answers) {
            self.take_answer(operation, answer.result, &answer.value, now);
        }
    }

    fn take_answer(&mut self, operation: usize, result: ResultCode, value: &[u8], now: Tick) {
        let Record { key, action, .. } = self.records[operation];
        match (result, action) {
            (ResultCode::NotProcessed, _) => {
                self.counts.not_processed += 1;
                self.waiting.push_back(operation);
                return;
            }
            (ResultCode::InsufficientSpace, Action::Set(_) | Action::Add(_) | Action::CompareAndSet { .. }) => {
                // Nothing was changed: it is as if this copy of the request had never arrived.
                self.counts.no_space += 1;
                self.records[operation].copies = self.records[operation].copies.saturating_sub(1);
                return;
            }
            _ => {}
        }
        match self.judge(key, action, result, value) {
            Ok(outcome) => {
                if let Outcome::Found(value) = outcome {
                    self.seen.insert(key, value);
                }
                self.counts.answered += 1;
                self.records[operation].answered = Some((now, outcome));
            }
            Err(anomaly) => self.anomalies.push(anomaly),
        }
    }

    fn judge(&self, key: usize, action: Action, result: ResultCode, value: &[u8]) -> Result<Outcome, Anomaly> {
        let wrong_value = || Anomaly::WrongValue { key, value: value.to_vec() };
        let count = || value.try_into().map(u64::from_le_bytes).map(Outcome::Count).map_err(|_| wrong_value());
        match (result, action) {
            (ResultCode::Success, Action::Increment) => count(),
            (ResultCode::Success, Action::Get) if self.keys.is_counter(key) => count(),
            (ResultCode::Success, Action::Get) => ValueId::of(self.keys.key(key), value, self.keys.value_len_max)
                .map(Outcome::Found)
                .ok_or_else(wrong_value),
            (ResultCode::Success, _) => Ok(Outcome::Done),
            (ResultCode::NotFound, Action::Set(_) | Action::Add(_)) => Err(Anomaly::WrongResult { action, result }),
            (ResultCode::NotFound, _) => Ok(Outcome::NotFound),
            (ResultCode::Exists, Action::Add(_)) => Ok(Outcome::Exists),
            (ResultCode::Mismatch, Action::CompareAndSet { .. }) => Ok(Outcome::Mismatch),
            _ => Err(Anomaly::WrongResult { action, result }),
        }
    }

    /// Sends again what was not answered in time, or gives it up. Returns whether there was any.
    fn repeat(&mut self, now: Tick) -> bool {
        let overdue: Vec<_> =
            self.in_flight.iter().filter(|(_, frame)| frame.deadline <= now).map(|(id, _)| *id).collect();
        for frame_id in &overdue {
            let tries = self.in_flight[frame_id].tries;
            if self.config.try_count_max.is_none_or(|max| tries < max) {
                self.transmit(*frame_id, now);
            } else if let Some(frame) = self.in_flight.remove(frame_id) {
                self.counts.frames_given_up += 1;
                self.counts.given_up += frame.operations.len() as u64;
            }
        }
        !overdue.is_empty()
    }
}

fn operation_of<'a>(action: Action, value: &'a [u8], expected: &'a [u8]) -> Operation<'a> {
    match action {
        Action::Get => Operation::Get,
        Action::Test => Operation::Test,
        Action::Set(_) => Operation::Set { value, ttl: None },
        Action::Add(_) => Operation::Add { value, ttl: None },
        Action::Delete => Operation::Delete,
        Action::CompareAndSet { .. } => Operation::CompareAndSet { expected, new: value, ttl: None },
        Action::Increment => Operation::Increment { delta: 1 },
        // No client can ask for a crash.
        Action::Wipe => Operation::NoopRead,
    }
}

impl Actor for Client {
    fn turn(&mut self, now: Tick) -> Progress {
        let received = self.receive(now);
        let repeated = self.repeat(now);
        let sent = self.send_frames(now);
        if received || repeated || sent { Progress::Worked } else { Progress::Idle }
    }
}
