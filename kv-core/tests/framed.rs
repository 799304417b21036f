//! A port of datagrams over a port of whole frames: what becomes of each frame.

use std::collections::VecDeque;
use std::net::Ipv4Addr;

use arch::{Tick, TickRate};
use kv_core::counters::{Counter, Counters};
use kv_core::framed::Framed;
use kv_core::port::{Burst, DropCounts, Frame, Holds, PacketPort, RawFrame, RawPort};
use proptest::prelude::*;
use qp_wire::DropReason;
use qp_wire::net::{Checksums, Datagram, HEADERS_LEN, Local, MacAddr, Remote, request_headers};

const LOCAL: Local = Local { mac: MacAddr([2, 0, 0, 0, 0, 1]), ipv4: Ipv4Addr::new(10, 0, 0, 1), port: 7600 };
const CLIENT: Local = Local { mac: MacAddr([2, 0, 0, 0, 0, 2]), ipv4: Ipv4Addr::new(10, 0, 0, 2), port: 4000 };

/// A frame in memory of its own.
#[derive(Debug, Default)]
struct TestFrame {
    buf: Vec<u8>,
    len: usize,
    is_verified: bool,
    can_offload: bool,
    is_offloaded: bool,
}

impl TestFrame {
    fn of(bytes: &[u8]) -> Self {
        let mut buf = bytes.to_vec();
        buf.resize(bytes.len().max(256), 0);
        Self { buf, len: bytes.len(), ..Self::default() }
    }
}

impl RawFrame for TestFrame {
    fn bytes(&self) -> &[u8] {
        &self.buf[..self.len]
    }

    fn buf(&mut self) -> &mut [u8] {
        &mut self.buf
    }

    fn set_len(&mut self, len: usize) {
        self.len = len.min(self.buf.len());
    }

    fn is_verified(&self) -> bool {
        self.is_verified
    }

    fn offload_ipv4_checksum(&mut self) -> bool {
        self.is_offloaded = self.can_offload;
        self.can_offload
    }
}

/// A port whose wire is two queues.
#[derive(Debug, Default)]
struct TestPort {
    arriving: VecDeque<TestFrame>,
    left: Vec<TestFrame>,
    /// How many frames the wire still takes.
    room: usize,
    receive_count: usize,
}

/// [`TestPort`] behind a handle that the test keeps.
#[derive(Clone, Debug)]
struct Shared(std::rc::Rc<std::cell::RefCell<TestPort>>);

impl RawPort for Shared {
    type Frame = TestFrame;

    fn alloc(&mut self) -> Option<TestFrame> {
        None
    }

    fn receive(&mut self, into: &mut Burst<TestFrame>, _: &mut DropCounts) {
        let mut port = self.0.borrow_mut();
        port.receive_count += 1;
        while into.room() > 0
            && let Some(frame) = port.arriving.pop_front()
        {
            into.push(frame).expect("room");
        }
    }

    fn transmit<H: Holds<TestFrame>>(&mut self, from: &mut Burst<H>, _: &mut DropCounts) {
        let mut port = self.0.borrow_mut();
        while port.left.len() < port.room
            && let Some(held) = from.pop()
        {
            port.left.push(held.into_frame());
        }
    }
}

struct World {
    wire: Shared,
    port: Framed<Shared>,
    drops: DropCounts,
}

impl World {
    fn new() -> Self {
        let wire = Shared(std::rc::Rc::default());
        wire.0.borrow_mut().room = usize::MAX;
        // A tick is a millisecond.
        let rate = TickRate::from_hz(1000).expect("a rate");
        Self { port: Framed::new(wire.clone(), LOCAL, rate), wire, drops: DropCounts::default() }
    }

    /// Brings frames and takes what comes out as datagrams.
    fn receive(
        &mut self,
        now: u64,
        frames: impl IntoIterator<Item = TestFrame>,
    ) -> Burst<<Framed<Shared> as PacketPort>::Frame> {
        self.wire.0.borrow_mut().arriving.extend(frames);
        self.port.begin_turn(Tick(now));
        let mut into = Burst::new();
        self.port.receive(&mut into, &mut self.drops);
        into
    }

    fn counter(&self, counter: Counter) -> u64 {
        let mut counters = Counters::default();
        self.port.count(&mut counters);
        counters.get(counter)
    }

    fn left(&self) -> Vec<Vec<u8>> {
        self.wire.0.borrow().left.iter().map(|frame| frame.bytes().to_vec()).collect()
    }
}

fn datagram(checksums: Checksums) -> Vec<u8> {
    let to = Remote { mac: LOCAL.mac, ipv4: LOCAL.ipv4, port: LOCAL.port };
    let mut frame = vec![0x5a; HEADERS_LEN + 30];
    request_headers(&mut frame, &CLIENT, &to, 30, checksums).expect("room");
    frame
}

fn arp() -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(CLIENT.mac.0);
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(CLIENT.mac.0);
    frame.extend(CLIENT.ipv4.octets());
    frame.extend([0; 6]);
    frame.extend(LOCAL.ipv4.octets());
    frame
}

/// An echo request without an IPv4 checksum; its own one is right.
fn echo() -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend(LOCAL.mac.0);
    frame.extend(CLIENT.mac.0);
    frame.extend([8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0]);
    frame.extend(CLIENT.ipv4.octets());
    frame.extend(LOCAL.ipv4.octets());
    frame.extend([8, 0, 0xf7, 0xff, 0, 0, 0, 0]);
    frame
}

#[test]
fn questions_are_answered_at_once_and_datagrams_come_through() {
    let mut world = World::new();
    let frames = [arp(), datagram(Checksums::Zero), echo()];
    let into = world.receive(0, frames.iter().map(|frame| TestFrame::of(frame)));
    assert_eq!(into.iter().map(|frame| frame.payload().to_vec()).collect::<Vec<_>>(), [vec![0x5a; 30]]);
    let left = world.left();
    assert_eq!(left.iter().map(Vec::len).collect::<Vec<_>>(), [42, 42]);
    assert!(left.iter().all(|frame| frame[..6] == CLIENT.mac.0 && frame[6..12] == LOCAL.mac.0));
    assert_eq!((left[0][21], left[1][34]), (2, 0), "an ARP reply and an echo reply");
    assert_eq!((world.counter(Counter::ArpReplies), world.counter(Counter::EchoReplies)), (1, 1));
    assert_eq!(world.drops.total(), 0);
}

#[test]
fn questions_are_answered_so_often_and_no_oftener() {
    let mut world = World::new();
    for _ in 0..4 {
        world.receive(5, (0..32).flat_map(|_| [TestFrame::of(&arp()), TestFrame::of(&echo())]));
    }
    assert_eq!((world.counter(Counter::ArpReplies), world.counter(Counter::EchoReplies)), (50, 50));
    assert_eq!(world.drops.get(DropReason::Limited), 156);
    // One more for each millisecond.
    world.receive(8, (0..20).map(|_| TestFrame::of(&arp())));
    assert_eq!((world.counter(Counter::ArpReplies), world.drops.total()), (53, 156 + 17));
    assert_eq!(world.left().len(), 103);
}

#[test]
fn answers_do_not_wait_for_the_wire() {
    let mut world = World::new();
    world.wire.0.borrow_mut().room = 1;
    world.receive(0, [arp(), echo(), arp()].iter().map(|frame| TestFrame::of(frame)));
    assert_eq!((world.left().len(), world.drops.get(DropReason::Transmit), world.drops.total()), (1, 2, 2));
}

#[test]
fn a_flood_of_what_is_refused_does_not_hold_the_core() {
    let mut world = World::new();
    let into = world.receive(0, (0..1000).map(|_| TestFrame::of(&[0; 60])));
    assert!(into.is_empty());
    assert_eq!((world.wire.0.borrow().receive_count, world.drops.total()), (4, 128));
}

#[test]
fn what_the_port_has_verified_is_not_summed_again() {
    let mut wrong = datagram(Checksums::Computed);
    wrong[40..42].copy_from_slice(&[1, 2]);
    let mut world = World::new();
    assert!(world.receive(0, [TestFrame::of(&wrong)]).is_empty());
    assert_eq!(world.drops.get(DropReason::Checksum), 1);
    let verified = TestFrame { is_verified: true, ..TestFrame::of(&wrong) };
    assert_eq!(world.receive(0, [verified]).count(), 1);
}

#[test]
fn a_checksum_is_left_to_the_port_where_it_can_and_is_wanted() {
    for (checksums, can_offload, is_zero) in [
        (Checksums::Zero, true, true),
        (Checksums::Zero, false, true),
        (Checksums::Computed, true, true),
        (Checksums::Computed, false, false),
    ] {
        let mut world = World::new();
        let frame = TestFrame { can_offload, ..TestFrame::of(&datagram(checksums)) };
        let mut burst = world.receive(0, [frame]);
        world.port.transmit(&mut burst, &mut world.drops);
        let wire = world.wire.0.borrow();
        let left = &wire.left[0];
        assert_eq!(left.bytes()[24..26] == [0, 0], is_zero);
        assert_eq!(left.is_offloaded, can_offload && checksums == Checksums::Computed);
        assert!(Datagram::decode(left.bytes()).is_ok());
    }
}

proptest! {
    /// Each frame comes through, is answered, or is counted under one reason.
    #[test]
    fn no_frame_is_lost(
        frames in proptest::collection::vec(
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..100),
                Just(arp()),
                Just(echo()),
                Just(datagram(Checksums::Computed)),
            ],
            0..200,
        ),
        room in 0usize..100,
    ) {
        let mut world = World::new();
        world.wire.0.borrow_mut().room = room;
        let mut through = world.receive(0, frames.iter().map(|frame| TestFrame::of(frame))).count();
        for _ in 0..10 {
            through += world.receive(0, []).count();
        }
        let left = world.left().len();
        prop_assert_eq!(through + left + world.drops.total() as usize, frames.len());
        prop_assert!(left <= 100);
    }
}
