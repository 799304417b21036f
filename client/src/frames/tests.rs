use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::rc::Rc;

use kv_core::port::{BURST_COUNT_MAX, Holds};
use qp_wire::batch::{self, ResponseColumns};
use qp_wire::mica::{RequestFrame, ResponseWriter};
use qp_wire::native::{FrameKind, Identity, RequestBody};
use qp_wire::net::{Datagram, MacAddr, reply_headers};

use super::*;

const LOCAL: Local = Local { mac: MacAddr([2, 0, 0, 0, 0, 2]), ipv4: Ipv4Addr::new(10, 0, 1, 1), port: 0 };

fn remote(port: u16) -> Remote {
    Remote { mac: MacAddr([2, 0, 0, 0, 0, 1]), ipv4: Ipv4Addr::new(10, 0, 0, 1), port }
}

#[derive(Debug)]
struct Frame(Vec<u8>, usize);

impl RawFrame for Frame {
    fn bytes(&self) -> &[u8] {
        &self.0[..self.1]
    }

    fn buf(&mut self) -> &mut [u8] {
        &mut self.0
    }

    fn set_len(&mut self, len: usize) {
        self.1 = len;
    }
}

const IDENTITY: Identity<'static> = Identity {
    server_id: 1,
    epoch: 1,
    design: 0,
    concurrent_read: false,
    complete: true,
    frame_len_max: 1472,
    value_len_max: 1442,
    key_len_max: 255,
    owners: &[0, 1, 0, 1],
    endpoints: &[native::Endpoint::new(0, [10, 0, 0, 1], 0), native::Endpoint::new(1, [10, 0, 0, 1], 1)],
};

/// Frames on their way to the server at most.
const CABLE_COUNT: usize = 1024;

/// Frames on their way.
type Waiting = VecDeque<Vec<u8>>;

/// Both directions of a cable, with the frames that wait in each.
#[derive(Clone, Debug, Default)]
struct Cable(Rc<RefCell<(Waiting, Waiting)>>);

impl RawPort for Cable {
    type Frame = Frame;

    fn alloc(&mut self) -> Option<Frame> {
        Some(Frame(vec![0; 1514], 0))
    }

    fn receive(&mut self, into: &mut Burst<Frame>, _: &mut DropCounts) {
        let mut cable = self.0.borrow_mut();
        while into.room() > 0
            && let Some(bytes) = cable.1.pop_front()
        {
            let len = bytes.len();
            into.push(Frame(bytes, len)).expect("room");
        }
    }

    fn transmit<H: Holds<Frame>>(&mut self, from: &mut Burst<H>, _: &mut DropCounts) {
        let mut cable = self.0.borrow_mut();
        while cable.0.len() < CABLE_COUNT
            && let Some(held) = from.pop()
        {
            cable.0.push_back(held.frame().bytes().to_vec());
        }
    }
}

fn mica_answer(payload: &[u8]) -> Vec<u8> {
    let requests = RequestFrame::decode(payload).expect("requests");
    let mut answer = vec![0; 4000];
    let mut writer = ResponseWriter::new(&mut answer, requests.response_len_min()).expect("room");
    for request in requests.requests() {
        writer.push(request.head(), ResultCode::Success, Some(b"12345678")).expect("room");
    }
    let len = writer.finish();
    answer.truncate(len);
    answer
}

fn native_answer(payload: &[u8]) -> Vec<u8> {
    let native::RequestFrame { header, body } = native::RequestFrame::decode(payload).expect("requests");
    let mut answer = vec![0; 4000];
    let (kind, len) = match body {
        RequestBody::Batch(batch) => {
            let mut columns = ResponseColumns::new();
            let body = &mut answer[native::HEADER_LEN..];
            let mut writer = batch::ResponseWriter::new(body, &mut columns, batch.count()).expect("room");
            for _ in 0..batch.count() {
                writer.value_buf()[..8].copy_from_slice(b"12345678");
                writer.push_value(ResultCode::Success, 8);
            }
            (FrameKind::BatchResponse, writer.finish())
        }
        RequestBody::Identity => {
            let len = IDENTITY.encode(&mut answer[native::HEADER_LEN..]).expect("room");
            (FrameKind::IdentityResponse, len)
        }
    };
    native::encode_header(&mut answer, kind, 0, header).expect("room");
    answer.truncate(native::HEADER_LEN + len);
    answer
}

struct World {
    client: FrameClient<Cable>,
    wire: Wire,
    cable: Cable,
}

impl World {
    /// A client of a server with two endpoints, whose cores own the partitions in turn.
    fn new(concurrent_read: bool, requests_per_frame: u16) -> Self {
        Self::speaking(Wire::Mica, concurrent_read, requests_per_frame)
    }

    fn speaking(wire: Wire, concurrent_read: bool, requests_per_frame: u16) -> Self {
        let directory = FrameDirectory {
            concurrent_read,
            concurrent_write: false,
            owners: vec![0, 1, 0, 1],
            endpoints: vec![
                FrameEndpoint { owner: 0, remote: remote(0) },
                FrameEndpoint { owner: 1, remote: remote(1) },
            ],
        };
        let cable = Cable::default();
        // A tick is a microsecond.
        let rate = TickRate::from_hz(1_000_000).expect("a rate");
        let config = FrameClientConfig::new(wire, requests_per_frame);
        let mut client = FrameClient::new([(cable.clone(), LOCAL)], directory, config, rate);
        client.probe();
        let mut world = Self { client, wire, cable };
        world.answer(|_| ());
        assert!(world.poll(0).is_empty());
        assert!(world.client.is_connected());
        world
    }

    /// Answers all that was sent, success with the value "12345678", after a change; the ports that it was sent to.
    fn answer(&mut self, change: impl Fn(&mut Vec<u8>)) -> Vec<u16> {
        let mut cable = self.cable.0.borrow_mut();
        let mut ports = Vec::new();
        while let Some(mut frame) = cable.0.pop_front() {
            let datagram = Datagram::decode(&frame).expect("a datagram");
            ports.push(datagram.destination_port());
            let payload = match self.wire {
                Wire::Mica => mica_answer(datagram.payload()),
                Wire::Native => native_answer(datagram.payload()),
                Wire::Echo => datagram.payload().to_vec(),
            };
            frame.resize(HEADERS_LEN + payload.len(), 0);
            reply_headers(&mut frame, payload.len(), Checksums::Zero).expect("room");
            frame[HEADERS_LEN..].copy_from_slice(&payload);
            change(&mut frame);
            cable.1.push_back(frame);
        }
        ports
    }

    fn poll(&mut self, now: u64) -> Vec<(u64, ResultCode)> {
        let mut answers = Vec::new();
        self.client.poll(Tick(now), &mut |answer| answers.push((answer.tag, answer.result)));
        answers
    }

    fn ask(&mut self, opcode: Opcode, index: u64, now: u64) {
        self.client.submit(Tick(now), opcode, &index.to_le_bytes(), b"", index).expect("room");
    }
}

#[test]
fn exclusive_requests_go_to_the_owners_endpoint() {
    let mut world = World::new(false, 1);
    for index in 0..100u64 {
        world.ask(Opcode::Get, index, 1);
        world.client.flush(Tick(1));
        let owner = KeyHash::of(&index.to_le_bytes()).partition(4).0 % 2;
        assert_eq!(world.answer(|_| ()), [owner]);
        assert_eq!(world.poll(2), [(index, ResultCode::Success)]);
    }
    assert_eq!(world.client.counts(), FrameCounts::default());
}

#[test]
fn concurrent_reads_go_to_all_endpoints_in_turn_and_writes_do_not() {
    let mut world = World::new(true, 1);
    (0..4).for_each(|_| world.ask(Opcode::Get, 7, 1));
    (0..4).for_each(|_| world.ask(Opcode::Delete, 7, 1));
    world.client.flush(Tick(1));
    let owner = KeyHash::of(&7u64.to_le_bytes()).partition(4).0 % 2;
    assert_eq!(world.answer(|_| ()), [1, 0, 1, 0, owner, owner, owner, owner]);
}

#[test]
fn frames_hold_as_many_requests_as_they_may() {
    let mut world = World::new(true, 4);
    (0..10).for_each(|index| world.ask(Opcode::Get, index, 1));
    world.client.flush(Tick(1));
    assert_eq!(world.answer(|_| ()).len(), 3);
    assert_eq!(world.poll(2).len(), 10);
}

#[test]
fn a_frame_that_is_full_leaves_before_its_time() {
    let mut world = World::new(true, 255);
    (0..100).for_each(|index| world.ask(Opcode::Get, index, 1));
    world.client.flush(Tick(1));
    // 1466 bytes behind the batch header hold 45 requests of 32.
    assert_eq!(world.answer(|_| ()).len(), 3);
    assert_eq!(world.poll(2).len(), 100);
}

/// Damage to a frame.
type Change = fn(&mut Vec<u8>);

#[test]
fn what_micas_receiver_refuses_is_no_answer() {
    let changes: [(&str, Change); 8] = [
        ("another type", |frame| frame[13] = 6),
        ("options", |frame| frame[14] = 0x46),
        ("identification", |frame| frame[19] = 1),
        ("do not fragment", |frame| frame[20] = 0x40),
        ("protocol", |frame| frame[23] = 6),
        ("padding", |frame| frame.push(0)),
        ("cut", |frame| frame.truncate(frame.len() - 1)),
        ("length of UDP", |frame| frame[39] ^= 1),
    ];
    for (what, change) in changes {
        let mut world = World::new(false, 1);
        world.ask(Opcode::Get, 3, 1);
        world.client.flush(Tick(1));
        world.answer(change);
        assert_eq!((world.poll(2), world.client.counts().refused), (vec![], 1), "{what}");
    }
}

#[test]
fn what_comes_after_the_time_is_for_nobody() {
    let mut world = World::new(false, 1);
    world.ask(Opcode::Get, 3, 1);
    world.client.flush(Tick(1));
    let mut told = Vec::new();
    (0..32).for_each(|_| told.extend(world.poll(1000)));
    assert!(told.is_empty(), "not yet a millisecond");
    (0..32).for_each(|_| told.extend(world.poll(1001)));
    assert_eq!(told, [(3, ResultCode::TimedOut)]);
    world.answer(|_| ());
    assert_eq!((world.poll(1002), world.client.counts().late), (vec![], 1));
    // The same descriptor has another epoch now.
    world.ask(Opcode::Get, 4, 1003);
    world.client.flush(Tick(1003));
    world.answer(|_| ());
    assert_eq!(world.poll(1004), [(4, ResultCode::Success)]);
}

#[test]
fn no_more_are_outstanding_than_the_window_has() {
    let mut world = World::new(false, 1);
    (0..u64::from(WINDOW)).for_each(|index| world.ask(Opcode::Get, index, 1));
    let full = world.client.submit(Tick(1), Opcode::Get, b"one more", b"", 0);
    assert_eq!((full, world.client.room()), (Err(FrameSubmitError::Full), 0));
    world.client.flush(Tick(1));
    world.answer(|_| ());
    assert_eq!((world.poll(2).len(), world.client.outstanding()), (usize::from(WINDOW), 0));
}

#[test]
fn frames_leave_together_or_after_ten_microseconds() {
    let mut world = World::new(true, 1);
    (0..31).for_each(|index| world.ask(Opcode::Get, index, 5));
    assert!(world.poll(14).is_empty());
    assert_eq!(world.answer(|_| ()).len(), 0);
    world.poll(15);
    assert_eq!(world.answer(|_| ()).len(), 31);
    (0..32).for_each(|index| world.ask(Opcode::Get, index, 16));
    assert_eq!(world.answer(|_| ()).len(), 32);
}

#[test]
fn native_frames_gather_what_goes_to_one_endpoint() {
    let mut world = World::speaking(Wire::Native, false, 64);
    (0..40).for_each(|index| world.ask(Opcode::Get, index, 1));
    assert!(world.answer(|_| ()).is_empty(), "nothing is full");
    world.client.flush(Tick(1));
    assert_eq!(world.answer(|_| ()), [0, 1], "four partitions, two endpoints");
    let mut told = world.poll(2);
    told.sort_unstable_by_key(|(tag, _)| *tag);
    assert_eq!(told, (0..40).map(|tag| (tag, ResultCode::Success)).collect::<Vec<_>>());
    assert_eq!((world.client.outstanding(), world.client.counts()), (0, FrameCounts::default()));
}

#[test]
fn a_native_frame_leaves_when_the_next_request_would_not_fit() {
    let mut world = World::speaking(Wire::Native, true, 1000);
    (0..400).for_each(|index| world.ask(Opcode::Get, index, 1));
    world.client.flush(Tick(1));
    // 1472 bytes hold a frame header, a body header and 181 keys of 8 bytes, and as many values of 8 bytes in the answer.
    assert_eq!(world.answer(|_| ()).len(), 3);
    assert_eq!(world.poll(2).len(), 400);
}

#[test]
fn a_native_frame_is_given_up_as_a_whole() {
    let mut world = World::speaking(Wire::Native, true, 8);
    (0..20).for_each(|index| world.ask(Opcode::Get, index, 1));
    world.client.flush(Tick(900));
    let mut told = Vec::new();
    (0..32).for_each(|_| told.extend(world.poll(1001)));
    assert_eq!(told, (0..20).map(|tag| (tag, ResultCode::TimedOut)).collect::<Vec<_>>());
    world.answer(|_| ());
    assert_eq!((world.poll(1002), world.client.counts().late), (vec![], 3));
}

#[test]
fn what_comes_back_as_it_was_sent_is_an_answer_to_who_asked_for_an_echo() {
    let mut world = World::speaking(Wire::Echo, true, 4);
    (0..10).for_each(|index| world.ask(Opcode::Get, index, 1));
    world.client.flush(Tick(1));
    assert_eq!(world.answer(|_| ()).len(), 3);
    assert_eq!(world.poll(2), (0..10).map(|tag| (tag, ResultCode::Success)).collect::<Vec<_>>());
    assert_eq!(world.client.counts(), FrameCounts::default());
}

#[test]
fn prepared_frames_come_in_turn_each_to_its_owner() {
    for wire in [Wire::Mica, Wire::Native] {
        let mut world = World::speaking(wire, false, 2);
        let (mut asked, mut owners) = ([0; 2], Vec::new());
        for index in 0..20u64 {
            let owner = KeyHash::of(&index.to_le_bytes()).partition(4).0 % 2;
            asked[usize::from(owner)] += 1;
            if asked[usize::from(owner)] % 2 == 0 {
                owners.push(owner);
            }
        }
        let requests = (0..20u64).map(|index| (Opcode::Get, index.to_le_bytes(), []));
        let mut frames = world.client.prepare(requests).expect("short requests");
        for _ in 0..3 {
            assert_eq!(world.client.flood(&mut frames, 7), (7, 7));
        }
        let expected: Vec<u16> = owners.into_iter().cycle().take(21).collect();
        assert_eq!(world.answer(|_| ()), expected);
        let mut heard = Vec::new();
        assert_eq!(world.client.hear(&mut |result| heard.push(result)), 21);
        assert_eq!(heard, [ResultCode::Success; 42], "two to a frame");
        assert_eq!((world.client.outstanding(), world.client.counts()), (0, FrameCounts::default()));
    }
}

#[test]
fn a_flood_is_lost_where_the_port_is_full() {
    let mut world = World::speaking(Wire::Native, true, 1);
    let mut frames = world.client.prepare([(Opcode::Get, b"12345678", [])]).expect("a short request");
    let bursts = CABLE_COUNT / BURST_COUNT_MAX;
    for _ in 0..bursts {
        assert_eq!(world.client.flood(&mut frames, CABLE_COUNT), (BURST_COUNT_MAX, BURST_COUNT_MAX));
    }
    assert_eq!(world.client.flood(&mut frames, 5), (5, 0));
    assert_eq!(world.client.counts(), FrameCounts { unsent: 5, ..FrameCounts::default() });
}
