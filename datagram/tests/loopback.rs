//! Datagrams over the loopback interface, alone and in trains.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use datagram::{INBOX_MESSAGE_COUNT, Inbox, OUTBOX_DATAGRAM_COUNT_MAX, Outbox, RawAddress};

fn socket() -> (UdpSocket, RawAddress) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_nonblocking(true).expect("a flag");
    let address = socket.local_addr().expect("its address").into();
    (socket, address)
}

/// Bytes that depend on the datagram and on each position.
fn pattern(number: usize, len: usize) -> Vec<u8> {
    (0..len).map(|index| (index * 31 + number * 7 + len) as u8).collect()
}

/// Sends datagrams of these lengths and returns what arrives, and in how many messages.
fn through(lens: &[usize], with_trains: bool) -> (Vec<Vec<u8>>, usize) {
    let ((sender, _), (receiver, to)) = (socket(), socket());
    if with_trains && !Inbox::accept_trains(&receiver) {
        println!("SKIPPED trains on arrival: this kernel has no UDP_GRO");
    }
    let datagrams: Vec<Vec<u8>> = lens.iter().enumerate().map(|(number, len)| pattern(number, *len)).collect();
    let mut outbox = Outbox::new();
    let mut sent = 0;
    while sent < datagrams.len() {
        let rest = datagrams[sent..].iter().map(|datagram| (datagram.as_slice(), &to));
        let count = outbox.send(&sender, rest).expect("the loopback interface takes it");
        assert!((1..=OUTBOX_DATAGRAM_COUNT_MAX).contains(&count));
        sent += count;
    }
    let from = RawAddress::from(sender.local_addr().expect("its address"));
    let (mut inbox, mut arrived, mut messages) = (Inbox::new(), Vec::new(), 0);
    let begin = Instant::now();
    while arrived.len() < datagrams.len() && begin.elapsed() < Duration::from_secs(10) {
        messages += inbox.receive(&receiver).unwrap_or(0);
        while let Some((source, datagram)) = inbox.next() {
            // The sender's socket is bound to any address; what the receiver sees is the interface's.
            assert_eq!(source.decode().map(|source| source.port()), from.decode().map(|from| from.port()));
            arrived.push(datagram.to_vec());
        }
        assert!(inbox.is_empty());
    }
    assert_eq!(arrived, datagrams);
    (arrived, messages)
}

#[test]
fn datagrams_of_all_lengths_arrive_as_they_were_sent_and_in_order() {
    let lens = [1, 1400, 1400, 1400, 9, 9, 0, 0, 8192, 8192, 8192, 8192, 8192, 8192, 8192, 8192, 8192, 7, 1, 2, 3];
    for with_trains in [false, true] {
        through(&lens, with_trains);
        through(&[0; 5], with_trains);
        through(&[1472; 70], with_trains);
    }
}

#[test]
fn a_train_is_one_message_where_the_kernel_has_them() {
    let (_, alone) = through(&[1000; 24], false);
    assert_eq!(alone, 24);
    let (_, in_train) = through(&[1000; 24], true);
    assert!(in_train == 1 || in_train == 24, "{in_train} messages");
}

#[test]
fn what_is_not_taken_waits_and_an_empty_socket_would_block() {
    let ((sender, _), (receiver, to)) = (socket(), socket());
    let mut inbox = Inbox::new();
    assert_eq!(inbox.receive(&receiver).map_err(|error| error.kind()), Err(std::io::ErrorKind::WouldBlock));
    assert_eq!(inbox.next(), None);
    let byte = [5];
    let count = Outbox::new().send(&sender, [(&byte[..], &to); 3].into_iter()).expect("sent");
    assert_eq!(count, 3);
    assert!(inbox.receive(&receiver).is_ok_and(|count| count <= INBOX_MESSAGE_COUNT));
    assert_eq!(inbox.next().map(|(_, datagram)| datagram.to_vec()), Some(vec![5]));
    assert!(!inbox.is_empty());
}

#[test]
fn peers_get_their_own_datagrams_whatever_order_they_are_in() {
    let (sender, _) = socket();
    let peers = [socket(), socket()];
    let bytes: Vec<[u8; 1]> = (0..20).map(|number| [number]).collect();
    let to = |number: usize| &peers[number / 3 % 2].1;
    let sent = Outbox::new().send(&sender, bytes.iter().enumerate().map(|(number, byte)| (&byte[..], to(number))));
    assert_eq!(sent.ok(), Some(20));
    for (index, (peer, _)) in peers.iter().enumerate() {
        let mut inbox = Inbox::new();
        inbox.receive(peer).expect("some have arrived");
        let mut got = Vec::new();
        while let Some((_, datagram)) = inbox.next() {
            got.push(usize::from(datagram[0]));
        }
        assert_eq!(got, (0..20).filter(|number| number / 3 % 2 == index).collect::<Vec<_>>());
    }
}

#[test]
fn an_address_that_nobody_can_have_is_refused() {
    let (sender, _) = socket();
    let nowhere = RawAddress::from(std::net::SocketAddr::from(([127, 0, 0, 1], 0)));
    let byte = [1];
    assert!(Outbox::new().send(&sender, [(&byte[..], &nowhere); 2].into_iter()).is_err());
}
