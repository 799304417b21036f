//! What needs a kernel in a bad mood, or a client that no real socket can be. The rest is in `tests/udp.rs`.

use super::*;

fn port() -> UdpPort {
    let config = UdpConfig { bind: ([127, 0, 0, 1], 0).into(), buffers: 8, reply_len_max: 64 };
    UdpPort::open(config).expect("a port on the loopback interface")
}

/// A burst of frames to these addresses, each with one byte: its index.
fn burst(port: &UdpPort, destinations: &[SocketAddr]) -> Burst<UdpFrame> {
    let mut burst = Burst::new();
    for (index, destination) in (0..).zip(destinations) {
        let buffer = port.pool.take().expect("a buffer");
        let source = RawAddress::from(*destination);
        let mut frame = UdpFrame { buffer, source, len: 0, reply_len_max: port.reply_len_max };
        frame.reply_buf()[0] = index;
        frame.set_reply(1);
        burst.push(frame).expect("room in the burst");
    }
    burst
}

fn error(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

#[test]
fn a_wire_that_is_full_leaves_the_frames_in_the_burst() {
    for code in [libc::EAGAIN, libc::ENOBUFS, libc::ENOMEM, libc::EINTR] {
        let port = port();
        let mut from = burst(&port, &[port.local; 3]);
        let mut drops = DropCounts::default();
        let mut answers = [Ok(1), Err(error(code))].into_iter();
        drain(&mut from, &mut drops, |_| answers.next().expect("no third call"));
        assert_eq!((from.count(), drops.total()), (2, 0));
        assert_eq!(from.pop().map(|frame| frame.payload()[0]), Some(1));
        assert_eq!(port.free_count(), 7, "one frame went out and one was taken from the burst");
    }
}

#[test]
fn an_error_that_was_waiting_at_the_socket_costs_no_frame() {
    let port = port();
    let mut from = burst(&port, &[port.local; 3]);
    let mut drops = DropCounts::default();
    let mut answers = [Err(error(libc::ECONNREFUSED)), Ok(2), Err(error(libc::EHOSTUNREACH)), Ok(1)].into_iter();
    drain(&mut from, &mut drops, |_| answers.next().expect("no fifth call"));
    assert_eq!((from.count(), drops.total()), (0, 0));
}

#[test]
fn a_frame_that_is_refused_twice_is_dropped_and_counted_and_the_others_go_on() {
    let port = port();
    let mut from = burst(&port, &[port.local; 3]);
    let mut drops = DropCounts::default();
    let mut answers = [Err(error(libc::EPERM)), Err(error(libc::EPERM)), Ok(2)].into_iter();
    drain(&mut from, &mut drops, |_| answers.next().expect("no fourth call"));
    assert_eq!((from.count(), drops.get(DropReason::Transmit)), (0, 1));
    assert_eq!(port.free_count(), 8);
}

#[test]
fn a_wire_that_takes_nothing_and_says_nothing_does_not_hold_the_core() {
    let port = port();
    let mut from = burst(&port, &[port.local; 2]);
    drain(&mut from, &mut DropCounts::default(), |_| Ok(0));
    assert_eq!(from.count(), 2);
}

#[test]
fn the_kernel_refuses_a_broadcast_and_sends_what_is_around_it() {
    let mut port = port();
    let peer = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let peer_address = peer.local_addr().expect("its address");
    let broadcast = ([255, 255, 255, 255], 9).into();
    let mut from = burst(&port, &[peer_address, broadcast, peer_address]);
    let mut drops = DropCounts::default();
    port.transmit(&mut from, &mut drops);
    assert_eq!((from.count(), drops.get(DropReason::Transmit), drops.total()), (0, 1, 1));
    let mut byte = [0xFF; 8];
    let got = [peer.recv(&mut byte).map(|len| (len, byte[0])), peer.recv(&mut byte).map(|len| (len, byte[0]))];
    assert_eq!(got.map(|datagram| datagram.expect("a datagram")), [(1, 0), (1, 2)]);
}

#[test]
fn what_cannot_be_answered_is_refused() {
    let local: SocketAddr = ([127, 0, 0, 1], 1000).into();
    let peer = RawAddress::from(SocketAddr::from(([127, 0, 0, 1], 1001)));
    assert_eq!(refusal(DATAGRAM_LEN_MAX, &peer, local), None);
    assert_eq!(refusal(0, &peer, local), None);
    assert_eq!(refusal(DATAGRAM_LEN_MAX + 1, &peer, local), Some(DropReason::Long));
    assert_eq!(refusal(1, &RawAddress::from(local), local), Some(DropReason::Source));
    assert_eq!(refusal(1, &RawAddress::from(SocketAddr::from(([127, 0, 0, 1], 0))), local), Some(DropReason::Source));
    assert_eq!(refusal(1, &RawAddress::default(), local), Some(DropReason::Source));
}

#[test]
fn a_reply_is_cut_to_the_longest_one() {
    let port = port();
    let mut from = burst(&port, &[port.local]);
    let mut frame = from.pop().expect("a frame");
    assert_eq!(frame.reply_buf().len(), 64);
    for (asked, got) in [(0, 0), (64, 64), (65, 64), (usize::MAX, 64)] {
        frame.set_reply(asked);
        assert_eq!(frame.payload().len(), got);
    }
}

#[test]
fn only_one_machine_with_a_port_can_be_answered() {
    for text in ["1.2.3.4:5", "127.0.0.1:1", "[::1]:5", "[fe80::1%7]:9"] {
        assert!(is_answerable(text.parse().expect("an address")), "{text}");
    }
    for text in ["1.2.3.4:0", "0.0.0.0:5", "224.0.0.1:5", "255.255.255.255:5", "[::]:5", "[ff02::1]:5"] {
        assert!(!is_answerable(text.parse().expect("an address")), "{text}");
    }
}
