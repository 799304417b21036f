//! A client that speaks MICA2's wire over ports of whole frames, as MICA2's own client does.
//!
//! It behaves as `docs/wire-format.md` and MICA2 have it: a probe for each endpoint, 1024 requests outstanding, a cookie
//! with an epoch for each, a time-out of a millisecond after which a request counts as lost, the owner's endpoint for what
//! only the owner does (EREW) and all endpoints in turn for the rest (CREW). It refuses what MICA2's receiver refuses.
//! It is for measuring and for tests: nothing is asked again.
//!
//! Time is an argument, and after the start nothing is allocated.

mod answer;

use arch::{Tick, TickRate};
use kv_core::hash::KeyHash;
use kv_core::port::{Burst, DropCounts, RawFrame, RawPort};
use qp_wire::mica::{MicaRequest, PROBE_OPAQUE_BASE, RequestWriter};
use qp_wire::net::{Checksums, HEADERS_LEN, Local, Remote, request_headers};
use qp_wire::{Opcode, RawRequest, ResultCode};

use self::answer::responses_in;

/// Requests outstanding at most.
pub const WINDOW: usize = 1024;

/// Microseconds after which a request is given up.
const TIMEOUT_US: u64 = 1000;

/// Microseconds that a frame waits at most for others to leave with.
const DEPARTURE_US: u64 = 10;

/// Outstanding requests that are looked at for their age in one poll. All have their turn within 32 polls.
const AGED_COUNT: usize = WINDOW / 32;

/// One endpoint of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MicaEndpoint {
    /// The label of the core behind it.
    pub owner: u16,
    /// Where it is.
    pub remote: Remote,
}

/// What a server's directory entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MicaDirectory {
    /// Whether any endpoint answers reads.
    pub concurrent_read: bool,
    /// Whether any endpoint takes writes.
    pub concurrent_write: bool,
    /// The label of each partition's owner.
    pub owners: Vec<u16>,
    /// The endpoints, in their order.
    pub endpoints: Vec<MicaEndpoint>,
}

/// Why a request was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MicaSubmitError {
    /// As many requests are outstanding as may be, or there is no free frame: poll.
    Full,
    /// It does not fit a frame.
    TooLarge,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MicaAnswer<'a> {
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
pub struct MicaCounts {
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
pub struct MicaClient<R: RawPort> {
    ways: Vec<Way<R>>,
    directory: MicaDirectory,
    requests_per_frame: u8,
    /// By which way each endpoint was reached.
    routes: Vec<Option<usize>>,
    slots: Box<[Slot; WINDOW]>,
    free: Vec<u16>,
    /// A batch for each partition, and one for what any endpoint does.
    batches: Vec<Batch<R::Frame>>,
    next_endpoint: usize,
    next_aged: usize,
    timeout_ticks: u64,
    departure_ticks: u64,
    counts: MicaCounts,
}

/// A local endpoint, and what is about to leave by it.
#[derive(Debug)]
struct Way<R: RawPort> {
    port: R,
    local: Local,
    leaving: Burst<R::Frame>,
    oldest: Tick,
}

/// One request that may be outstanding.
#[derive(Clone, Copy, Debug)]
struct Slot {
    tag: u64,
    sent: Tick,
    epoch: u16,
    is_outstanding: bool,
}

/// Requests that leave in one frame.
#[derive(Debug)]
struct Batch<F> {
    frame: Option<F>,
    len: usize,
    count: u8,
}

impl<R: RawPort> MicaClient<R> {
    /// A client at these ports. Until [`is_connected`](Self::is_connected), probe and poll.
    pub fn new(
        ports: impl IntoIterator<Item = (R, Local)>,
        directory: MicaDirectory,
        requests_per_frame: u8,
        rate: TickRate,
    ) -> Self {
        let way = |(port, local)| Way { port, local, leaving: Burst::new(), oldest: Tick(0) };
        let batch_count = directory.owners.len() + 1;
        Self {
            ways: ports.into_iter().map(way).collect(),
            routes: vec![None; directory.endpoints.len()],
            directory,
            requests_per_frame: requests_per_frame.max(1),
            slots: Box::new([Slot { tag: 0, sent: Tick(0), epoch: 0, is_outstanding: false }; WINDOW]),
            free: (0..WINDOW as u16).rev().collect(),
            batches: (0..batch_count).map(|_| Batch { frame: None, len: 0, count: 0 }).collect(),
            next_endpoint: 0,
            next_aged: 0,
            timeout_ticks: rate.ticks_in_us(TIMEOUT_US),
            departure_ticks: rate.ticks_in_us(DEPARTURE_US),
            counts: MicaCounts::default(),
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
                let writer = RequestWriter::new(frame.buf().get_mut(HEADERS_LEN..).unwrap_or_default());
                let Some(mut writer) = writer else { continue };
                if writer.push(&MicaRequest::probe(number)).is_ok() {
                    let len = writer.finish();
                    seal(&mut frame, &way.local, &endpoint.remote, len);
                    let mut burst = Burst::new();
                    // It is empty.
                    drop(burst.push(frame));
                    way.port.transmit(&mut burst, &mut DropCounts::default());
                }
            }
        }
    }

    /// Whether every endpoint has answered a probe.
    pub fn is_connected(&self) -> bool {
        self.routes.iter().all(Option::is_some)
    }

    /// Requests without an answer so far.
    pub fn outstanding(&self) -> usize {
        WINDOW - self.free.len()
    }

    /// How many more requests may be submitted.
    pub fn room(&self) -> usize {
        self.free.len()
    }

    /// What went wrong so far.
    pub fn counts(&self) -> MicaCounts {
        self.counts
    }

    /// Takes a request. It leaves with the others of its frame.
    ///
    /// # Errors
    /// [`MicaSubmitError`]; nothing was done then.
    pub fn submit(
        &mut self,
        now: Tick,
        opcode: Opcode,
        key: &[u8],
        value: &[u8],
        tag: u64,
    ) -> Result<(), MicaSubmitError> {
        let descriptor = *self.free.last().ok_or(MicaSubmitError::Full)?;
        let slot = self.slots[usize::from(descriptor)];
        let hash = KeyHash::of(key);
        let batch = self.batch_of(opcode, hash);
        let raw = RawRequest { operation: opcode.to_wire(), key, value };
        let opaque = u32::from(descriptor) << 16 | u32::from(slot.epoch);
        let request = MicaRequest { raw, key_hash: hash.0, opaque };
        if !self.add(batch, &request)? {
            self.flush_batch(batch, now);
            if !self.add(batch, &request)? {
                return Err(MicaSubmitError::TooLarge);
            }
        }
        self.free.pop();
        self.slots[usize::from(descriptor)] = Slot { tag, sent: now, is_outstanding: true, ..slot };
        if self.batches[batch].count >= self.requests_per_frame {
            self.flush_batch(batch, now);
        }
        Ok(())
    }

    /// The batch that a request belongs to: its partition's, or the last one for what any endpoint does.
    fn batch_of(&self, opcode: Opcode, hash: KeyHash) -> usize {
        let is_read = matches!(opcode, Opcode::NoopRead | Opcode::Get | Opcode::Test);
        let any = if is_read { self.directory.concurrent_read } else { self.directory.concurrent_write };
        let partition_count = self.directory.owners.len();
        if any { partition_count } else { usize::from(hash.partition(partition_count as u16).0) }
    }

    /// Puts a request into a batch; `false` when it does not fit behind the others.
    fn add(&mut self, batch: usize, request: &MicaRequest<'_>) -> Result<bool, MicaSubmitError> {
        let batch = &mut self.batches[batch];
        if batch.frame.is_none() {
            let way = self.ways.first_mut().ok_or(MicaSubmitError::Full)?;
            batch.frame = way.port.alloc();
        }
        let frame = batch.frame.as_mut().ok_or(MicaSubmitError::Full)?;
        let room = frame.buf().get_mut(HEADERS_LEN..).unwrap_or_default();
        let writer = match batch.count {
            0 => RequestWriter::new(room),
            count => RequestWriter::resume(room, batch.len, count),
        };
        let mut writer = writer.ok_or(MicaSubmitError::TooLarge)?;
        if writer.push(request).is_err() {
            return Ok(false);
        }
        (batch.len, batch.count) = (writer.written_len(), batch.count + 1);
        Ok(true)
    }

    /// Lets a batch leave, if there is anything in it.
    fn flush_batch(&mut self, index: usize, now: Tick) {
        let batch = &mut self.batches[index];
        let (len, count) = (std::mem::take(&mut batch.len), std::mem::take(&mut batch.count));
        let Some(mut frame) = batch.frame.take().filter(|_| count > 0) else { return };
        let room = frame.buf().get_mut(HEADERS_LEN..).unwrap_or_default();
        let Some(len) = RequestWriter::resume(room, len, count).map(RequestWriter::finish) else { return };
        let endpoint = self.endpoint_for(index);
        let route = endpoint.and_then(|endpoint| self.routes[endpoint].map(|way| (endpoint, way)));
        let Some((endpoint, way)) = route else {
            self.counts.unrouted += 1;
            return;
        };
        let way = &mut self.ways[way];
        seal(&mut frame, &way.local, &self.directory.endpoints[endpoint].remote, len);
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
        let MicaDirectory { owners, endpoints, .. } = &self.directory;
        match owners.get(batch) {
            Some(owner) => endpoints.iter().position(|endpoint| endpoint.owner == *owner),
            None => {
                self.next_endpoint = (self.next_endpoint + 1) % endpoints.len().max(1);
                (!endpoints.is_empty()).then_some(self.next_endpoint)
            }
        }
    }

    /// Lets everything leave that was submitted, batches that are not full included.
    pub fn flush(&mut self, now: Tick) {
        (0..self.batches.len()).for_each(|batch| self.flush_batch(batch, now));
        self.counts.unsent += self.ways.iter_mut().map(Way::send).sum::<u64>();
    }

    /// Sends what has waited long enough, receives what is there and gives up what is too old. Returns how many requests
    /// were told to `on_answer`.
    pub fn poll(&mut self, now: Tick, on_answer: &mut impl FnMut(MicaAnswer<'_>)) -> usize {
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

    fn take(&mut self, way: usize, frame: &R::Frame, now: Tick, on_answer: &mut impl FnMut(MicaAnswer<'_>)) -> usize {
        let Some(responses) = responses_in(frame.bytes(), &self.ways[way].local) else {
            self.counts.refused += 1;
            return 0;
        };
        let mut told = 0;
        for response in responses {
            if response.opaque >= PROBE_OPAQUE_BASE {
                let endpoint = usize::from(response.opaque as u16);
                if let Some(route) = self.routes.get_mut(endpoint) {
                    route.get_or_insert(way);
                }
                continue;
            }
            let (descriptor, epoch) = ((response.opaque >> 16) as u16, response.opaque as u16);
            match self.slots.get_mut(usize::from(descriptor)) {
                Some(slot) if slot.is_outstanding && slot.epoch == epoch => {
                    let (tag, ticks) = (slot.tag, now.since(slot.sent));
                    slot.end();
                    self.free.push(descriptor);
                    told += 1;
                    on_answer(MicaAnswer { tag, result: response.result, value: response.value, ticks });
                }
                _ => self.counts.late += 1,
            }
        }
        told
    }

    fn give_up_old(&mut self, now: Tick, on_answer: &mut impl FnMut(MicaAnswer<'_>)) -> usize {
        let mut told = 0;
        for _ in 0..AGED_COUNT {
            let descriptor = self.next_aged;
            self.next_aged = (descriptor + 1) % WINDOW;
            let slot = &mut self.slots[descriptor];
            let ticks = now.since(slot.sent);
            if slot.is_outstanding && ticks >= self.timeout_ticks {
                let tag = slot.tag;
                slot.end();
                self.free.push(descriptor as u16);
                told += 1;
                on_answer(MicaAnswer { tag, result: ResultCode::TimedOut, value: &[], ticks });
            }
        }
        told
    }
}

impl Slot {
    /// What comes for this request later is for nobody.
    fn end(&mut self) {
        self.is_outstanding = false;
        self.epoch = self.epoch.wrapping_add(1);
    }
}

impl<R: RawPort> Way<R> {
    /// Sends what waits; how many frames the port did not take, which are dropped.
    fn send(&mut self) -> u64 {
        self.port.transmit(&mut self.leaving, &mut DropCounts::default());
        let left = std::mem::take(&mut self.leaving);
        left.count() as u64
    }
}

/// Writes the headers around a payload of `len` bytes.
fn seal(frame: &mut impl RawFrame, local: &Local, remote: &Remote, len: usize) {
    // The payload is in the frame, so they fit.
    let len = request_headers(frame.buf(), local, remote, len, Checksums::Zero);
    frame.set_len(len.unwrap_or_default());
}

#[cfg(test)]
mod tests;
