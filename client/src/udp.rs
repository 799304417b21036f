//! The sockets of a pipeline.
//!
//! Requests for all endpoints share one socket for each family of addresses: answers of all of them are found with one
//! system call, however many endpoints there are. The question who a server is goes through a connected socket of its own,
//! since the system tells only such a socket that nothing listens at the other end.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt;

use crate::error::ConnectError;
use crate::session::{Departure, Destination, ServerId};

/// What a socket's buffers are asked to hold, in bytes: a full window of long frames. The system may give less.
const BUFFER_LEN: usize = 4 << 20;

/// What became of a frame that was to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The system has it.
    Yes,
    /// The socket's buffer is full.
    Blocked,
    /// The system refuses it.
    Failed,
}

/// What a server's own socket had to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// A datagram of this length.
    Datagram(usize),
    /// Nothing listens at the server's address.
    Unreachable,
    /// Nothing.
    Nothing,
}

/// The sockets of a pipeline. None of them blocks.
#[derive(Debug)]
pub(crate) struct Sockets {
    v4: UdpSocket,
    /// Only when a server has an IPv6 address.
    v6: Option<UdpSocket>,
    servers: Vec<UdpSocket>,
}

impl Sockets {
    /// Sockets to reach these servers.
    ///
    /// # Errors
    /// [`ConnectError::Socket`].
    pub(crate) fn open(servers: &[SocketAddr]) -> Result<Self, ConnectError> {
        let failed = |server: &SocketAddr| {
            let server = *server;
            move |source| ConnectError::Socket { server, source }
        };
        let first = servers.first().copied().unwrap_or(any_address(false));
        let v4 = open(any_address(false)).map_err(failed(&first))?;
        let v6 = match servers.iter().find(|server| server.is_ipv6()) {
            Some(server) => Some(open(any_address(true)).map_err(failed(server))?),
            None => None,
        };
        let connect = |server: &SocketAddr| {
            let socket = open(any_address(server.is_ipv6())).map_err(failed(server))?;
            socket.connect(server).map_err(failed(server))?;
            Ok(socket)
        };
        let servers = servers.iter().map(connect).collect::<Result<_, ConnectError>>()?;
        Ok(Self { v4, v6, servers })
    }

    /// Sends a frame.
    pub(crate) fn send(&self, departure: &Departure<'_>) -> Sent {
        let sent = match departure.destination {
            Destination::Server(id) => match self.servers.get(usize::from(id.0)) {
                Some(socket) => socket.send(departure.payload),
                None => return Sent::Failed,
            },
            Destination::Endpoint => match (departure.address.is_ipv6(), &self.v6) {
                (false, _) => self.v4.send_to(departure.payload, departure.address),
                (true, Some(v6)) => v6.send_to(departure.payload, departure.address),
                (true, None) => return Sent::Failed,
            },
        };
        match sent {
            Ok(_) => Sent::Yes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => Sent::Blocked,
            Err(_) => Sent::Failed,
        }
    }

    /// The next datagram from an endpoint, which is left in `buf`.
    pub(crate) fn receive(&self, buf: &mut [u8]) -> Option<(SocketAddr, usize)> {
        receive_from(&self.v4, buf).or_else(|| self.v6.as_ref().and_then(|v6| receive_from(v6, buf)))
    }

    /// What a server's own socket has to tell; a datagram is left in `buf`.
    pub(crate) fn receive_from_server(&self, id: ServerId, buf: &mut [u8]) -> Told {
        let Some(socket) = self.servers.get(usize::from(id.0)) else { return Told::Nothing };
        match socket.recv(buf) {
            Ok(len) => Told::Datagram(len),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Told::Unreachable,
            Err(_) => Told::Nothing,
        }
    }

    /// Waits until a datagram is there, for `wait` at most, or less when a signal comes. `with_servers` says whether
    /// those from the servers' own sockets count, `is_blocked` whether room to send counts as well.
    pub(crate) fn wait(&self, wait: Duration, with_servers: bool, is_blocked: bool) {
        let flags = if is_blocked { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        if !with_servers && self.v6.is_none() {
            // The usual case, which comes often and needs no list.
            return wait_for(&mut [PollFd::new(&self.v4, flags)], wait);
        }
        let mut sockets = Vec::new();
        self.watch(with_servers, is_blocked, &mut sockets);
        wait_for(&mut sockets, wait);
    }

    /// Adds the sockets that [`wait`](Self::wait) would look at.
    pub(crate) fn watch<'s>(&'s self, with_servers: bool, is_blocked: bool, sockets: &mut Vec<PollFd<'s>>) {
        let flags = if is_blocked { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let servers = if with_servers { self.servers.as_slice() } else { &[] };
        let all = std::iter::once(&self.v4).chain(&self.v6).chain(servers);
        sockets.extend(all.map(|socket| PollFd::new(socket, flags)));
    }
}

/// Waits until one of the sockets is ready, for `wait` at most.
pub(crate) fn wait_for(sockets: &mut [PollFd<'_>], wait: Duration) {
    let timeout = Timespec::try_from(wait).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 });
    // Whatever goes wrong, the caller looks at the sockets and at the time next.
    let _ = poll(sockets, Some(&timeout));
}

fn any_address(is_ipv6: bool) -> SocketAddr {
    if is_ipv6 { (Ipv6Addr::UNSPECIFIED, 0).into() } else { (Ipv4Addr::UNSPECIFIED, 0).into() }
}

fn open(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    // Less than asked for costs repetitions under load and nothing else.
    let _ = sockopt::set_socket_recv_buffer_size(&socket, BUFFER_LEN);
    let _ = sockopt::set_socket_send_buffer_size(&socket, BUFFER_LEN);
    Ok(socket)
}

fn receive_from(socket: &UdpSocket, buf: &mut [u8]) -> Option<(SocketAddr, usize)> {
    let (len, source) = socket.recv_from(buf).ok()?;
    Some((source, len))
}
