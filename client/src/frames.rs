//! A client over ports of whole frames, for either wire: MICA2's, as MICA2's own client speaks it, and the native one.
//!
//! It behaves as `docs/wire-format.md` and MICA2 have it: a probe for each endpoint, so many requests outstanding, a cookie
//! with an epoch for each, a time-out after which a request counts as lost, the owner's endpoint for what only the owner
//! does (EREW) and all endpoints in turn for the rest (CREW). It refuses what MICA2's receiver refuses. It is for measuring
//! and for tests: nothing is asked again.
//!
//! Time is an argument, and after the start nothing is allocated.

mod answer;
mod batch;
mod flood;
mod prepare;
mod window;

use arch::{Tick, TickRate};
use directory::Entry;
use kv_core::hash::KeyHash;
use kv_core::port::{Burst, DropCounts, RawFrame, RawPort};
use qp_wire::mica::{MicaRequest, PROBE_OPAQUE_BASE, RequestWriter};
use qp_wire::native::{self, FrameHeader, IDENTITY_RESPONSE_LEN_MAX};
use qp_wire::net::{Checksums, HEADERS_LEN, Local, Remote, request_headers};
use qp_wire::{Opcode, RawRequest, ResultCode};

use self::answer::{Answer, answer_in};
use self::batch::{Batch, Filled};
use self::window::{Cookie, Window};

pub use self::flood::PreparedFrames;
pub use self::prepare::FrameWriter;

/// Requests outstanding at most in MICA2's client, and usually here.
pub const WINDOW: u16 = 1024;

/// Microseconds after which MICA2's client gives a request up.
pub const TIMEOUT_US: u32 = 1000;

/// Microseconds that a frame waits at most for others to leave with.
const DEPARTURE_US: u64 = 10;

/// How requests and responses are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// As MICA2 does.
    Mica,
    /// In the native protocol's frames.
    Native,
    /// In native frames that whoever gets them sends back as they are: for what a port costs by itself.
    Echo,
}

/// How a client behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameClientConfig {
    /// What it speaks.
    pub wire: Wire,
    /// Requests in one frame at most, if they fit; 255 is MICA2's limit.
    pub requests_per_frame: u16,
    /// Requests outstanding at most, less than 65535.
    pub window: u16,
    /// Microseconds after which a request counts as lost.
    pub timeout_us: u32,
}

impl FrameClientConfig {
    /// What MICA2's client does, in frames of so many requests.
    pub const fn new(wire: Wire, requests_per_frame: u16) -> Self {
        Self { wire, requests_per_frame, window: WINDOW, timeout_us: TIMEOUT_US }
    }
}

/// One endpoint of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameEndpoint {
    /// The label of the core behind it.
    pub owner: u16,
    /// Where it is.
    pub remote: Remote,
}

/// What a server's directory entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameDirectory {
    /// Whether any endpoint answers reads.
    pub concurrent_read: bool,
    /// Whether any endpoint takes writes.
    pub concurrent_write: bool,
    /// The label of each partition's owner.
    pub owners: Vec<u16>,
    /// The endpoints, in their order.
    pub endpoints: Vec<FrameEndpoint>,
}

impl From<&Entry> for FrameDirectory {
    fn from(entry: &Entry) -> Self {
        let endpoints = entry.endpoints.iter().map(|endpoint| FrameEndpoint {
            owner: endpoint.owner,
            remote: Remote { mac: endpoint.mac, ipv4: endpoint.ipv4, port: endpoint.udp_port },
        });
        Self {
            concurrent_read: entry.concurrent_read,
            concurrent_write: entry.concurrent_write,
            owners: entry.partitions.clone(),
            endpoints: endpoints.collect(),
        }
    }
}

/// Why a request was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameSubmitError {
    /// As many requests are outstanding as may be, or there is no free frame: poll.
    Full,
    /// It does not fit a frame.
    TooLarge,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameAnswer<'a> {
    /// What it was submitted with.
    pub tag: u64,
    /// The server's result, or [`ResultCode::TimedOut`].
    pub result: ResultCode,
    /// The value, if there is one.
    pub value: &'a [u8],
    /// Ticks from its submission to this answer.
    pub ticks: u64,
}

/// What went wrong, in frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameCounts {
    /// Frames that came and that MICA2's receiver would have refused.
    pub refused: u64,
    /// Responses to nothing that is outstanding.
    pub late: u64,
    /// Frames that the port did not take.
    pub unsent: u64,
    /// Frames for an endpoint that no probe has found.
    pub unrouted: u64,
}

/// A client with one or more local endpoints.
#[derive(Debug)]
pub struct FrameClient<R: RawPort> {
    wire: Wire,
    ways: Vec<Way<R>>,
    directory: FrameDirectory,
    requests_per_frame: u16,
    /// By which way each endpoint was reached.
    routes: Vec<Option<usize>>,
    /// For each partition, the first endpoint of its owner.
    homes: Vec<Option<usize>>,
    window: Window,
    /// MICA2's has one for each partition, the native one for each endpoint; the last is for what any endpoint does.
    batches: Vec<Batch<R::Frame>>,
    next_endpoint: usize,
    departure_ticks: u64,
    counts: FrameCounts,
}

/// A local endpoint, and what is about to leave by it.
#[derive(Debug)]
struct Way<R: RawPort> {
    port: R,
    local: Local,
    leaving: Burst<R::Frame>,
    oldest: Tick,
}

impl<R: RawPort> FrameClient<R> {
    /// A client at these ports. Until [`is_connected`](Self::is_connected), probe and poll.
    pub fn new(
        ports: impl IntoIterator<Item = (R, Local)>,
        directory: FrameDirectory,
        config: FrameClientConfig,
        rate: TickRate,
    ) -> Self {
        let way = |(port, local)| Way { port, local, leaving: Burst::new(), oldest: Tick(0) };
        let home = |owner| directory.endpoints.iter().position(|endpoint| endpoint.owner == owner);
        let own_count = match config.wire {
            Wire::Mica => directory.owners.len(),
            Wire::Native | Wire::Echo => directory.endpoints.len(),
        };
        Self {
            wire: config.wire,
            ways: ports.into_iter().map(way).collect(),
            routes: vec![None; directory.endpoints.len()],
            homes: directory.owners.iter().copied().map(home).collect(),
            directory,
            requests_per_frame: config.requests_per_frame.max(1),
            window: Window::new(config.window.min(u16::MAX - 1), rate.ticks_in_us(config.timeout_us.into())),
            batches: (0..=own_count).map(|_| Batch::new(config.wire)).collect(),
            next_endpoint: 0,
            departure_ticks: rate.ticks_in_us(DEPARTURE_US),
            counts: FrameCounts::default(),
        }
    }

    /// Asks each endpoint that was not reached yet, by every way, whether it is there. MICA2 does so once a second.
    pub fn probe(&mut self) {
        for (endpoint, number) in self.directory.endpoints.iter().zip(0..) {
            if self.routes[usize::from(number)].is_some() {
                continue;
            }
            for way in &mut self.ways {
                let Some(mut frame) = way.port.alloc() else { continue };
                let room = frame.buf().get_mut(HEADERS_LEN..).unwrap_or_default();
                let Some(len) = write_probe(self.wire, room, number) else { continue };
                seal(&mut frame, &way.local, &endpoint.remote, len);
                let mut burst = Burst::new();
                // It is empty.
                drop(burst.push(frame));
                way.port.transmit(&mut burst, &mut DropCounts::default());
            }
        }
    }

    /// Whether every endpoint has answered a probe.
    pub fn is_connected(&self) -> bool {
        self.routes.iter().all(Option::is_some)
    }

    /// Requests without an answer so far.
    pub fn outstanding(&self) -> usize {
        self.window.outstanding()
    }

    /// How many more requests may be submitted.
    pub fn room(&self) -> usize {
        self.window.room()
    }

    /// What went wrong so far.
    pub fn counts(&self) -> FrameCounts {
        self.counts
    }

    /// Takes a request. It leaves with the others of its frame.
    ///
    /// # Errors
    /// [`FrameSubmitError`]; nothing was done then.
    pub fn submit(
        &mut self,
        now: Tick,
        opcode: Opcode,
        key: &[u8],
        value: &[u8],
        tag: u64,
    ) -> Result<(), FrameSubmitError> {
        let cookie = self.window.next_cookie().ok_or(FrameSubmitError::Full)?;
        // MICA2's wire carries it; ours needs it only where there is a choice.
        let is_asked_for = self.wire == Wire::Mica || self.homes.len() > 1;
        let hash = if is_asked_for { KeyHash::of(key) } else { KeyHash(0) };
        let batch = self.batch_of(opcode, hash);
        let raw = RawRequest { operation: opcode.to_wire(), key, value };
        let request = MicaRequest { raw, key_hash: hash.0, opaque: cookie.0 };
        let mut last = self.batches[batch].last();
        if !self.add(batch, &request)? {
            self.flush_batch(batch, now);
            last = None;
            if !self.add(batch, &request)? {
                return Err(FrameSubmitError::TooLarge);
            }
        }
        self.window.take(tag, now, last);
        if self.wire == Wire::Mica {
            self.window.await_answer(cookie);
        }
        if self.batches[batch].count() >= self.requests_per_frame {
            self.flush_batch(batch, now);
        }
        Ok(())
    }

    /// The batch that a request belongs to.
    fn batch_of(&self, opcode: Opcode, hash: KeyHash) -> usize {
        let FrameDirectory { concurrent_read, concurrent_write, .. } = self.directory;
        let any = self.batches.len() - 1;
        if if opcode.is_read() { concurrent_read } else { concurrent_write } {
            return any;
        }
        let partition = usize::from(hash.partition(self.homes.len() as u16).0);
        match self.wire {
            Wire::Mica => partition,
            Wire::Native | Wire::Echo => self.homes[partition].unwrap_or(any),
        }
    }

    /// Puts a request into a batch; `false` when it does not fit behind the others.
    fn add(&mut self, batch: usize, request: &MicaRequest<'_>) -> Result<bool, FrameSubmitError> {
        let way = self.ways.first_mut().ok_or(FrameSubmitError::Full)?;
        self.batches[batch].push(request, || way.port.alloc())
    }

    /// Lets a batch leave, if there is anything in it.
    fn flush_batch(&mut self, index: usize, now: Tick) {
        let Some(Filled { mut frame, payload_len, first }) = self.batches[index].finish(now) else { return };
        if self.wire != Wire::Mica {
            self.window.await_answer(first);
        }
        let endpoint = self.endpoint_for(index);
        let route = endpoint.and_then(|endpoint| self.routes[endpoint].map(|way| (endpoint, way)));
        let Some((endpoint, way)) = route else {
            self.counts.unrouted += 1;
            return;
        };
        let way = &mut self.ways[way];
        seal(&mut frame, &way.local, &self.directory.endpoints[endpoint].remote, payload_len);
        if way.leaving.is_empty() {
            way.oldest = now;
        }
        // It is sent whenever it is full.
        drop(way.leaving.push(frame));
        if way.leaving.room() == 0 {
            self.counts.unsent += way.send();
        }
    }

    /// The endpoint for a batch: the owner's first one, or the next in turn.
    fn endpoint_for(&mut self, batch: usize) -> Option<usize> {
        let endpoint_count = self.directory.endpoints.len();
        if batch + 1 < self.batches.len() {
            return if self.wire == Wire::Mica { self.homes[batch] } else { Some(batch) };
        }
        self.next_endpoint = (self.next_endpoint + 1) % endpoint_count.max(1);
        (endpoint_count > 0).then_some(self.next_endpoint)
    }

    /// Lets everything leave that was submitted, batches that are not full included.
    pub fn flush(&mut self, now: Tick) {
        (0..self.batches.len()).for_each(|batch| self.flush_batch(batch, now));
        self.counts.unsent += self.ways.iter_mut().map(Way::send).sum::<u64>();
    }

    /// Sends what has waited long enough, receives what is there and gives up what is too old. Returns how many requests
    /// were told to `on_answer`.
    pub fn poll(&mut self, now: Tick, on_answer: &mut impl FnMut(FrameAnswer<'_>)) -> usize {
        let mut told = 0;
        for index in 0..self.ways.len() {
            let way = &mut self.ways[index];
            if !way.leaving.is_empty() && now.since(way.oldest) >= self.departure_ticks {
                self.counts.unsent += way.send();
            }
            loop {
                let mut arrived = Burst::new();
                self.ways[index].port.receive(&mut arrived, &mut DropCounts::default());
                let is_last = arrived.room() > 0;
                while let Some(frame) = arrived.pop() {
                    told += self.take(index, &frame, now, on_answer);
                }
                if is_last {
                    break;
                }
            }
        }
        told + self.give_up_old(now, on_answer)
    }

    fn take(&mut self, way: usize, frame: &R::Frame, now: Tick, on_answer: &mut impl FnMut(FrameAnswer<'_>)) -> usize {
        match answer_in(self.wire, frame.bytes(), &self.ways[way].local) {
            None => {
                self.counts.refused += 1;
                0
            }
            Some(Answer::Mica(responses)) => {
                let mut told = 0;
                for response in responses {
                    let mut result = Some((response.result, response.value));
                    told += self.end(way, response.opaque, now, || result.take(), on_answer);
                }
                told
            }
            Some(Answer::Native(cookie, batch)) => {
                let mut responses = batch.iter();
                let mut next =
                    || responses.next().map(|response| (response.result, response.value.unwrap_or_default()));
                self.end(way, cookie, now, &mut next, on_answer)
            }
            Some(Answer::Bare(cookie)) => {
                self.end(way, cookie, now, || Some((ResultCode::Success, &[][..])), on_answer)
            }
        }
    }

    /// Ends the requests that a cookie names, or takes note that an endpoint was reached. A request whose result is missing
    /// ends as an error.
    #[inline]
    fn end<'a>(
        &mut self,
        way: usize,
        cookie: u32,
        now: Tick,
        mut next_result: impl FnMut() -> Option<(ResultCode, &'a [u8])>,
        on_answer: &mut impl FnMut(FrameAnswer<'_>),
    ) -> usize {
        if cookie >= PROBE_OPAQUE_BASE {
            if let Some(route) = self.routes.get_mut(usize::from(cookie as u16)) {
                route.get_or_insert(way);
            }
            return 0;
        }
        let told = self.window.end(Cookie(cookie), now, |tag, ticks| {
            let (result, value) = next_result().unwrap_or((ResultCode::Error, &[]));
            on_answer(FrameAnswer { tag, result, value, ticks });
        });
        self.counts.late += u64::from(told == 0);
        told
    }

    fn give_up_old(&mut self, now: Tick, on_answer: &mut impl FnMut(FrameAnswer<'_>)) -> usize {
        self.window.give_up(now, |tag, ticks| {
            on_answer(FrameAnswer { tag, result: ResultCode::TimedOut, value: &[], ticks });
        })
    }
}

impl<R: RawPort> Way<R> {
    /// Sends what waits; how many frames the port did not take, which are dropped.
    fn send(&mut self) -> u64 {
        self.port.transmit(&mut self.leaving, &mut DropCounts::default());
        let left = self.leaving.count() as u64;
        self.leaving.clear();
        left
    }
}

/// Writes the headers around a payload of `len` bytes.
fn seal(frame: &mut impl RawFrame, local: &Local, remote: &Remote, len: usize) {
    // The payload is in the frame, so they fit.
    let len = request_headers(frame.buf(), local, remote, len, Checksums::Zero);
    frame.set_len(len.unwrap_or_default());
}

/// Writes the question whether an endpoint is there; its length, or `None` without room.
fn write_probe(wire: Wire, into: &mut [u8], endpoint: u16) -> Option<usize> {
    let probe = MicaRequest::probe(endpoint);
    if wire == Wire::Mica {
        let mut writer = RequestWriter::new(into)?;
        writer.push(&probe).ok()?;
        return Some(writer.finish());
    }
    let header = FrameHeader { batch_id: probe.opaque, timestamp: 0 };
    native::encode_identity_request(into, header, IDENTITY_RESPONSE_LEN_MAX)
}

#[cfg(test)]
mod tests;
