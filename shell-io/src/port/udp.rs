//! Packets through a kernel socket: no privileges, no hardware, any network that the kernel reaches.
//!
//! A port is a UDP socket that never blocks, and a pool of buffers that is allocated when the port is opened. One
//! system call moves a burst in either direction, and trains of datagrams as one where the kernel has them (`datagram`).
//! A frame is a buffer with one datagram and its sender; it goes back with the response in the same memory.
//!
//! When all buffers are taken, datagrams wait in the port's inbox and behind it in the socket, where the kernel drops what
//! is too much.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

use datagram::{INBOX_MESSAGE_COUNT, Inbox, Outbox, RawAddress};
use kv_core::port::{Burst, DropCounts, Frame, PacketPort};
use qp_wire::DropReason;
use qp_wire::limits::DATAGRAM_LEN_MAX;
use rustix::net::sockopt;

use crate::pool::{Pool, Pooled};

/// Length of a buffer: a datagram, or its answer.
const BUFFER_LEN: usize = DATAGRAM_LEN_MAX.next_multiple_of(arch::CACHE_LINE_LEN);

/// What is asked for as the socket's buffers, in bytes: bursts of a few thousand small datagrams, each of which the
/// kernel charges with about a kilobyte, wait there while the core does something else.
const SOCKET_BUFFER_LEN: usize = 4 << 20;

/// Most calls of the kernel in one [`PacketPort::receive`]. More than one is needed only after an error was waiting or
/// datagrams were refused, and a flood of those must not hold the core.
const RECEIVE_CALL_COUNT_MAX: usize = 4;

const _: () = assert!(DATAGRAM_LEN_MAX <= u16::MAX as usize);

/// How to open a [`UdpPort`].
#[derive(Clone, Copy, Debug)]
pub struct UdpConfig {
    /// Where to receive. Port 0 lets the kernel choose; [`UdpPort::local_addr`] tells what it chose.
    pub bind: SocketAddr,
    /// How many datagrams can be held at once, at least 1; each takes about 9 KiB. It bounds what is received and not
    /// yet answered.
    pub buffers: usize,
    /// Longest response in bytes, 1 to [`DATAGRAM_LEN_MAX`].
    pub reply_len_max: usize,
}

/// Why a port could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum UdpOpenError {
    /// The kernel refuses the address.
    #[error("cannot receive UDP packets on {address}: {cause}{}", hint(.cause.kind()))]
    Bind {
        /// Where the port was to receive.
        address: SocketAddr,
        /// What the kernel says.
        cause: io::Error,
    },
    /// The kernel does not poll the network card for it.
    #[error(
        "cannot poll the network card for {address}, port.busy_poll_us = {us}: {cause}; raise net.core.busy_read by \
         sysctl, grant CAP_NET_ADMIN, or set it to 0"
    )]
    BusyPoll {
        /// Where the port was to receive.
        address: SocketAddr,
        /// What was asked for.
        us: u16,
        /// What the kernel says.
        cause: io::Error,
    },
    /// [`UdpConfig::buffers`] is 0.
    #[error("a UDP port on {address} needs at least one buffer")]
    NoBuffers {
        /// Where the port was to receive.
        address: SocketAddr,
    },
    /// [`UdpConfig::reply_len_max`] is out of range.
    #[error("responses of up to {got} bytes on {address}: the limit must be from 1 to {DATAGRAM_LEN_MAX}")]
    ReplyLen {
        /// Where the port was to receive.
        address: SocketAddr,
        /// What was asked for.
        got: usize,
    },
}

fn hint(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::AddrInUse => "; another program has this port: stop it or choose another port",
        io::ErrorKind::AddrNotAvailable => "; no interface of this machine has this address",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege: choose a higher one",
        _ => "",
    }
}

/// A UDP socket of the kernel with its buffers, owned by one core. Open it on that core's thread.
#[derive(Debug)]
pub struct UdpPort {
    socket: UdpSocket,
    local: SocketAddr,
    pool: Rc<Pool<Box<[u8]>>>,
    /// What was received and has found no room in a burst yet.
    inbox: Inbox,
    outbox: Outbox,
    reply_len_max: u16,
}

impl UdpPort {
    /// Binds the socket and allocates everything that the port will ever need.
    ///
    /// # Errors
    /// [`UdpOpenError`], with the address and what to do.
    pub fn open(config: UdpConfig) -> Result<Self, UdpOpenError> {
        let UdpConfig { bind: address, buffers, reply_len_max } = config;
        if buffers == 0 {
            return Err(UdpOpenError::NoBuffers { address });
        }
        let reply_len_max = u16::try_from(reply_len_max)
            .ok()
            .filter(|len| (1..=DATAGRAM_LEN_MAX).contains(&usize::from(*len)))
            .ok_or(UdpOpenError::ReplyLen { address, got: reply_len_max })?;
        let (socket, local) = bind(address).map_err(|cause| UdpOpenError::Bind { address, cause })?;
        let pool = Pool::new((0..buffers).map(|_| vec![0; BUFFER_LEN].into_boxed_slice()).collect());
        Ok(Self { socket, local, pool, inbox: Inbox::new(), outbox: Outbox::new(), reply_len_max })
    }

    /// Lets the kernel poll the network card's queue whenever the port looks and finds nothing. `us` is what the kernel's limit is
    /// compared with; 0 is off.
    ///
    /// # Errors
    /// [`UdpOpenError::BusyPoll`], above the limit without a privilege, or where the kernel has no such thing.
    pub fn poll_device(&self, us: u16) -> Result<(), UdpOpenError> {
        let address = self.local;
        Inbox::poll_device(&self.socket, us).map_err(|cause| UdpOpenError::BusyPoll { address, us, cause })
    }

    /// Where the port receives, with the port number that the kernel chose if it was to.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// How many frames can be received before one has to be dropped.
    pub fn free_count(&self) -> usize {
        self.pool.free_count()
    }

    /// Takes datagrams out of the inbox as frames, as long as there is room for them and a buffer.
    fn take(&mut self, into: &mut Burst<UdpFrame>, drops: &mut DropCounts) {
        while into.room() > 0 && self.pool.free_count() > 0 {
            let Some((source, datagram)) = self.inbox.next() else { return };
            if let Some(reason) = refusal(datagram.len(), source, self.local) {
                drops.count(reason);
                continue;
            }
            let Some(mut buffer) = self.pool.take() else { return };
            buffer.get_mut()[..datagram.len()].copy_from_slice(datagram);
            // Not refused, so not longer than a datagram may be.
            let len = datagram.len() as u16;
            let pushed = into.push(UdpFrame { buffer, source: *source, len, reply_len_max: self.reply_len_max });
            debug_assert!(pushed.is_ok(), "there was room");
        }
    }
}

/// Binds a socket that does not block and has large buffers if the system allows.
fn bind(address: SocketAddr) -> io::Result<(UdpSocket, SocketAddr)> {
    let socket = UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    // Best effort: the first call of each pair ignores the system's limit and needs a privilege, the second is cut to
    // that limit. Smaller buffers lose packets earlier under bursts and are no reason not to start.
    let _ = sockopt::set_socket_recv_buffer_size_force(&socket, SOCKET_BUFFER_LEN)
        .or_else(|_| sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BUFFER_LEN));
    let _ = sockopt::set_socket_send_buffer_size_force(&socket, SOCKET_BUFFER_LEN)
        .or_else(|_| sockopt::set_socket_send_buffer_size(&socket, SOCKET_BUFFER_LEN));
    Inbox::accept_trains(&socket);
    let local = socket.local_addr()?;
    Ok((socket, local))
}

/// Why a datagram cannot become a frame, if it cannot.
fn refusal(len: usize, source: &RawAddress, local: SocketAddr) -> Option<DropReason> {
    if len > DATAGRAM_LEN_MAX {
        return Some(DropReason::Long);
    }
    match source.decode() {
        Some(source) if is_answerable(source) && source != local => None,
        _ => Some(DropReason::Source),
    }
}

/// Whether a response can be sent there: to one machine, and to a port that exists. Whoever sends a datagram with a
/// false source chooses it freely.
fn is_answerable(source: SocketAddr) -> bool {
    let is_one_machine = match source.ip() {
        IpAddr::V4(address) => !(address.is_unspecified() || address.is_multicast() || address.is_broadcast()),
        IpAddr::V6(address) => !(address.is_unspecified() || address.is_multicast()),
    };
    is_one_machine && source.port() != 0
}

impl AsFd for UdpPort {
    /// The socket, to wait until it has something to receive. What [`receive`](PacketPort::receive) has left for want of
    /// room is not announced again: receive until nothing comes before you wait.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl PacketPort for UdpPort {
    type Frame = UdpFrame;

    fn receive(&mut self, into: &mut Burst<UdpFrame>, drops: &mut DropCounts) {
        for _ in 0..RECEIVE_CALL_COUNT_MAX {
            self.take(into, drops);
            if into.room() == 0 || self.pool.free_count() == 0 {
                return;
            }
            match self.inbox.receive(&self.socket) {
                Ok(received) if received < INBOX_MESSAGE_COUNT => break,
                Err(error) if is_for_later(&error) => return,
                // Either more may be there, or an error was waiting at the socket, such as the news that a client is gone. To
                // be told of it takes it away; what has arrived is still there.
                Ok(_) | Err(_) => {}
            }
        }
        self.take(into, drops);
    }

    fn transmit(&mut self, from: &mut Burst<UdpFrame>, drops: &mut DropCounts) {
        let Self { socket, outbox, .. } = self;
        drain(from, drops, |burst| outbox.send(&*socket, burst.iter().map(|frame| (frame.payload(), &frame.source))));
    }
}

/// Sends from the front until nothing is left or the kernel wants no more. What it refuses is dropped and counted.
fn drain(
    from: &mut Burst<UdpFrame>,
    drops: &mut DropCounts,
    mut send: impl FnMut(&Burst<UdpFrame>) -> io::Result<usize>,
) {
    let send = |burst: &Burst<UdpFrame>| match send(burst) {
        Err(error) if is_for_later(&error) => Ok(0),
        sent => sent,
    };
    let pop = |burst: &mut Burst<UdpFrame>, count| (0..count).for_each(|_| drop(burst.pop()));
    for _ in 0..datagram::drain(from, Burst::is_empty, send, pop) {
        drops.count(DropReason::Transmit);
    }
}

/// Whether the kernel has nothing to give, or no room to take, just now.
fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::OutOfMemory)
        || error.raw_os_error() == Some(libc::ENOBUFS)
}

/// A datagram that came through a [`UdpPort`], in a buffer of the port's pool.
pub struct UdpFrame {
    buffer: Pooled<Box<[u8]>>,
    source: RawAddress,
    len: u16,
    reply_len_max: u16,
}

impl Frame for UdpFrame {
    fn payload(&self) -> &[u8] {
        &self.buffer.get()[..usize::from(self.len)]
    }

    fn source(&self) -> SocketAddr {
        // Frames exist with addresses that can be decoded only.
        self.source.decode().unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    fn reply_buf(&mut self) -> &mut [u8] {
        let reply_len_max = usize::from(self.reply_len_max);
        &mut self.buffer.get_mut()[..reply_len_max]
    }

    fn set_reply(&mut self, len: usize) {
        self.len = u16::try_from(len).map_or(self.reply_len_max, |len| len.min(self.reply_len_max));
    }
}

impl fmt::Debug for UdpFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpFrame").field("source", &self.source()).field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
