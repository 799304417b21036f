//! The client's session and a network that brings whatever it likes.
//!
//! The script is the application, the servers and the network. Each request ends once, whatever arrives and whoever sends it,
//! what is outstanding is counted right, what leaves is well-formed, and when the time is up every request has ended.

use std::net::SocketAddr;
use std::time::Duration;

use client::session::{Destination, ServerId, Session};
use client::{Answer, Config, Moment, Operation, Resend};
use qp_wire::batch::Response;
use qp_wire::limits::DATAGRAM_LEN_MAX;
use qp_wire::native::{
    Endpoint, FrameHeader, FrameKind, HEADER_LEN, IDENTITY_LEN_MAX, Identity, RequestBody, RequestFrame, encode_header,
};
use qp_wire::{ResultCode, TtlMs};

use crate::batches::encode_responses;
use crate::native::frame;
use crate::script::Script;

/// Frames that the network remembers, to answer and to repeat.
const FRAME_COUNT_MAX: usize = 64;

/// A script for the owner, the servers and the network of a session.
///
/// Returns how many requests were answered.
pub fn check_session_hostile(data: &[u8]) -> usize {
    let mut script = Script::new(data);
    let mut check = Check::new(script.u8(), script.u64());
    while !script.is_over() {
        check.step(&mut script);
        check.check_counts();
    }
    check.finish();
    check.answered_count
}

/// A frame that has left.
#[derive(Clone, Debug)]
struct Sent {
    destination: Destination,
    address: SocketAddr,
    payload: Vec<u8>,
}

struct Check {
    session: Session,
    now: Moment,
    /// Whether each request, by its tag, has ended.
    ended: Vec<bool>,
    ends: Vec<u64>,
    sent: Vec<Sent>,
    answered_count: usize,
}

impl Check {
    fn new(shape: u8, random: u64) -> Self {
        let addresses = ["10.0.0.1:7600", "10.0.0.2:7600"].map(|address| address.parse().expect("an address"));
        let config = Config {
            window: 100,
            requests_per_frame: [1, 3, 32, 1024][usize::from(shape >> 1 & 3)],
            attempts_max: [1, 4, 20, 20][usize::from(shape >> 3 & 3)],
            resend: if shape & 32 == 0 { Resend::Harmless } else { Resend::All },
            ..Config::new(&addresses[..1 + usize::from(shape & 1)])
        };
        Self {
            session: Session::new(&config, random).expect("a valid config"),
            now: Moment::from_nanos(1),
            ended: Vec::new(),
            ends: Vec::new(),
            sent: Vec::new(),
            answered_count: 0,
        }
    }

    fn step(&mut self, script: &mut Script<'_>) {
        match script.u8() % 14 {
            0..=2 => self.submit(script),
            3 => self.session.flush(self.now),
            4 => self.session.flush_lingering(self.now),
            5 => self.depart(script.u8()),
            6 => self.answer(script, false),
            7 | 8 => self.answer(script, true),
            9 => {
                let source = [10, 0, 0, script.u8()];
                self.receive(SocketAddr::from((source, 7600)), script.string());
            }
            10 => self.receive_identity(ServerId(script.u16()), script.string()),
            11 => self.turn(Duration::from_micros(u64::from(script.u16()) * 100)),
            12 => self.session.unreachable(ServerId(u16::from(script.u8()))),
            _ => self.play_honestly(script),
        }
    }

    fn submit(&mut self, script: &mut Script<'_>) {
        let (kind, key, len) = (script.u8(), script.u8(), usize::from(script.u16()));
        let (key, bytes) = (vec![key; usize::from(key)], vec![kind; len % 9000]);
        let (value, other) = bytes.split_at(bytes.len() / 2);
        let ttl = std::num::NonZeroU64::new(u64::from(kind >> 4)).map(TtlMs);
        let operation = match kind % 12 {
            0..=2 => Operation::Get,
            3 => Operation::Set { value: &bytes, ttl },
            4 => Operation::Add { value: &bytes, ttl },
            5 => Operation::Test,
            6 => Operation::Delete,
            7 => Operation::Increment { delta: 1 },
            8 => Operation::CompareAndSet { expected: value, new: other, ttl },
            9 => Operation::Append { suffix: &bytes },
            10 => Operation::Touch { ttl },
            _ => Operation::Ttl,
        };
        let tag = self.ended.len() as u64;
        let room = self.session.window_room();
        if self.session.submit(self.now, &key, operation, tag).is_ok() {
            assert!(room > 0 && !key.is_empty());
            self.ended.push(false);
        }
    }

    /// Lets frames leave, of which some are lost at the socket.
    fn depart(&mut self, lost: u8) {
        for index in 0.. {
            let Some(departure) = self.session.departure(self.now) else { break };
            let (destination, address, payload) =
                (departure.destination, departure.address, departure.payload.to_vec());
            assert!(payload.len() <= DATAGRAM_LEN_MAX);
            let frame = RequestFrame::decode(&payload).expect("a server takes what leaves");
            let is_question = matches!(frame.body, RequestBody::Identity);
            assert_eq!(is_question, matches!(destination, Destination::Server(_)));
            if lost >> (index % 8) & 1 == 1 {
                self.session.lost(self.now);
            } else {
                self.session.departed(self.now);
            }
            if self.sent.len() == FRAME_COUNT_MAX {
                self.sent.remove(0);
            }
            self.sent.push(Sent { destination, address, payload });
        }
    }

    /// Answers one of the frames that have left, and perhaps spoils the answer.
    fn answer(&mut self, script: &mut Script<'_>, is_damaged: bool) {
        let number = usize::from(script.u8());
        let Some(sent) = number.checked_rem(self.sent.len()).and_then(|index| self.sent.get(index)).cloned() else {
            return;
        };
        let mut payload = answer_to(&sent.payload, script);
        let mut source = sent.address;
        if is_damaged {
            let (kind, at, byte) = (script.u8(), usize::from(script.u16()) % payload.len(), script.u8());
            match kind & 7 {
                0..=2 => payload[at] = byte,
                3 => payload.truncate(at),
                4 => payload.extend([byte; 3]),
                5 => source.set_port(source.port() ^ 1),
                6 => payload.splice(at.., script.bytes(usize::from(byte)).iter().copied()).for_each(drop),
                _ => payload[at] ^= 1 << (byte & 7),
            }
        }
        match (sent.destination, is_damaged) {
            (Destination::Server(id), _) => self.receive_identity(id, &payload),
            (Destination::Endpoint, _) => self.receive(source, &payload),
        }
    }

    fn receive(&mut self, source: SocketAddr, payload: &[u8]) {
        let ends = self.ends.len();
        self.session.receive(self.now, source, payload, &mut told(&mut self.ends, &mut self.answered_count));
        let was_asked =
            self.sent.iter().any(|sent| sent.address == source && sent.destination == Destination::Endpoint);
        assert!(was_asked || self.ends.len() == ends || self.sent.len() == FRAME_COUNT_MAX, "a stranger was believed");
    }

    fn receive_identity(&mut self, id: ServerId, payload: &[u8]) {
        self.session.receive_identity(self.now, id, payload, &mut told(&mut self.ends, &mut self.answered_count));
    }

    /// Lets time pass. What is due is done at the first call, and what that leads to at the second.
    fn turn(&mut self, duration: Duration) {
        self.now = self.now.after(duration);
        for _ in 0..2 {
            self.session.turn(self.now, &mut told(&mut self.ends, &mut self.answered_count));
        }
        assert!(self.session.next_turn() > self.now, "it never sleeps");
    }

    /// Sends everything, and answers everything as it should be.
    fn play_honestly(&mut self, script: &mut Script<'_>) {
        self.turn(Duration::from_millis(1));
        self.session.flush(self.now);
        self.sent.clear();
        self.depart(0);
        for sent in std::mem::take(&mut self.sent) {
            let payload = answer_to(&sent.payload, script);
            match sent.destination {
                Destination::Server(id) => self.receive_identity(id, &payload),
                Destination::Endpoint => {
                    self.sent.push(sent.clone());
                    self.receive(sent.address, &payload);
                }
            }
        }
    }

    fn check_counts(&mut self) {
        for tag in self.ends.drain(..) {
            let has_ended = usize::try_from(tag).ok().and_then(|tag| self.ended.get_mut(tag)).expect("a tag of ours");
            assert!(!*has_ended, "request {tag} has ended twice");
            *has_ended = true;
        }
        let outstanding = self.ended.iter().filter(|has_ended| !**has_ended).count();
        assert_eq!(self.session.outstanding(), outstanding);
        assert_eq!(self.session.window_room(), self.session.config().window - outstanding);
    }

    /// When the time is up, every request has ended.
    fn finish(&mut self) {
        self.session.flush(self.now);
        self.turn(self.session.config().timeout);
        self.check_counts();
        assert_eq!(self.session.outstanding(), 0);
        self.depart(0);
    }
}

/// Takes down how requests end.
fn told<'a>(ends: &'a mut Vec<u64>, answered_count: &'a mut usize) -> impl FnMut(Answer<'_>) + 'a {
    |answer| {
        ends.push(answer.tag);
        *answered_count += usize::from(matches!(answer.outcome, client::Outcome::Answered(_)));
    }
}

/// What a server answers, well-formed, though not always sensible.
fn answer_to(request: &[u8], script: &mut Script<'_>) -> Vec<u8> {
    let RequestFrame { header, body } = RequestFrame::decode(request).expect("checked when it left");
    let seed = script.u8();
    match body {
        RequestBody::Identity => identity_answer(header, seed, script),
        RequestBody::Batch(batch) => {
            let value = vec![seed; usize::from(seed % 32)];
            let responses: Vec<Response<'_>> = (0..batch.count())
                .map(|index| match (index + usize::from(seed)) % 8 {
                    0 => Response { result: ResultCode::NotFound, value: None },
                    1 if seed > 128 => Response { result: ResultCode::NotProcessed, value: None },
                    2 if seed > 192 => Response { result: ResultCode::Rejected, value: None },
                    3 => Response { result: ResultCode::Exists, value: None },
                    _ => Response { result: ResultCode::Success, value: Some(&value) },
                })
                .collect();
            frame(FrameKind::BatchResponse, header, &encode_responses(&responses))
        }
    }
}

/// An identity: the plain one for an even seed, else whatever the rules allow.
fn identity_answer(header: FrameHeader, seed: u8, script: &mut Script<'_>) -> Vec<u8> {
    let is_plain = seed.is_multiple_of(2);
    let (partition_count, endpoint_count) = (1 + usize::from(script.u8()), 1 + usize::from(script.u8() % 32));
    let endpoint = |label| match (is_plain, label % 3) {
        (false, 0) => Endpoint::new(label, [10, 9, 8, seed], u16::from(label)),
        _ => Endpoint::new(label, [0; 4], 7600 + u16::from(label)),
    };
    let endpoints: Vec<Endpoint> = (0..endpoint_count as u8).map(endpoint).collect();
    let owners: Vec<u8> = (0..partition_count).map(|partition| (partition % endpoint_count) as u8).collect();
    let identity = Identity {
        server_id: u64::from(seed >> 5),
        epoch: u32::from(script.u8()),
        design: 0,
        concurrent_read: seed & 4 != 0,
        complete: is_plain || seed & 2 != 0,
        frame_len_max: if is_plain { 1472 } else { script.u16() },
        value_len_max: if is_plain { 1000 } else { script.u16() },
        key_len_max: if is_plain { 255 } else { script.u8().max(1) },
        owners: &owners,
        endpoints: &endpoints,
    };
    let mut answer = vec![0; HEADER_LEN + IDENTITY_LEN_MAX];
    encode_header(&mut answer, FrameKind::IdentityResponse, 0, header).expect("room for the header");
    let len = identity.encode(&mut answer[HEADER_LEN..]).expect("a valid identity");
    answer.truncate(HEADER_LEN + len);
    answer
}
