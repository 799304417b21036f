//! Why cores do not share a UDP port by a program that steers (`docs/architecture.md`): it sees the first datagram of a train
//! only, whomever the others are for.

#![cfg(target_os = "linux")]
#![expect(unsafe_code, reason = "no safe crate attaches a program to sockets that share a port")]

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use datagram::{Inbox, Outbox};
use rustix::net::{AddressFamily, SocketType, bind, socket, sockopt};

/// A socket that others may share its port with.
fn sharing(port: u16) -> UdpSocket {
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None).expect("a socket");
    sockopt::set_socket_reuseport(&socket, true).expect("an option");
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).expect("the port of a friend");
    let socket = UdpSocket::from(socket);
    socket.set_nonblocking(true).expect("a flag");
    socket
}

/// Sends each datagram to the socket that its first byte is the index of.
fn steer_by_first_byte(socket: &UdpSocket) {
    let filter = |code: u32, k| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    // Offsets count from the datagram's first byte.
    let mut program = [filter(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0), filter(libc::BPF_RET | libc::BPF_A, 0)];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the option's value is a `sock_fprog` whose pointer and length are those of an array; both outlive the call,
    // which copies the program.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            std::ptr::from_ref(&program).cast(),
            size_of_val(&program) as libc::socklen_t,
        )
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// The first bytes of so many datagrams that arrive at a socket.
fn first_bytes(socket: &UdpSocket, count: usize) -> Vec<u8> {
    let mut inbox = Inbox::new();
    let mut bytes = Vec::new();
    let begin = Instant::now();
    while bytes.len() < count && begin.elapsed() < Duration::from_secs(10) {
        // It may be too early.
        let _ = inbox.receive(socket);
        while let Some((_, datagram)) = inbox.next() {
            bytes.push(datagram[0]);
        }
    }
    bytes
}

#[test]
fn a_program_steers_datagrams_one_by_one_and_a_train_as_a_whole() {
    let first = sharing(0);
    let to = first.local_addr().expect("its address");
    let cores = [&first, &sharing(to.port())];
    steer_by_first_byte(&first);
    let client = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    for index in [0, 1, 0, 1] {
        client.send_to(&[index; 8], to).expect("a datagram");
    }
    assert_eq!(cores.map(|core| first_bytes(core, 2)), [[0, 0], [1, 1]]);

    if !cores.iter().all(Inbox::accept_trains) {
        println!("SKIPPED trains: this kernel has no UDP_GRO");
        return;
    }
    let to = to.into();
    let datagrams = [[1; 8], [0; 8], [1; 8], [0; 8]];
    let sent = Outbox::new().send(&client, datagrams.iter().map(|datagram| (&datagram[..], &to)));
    assert_eq!(sent.expect("a train"), 4);
    assert_eq!(first_bytes(cores[1], 4), [1, 0, 1, 0]);
}
