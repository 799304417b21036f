//! The UDP port against real sockets on the loopback interface.

#![cfg(not(loom))]

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use kv_core::port::{BURST_COUNT_MAX, Burst, DropCounts, Frame, PacketPort};
use qp_wire::DropReason;
use qp_wire::limits::DATAGRAM_LEN_MAX;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use shell_io::port::{UdpConfig, UdpFrame, UdpOpenError, UdpPort};

/// What no test waits for unless something is lost.
const FOREVER: Duration = Duration::from_secs(60);

fn open(buffers: usize) -> UdpPort {
    let bind = ([127, 0, 0, 1], 0).into();
    UdpPort::open(UdpConfig { bind, buffers, reply_len_max: DATAGRAM_LEN_MAX }).expect("a port")
}

fn client() -> UdpSocket {
    let client = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    client.set_read_timeout(Some(FOREVER)).expect("a time limit");
    client
}

/// The port's socket, to do with it what a port cannot.
fn socket_of(port: &UdpPort) -> UdpSocket {
    port.as_fd().try_clone_to_owned().expect("a file number").into()
}

/// Receives what the port still has, or waits until something arrives and receives that, into an empty burst.
fn receive(port: &mut UdpPort, drops: &mut DropCounts) -> Burst<UdpFrame> {
    let mut burst = Burst::new();
    let dropped = drops.total();
    port.receive(&mut burst, drops);
    if !burst.is_empty() || drops.total() > dropped {
        return burst;
    }
    let timeout = Timespec::try_from(FOREVER).expect("a time limit");
    let ready = poll(&mut [PollFd::new(port, PollFlags::IN)], Some(&timeout)).expect("a poll");
    assert_eq!(ready, 1, "nothing arrived");
    port.receive(&mut burst, drops);
    burst
}

/// Receives and sends back until `count` frames went through.
fn echo(port: &mut UdpPort, mut count: usize) {
    let mut drops = DropCounts::default();
    while count > 0 {
        let mut burst = receive(port, &mut drops);
        count -= burst.count();
        port.transmit(&mut burst, &mut drops);
        assert!(burst.is_empty());
    }
    assert_eq!(drops, DropCounts::default());
}

/// Bytes that depend on the length and on each position.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index * 31 + len) as u8).collect()
}

fn exchange(client: &UdpSocket, port: &mut UdpPort, len: usize) {
    let sent = pattern(len);
    client.send_to(&sent, port.local_addr()).expect("sent");
    echo(port, 1);
    let mut got = vec![0; DATAGRAM_LEN_MAX + 1];
    let (got_len, from) = client.recv_from(&mut got).expect("an echo");
    assert_eq!(from, port.local_addr());
    assert!(got[..got_len] == sent, "{len} bytes came back as {got_len}");
}

#[test]
fn datagrams_of_every_length_come_back_as_they_went() {
    let (mut port, client) = (open(4), client());
    let edges = [1000, 1471, 1472, 1473, 4095, 4096, 4097, DATAGRAM_LEN_MAX - 1, DATAGRAM_LEN_MAX];
    for len in (0..=130).chain(edges) {
        exchange(&client, &mut port, len);
    }
    assert_eq!(port.free_count(), 4);
}

#[test]
fn a_burst_comes_back_whole_and_in_order() {
    const COUNT: u8 = 100;
    let (mut port, client) = (open(64), client());
    for index in 0..COUNT {
        client.send_to(&[index], port.local_addr()).expect("sent");
    }
    let mut drops = DropCounts::default();
    let mut burst = receive(&mut port, &mut drops);
    assert_eq!(burst.count(), BURST_COUNT_MAX, "one burst and no more");
    port.transmit(&mut burst, &mut drops);
    echo(&mut port, usize::from(COUNT) - BURST_COUNT_MAX);
    for index in 0..COUNT {
        let mut got = [0; 2];
        assert_eq!(client.recv(&mut got).expect("an echo"), 1);
        assert_eq!(got[0], index);
    }
    assert_eq!((port.free_count(), drops), (64, DropCounts::default()));
}

#[test]
fn two_ports_play_a_burst_back_and_forth() {
    let (mut one, mut other) = (open(40), open(40));
    for len in 0..20 {
        socket_of(&one).send_to(&pattern(len), other.local_addr()).expect("served");
    }
    let mut drops = DropCounts::default();
    for _ in 0..50 {
        echo(&mut other, 20);
        echo(&mut one, 20);
    }
    let mut len = 0;
    while len < 20 {
        for frame in receive(&mut other, &mut drops).iter() {
            assert_eq!((frame.source(), frame.payload()), (one.local_addr(), &pattern(len)[..]));
            len += 1;
        }
    }
    assert_eq!((one.free_count(), other.free_count(), drops), (40, 40, DropCounts::default()));
}

#[test]
fn a_response_is_built_over_the_request_and_may_be_longer() {
    let (mut port, client) = (open(1), client());
    let mut drops = DropCounts::default();
    for len in [0, 1, 9, DATAGRAM_LEN_MAX] {
        client.send_to(b"request", port.local_addr()).expect("sent");
        let mut burst = receive(&mut port, &mut drops);
        let mut frame = burst.pop().expect("the request");
        assert_eq!((frame.payload(), frame.source()), (&b"request"[..], client.local_addr().expect("an address")));
        frame.reply_buf()[..len].copy_from_slice(&pattern(len));
        frame.set_reply(len);
        burst.push(frame).expect("room");
        port.transmit(&mut burst, &mut drops);
        let mut got = vec![0; DATAGRAM_LEN_MAX + 1];
        let got_len = client.recv(&mut got).expect("a response");
        assert!(got[..got_len] == pattern(len));
    }
    assert_eq!(drops, DropCounts::default());
}

#[test]
fn an_overlong_datagram_is_counted_and_the_next_one_arrives() {
    let (mut port, client) = (open(4), client());
    let mut drops = DropCounts::default();
    // The lengths around the limit, around a buffer's length, and the longest that IPv4 can carry.
    let lens = [DATAGRAM_LEN_MAX + 1, 9023, 9024, 9025, 65_507];
    for (dropped, len) in (1..).zip(lens) {
        client.send_to(&pattern(len), port.local_addr()).expect("sent");
        client.send_to(&pattern(5), port.local_addr()).expect("sent");
        let burst = receive(&mut port, &mut drops);
        assert_eq!(burst.iter().map(|frame| frame.payload().to_vec()).collect::<Vec<_>>(), [pattern(5)], "{len}");
        assert_eq!((drops.get(DropReason::Long), drops.total()), (dropped, dropped), "{len}");
    }
    assert_eq!(port.free_count(), 4);
}

#[test]
fn a_burst_of_refused_datagrams_does_not_hide_the_one_behind_it() {
    let (mut port, client) = (open(4), client());
    let mut drops = DropCounts::default();
    for _ in 0..6 {
        client.send_to(&pattern(DATAGRAM_LEN_MAX + 1), port.local_addr()).expect("sent");
    }
    client.send_to(b"good", port.local_addr()).expect("sent");
    let burst = receive(&mut port, &mut drops);
    assert_eq!(burst.iter().map(Frame::payload).collect::<Vec<_>>(), [b"good"]);
    assert_eq!((drops.get(DropReason::Long), drops.total()), (6, 6));
}

#[test]
fn without_buffers_datagrams_wait() {
    let (mut port, client) = (open(3), client());
    for index in 0..5 {
        client.send_to(&[index], port.local_addr()).expect("sent");
    }
    let mut drops = DropCounts::default();
    let mut held = receive(&mut port, &mut drops);
    assert_eq!((held.count(), port.free_count()), (3, 0));
    let mut none = Burst::new();
    port.receive(&mut none, &mut drops);
    assert!(none.is_empty());
    drop(held.pop());
    assert_eq!(port.free_count(), 1);
    let next = receive(&mut port, &mut drops);
    assert_eq!(next.iter().map(|frame| frame.payload()[0]).collect::<Vec<_>>(), [3]);
    drop((held, next));
    assert_eq!(receive(&mut port, &mut drops).iter().map(|frame| frame.payload()[0]).collect::<Vec<_>>(), [4]);
    assert_eq!((port.free_count(), drops), (3, DropCounts::default()));
}

#[test]
fn a_full_burst_takes_no_more_than_it_has_room_for() {
    let (mut port, client) = (open(64), client());
    for index in 0..40 {
        client.send_to(&[index], port.local_addr()).expect("sent");
    }
    let mut drops = DropCounts::default();
    let mut burst = receive(&mut port, &mut drops);
    drop((burst.pop(), burst.pop()));
    port.receive(&mut burst, &mut drops);
    assert_eq!(burst.count(), BURST_COUNT_MAX);
    port.receive(&mut burst, &mut drops);
    assert_eq!(burst.iter().map(|frame| frame.payload()[0]).collect::<Vec<_>>(), (2..34).collect::<Vec<u8>>());
}

#[test]
fn frames_outlive_their_port() {
    let (mut port, client) = (open(2), client());
    client.send_to(b"still here", port.local_addr()).expect("sent");
    let burst = receive(&mut port, &mut DropCounts::default());
    drop(port);
    assert_eq!(burst.iter().map(Frame::payload).collect::<Vec<_>>(), [b"still here"]);
}

#[test]
fn a_client_that_is_gone_stalls_nobody() {
    let (mut port, client) = (open(4), client());
    for _ in 0..10 {
        let gone = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        gone.send_to(b"and away", port.local_addr()).expect("sent");
        drop(gone);
        echo(&mut port, 1);
        exchange(&client, &mut port, 10);
    }
}

#[test]
fn an_error_that_waits_at_the_socket_costs_neither_a_request_nor_a_response() {
    let mut port = open(4);
    let mut drops = DropCounts::default();
    let address = client().local_addr().expect("an address that nobody has now");
    // A connected socket is told that its peer is not there; that is the error which then waits.
    let raw = socket_of(&port);
    raw.connect(address).expect("a connection");
    raw.send(b"anybody?").expect("sent");
    let peer = UdpSocket::bind(address).expect("the address is still free");
    peer.set_read_timeout(Some(FOREVER)).expect("a time limit");
    peer.send_to(b"here", port.local_addr()).expect("sent");
    let mut burst = receive(&mut port, &mut drops);
    assert_eq!(burst.iter().map(Frame::payload).collect::<Vec<_>>(), [b"here"]);

    drop(peer);
    raw.send(b"anybody?").expect("sent");
    let peer = UdpSocket::bind(address).expect("the address is still free");
    peer.set_read_timeout(Some(FOREVER)).expect("a time limit");
    port.transmit(&mut burst, &mut drops);
    let mut got = [0; 8];
    assert_eq!(peer.recv(&mut got).map(|len| got[..len].to_vec()).expect("the response"), b"here");
    assert_eq!((burst.count(), drops, port.free_count()), (0, DropCounts::default(), 4));
}

#[test]
fn a_datagram_from_the_port_itself_is_not_answered() {
    let mut port = open(4);
    let mut drops = DropCounts::default();
    socket_of(&port).send_to(b"hello, me", port.local_addr()).expect("sent");
    assert!(receive(&mut port, &mut drops).is_empty());
    assert_eq!((drops.get(DropReason::Source), drops.total(), port.free_count()), (1, 1, 4));
}

#[test]
fn ipv6_works_and_shows_ipv4_clients_under_their_own_address() {
    let Ok(client_v6) = UdpSocket::bind("[::1]:0") else {
        // This machine has no IPv6, and nothing to test.
        return;
    };
    client_v6.set_read_timeout(Some(FOREVER)).expect("a time limit");
    let config = UdpConfig { bind: "[::]:0".parse().expect("an address"), buffers: 4, reply_len_max: 100 };
    let mut port = UdpPort::open(config).expect("a port");
    let number = port.local_addr().port();
    let client_v4 = client();
    for (client, to) in [
        (&client_v6, SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], number))),
        (&client_v4, ([127, 0, 0, 1], number).into()),
    ] {
        client.send_to(b"hello", to).expect("sent");
        let mut drops = DropCounts::default();
        let mut burst = receive(&mut port, &mut drops);
        let from = client.local_addr().expect("an address");
        assert_eq!(
            burst.iter().map(|frame| (frame.source(), frame.payload())).collect::<Vec<_>>(),
            [(from, &b"hello"[..])]
        );
        port.transmit(&mut burst, &mut drops);
        assert_eq!(client.recv(&mut [0; 9]).expect("an echo"), 5);
        assert_eq!(drops, DropCounts::default());
    }
}

#[test]
fn a_port_that_has_the_network_card_polled_works_or_says_what_it_lacks() {
    let mut port = open(4);
    if let Err(error) = port.poll_device(50) {
        let text = error.to_string();
        assert!(text.contains("port.busy_poll_us = 50") && text.contains("net.core.busy_read"), "{text}");
    }
    let client = client();
    client.send_to(b"ping", port.local_addr()).expect("a datagram");
    echo(&mut port, 1);
    assert_eq!(client.recv(&mut [0; 9]).expect("an echo"), 4);
    port.poll_device(0).expect("less is always allowed");
}

#[test]
fn a_port_that_cannot_be_opened_says_where_and_why() {
    let open = |bind: SocketAddr, buffers, reply_len_max| UdpPort::open(UdpConfig { bind, buffers, reply_len_max });
    let taken = client();
    let address = taken.local_addr().expect("an address");
    let error = open(address, 1, 1).expect_err("two sockets on one port");
    assert!(
        matches!(&error, UdpOpenError::Bind { address: at, cause } if *at == address && cause.kind() == io::ErrorKind::AddrInUse)
    );
    let text = error.to_string();
    assert!(text.contains(&address.to_string()) && text.contains("choose another port"), "{text}");

    // An address of a block that is never assigned (RFC 5737).
    let nowhere = ([192, 0, 2, 1], 0).into();
    let text = open(nowhere, 1, 1).expect_err("not our address").to_string();
    assert!(text.contains("192.0.2.1") && text.contains("no interface"), "{text}");

    assert!(matches!(open(nowhere, 0, 1), Err(UdpOpenError::NoBuffers { address }) if address == nowhere));
    for len in [0, DATAGRAM_LEN_MAX + 1, 65_536, usize::MAX] {
        assert!(matches!(open(nowhere, 1, len), Err(UdpOpenError::ReplyLen { got, .. }) if got == len), "{len}");
    }
}
