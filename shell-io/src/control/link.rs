//! The thread that keeps a side joined to the other one: connections, one after the other, each with its session.
//!
//! It owns nothing of the queue pairs: a [`QueuePairEnds`] attaches and detaches them when the session says so.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kv_core::design::Side;
use tracing::{debug, error, info, warn};

use super::connection::{Connection, wait_readable};
use super::message::{Epoch, FarewellReason, Introduction, Message, Refusal, WindowDescriptor};
use super::session::{Session, SessionEnd, Step, Timing};

/// How long the thread looks at nothing but its sockets: the delay with which it notices a broken queue pair, a stop or
/// the time for a heartbeat.
const WAIT: Duration = Duration::from_millis(20);

/// The first pause after a connection that came to nothing; each further one is twice as long.
const RETRY_FIRST: Duration = Duration::from_millis(10);

/// How long a DPU that does not answer at all is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// This side's ends of the queue pairs.
pub trait QueuePairEnds {
    /// Why the peer's memory cannot be reached.
    type Error: std::error::Error;

    /// Detaches every end if that has not been done, zeroes the windows and describes them, in the order of the queue
    /// pairs.
    fn offer(&mut self) -> Vec<WindowDescriptor>;

    /// Attaches every end to the peer's windows, in this epoch.
    ///
    /// # Errors
    /// A window of the peer cannot be reached; no end is attached then.
    fn attach(&mut self, epoch: Epoch, peer: &Introduction) -> Result<(), Self::Error>;

    /// Detaches every end. Attached or not before, none is afterwards.
    fn detach(&mut self);

    /// Whether an end has given its queue pair up since it was attached.
    fn is_broken(&mut self) -> bool;
}

/// How a side comes to its connections.
#[derive(Debug)]
pub enum Way {
    /// The host connects.
    Connect {
        /// Where the DPU listens.
        to: SocketAddr,
        /// The longest pause between two attempts.
        retry_max: Duration,
    },
    /// The DPU listens.
    Listen(TcpListener),
}

impl Way {
    const fn side(&self) -> Side {
        match self {
            Self::Connect { .. } => Side::Host,
            Self::Listen(_) => Side::Dpu,
        }
    }
}

/// The sides cannot work together until somebody changes one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MismatchError(pub SessionEnd);

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
enum ConnectionEnd {
    #[error("{0}")]
    Session(#[from] SessionEnd),
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    #[error("the other side closed the connection")]
    Closed,
    #[error("a queue pair broke")]
    Broken,
    #[error("the memory of the other side cannot be reached: {0}")]
    Unreachable(String),
    #[error("this side stops")]
    Stopped,
}

impl ConnectionEnd {
    /// What the other side should hear before the connection closes.
    const fn last_word(&self) -> Option<Message> {
        match self {
            Self::Session(end) => end.last_word(),
            Self::Broken => Some(Message::Farewell(FarewellReason::Broken)),
            Self::Unreachable(_) => Some(Message::Farewell(FarewellReason::Unreachable)),
            Self::Stopped => Some(Message::Farewell(FarewellReason::Leaving)),
            Self::Io(_) | Self::Closed => None,
        }
    }
}

/// The number of the time after an epoch, in which nobody is attached. It differs from the epoch's, so that whoever is
/// told of both can tell them apart.
pub const fn after(epoch: Epoch) -> Epoch {
    epoch.saturating_add(1)
}

/// Keeps one side joined to the other.
#[derive(Debug)]
pub struct Link<E> {
    way: Way,
    own: Introduction,
    timing: Timing,
    ends: E,
    stop: Arc<AtomicBool>,
    start: Instant,
    has_attached: bool,
    last_failure: Option<String>,
}

impl<E: QueuePairEnds> Link<E> {
    /// A link that runs until `stop` is set. `own` is what this side says of itself, with the epoch to count from;
    /// windows are filled in for each connection.
    pub fn new(way: Way, own: Introduction, timing: Timing, ends: E, stop: Arc<AtomicBool>) -> Self {
        let start = Instant::now();
        Self { way, own, timing, ends, stop, start, has_attached: false, last_failure: None }
    }

    /// Connects and reconnects until it is told to stop. All ends are detached when it returns.
    ///
    /// # Errors
    /// The first connection of a host showed that the sides differ. Later it goes on: the host has the data, and a DPU
    /// that was started wrongly may be started again. A DPU always goes on, since its next host may be the right one.
    pub fn run(mut self) -> Result<(), MismatchError> {
        let mut pause = RETRY_FIRST;
        while !self.is_stopped() {
            let Some(stream) = self.next_stream(pause) else {
                pause = self.longer(pause);
                continue;
            };
            let epoch_before = self.own.epoch;
            let end = self.run_connection(stream);
            self.report(&end);
            if let ConnectionEnd::Session(end) = end
                && end.is_mismatch()
                && self.way.side() == Side::Host
                && !self.has_attached
            {
                return Err(MismatchError(end));
            }
            let was_attached = self.own.epoch != epoch_before;
            pause = if was_attached { RETRY_FIRST } else { self.longer(pause) };
            if self.way.side() == Side::Host {
                self.rest(pause);
            }
        }
        Ok(())
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn now_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    fn longer(&self, pause: Duration) -> Duration {
        match self.way {
            Way::Connect { retry_max, .. } => (2 * pause).min(retry_max),
            Way::Listen(_) => RETRY_FIRST,
        }
    }

    /// Sleeps, and wakes for a stop.
    fn rest(&self, pause: Duration) {
        let end = Instant::now() + pause;
        while !self.is_stopped() && Instant::now() < end {
            thread::sleep(WAIT.min(end.saturating_duration_since(Instant::now())));
        }
    }

    /// The next connection, or `None` after a while.
    fn next_stream(&mut self, pause: Duration) -> Option<TcpStream> {
        let stream = match &self.way {
            Way::Connect { to, .. } => TcpStream::connect_timeout(to, CONNECT_TIMEOUT),
            Way::Listen(listener) => {
                wait_readable(&[listener], WAIT);
                listener.accept().map(|(stream, _)| stream)
            }
        };
        match stream {
            Ok(stream) => Some(stream),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => {
                let text = format!("no connection to the other side: {error}; trying on");
                if self.is_news(&text) {
                    info!("{text}");
                }
                self.rest(pause);
                None
            }
        }
    }

    /// One connection from its beginning to its end. No end is attached afterwards.
    fn run_connection(&mut self, stream: TcpStream) -> ConnectionEnd {
        let mut connection = match Connection::new(stream) {
            Ok(connection) => connection,
            Err(error) => return error.into(),
        };
        let own = Introduction { windows: self.ends.offer(), ..self.own.clone() };
        let epoch_before = own.epoch;
        let (session, first) = Session::open(self.way.side(), own, self.timing, self.now_ms());
        let end = self.converse(&mut connection, session, first);
        if self.own.epoch != epoch_before {
            self.own.epoch = after(self.own.epoch);
        }
        self.ends.detach();
        if let Some(word) = end.last_word() {
            // The other side notices the end of the connection in any case; the word only tells it why.
            let _ = connection.send(&word);
        }
        end
    }

    fn converse(&mut self, connection: &mut Connection, mut session: Session, first: Option<Message>) -> ConnectionEnd {
        let mut started = first.map_or(Ok(()), |message| connection.send(&message).map_err(ConnectionEnd::from));
        loop {
            if let Err(end) = started {
                return end;
            }
            started = self.converse_once(connection, &mut session);
        }
    }

    /// Waits for bytes for a moment and does what they and the time ask for.
    fn converse_once(&mut self, connection: &mut Connection, session: &mut Session) -> Result<(), ConnectionEnd> {
        if self.is_stopped() {
            return Err(ConnectionEnd::Stopped);
        }
        if session.epoch().is_some() && self.ends.is_broken() {
            return Err(ConnectionEnd::Broken);
        }
        match &self.way {
            Way::Connect { .. } => {
                wait_readable(&[connection.stream()], WAIT);
            }
            Way::Listen(listener) => {
                wait_readable(&[connection.stream(), listener], WAIT);
                turn_away(listener);
            }
        }
        let is_open = connection.read_arrived()?;
        while let Some(message) = connection.next_message().map_err(SessionEnd::from)? {
            let step = session.on_message(message, self.now_ms())?;
            self.take_step(step, connection)?;
        }
        if !is_open {
            return Err(ConnectionEnd::Closed);
        }
        if let Some(message) = session.on_time(self.now_ms())? {
            connection.send(&message)?;
        }
        Ok(())
    }

    fn take_step(&mut self, step: Step, connection: &mut Connection) -> Result<(), ConnectionEnd> {
        match step {
            Step::Wait => {}
            Step::Send(message) => connection.send(&message)?,
            Step::Attach { epoch, peer, then } => {
                self.own.epoch = epoch;
                self.ends.attach(epoch, &peer).map_err(|error| ConnectionEnd::Unreachable(error.to_string()))?;
                self.has_attached = true;
                self.last_failure = None;
                info!(epoch, peer = peer.software, "attached to the other side");
                if let Some(message) = then {
                    connection.send(&message)?;
                }
            }
        }
        Ok(())
    }

    fn report(&mut self, end: &ConnectionEnd) {
        match end {
            ConnectionEnd::Stopped => debug!("the link stops"),
            ConnectionEnd::Session(SessionEnd::Farewell(FarewellReason::Leaving)) => info!("detached: {end}"),
            ConnectionEnd::Session(session_end) if session_end.is_mismatch() => {
                let text = format!("the sides cannot work together: {session_end}");
                if self.is_news(&text) {
                    error!("{text}");
                }
            }
            _ => {
                let text = format!("not attached: {end}");
                if self.is_news(&text) {
                    warn!("{text}");
                }
            }
        }
    }

    /// Whether this has not just been said: however often a thing is tried again, it is said once.
    fn is_news(&mut self, text: &str) -> bool {
        let is_news = self.last_failure.as_deref() != Some(text);
        self.last_failure = Some(text.to_owned());
        is_news
    }
}

/// Tells whoever else connects that this DPU has a host.
fn turn_away(listener: &TcpListener) {
    while let Ok((mut stream, address)) = listener.accept() {
        info!(%address, "another host is turned away");
        let mut bytes = Vec::new();
        Message::Refusal(Refusal::Busy).encode(&mut bytes);
        // A few bytes into an empty buffer: either they fit or the other side is gone.
        let _ = stream.set_nonblocking(true).and_then(|()| stream.write_all(&bytes));
    }
}

#[cfg(test)]
mod tests;
