//! Many requests under way at once, on one thread.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::{Duration, Instant};

use qp_wire::limits::DATAGRAM_LEN_MAX;
use qp_wire::{Operation, native};

use crate::answer::Answer;
use crate::config::Config;
use crate::error::{ConnectError, SubmitError};
use crate::moment::{Moment, duration_nanos};
use crate::session::{Readiness, ServerId, ServerInfo, Session};
use crate::statistics::Statistics;
use crate::udp::{Sent, Sockets, Told};

/// Most datagrams that are received before something else gets its turn.
const BURST_COUNT_MAX: usize = 64;

/// So often the system has to say that nothing listens before it is believed: a server may be about to open its port.
const UNREACHABLE_MAX: u32 = 2;

/// Many requests under way to a list of servers, their frames, and the sockets.
///
/// A pipeline belongs to one thread. Requests are [submitted](Self::submit) with a tag and end in
/// [`poll`](Self::poll) in any order. Nothing is allocated for a request once the pipeline has run for a while.
///
/// # Examples
/// ```no_run
/// use std::time::Duration;
///
/// use client::{Config, Operation, Pipeline};
///
/// let mut pipeline = Pipeline::connect(&Config::new(&["127.0.0.1:7600".parse()?]))?;
/// for (tag, key) in [b"one", b"two"].into_iter().enumerate() {
///     pipeline.submit(key, Operation::Get, tag as u64)?;
/// }
/// while pipeline.outstanding() > 0 {
///     pipeline.poll(Duration::from_secs(1), &mut |answer| println!("{}: {:?}", answer.tag, answer.outcome));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Pipeline {
    session: Session,
    sockets: Sockets,
    /// The beginning of the session's time.
    began: Instant,
    buf: Box<[u8]>,
}

impl Pipeline {
    /// A pipeline to servers that have said who they are. Takes a round trip, or up to [`Config::connect_timeout`].
    ///
    /// # Errors
    /// Every [`ConnectError`]. One server that does not answer is enough: without it, part of the keys would be missing.
    pub fn connect(config: &Config) -> Result<Self, ConnectError> {
        let mut pipeline = Self {
            session: Session::new(config, RandomState::new().build_hasher().finish())?,
            sockets: Sockets::open(&config.servers)?,
            began: Instant::now(),
            // One byte more than the longest frame, so that a longer one is not taken for it.
            buf: vec![0; DATAGRAM_LEN_MAX + 1].into_boxed_slice(),
        };
        let deadline = pipeline.now().after(config.connect_timeout);
        // Nothing was submitted, so there is nothing to tell.
        let on_answer = &mut |_: Answer<'_>| {};
        loop {
            pipeline.step(on_answer);
            let now = pipeline.now();
            if let Some(done) = pipeline.connected(now >= deadline) {
                return done.map(|()| pipeline);
            }
            pipeline.wait(now, deadline);
        }
    }

    /// Takes a request, whose end [`poll`](Self::poll) will tell with this `tag`. It may wait for company in its frame
    /// until the next poll or [`flush`](Self::flush).
    ///
    /// # Errors
    /// Every [`SubmitError`]. The request was not taken then, and there will be no answer.
    #[inline]
    pub fn submit(&mut self, key: &[u8], operation: Operation<'_>, tag: u64) -> Result<(), SubmitError> {
        let now = self.now();
        let submitted = self.session.submit(now, key, operation, tag);
        self.send();
        submitted
    }

    /// Sends the requests that wait for company.
    pub fn flush(&mut self) {
        let now = self.now();
        self.session.flush(now);
        self.send();
    }

    /// Receives answers, sends what is due again and what waits, and tells the ends of requests to `on_answer`. Waits
    /// for up to `wait` until there is one to tell; a `wait` of zero never waits. Returns how many it told.
    ///
    /// Requests in frames that are not full are sent when no answer arrives, or after [`Config::linger`].
    pub fn poll<F>(&mut self, wait: Duration, on_answer: &mut F) -> usize
    where
        F: FnMut(Answer<'_>),
    {
        let outstanding = self.session.outstanding();
        let mut deadline = None;
        loop {
            self.step(on_answer);
            let told = outstanding - self.session.outstanding();
            let now = self.now();
            if told > 0 {
                self.session.flush_lingering(now);
                self.send();
                return told;
            }
            self.session.flush(now);
            self.send();
            let deadline = *deadline.get_or_insert_with(|| now.after(wait));
            if now >= deadline {
                return 0;
            }
            self.wait(now, deadline);
        }
    }

    /// How many requests have not ended.
    pub const fn outstanding(&self) -> usize {
        self.session.outstanding()
    }

    /// How many requests [`submit`](Self::submit) would take now.
    pub const fn window_room(&self) -> usize {
        self.session.window_room()
    }

    /// What was counted so far.
    pub const fn statistics(&self) -> &Statistics {
        self.session.statistics()
    }

    /// What the servers said about themselves, in their order.
    pub fn servers(&self) -> impl Iterator<Item = &ServerInfo> + '_ {
        self.session.servers()
    }

    /// What it was made with.
    pub const fn config(&self) -> &Config {
        self.session.config()
    }

    /// The version of a server that was replaced by one of another version.
    pub(crate) fn foreign_server(&self) -> Option<(usize, u8)> {
        let foreign = |(index, readiness)| match readiness {
            Readiness::Foreign { theirs } => Some((index, theirs)),
            _ => None,
        };
        self.session.readiness().enumerate().find_map(foreign)
    }

    fn now(&self) -> Moment {
        Moment::from_nanos(duration_nanos(self.began.elapsed()))
    }

    /// Receives, does what is due, and sends.
    fn step<F>(&mut self, on_answer: &mut F)
    where
        F: FnMut(Answer<'_>),
    {
        for _ in 0..BURST_COUNT_MAX {
            let Some((source, len)) = self.sockets.receive(&mut self.buf) else { break };
            let now = self.now();
            self.session.receive(now, source, &self.buf[..len], on_answer);
        }
        if self.session.is_asking() {
            self.receive_identities(on_answer);
        }
        self.session.turn(self.now(), on_answer);
        self.send();
    }

    fn receive_identities<F>(&mut self, on_answer: &mut F)
    where
        F: FnMut(Answer<'_>),
    {
        for index in 0..self.session.config().servers.len() {
            // At most 32768 servers, so the number fits.
            let id = ServerId(index as u16);
            match self.sockets.receive_from_server(id, &mut self.buf) {
                Told::Nothing => {}
                Told::Unreachable => self.session.unreachable(id),
                Told::Datagram(len) => {
                    let now = self.now();
                    self.session.receive_identity(now, id, &self.buf[..len], on_answer);
                }
            }
        }
    }

    /// Sends what is ready, until a socket is full.
    fn send(&mut self) {
        while self.session.has_departure() {
            let now = self.now();
            let Some(departure) = self.session.departure(now) else { return };
            match self.sockets.send(&departure) {
                Sent::Yes => self.session.departed(now),
                Sent::Failed => self.session.lost(now),
                Sent::Blocked => return,
            }
        }
    }

    /// Waits until something arrives or is due.
    fn wait(&self, now: Moment, deadline: Moment) {
        let until = deadline.min(self.session.next_turn());
        // What is ready and was not sent found a socket full.
        self.sockets.wait(until.since(now), self.session.is_asking(), self.session.has_departure());
    }

    /// Whether all servers are ready, or why they will not be. `is_late` says that the time to connect is over.
    fn connected(&self, is_late: bool) -> Option<Result<(), ConnectError>> {
        let config = self.session.config();
        let mut all_ready = true;
        for (&server, readiness) in config.servers.iter().zip(self.session.readiness()) {
            let error = match readiness {
                Readiness::Ready => continue,
                Readiness::Foreign { theirs } => ConnectError::Version { server, theirs, ours: native::VERSION },
                Readiness::Unreachable { count } if is_late || count >= UNREACHABLE_MAX => {
                    ConnectError::Refused { server }
                }
                Readiness::Incomplete if is_late => ConnectError::Incomplete { server },
                Readiness::Silent if is_late => ConnectError::NoAnswer { server, waited: config.connect_timeout },
                Readiness::Unreachable { .. } | Readiness::Incomplete | Readiness::Silent => {
                    all_ready = false;
                    continue;
                }
            };
            return Some(Err(error));
        }
        all_ready.then_some(Ok(()))
    }
}
