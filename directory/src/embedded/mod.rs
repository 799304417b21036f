//! A directory inside a server: what MICA2's clients and servers ask of an etcd, answered by one thread.
//!
//! It takes the place of an etcd where there is none to run. Whoever reaches its port can register, as with an etcd
//! without passwords; what one sender can cost is bounded in connections, bytes and time.

pub mod conversation;
pub mod form;
pub mod request;

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use self::conversation::Conversation;
use crate::registrations::Registrations;

/// Most connections at once. One more takes the place of the one that has been silent longest.
const CONNECTION_COUNT_MAX: usize = 64;

/// A connection on which nothing moves is closed after this.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Most bytes of answers that wait to be sent, over all connections. Further requests wait until there is room.
const OUTBOX_LEN_MAX: usize = 64 << 20;

/// A directory that runs until it is dropped.
pub struct Embedded {
    address: SocketAddr,
    /// Its end is what the thread stops at.
    waker: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Embedded {
    /// Starts a directory that listens on `listen`; port 0 for whatever is free. `prefix` is where its servers are
    /// registered, such as `/mica`. For `quiet` after its start it lists nobody, so that everybody has registered anew when
    /// it does.
    ///
    /// # Errors
    /// The address is not to be had, or there is no thread.
    pub fn start(listen: SocketAddr, prefix: &str, quiet: Duration) -> io::Result<Self> {
        let listener = TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (waker, woken) = UnixStream::pair()?;
        let registrations = Registrations::new(&crate::servers_path(prefix)).listing_from(Instant::now() + quiet);
        let mut desk = Desk { listener, woken, registrations, connections: Vec::new() };
        let thread = thread::Builder::new().name("directory".to_owned()).spawn(move || desk.run())?;
        Ok(Self { address, waker: Some(waker), thread: Some(thread) })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.waker = None;
        if let Some(thread) = self.thread.take() {
            // It has nothing to say, and whoever drops it cannot do anything about its end.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Embedded").field("address", &self.address).finish_non_exhaustive()
    }
}

struct Connection {
    stream: TcpStream,
    conversation: Conversation,
    /// When something moved last.
    moved: Instant,
}

/// What the thread has.
struct Desk {
    listener: TcpListener,
    woken: UnixStream,
    registrations: Registrations,
    connections: Vec<Connection>,
}

impl Desk {
    fn run(&mut self) {
        while self.wait() {
            let now = Instant::now();
            let waiting_len: usize = self.connections.iter().map(|one| one.conversation.outbox().len()).sum();
            let mut room = OUTBOX_LEN_MAX.saturating_sub(waiting_len);
            let registrations = &mut self.registrations;
            self.connections.retain_mut(|connection| connection.turn(now, registrations, &mut room));
            self.accept(now);
        }
    }

    /// Waits until something can move or a connection may have been silent too long; `false` when it is to stop.
    fn wait(&self) -> bool {
        let interest = |connection: &Connection| match connection.conversation.outbox().is_empty() {
            true => PollFlags::IN,
            false => PollFlags::OUT,
        };
        let mut fds = vec![PollFd::new(&self.woken, PollFlags::IN), PollFd::new(&self.listener, PollFlags::IN)];
        fds.extend(self.connections.iter().map(|one| PollFd::new(&one.stream, interest(one))));
        let timeout = Timespec { tv_sec: 1, tv_nsec: 0 };
        // A signal is no reason to stop; everything is looked at anyway.
        let _ = poll(&mut fds, Some(&timeout));
        fds[0].revents().is_empty()
    }

    fn accept(&mut self, now: Instant) {
        while let Ok((stream, _)) = self.listener.accept() {
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            if self.connections.len() >= CONNECTION_COUNT_MAX {
                let longest = self.connections.iter().enumerate().min_by_key(|(_, one)| one.moved);
                if let Some((index, _)) = longest {
                    self.connections.swap_remove(index);
                }
            }
            self.connections.push(Connection { stream, conversation: Conversation::default(), moved: now });
        }
    }
}

impl Connection {
    /// Reads, answers and writes what can be without waiting; `false` when the connection is over. `room` is what
    /// answers may still take.
    fn turn(&mut self, now: Instant, registrations: &mut Registrations, room: &mut usize) -> bool {
        let has_ended = self.read(now);
        let mut can_write = self.write(now);
        // Several requests may have come at once.
        while can_write && *room > 0 && self.conversation.outbox().is_empty() {
            self.conversation.answer(now, registrations);
            let len = self.conversation.outbox().len();
            if len == 0 {
                break;
            }
            *room = room.saturating_sub(len);
            can_write = self.write(now);
        }
        let is_settled = has_ended && self.conversation.outbox().is_empty();
        can_write && !is_settled && !self.conversation.is_over() && now.duration_since(self.moved) < SILENCE_MAX
    }

    /// Reads what is there; `true` when nothing more will come.
    fn read(&mut self, now: Instant) -> bool {
        let mut buf = [0; 4096];
        let len = buf.len().min(self.conversation.room());
        if len == 0 {
            return false;
        }
        match self.stream.read(&mut buf[..len]) {
            Ok(0) => true,
            Ok(len) => {
                self.conversation.hear(&buf[..len]);
                self.moved = now;
                false
            }
            Err(error) => !is_for_later(&error),
        }
    }

    /// Writes what is there to say; `false` when nobody listens.
    fn write(&mut self, now: Instant) -> bool {
        while !self.conversation.outbox().is_empty() {
            match self.stream.write(self.conversation.outbox()) {
                Ok(0) => return false,
                Ok(len) => {
                    self.conversation.sent(len);
                    self.moved = now;
                }
                Err(error) => return is_for_later(&error),
            }
        }
        true
    }
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
