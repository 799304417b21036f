//! A TCP stream as a stream of messages.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::message::{Message, MessageError};

/// How long a peer may refuse to take bytes before the connection counts as broken.
const WRITE_TIMEOUT: Duration = Duration::from_millis(500);

/// Bytes that one read takes.
const READ_LEN: usize = 16 * 1024;

/// A stream whose reads never wait.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    arrived: Vec<u8>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
        Ok(Self { stream, arrived: Vec::new() })
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(super) fn send(&mut self, message: &Message) -> io::Result<()> {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        self.stream.write_all(&bytes)
    }

    /// Takes bytes that have arrived, one read of them at most, so that whoever sends without a pause gets no more time
    /// than others. `false` when the other side has closed the stream.
    pub(super) fn read_arrived(&mut self) -> io::Result<bool> {
        if !is_readable(&self.stream) {
            return Ok(true);
        }
        let mut bytes = [0; READ_LEN];
        let len = self.stream.read(&mut bytes)?;
        self.arrived.extend_from_slice(&bytes[..len]);
        Ok(len > 0)
    }

    /// The next message, once it has arrived as a whole. What is kept of an unfinished one is bounded by the longest
    /// message, since anything longer is refused by its header.
    pub(super) fn next_message(&mut self) -> Result<Option<Message>, MessageError> {
        let Some((message, len)) = Message::decode(&self.arrived)? else { return Ok(None) };
        self.arrived.drain(..len);
        Ok(Some(message))
    }
}

fn is_readable(stream: &TcpStream) -> bool {
    wait_readable(&[stream], Duration::ZERO)
}

/// Waits until one of the sockets has something to read or accept. `false` when none has.
pub(super) fn wait_readable(sockets: &[&dyn AsFd], timeout: Duration) -> bool {
    let timeout = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: i64::from(timeout.subsec_nanos()) };
    let mut waited: Vec<_> =
        sockets.iter().map(|socket| PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)).collect();
    // An interrupted wait looks like one that was over too early, which callers have to expect anyway.
    poll(&mut waited, Some(&timeout)).is_ok_and(|ready| ready > 0)
}
