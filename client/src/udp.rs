//! The sockets of a pipeline.
//!
//! Requests for all endpoints share one socket for each family of addresses: answers of all of them are found with one
//! system call, however many endpoints there are. Frames wait in a queue until they are flushed together, which takes one
//! system call too. The question who a server is goes through a connected socket of its own,
//! since the system tells only such a socket that nothing listens at the other end.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use datagram::{Inbox, OUTBOX_DATAGRAM_COUNT_MAX, Outbox, RawAddress, drain};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt;

use crate::error::ConnectError;
use crate::session::{Departure, Destination, ServerId};

/// What a socket's buffers are asked to hold, in bytes: a full window of long frames. The system may give less.
const BUFFER_LEN: usize = 4 << 20;

/// Bytes of the frames that wait for a flush: those of the longest train.
const QUEUE_LEN: usize = 64 << 10;

/// What became of a frame that was to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The system has it, or will be given it with the next flush.
    Yes,
    /// The queue is full: flush it.
    Full,
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
    v4: Way,
    /// Only when a server has an IPv6 address.
    v6: Option<Way>,
    servers: Vec<UdpSocket>,
}

/// A socket to any endpoint of a family of addresses, with what waits on either side of it.
#[derive(Debug)]
struct Way {
    socket: UdpSocket,
    inbox: Inbox,
    outbox: Outbox,
    queue: Queue,
}

/// Frames in their order, until they are sent.
#[derive(Debug)]
struct Queue {
    bytes: Vec<u8>,
    /// Where each one ends in `bytes`, and where it goes to.
    frames: Vec<(usize, RawAddress)>,
    /// How many of them were sent.
    sent: usize,
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
        let v4 = Way::open(false).map_err(failed(&first))?;
        let v6 = match servers.iter().find(|server| server.is_ipv6()) {
            Some(server) => Some(Way::open(true).map_err(failed(server))?),
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

    /// Sends a frame: to a server's own socket at once, to an endpoint with the next [`flush`](Self::flush).
    pub(crate) fn send(&mut self, departure: &Departure<'_>) -> Sent {
        match departure.destination {
            Destination::Server(id) => match self.servers.get(usize::from(id.0)).map(|own| own.send(departure.payload))
            {
                Some(Ok(_)) => Sent::Yes,
                Some(Err(error)) if error.kind() == ErrorKind::WouldBlock => Sent::Blocked,
                Some(Err(_)) | None => Sent::Failed,
            },
            Destination::Endpoint => match (departure.address.is_ipv6(), &mut self.v6) {
                (false, _) => self.v4.queue.push(departure.payload, departure.address),
                (true, Some(v6)) => v6.queue.push(departure.payload, departure.address),
                (true, None) => Sent::Failed,
            },
        }
    }

    /// Sends what is queued, as much as the sockets take. Returns how many frames the system refused, which are lost.
    pub(crate) fn flush(&mut self) -> u64 {
        self.ways().map(Way::flush).sum()
    }

    /// Whether a full socket has left something in the queue.
    pub(crate) fn is_blocked(&self) -> bool {
        std::iter::once(&self.v4).chain(&self.v6).any(|way| !way.queue.is_empty())
    }

    /// Receives from the endpoints what one system call for each family of addresses has room for. None of it stays here,
    /// where [`wait`](Self::wait) would not see it.
    pub(crate) fn receive(&mut self, mut on_datagram: impl FnMut(SocketAddr, &[u8])) {
        for Way { socket, inbox, .. } in self.ways() {
            // Whatever goes wrong, nothing has come.
            let _ = inbox.receive(&*socket);
            while let Some((source, datagram)) = inbox.next() {
                if let Some(source) = source.decode() {
                    on_datagram(source, datagram);
                }
            }
        }
    }

    fn ways(&mut self) -> impl Iterator<Item = &mut Way> {
        std::iter::once(&mut self.v4).chain(&mut self.v6)
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
            return wait_for(&mut [PollFd::new(&self.v4.socket, flags)], wait);
        }
        let mut sockets = Vec::new();
        self.watch(with_servers, is_blocked, &mut sockets);
        wait_for(&mut sockets, wait);
    }

    /// Adds the sockets that [`wait`](Self::wait) would look at.
    pub(crate) fn watch<'s>(&'s self, with_servers: bool, is_blocked: bool, sockets: &mut Vec<PollFd<'s>>) {
        let flags = if is_blocked { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let servers = if with_servers { self.servers.as_slice() } else { &[] };
        let ways = std::iter::once(&self.v4).chain(&self.v6).map(|way| &way.socket);
        let all = ways.chain(servers);
        sockets.extend(all.map(|socket| PollFd::new(socket, flags)));
    }
}

impl Way {
    fn open(is_ipv6: bool) -> io::Result<Self> {
        let socket = open(any_address(is_ipv6))?;
        Inbox::accept_trains(&socket);
        Ok(Self { socket, inbox: Inbox::new(), outbox: Outbox::new(), queue: Queue::new() })
    }

    /// See [`Sockets::flush`].
    fn flush(&mut self) -> u64 {
        let Self { socket, outbox, queue, .. } = self;
        let send = |queue: &Queue| match outbox.send(&*socket, queue.frames()) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            sent => sent,
        };
        drain(queue, Queue::is_empty, send, Queue::pop)
    }
}

impl Queue {
    fn new() -> Self {
        Self { bytes: Vec::with_capacity(QUEUE_LEN), frames: Vec::with_capacity(OUTBOX_DATAGRAM_COUNT_MAX), sent: 0 }
    }

    const fn is_empty(&self) -> bool {
        self.sent == self.frames.len()
    }

    /// Takes a frame, if there is room.
    fn push(&mut self, payload: &[u8], address: SocketAddr) -> Sent {
        let has_room = self.frames.len() < OUTBOX_DATAGRAM_COUNT_MAX && self.bytes.len() + payload.len() <= QUEUE_LEN;
        if !has_room {
            return Sent::Full;
        }
        self.bytes.extend_from_slice(payload);
        self.frames.push((self.bytes.len(), address.into()));
        Sent::Yes
    }

    /// What was not sent yet.
    fn frames(&self) -> impl Iterator<Item = (&[u8], &RawAddress)> {
        let begins = std::iter::once(0).chain(self.frames.iter().map(|(end, _)| *end));
        let all = begins.zip(&self.frames).map(|(begin, (end, address))| (&self.bytes[begin..*end], address));
        all.skip(self.sent)
    }

    /// Takes so many frames from the front.
    fn pop(&mut self, count: usize) {
        self.sent += count;
        if self.is_empty() {
            self.sent = 0;
            self.bytes.clear();
            self.frames.clear();
        }
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
