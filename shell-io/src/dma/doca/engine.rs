//! The copy engine towards one window.
//!
//! A job becomes one piece or more, none longer than the device copies at once. Each piece is a task; tasks and their
//! buffers are made when the engine is opened. A job has ended when all its pieces have.
//!
//! ```text
//! submit ─▶ job ─▶ pieces ─▶ tasks in flight ─▶ all ended ─▶ poll
//!             ▲ queue full │                      one failed: the job has failed
//!             └── waiting ◀┘
//! ```

use std::collections::VecDeque;
use std::ptr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kv_core::counters::{Counter, Counters};
use kv_core::dma::{COPY_ALIGN, Completion, CopyOutcome, Direction, DmaEngine, Job};
use tracing::warn;

use super::buffers::{Buffers, DocaBuf};
use super::context::{CompletionMode, Context, Ended, Ends, Inventory, Submitted};
use super::device::Device;
use super::error::DocaError;
use super::memory_map::{Exported, Imported, MemoryMap};

/// Longest wait for a copy at one time. One takes some microseconds, and whoever waits takes no packets meanwhile: so long
/// waits only who would not get to know that a copy has ended.
const WAIT_MAX: Duration = Duration::from_millis(1);

/// Where an engine copies to and from.
#[derive(Clone, Debug)]
pub enum Target {
    /// Memory of the peer's.
    Peer(Arc<MemoryMap<Imported>>),
    /// Memory of our own that the peer reaches too: a host leaves responses there to be pulled.
    Own(Arc<MemoryMap<Exported>>),
}

impl Target {
    fn map(&self) -> (*mut doca_sys::Mmap, usize, usize) {
        match self {
            Self::Peer(map) => (map.as_ptr(), map.base(), map.len()),
            Self::Own(map) => (map.as_ptr(), map.base(), map.len()),
        }
    }
}

/// A job that was taken and not yet told of.
#[derive(Debug)]
struct Flight {
    job: Job<DocaBuf>,
    /// Bytes for which there are tasks.
    started: usize,
    /// Tasks that have not ended.
    pending: u32,
    has_failed: bool,
}

impl Flight {
    /// Whether nothing more is to be started.
    fn is_started(&self) -> bool {
        self.has_failed || self.started == self.job.len
    }

    fn is_over(&self) -> bool {
        self.is_started() && self.pending == 0
    }
}

/// What is counted between two times that it is asked for.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    full: u64,
    lost: u64,
    pieces: u64,
}

/// The copy engine towards one window, owned by one core. Open it on that core's thread.
///
/// When its context dies, every copy fails from then on: the queue pair is given up, and the next epoch brings another
/// engine. Dropping it with copies in flight waits for them for a moment; if they do not come back, their memory is
/// kept for ever.
#[derive(Debug)]
pub struct DocaEngine {
    context: Context,
    inventory: Inventory,
    ends: Box<[Ends]>,
    /// The task's job, by the task's number.
    job_of: Box<[u32]>,
    free_tasks: Vec<u32>,
    flights: Box<[Option<Flight>]>,
    free_flights: Vec<u32>,
    /// Jobs for which the queue had no room.
    waiting: VecDeque<u32>,
    /// Jobs that were over before they were polled for.
    over: VecDeque<u32>,
    buffers: Buffers,
    target: Target,
    window_base: usize,
    window_len: usize,
    piece_len: usize,
    is_dead: bool,
    is_closed: bool,
    counts: Counts,
    device: Arc<Device>,
}

impl DocaEngine {
    /// Opens an engine towards the `len` bytes at `offset` of a target, with `buf_count` buffers of `buf_len` bytes, which
    /// also bounds the jobs in flight. All lengths and offsets are multiples of 64.
    ///
    /// # Errors
    /// [`DocaError`], when the window is not inside the target, the buffers are not possible, or DOCA refuses.
    pub fn open(
        device: &Arc<Device>,
        target: Target,
        offset: usize,
        len: usize,
        buf_len: usize,
        buf_count: usize,
    ) -> Result<Self, DocaError> {
        let (mmap, base, room) = target.map();
        let is_inside = offset.checked_add(len).is_some_and(|end| end <= room);
        if !is_inside || len == 0 || !(offset | len).is_multiple_of(COPY_ALIGN) {
            return Err(DocaError::Range { what: "a window", offset, len, room });
        }
        let buffers = Buffers::new(device, buf_len, buf_count)?;
        let piece_len = piece_len(device, buf_len);
        let task_count = buf_count * buf_len.div_ceil(piece_len);
        let _setup = device.library().setup();
        let mut inventory = Inventory::open(device, 2 * task_count)?;
        let opened = open_ends(&mut inventory, &buffers, (mmap, base + offset, len), task_count)
            .and_then(|ends| Context::open(device, &ends).map(|context| (ends, context)));
        let (ends, context) = opened.inspect_err(|_| {
            // The first error is the one that says what is wrong.
            let _ = inventory.close();
        })?;
        let numbers = |count: usize| (0..count as u32).rev().collect::<Vec<_>>();
        Ok(Self {
            context,
            inventory,
            ends: ends.into(),
            job_of: vec![0; task_count].into(),
            free_tasks: numbers(task_count),
            flights: (0..buf_count).map(|_| None).collect(),
            free_flights: numbers(buf_count),
            waiting: VecDeque::with_capacity(buf_count),
            over: VecDeque::with_capacity(buf_count),
            buffers,
            target,
            window_base: base + offset,
            window_len: len,
            piece_len,
            is_dead: false,
            is_closed: false,
            counts: Counts::default(),
            device: Arc::clone(device),
        })
    }

    /// Takes everything down in order. Copies in flight are waited for, for a moment.
    ///
    /// # Errors
    /// [`DocaError`]: something did not come back. It is left as it is, with the memory that a device may still write.
    pub fn close(mut self) -> Result<(), DocaError> {
        self.take_down()
    }

    fn take_down(&mut self) -> Result<(), DocaError> {
        if std::mem::replace(&mut self.is_closed, true) {
            return Ok(());
        }
        let device = Arc::clone(&self.device);
        let _setup = device.library().setup();
        let closed = self.context.close().and_then(|()| self.inventory.close());
        if closed.is_err() {
            // Whatever still has a buffer has its maps, too: neither they nor the memory may go.
            self.buffers.leak();
            std::mem::forget(self.target.clone());
        }
        closed
    }

    fn can_take(&self, job: &Job<DocaBuf>) -> bool {
        let is_inside = job.offset.checked_add(job.len).is_some_and(|end| end <= self.window_len);
        let is_in_lines = (job.offset | job.len).is_multiple_of(COPY_ALIGN);
        self.room() > 0 && is_inside && is_in_lines && job.len <= job.buf.len()
    }

    /// Starts as much of a job as the queue takes. Whether it is over already, or waits for room.
    fn start(&mut self, number: u32) -> Next {
        let Some(Some(flight)) = self.flights.get_mut(number as usize) else { return Next::Nothing };
        while !flight.is_started() {
            if self.is_dead {
                flight.has_failed = true;
                break;
            }
            let Some(task) = self.free_tasks.last().copied() else { return Next::Wait };
            let Some(ends) = self.ends.get(task as usize) else { return Next::Nothing };
            let len = self.piece_len.min(flight.job.len - flight.started);
            let local = flight.job.buf.address() + flight.started;
            let remote = self.window_base + flight.job.offset + flight.started;
            let is_push = flight.job.direction == Direction::Push;
            let submitted = match set_data(&self.device, ends, is_push, (local, remote, len)) {
                Ok(()) => self.context.submit(task, ends, is_push),
                Err(error) => Submitted::Refused(error),
            };
            match submitted {
                Submitted::Taken => {
                    self.free_tasks.pop();
                    flight.started += len;
                    flight.pending += 1;
                    self.counts.pieces += 1;
                    if let Some(job) = self.job_of.get_mut(task as usize) {
                        *job = number;
                    }
                }
                Submitted::Full => {
                    self.counts.full += 1;
                    return Next::Wait;
                }
                Submitted::Refused(_) => flight.has_failed = true,
            }
        }
        let is_over = flight.is_over();
        self.note_death();
        if is_over { Next::Tell } else { Next::Nothing }
    }

    fn note_death(&mut self) {
        if self.context.is_dead() && !std::mem::replace(&mut self.is_dead, true) {
            self.counts.lost += 1;
        }
    }

    /// Starts jobs that waited for room, as far as there is some.
    fn start_waiting(&mut self) {
        while let Some(number) = self.waiting.front().copied() {
            match self.start(number) {
                Next::Wait => return,
                Next::Tell => self.over.push_back(number),
                Next::Nothing => {}
            }
            self.waiting.pop_front();
        }
    }

    /// Notes a task's end; its job's number if that was the last one.
    fn end(&mut self, ended: Ended) -> Option<u32> {
        let task = ended.task as usize;
        let number = *self.job_of.get(task)?;
        let flight = self.flights.get_mut(number as usize)?.as_mut()?;
        // The destination's data has grown by what was copied; the next copy begins at its own place.
        let is_push = flight.job.direction == Direction::Push;
        reset(&self.device, self.ends.get(task)?, is_push);
        self.free_tasks.push(ended.task);
        flight.pending = flight.pending.saturating_sub(1);
        flight.has_failed |= !ended.is_copied;
        let is_waiting = self.waiting.contains(&number);
        (flight.is_over() && !is_waiting).then_some(number)
    }

    /// A job that is over.
    fn look(&mut self) -> Option<Completion<DocaBuf>> {
        loop {
            if let Some(number) = self.over.pop_front() {
                return self.tell(number);
            }
            let ended = self.context.poll();
            self.take_in(ended);
            if ended.is_none() && self.over.is_empty() {
                return None;
            }
        }
    }

    /// Waits for one, if that was chosen and tasks are in flight.
    fn wait(&mut self) -> Option<Completion<DocaBuf>> {
        if self.is_dead || self.free_tasks.len() == self.ends.len() {
            return None;
        }
        match self.device.completion() {
            CompletionMode::Poll => None,
            CompletionMode::Block => {
                let begin = Instant::now();
                while begin.elapsed() < WAIT_MAX {
                    if let Some(completion) = self.look() {
                        return Some(completion);
                    }
                    arch::spin_hint();
                }
                None
            }
            CompletionMode::Event => {
                let ended = self.context.sleep(WAIT_MAX);
                self.take_in(ended);
                self.look()
            }
        }
    }

    /// Notes what a look at the context has shown.
    fn take_in(&mut self, ended: Option<Ended>) {
        self.note_death();
        let over = ended.and_then(|ended| self.end(ended));
        self.over.extend(over);
        self.start_waiting();
    }

    fn tell(&mut self, number: u32) -> Option<Completion<DocaBuf>> {
        let Flight { job, has_failed, .. } = self.flights.get_mut(number as usize)?.take()?;
        self.free_flights.push(number);
        if job.direction == Direction::Pull {
            // What the device wrote is read after what it said.
            arch::dma_read_barrier();
        }
        let outcome = if has_failed { CopyOutcome::Failed } else { CopyOutcome::Copied };
        Some(Completion { job, outcome })
    }
}

/// What is next for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Its tasks have to end.
    Nothing,
    /// The queue has to have room.
    Wait,
    /// It is over.
    Tell,
}

/// Longest piece: what the device copies at once, in whole lines, and no longer than any job.
fn piece_len(device: &Device, buf_len: usize) -> usize {
    let limit = usize::try_from(device.limits().copy_len_max).unwrap_or(usize::MAX);
    (limit - limit % COPY_ALIGN).clamp(COPY_ALIGN, buf_len.max(COPY_ALIGN))
}

/// Both ends of each task: buffers over the whole of the engine's memory, and over the whole of the window. A copy sets
/// where their data is.
fn open_ends(
    inventory: &mut Inventory,
    buffers: &Buffers,
    (window, base, len): (*mut doca_sys::Mmap, usize, usize),
    count: usize,
) -> Result<Vec<Ends>, DocaError> {
    let local = buffers.map();
    let ends = |inventory: &mut Inventory| {
        Ok(Ends {
            local: inventory.take(local.as_ptr(), local.base(), local.len())?,
            window: inventory.take(window, base, len)?,
        })
    };
    (0..count).map(|_| ends(inventory)).collect()
}

/// Says where a copy's data is: the source has all of it, the destination none yet.
fn set_data(
    device: &Device,
    ends: &Ends,
    is_push: bool,
    (local, remote, len): (usize, usize, usize),
) -> Result<(), doca_sys::RawError> {
    let set = device.library().shared().doca_buf_set_data;
    let (local_len, remote_len) = if is_push { (len, 0) } else { (0, len) };
    // SAFETY: the buffer is ours and in no copy; DOCA checks that the range is inside. Nothing is read or written here.
    unsafe { set(ends.local.as_ptr(), ptr::with_exposed_provenance_mut(local), local_len) }.ok()?;
    // SAFETY: as above.
    unsafe { set(ends.window.as_ptr(), ptr::with_exposed_provenance_mut(remote), remote_len) }.ok()
}

fn reset(device: &Device, ends: &Ends, is_push: bool) {
    let (_, dst) = ends.of(is_push);
    // SAFETY: the buffer is ours, and its copy has ended. What could be wrong would show when it is used again.
    let _ = unsafe { (device.library().shared().doca_buf_reset_data_len)(dst.as_ptr()) };
}

impl DmaEngine for DocaEngine {
    type Buf = DocaBuf;

    fn room(&self) -> usize {
        self.free_flights.len()
    }

    fn alloc(&mut self) -> Option<DocaBuf> {
        self.buffers.take()
    }

    fn submit(&mut self, job: Job<DocaBuf>) -> Result<(), Job<DocaBuf>> {
        if !self.can_take(&job) {
            return Err(job);
        }
        let Some(number) = self.free_flights.pop() else { return Err(job) };
        if job.direction == Direction::Push {
            // What was written is there before the device is told to read it.
            arch::dma_write_barrier();
        }
        if let Some(place) = self.flights.get_mut(number as usize) {
            *place = Some(Flight { job, started: 0, pending: 0, has_failed: false });
        }
        // Jobs that wait go first.
        match if self.waiting.is_empty() { self.start(number) } else { Next::Wait } {
            Next::Nothing => {}
            Next::Wait => self.waiting.push_back(number),
            Next::Tell => self.over.push_back(number),
        }
        Ok(())
    }

    fn flush(&mut self) {
        self.start_waiting();
    }

    fn poll(&mut self) -> Option<Completion<DocaBuf>> {
        self.look().or_else(|| self.wait())
    }

    fn count(&mut self, counters: &mut Counters) {
        let Counts { full, lost, pieces } = std::mem::take(&mut self.counts);
        counters.add(Counter::DeviceCopies, pieces);
        counters.add(Counter::CopyQueueFull, full);
        counters.add(Counter::CopyContextsLost, lost);
    }
}

impl Drop for DocaEngine {
    fn drop(&mut self) {
        if let Err(error) = self.take_down() {
            warn!("a DMA engine is left as it is: {error}");
        }
    }
}
