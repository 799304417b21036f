//! Many requests under way at once, on one thread.

use std::time::Duration;

use qp_wire::limits::DATAGRAM_LEN_MAX;
use qp_wire::{Operation, native};

use crate::answer::Answer;
use crate::config::Config;
use crate::error::{ConnectError, SubmitError};
use crate::fleet::Fleet;
use crate::membership::Membership;
use crate::moment::Moment;
use crate::session::{Readiness, ServerInfo};
use crate::statistics::Statistics;
use crate::stopwatch::Stopwatch;
use crate::udp;

/// So often the system has to say that nothing listens before it is believed: a server may be about to open its port.
const UNREACHABLE_MAX: u32 = 2;

/// After so long without a wait for answers, the server may sleep, and this CPU too: it takes longer to wake both, one after the
/// other, than to wake the one that has to. So a pipeline looks so many times as long then, which is 2 % of the time at most.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const SPINS_AFTER_PAUSE: u32 = 10;

/// How long a change of a directory's list may wait for a pipeline that waits for answers.
const CHANGE_WAIT_MAX: Duration = Duration::from_millis(100);

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
    fleet: Fleet,
    /// Fleets of earlier lists, with requests that have not ended.
    leaving: Vec<Fleet>,
    /// What the fleets counted that have left.
    left: Statistics,
    membership: Option<Membership>,
    clock: Stopwatch,
    /// The end of the last wait for answers.
    waited: Moment,
    buf: Box<[u8]>,
}

impl Pipeline {
    /// A pipeline to servers that have said who they are. Takes a round trip, or up to [`Config::connect_timeout`]; with a
    /// directory, as long again until a server is listed there.
    ///
    /// # Errors
    /// Every [`ConnectError`]. One server that does not answer is enough: without it, part of the keys would be missing.
    pub fn connect(config: &Config) -> Result<Self, ConnectError> {
        let (membership, config) = match &config.directory {
            None => (None, config.clone()),
            Some(source) => {
                let (membership, servers) = Membership::join(source, config.connect_timeout)?;
                (Some(membership), Config { servers, ..config.clone() })
            }
        };
        let mut pipeline = Self {
            fleet: Fleet::open(&config)?,
            leaving: Vec::new(),
            left: Statistics::default(),
            membership,
            clock: Stopwatch::start(),
            waited: Moment::default(),
            // One byte more than the longest frame, so that a longer one is not taken for it.
            buf: vec![0; DATAGRAM_LEN_MAX + 1].into_boxed_slice(),
        };
        let deadline = pipeline.clock.now().after(config.connect_timeout);
        // Nothing was submitted, so there is nothing to tell.
        let on_answer = &mut |_: Answer<'_>| {};
        loop {
            pipeline.fleet.step(&pipeline.clock, &mut pipeline.buf, on_answer);
            let now = pipeline.clock.now();
            if let Some(done) = pipeline.connected(now >= deadline) {
                return done.map(|()| pipeline);
            }
            pipeline.fleet.wait(now, deadline);
        }
    }

    /// Takes a request, whose end [`poll`](Self::poll) will tell with this `tag`. It may wait for company in its frame
    /// until the next poll or [`flush`](Self::flush).
    ///
    /// # Errors
    /// Every [`SubmitError`]. The request was not taken then, and there will be no answer.
    #[inline]
    pub fn submit(&mut self, key: &[u8], operation: Operation<'_>, tag: u64) -> Result<(), SubmitError> {
        self.submit_at(self.now(), key, operation, tag)
    }

    /// As [`submit`](Self::submit), for a request that counts as submitted at a `moment` that [`now`](Self::now) has told, from
    /// which its latency and its [`Config::timeout`] run. Who submits many in a row can read the clock once for all of them.
    ///
    /// # Errors
    /// Every [`SubmitError`]. The request was not taken then, and there will be no answer.
    // See `Session::submit`.
    #[inline(always)]
    pub fn submit_at(
        &mut self,
        moment: Moment,
        key: &[u8],
        operation: Operation<'_>,
        tag: u64,
    ) -> Result<(), SubmitError> {
        if !self.leaving.is_empty() && self.window_room() == 0 {
            return Err(SubmitError::Full);
        }
        let submitted = self.fleet.session.submit(moment, key, operation, tag);
        if self.fleet.session.has_departure() {
            self.fleet.queue(&self.clock);
        }
        submitted
    }

    /// The time of this pipeline, for [`submit_at`](Self::submit_at).
    #[inline]
    pub fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Sends the requests that wait for company.
    pub fn flush(&mut self) {
        self.fleet.session.flush(self.clock.now());
        self.fleet.send(&self.clock);
    }

    /// Receives answers, sends what is due again and what waits, and tells the ends of requests to `on_answer`. Waits
    /// for up to `wait` until there is one to tell; a `wait` of zero never waits. Returns how many it told.
    ///
    /// Requests in frames that are not full are sent when no answer arrives, or after [`Config::linger`]. For the first
    /// [`Config::spin`] of a wait for answers it does not sleep, and after a pause not for ten times as long.
    pub fn poll<F>(&mut self, wait: Duration, on_answer: &mut F) -> usize
    where
        F: FnMut(Answer<'_>),
    {
        let outstanding = self.outstanding();
        let mut times = None;
        // A server can work on what was submitted while answers are received.
        self.fleet.send(&self.clock);
        loop {
            self.adopt_changes();
            self.step(on_answer);
            let told = outstanding - self.outstanding();
            let now = self.clock.now();
            if told > 0 {
                self.fleet.session.flush_lingering(now);
                self.fleet.send(&self.clock);
                self.waited = now;
                return told;
            }
            self.fleet.session.flush(now);
            self.fleet.send(&self.clock);
            let (spin_end, deadline) = *times.get_or_insert_with(|| {
                let spin = spin_after(now.since(self.waited), self.config().spin);
                (now.after(spin), now.after(wait))
            });
            if now >= deadline {
                if outstanding > 0 {
                    self.waited = now;
                }
                return 0;
            }
            if now < spin_end && outstanding > 0 {
                // Not a yield: others that want this CPU may keep it for milliseconds, while who sleeps is woken at once.
                arch::spin_hint();
            } else {
                self.wait(now, deadline);
            }
        }
    }

    /// How many requests have not ended.
    pub fn outstanding(&self) -> usize {
        let leaving: usize = self.leaving.iter().map(|fleet| fleet.session.outstanding()).sum();
        self.fleet.session.outstanding() + leaving
    }

    /// How many requests [`submit`](Self::submit) would take now.
    pub fn window_room(&self) -> usize {
        self.config().window.saturating_sub(self.outstanding())
    }

    /// What was counted so far.
    pub fn statistics(&self) -> Statistics {
        let mut sum = self.left;
        for fleet in std::iter::once(&self.fleet).chain(&self.leaving) {
            sum.add(fleet.session.statistics());
        }
        sum
    }

    /// What the servers said about themselves, in their order.
    pub fn servers(&self) -> impl Iterator<Item = &ServerInfo> + '_ {
        self.fleet.session.servers()
    }

    /// What it was made with; of a directory, with the servers that are listed now.
    pub const fn config(&self) -> &Config {
        self.fleet.session.config()
    }

    /// The version of a server that was replaced by one of another version.
    pub(crate) fn foreign_server(&self) -> Option<(usize, u8)> {
        let foreign = |(index, readiness)| match readiness {
            Readiness::Foreign { theirs } => Some((index, theirs)),
            _ => None,
        };
        self.fleet.session.readiness().enumerate().find_map(foreign)
    }

    /// Sends what is submitted from now on to the servers that are listed now, if the list has changed.
    fn adopt_changes(&mut self) {
        let Some(servers) = self.membership.as_mut().and_then(Membership::changed) else { return };
        if servers == self.config().servers {
            return;
        }
        let config = Config { servers, ..self.config().clone() };
        // Without sockets for the new servers the old ones are all there is, and the next change is another chance.
        let Ok(fleet) = Fleet::open(&config) else { return };
        self.left.server_lists += 1;
        let now = self.clock.now();
        let mut before = std::mem::replace(&mut self.fleet, fleet);
        before.session.flush(now);
        self.leaving.push(before);
    }

    /// Receives, does what is due, and sends.
    fn step<F>(&mut self, on_answer: &mut F)
    where
        F: FnMut(Answer<'_>),
    {
        let Self { fleet, leaving, left, clock, buf, .. } = self;
        fleet.step(clock, buf, on_answer);
        leaving.retain_mut(|fleet| {
            fleet.step(clock, buf, on_answer);
            let is_over = fleet.session.outstanding() == 0;
            if is_over {
                left.add(fleet.session.statistics());
            }
            !is_over
        });
    }

    /// Waits until something arrives or is due.
    fn wait(&self, now: Moment, deadline: Moment) {
        let deadline = match self.membership {
            Some(_) => deadline.min(now.after(CHANGE_WAIT_MAX)),
            None => deadline,
        };
        if self.leaving.is_empty() {
            return self.fleet.wait(now, deadline);
        }
        let mut sockets = Vec::new();
        let mut until = deadline;
        for fleet in std::iter::once(&self.fleet).chain(&self.leaving) {
            until = until.min(fleet.session.next_turn());
            fleet.watch(&mut sockets);
        }
        udp::wait_for(&mut sockets, until.since(now));
    }

    /// Whether all servers are ready, or why they will not be. `is_late` says that the time to connect is over.
    fn connected(&self, is_late: bool) -> Option<Result<(), ConnectError>> {
        let config = self.config();
        let mut all_ready = true;
        for (&server, readiness) in config.servers.iter().zip(self.fleet.session.readiness()) {
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

/// How long a wait for answers does not sleep, so long after the last one.
fn spin_after(pause: Duration, spin: Duration) -> Duration {
    if pause < PAUSE_MIN { spin } else { spin * SPINS_AFTER_PAUSE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipeline_looks_for_longer_after_a_pause() {
        let spin = Duration::from_micros(20);
        assert_eq!(spin_after(PAUSE_MIN - Duration::from_nanos(1), spin), spin);
        assert_eq!(spin_after(PAUSE_MIN, spin), Duration::from_micros(200));
        assert_eq!(spin_after(Duration::from_secs(1), Duration::ZERO), Duration::ZERO, "it sleeps at once");
    }
}
