//! One list of servers, the requests under way to them, and the sockets.
//!
//! The position in the list decides which server holds a key, so another list is another fleet. Requests that are under
//! way when the list changes end in the fleet that they were submitted to.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use rustix::event::PollFd;

use crate::answer::Answer;
use crate::config::Config;
use crate::error::ConnectError;
use crate::moment::Moment;
use crate::session::{ServerId, Session};
use crate::stopwatch::Stopwatch;
use crate::udp::{Sent, Sockets, Told};

/// A session and its sockets.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) session: Session,
    sockets: Sockets,
}

impl Fleet {
    /// A fleet of the servers of `config`, which are asked who they are.
    pub(crate) fn open(config: &Config) -> Result<Self, ConnectError> {
        Ok(Self {
            session: Session::new(config, RandomState::new().build_hasher().finish())?,
            sockets: Sockets::open(&config.servers)?,
        })
    }

    /// Receives, does what is due, and sends.
    pub(crate) fn step<F>(&mut self, clock: &Stopwatch, buf: &mut [u8], on_answer: &mut F)
    where
        F: FnMut(Answer<'_>),
    {
        let Self { session, sockets } = self;
        sockets.receive(|source, datagram| session.receive(clock.now(), source, datagram, on_answer));
        if self.session.is_asking() {
            self.receive_identities(clock, buf, on_answer);
        }
        self.session.turn(clock.now(), on_answer);
        self.send(clock);
    }

    fn receive_identities<F>(&mut self, clock: &Stopwatch, buf: &mut [u8], on_answer: &mut F)
    where
        F: FnMut(Answer<'_>),
    {
        for index in 0..self.session.config().servers.len() {
            // At most 32768 servers, so the number fits.
            let id = ServerId(index as u16);
            match self.sockets.receive_from_server(id, buf) {
                Told::Nothing => {}
                Told::Unreachable => self.session.unreachable(id),
                Told::Datagram(len) => self.session.receive_identity(clock.now(), id, &buf[..len], on_answer),
            }
        }
    }

    /// Sends what is ready, until a socket is full.
    pub(crate) fn send(&mut self, clock: &Stopwatch) {
        self.queue(clock);
        self.flush();
    }

    /// Queues what is ready, so that it is sent together; sends when the queue is full.
    pub(crate) fn queue(&mut self, clock: &Stopwatch) {
        while self.session.has_departure() {
            let now = clock.now();
            let Some(departure) = self.session.departure(now) else { return };
            match self.sockets.send(&departure) {
                Sent::Yes => self.session.departed(now),
                Sent::Failed => self.session.lost(now),
                Sent::Full => {
                    self.flush();
                    if self.sockets.is_blocked() {
                        return;
                    }
                }
                Sent::Blocked => return,
            }
        }
    }

    fn flush(&mut self) {
        let lost = self.sockets.flush();
        self.session.lost_after_departure(lost);
    }

    /// Waits until something arrives or is due.
    pub(crate) fn wait(&self, now: Moment, deadline: Moment) {
        let until = deadline.min(self.session.next_turn());
        // What is ready and was not sent found a socket full.
        self.sockets.wait(until.since(now), self.session.is_asking(), self.is_blocked());
    }

    /// Whether something is ready that a full socket has not taken.
    fn is_blocked(&self) -> bool {
        self.session.has_departure() || self.sockets.is_blocked()
    }

    /// Adds what [`wait`](Self::wait) would look at.
    pub(crate) fn watch<'f>(&'f self, sockets: &mut Vec<PollFd<'f>>) {
        self.sockets.watch(self.session.is_asking(), self.is_blocked(), sockets);
    }
}
