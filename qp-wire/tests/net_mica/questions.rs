//! ARP and echo: what is answered, with which bytes, and what is not.

use std::net::Ipv4Addr;

use proptest::prelude::*;

use qp_wire::DropReason::{self, *};
use qp_wire::net::{ArpRequest, Datagram, EchoRequest, Question};

use crate::frames::{CLIENT, SERVER, checksum, with_ipv4_checksum};

/// Who has [`SERVER`]'s address?
fn arp() -> Vec<u8> {
    let mut bytes = vec![0xff; 6];
    bytes.extend(CLIENT.mac.0);
    bytes.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    bytes.extend(CLIENT.mac.0);
    bytes.extend(CLIENT.ipv4.octets());
    bytes.extend([0; 6]);
    bytes.extend(SERVER.ipv4.octets());
    bytes
}

/// Is [`SERVER`] there?
fn echo(data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(SERVER.mac.0);
    bytes.extend(CLIENT.mac.0);
    bytes.extend([8, 0, 0x45, 0xc0]);
    bytes.extend((28 + data.len() as u16).to_be_bytes());
    bytes.extend([0xab, 0xcd, 0x40, 0, 3, 1, 0, 0]);
    bytes.extend(CLIENT.ipv4.octets());
    bytes.extend(SERVER.ipv4.octets());
    bytes.extend([8, 0, 0, 0, 0x12, 0x34, 0, 7]);
    bytes.extend(data);
    with_icmp_checksum(with_ipv4_checksum(bytes))
}

fn with_icmp_checksum(mut frame: Vec<u8>) -> Vec<u8> {
    frame[36..38].fill(0);
    let sum = checksum(&frame[34..]);
    frame[36..38].copy_from_slice(&sum.to_be_bytes());
    frame
}

fn with(mut frame: Vec<u8>, offset: usize, bytes: &[u8]) -> Vec<u8> {
    frame[offset..offset + bytes.len()].copy_from_slice(bytes);
    frame
}

/// Asks with the frame and gives the answer that takes its place.
fn answer(frame: &[u8]) -> Result<Vec<u8>, DropReason> {
    let question = Question::decode(frame, &SERVER)?;
    let mut frame = frame.to_vec();
    let len = question.answer(&SERVER, &mut frame).expect("the room of the question");
    frame.truncate(len);
    Ok(frame)
}

#[test]
fn w_c_42_an_arp_reply_says_our_mac_to_the_asker_alone() {
    let mut expected = Vec::new();
    expected.extend(CLIENT.mac.0);
    expected.extend(SERVER.mac.0);
    expected.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 2]);
    expected.extend(SERVER.mac.0);
    expected.extend(SERVER.ipv4.octets());
    expected.extend(CLIENT.mac.0);
    expected.extend(CLIENT.ipv4.octets());
    assert_eq!(answer(&arp()), Ok(expected.clone()));
    let filled = [arp(), vec![0xee; 18]].concat();
    assert_eq!(answer(&filled), Ok(expected.clone()));
    // Asked again by one who knows us, and whatever stands in the field without a meaning.
    assert_eq!(answer(&with(with(arp(), 0, &SERVER.mac.0), 32, &[7; 6])), Ok(expected.clone()));
    // One who has no address yet.
    let nobody = Ipv4Addr::UNSPECIFIED.octets();
    assert_eq!(answer(&with(arp(), 28, &nobody)), Ok(with(expected, 38, &nobody)));
}

#[test]
fn w_c_44_an_echo_reply_brings_back_what_the_request_brought() {
    for data in [&b""[..], b"x", b"a few bytes", &[0x5a; 1472]] {
        let mut expected = echo(data);
        let (ours, theirs) = (SERVER, CLIENT);
        expected[..6].copy_from_slice(&theirs.mac.0);
        expected[6..12].copy_from_slice(&ours.mac.0);
        expected[15] = 0;
        expected[18..23].copy_from_slice(&[0, 0, 0, 0, 64]);
        expected[26..30].copy_from_slice(&ours.ipv4.octets());
        expected[30..34].copy_from_slice(&theirs.ipv4.octets());
        expected[34] = 0;
        let expected = with_icmp_checksum(with_ipv4_checksum(expected));
        assert_eq!(answer(&echo(data)), Ok(expected.clone()), "{} bytes", data.len());
        let mut filled = echo(data);
        filled.resize(filled.len().max(60), 0xcd);
        assert_eq!(answer(&filled), Ok(expected), "{} bytes, filled", data.len());
    }
}

/// What is wrong, which rule says so, what becomes of it, and the bytes.
type Row = (&'static str, &'static str, DropReason, fn() -> Vec<u8>);

const REFUSED: &[Row] = &[
    ("nothing", "W-C-40", Short, Vec::new),
    ("ARP cut by a byte", "W-C-40", Short, || arp()[..41].to_vec()),
    ("an ARP reply", "W-C-40", NotUdp, || with(arp(), 20, &[0, 2])),
    ("reverse ARP", "W-C-40", NotUdp, || with(arp(), 12, &[0x80, 0x35])),
    ("ARP for IPv6", "W-C-40", NotUdp, || with(arp(), 16, &[0x86, 0xdd])),
    ("ARP on another hardware", "W-C-40", NotUdp, || with(arp(), 14, &[0, 6])),
    ("ARP with longer addresses", "W-C-40", NotUdp, || with(arp(), 18, &[8, 16])),
    ("ARP from a group", "W-C-40", Source, || with(with(arp(), 6, &[1; 6]), 22, &[1; 6])),
    ("ARP from nobody", "W-C-40", Source, || with(with(arp(), 6, &[0; 6]), 22, &[0; 6])),
    ("ARP on somebody else's behalf", "W-C-40", Source, || with(arp(), 22, &[2; 6])),
    ("ARP from a multicast address", "W-C-40", Source, || with(arp(), 28, &[224, 0, 0, 1])),
    ("ARP from the broadcast address", "W-C-40", Source, || with(arp(), 28, &[255; 4])),
    ("ARP for somebody else's address", "W-C-41", Destination, || with(arp(), 38, &[10, 0, 0, 9])),
    ("ARP to somebody else's MAC", "W-C-41", Destination, || with(arp(), 0, &[2; 6])),
    ("ARP to a group", "W-C-41", Destination, || with(arp(), 0, &[1, 0, 0x5e, 0, 0, 1])),
    ("ARP that says it has our address", "W-C-41", Source, || with(arp(), 28, &SERVER.ipv4.octets())),
    ("ARP from our MAC", "W-C-41", Source, || with(with(arp(), 6, &SERVER.mac.0), 22, &SERVER.mac.0)),
    ("an echo cut in its headers", "W-C-43", Short, || echo(b"")[..41].to_vec()),
    ("an echo cut in its data", "W-C-43", Short, || echo(b"data")[..45].to_vec()),
    ("an echo that is too long", "W-C-43", Long, || echo(&[0; 8973])),
    ("an echo with something behind it", "W-C-43", Long, || [echo(&[1; 20]), vec![0]].concat()),
    ("an echo with options", "W-C-43", NotUdp, || with(echo(b""), 14, &[0x46])),
    ("an echo in fragments", "W-C-43", Fragment, || with(echo(b""), 20, &[0x20, 0])),
    ("a packet too short for an echo", "W-C-43", Malformed, || {
        with_ipv4_checksum(with([echo(b""), vec![0; 18]].concat(), 16, &[0, 27]))
    }),
    ("a packet of nothing", "W-C-43", Malformed, || with([echo(b""), vec![0; 18]].concat(), 16, &[0, 0])),
    ("an echo reply", "W-C-43", NotUdp, || with_icmp_checksum(with(echo(b"data"), 34, &[0]))),
    ("a time stamp request", "W-C-43", NotUdp, || with_icmp_checksum(with(echo(b"data"), 34, &[13]))),
    ("an echo with a code", "W-C-43", NotUdp, || with_icmp_checksum(with(echo(b"data"), 35, &[1]))),
    ("a wrong header checksum", "W-C-43", Checksum, || with(echo(b"data"), 22, &[9])),
    ("a wrong ICMP checksum", "W-C-43", Checksum, || with(echo(b"data"), 42, b"D")),
    ("an echo from a group", "W-C-43", Source, || with(echo(b""), 6, &[3, 0, 0, 0, 0, 0])),
    ("an echo from a multicast address", "W-C-43", Source, || with_ipv4_checksum(with(echo(b""), 26, &[239, 1, 2, 3]))),
    ("an echo from our address", "W-C-43", Source, || with_ipv4_checksum(with(echo(b""), 26, &SERVER.ipv4.octets()))),
    ("an echo from a loopback address", "W-C-43", Source, || with_ipv4_checksum(with(echo(b""), 26, &[127, 0, 0, 1]))),
    ("an echo to everybody", "W-C-43", Destination, || with(echo(b""), 0, &[0xff; 6])),
    ("an echo to another address", "W-C-43", Destination, || with_ipv4_checksum(with(echo(b""), 30, &[10, 0, 0, 255]))),
    ("TCP", "W-C-43", NotUdp, || with(echo(b""), 23, &[6])),
    ("IPv6", "W-C-43", NotUdp, || with(echo(b""), 12, &[0x86, 0xdd])),
];

#[test]
fn what_is_no_question_to_us_is_dropped_under_its_reason() {
    for (what, rule, reason, bytes) in REFUSED {
        assert_eq!(answer(&bytes()), Err(*reason), "{what} ({rule})");
    }
}

#[test]
fn every_cut_of_a_question_is_short() {
    for good in [arp(), echo(b"some data, and an odd number of bytes")] {
        for len in 0..good.len() {
            assert_eq!(answer(&good[..len]), Err(Short), "{len} bytes");
        }
    }
}

/// Whatever is answered is no datagram and no answer itself, goes to who asked, and is no longer than what was asked.
fn check_question(frame: &[u8]) {
    let _ = (ArpRequest::decode(frame), EchoRequest::decode(frame));
    let Ok(reply) = answer(frame) else { return };
    assert_eq!(Datagram::decode(frame).map(|_| ()), Err(if frame.len() < 42 { Short } else { NotUdp }));
    // W-C-45.
    assert!((42..=frame.len()).contains(&reply.len()));
    assert_eq!((&reply[..6], &reply[6..12]), (&frame[6..12], &SERVER.mac.0[..]));
    assert!(answer(&reply).is_err(), "an answer was answered");
    let mut short = frame.to_vec();
    short.truncate(reply.len() - 1);
    let question = Question::decode(frame, &SERVER).expect("it was answered");
    let before = short.clone();
    assert_eq!(question.answer(&SERVER, &mut short), None);
    assert_eq!(short, before, "a frame without room has changed");
}

proptest! {
    #[test]
    fn w_c_45_any_bytes_get_no_more_than_they_brought(frame in proptest::collection::vec(any::<u8>(), 0..200)) {
        check_question(&frame);
    }

    #[test]
    fn w_c_45_a_damaged_question_gets_no_more_than_it_brought(
        is_arp: bool,
        data in proptest::collection::vec(any::<u8>(), 0..80),
        damage in proptest::collection::vec((0usize..60, any::<u8>()), 0..3),
        is_mended: bool,
    ) {
        let mut frame = if is_arp { [arp(), data].concat() } else { echo(&data) };
        for (offset, byte) in damage {
            if let Some(place) = frame.get_mut(offset) {
                *place = byte;
            }
        }
        if is_mended && !is_arp {
            frame = with_icmp_checksum(with_ipv4_checksum(frame));
        }
        check_question(&frame);
    }

    #[test]
    fn w_c_43_an_echo_comes_back_with_its_data(data in proptest::collection::vec(any::<u8>(), 0..1500)) {
        let reply = answer(&echo(&data)).expect("an answer");
        prop_assert_eq!(&reply[42..], &data[..]);
        prop_assert_eq!(checksum(&reply[14..34]), 0);
        prop_assert_eq!(checksum(&reply[34..]), 0);
    }
}
