//! Generation 1: work queues, jobs and events.

use std::ffi::c_int;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::{Duration, Instant};

use doca_sys::{
    Data, DevInfo, Event, JOB_FLAGS_NONE, JOB_MEMCPY, Job, MemcpyJob, Mmap, PciBdf, RawError, SharedFunctions,
    WORKQ_RETRIEVE_FLAGS_NONE, Workq, WorkqFunctions,
};

use super::context::{CompletionMode, Core, Ended, Ends, Submitted, given_handle};
use super::device::{Device, Found, Limits, PciAddress, listed};
use super::error::{DocaError, checked};
use crate::memory::PAGE_LEN;

/// How long copies in flight are waited for at the end: a thousand times as long as one takes, and short beside the
/// silence after which a side counts as dead.
const DRAIN_TIME: Duration = Duration::from_millis(20);

/// Does something with the list of devices, which ends then.
pub(super) fn with_list<T>(
    functions: &WorkqFunctions,
    act: impl FnOnce(&[Found]) -> Result<T, DocaError>,
) -> Result<T, DocaError> {
    let (mut list, mut count) = (ptr::null_mut(), 0);
    // SAFETY: both pointers are ours for the call.
    checked("list devices", unsafe { (functions.doca_devinfo_list_create)(&raw mut list, &raw mut count) })?;
    // SAFETY: the list has so many elements; an empty one may be no list at all.
    let found = unsafe { listed(list, count, |info| address_of(functions, info)) };
    let result = act(&found);
    // SAFETY: the list is alive; what was found in it is not used afterwards.
    checked("give the list of devices back", unsafe { (functions.doca_devinfo_list_destroy)(list) })?;
    result
}

/// Generation 1 knows no domains: there is one.
fn address_of(functions: &WorkqFunctions, info: NonNull<DevInfo>) -> Option<PciAddress> {
    let mut address = PciBdf::default();
    // SAFETY: the device's list is alive, and the pointer is ours for the call.
    let result = unsafe { (functions.doca_devinfo_get_pci_addr)(info.as_ptr(), &raw mut address) };
    result.ok().ok()?;
    let [low, bus] = address.raw.to_le_bytes();
    Some(PciAddress { domain: 0, bus, device: low >> 3, function: low & 7 })
}

/// What a device of a list can. Whether it exports and imports, this generation does not say.
pub(super) fn limits(functions: &WorkqFunctions, info: NonNull<DevInfo>) -> Limits {
    let info = info.as_ptr();
    let mut copy_len_max = 0;
    // SAFETY: the device's list is alive.
    let copies = unsafe { (functions.doca_dma_job_get_supported)(info, JOB_MEMCPY) };
    // SAFETY: as above, and the pointer is ours for the call.
    let len = unsafe { (functions.doca_dma_get_max_buf_size)(info, &raw mut copy_len_max) };
    Limits {
        copy_len_max: if len == RawError::SUCCESS { copy_len_max } else { 0 },
        can_copy: copies == RawError::SUCCESS,
        can_export: true,
        can_import: true,
    }
}

/// Starts a new map and gives it its memory.
///
/// # Safety
/// The map is new; the range is whole pages of mapped memory that stays and that a device may write.
pub(super) unsafe fn start_map(
    functions: &WorkqFunctions,
    shared: &SharedFunctions,
    device: &Device,
    mmap: NonNull<Mmap>,
    (base, len): (NonNull<u8>, usize),
) -> Result<(), DocaError> {
    let mmap = mmap.as_ptr();
    // SAFETY: the map is new. An exported map may have one chunk only.
    checked("set a memory map's limit", unsafe { (functions.doca_mmap_set_max_num_chunks)(mmap, 1) })?;
    // SAFETY: the map is not started yet.
    checked("start a memory map", unsafe { (shared.doca_mmap_start)(mmap) })?;
    // SAFETY: the map is started and the device is open.
    checked("add the device to a memory map", unsafe { (functions.doca_mmap_dev_add)(mmap, device.as_ptr()) })?;
    // SAFETY: the caller vouches for the range; nobody is to be told when it is no longer used.
    let populated =
        unsafe { (functions.doca_mmap_populate)(mmap, base.as_ptr().cast(), len, PAGE_LEN, None, ptr::null_mut()) };
    checked("give memory to a memory map", populated)
}

/// DOCA's descriptor of a started map.
pub(super) fn export(functions: &WorkqFunctions, device: &Device, mmap: NonNull<Mmap>) -> Result<Vec<u8>, DocaError> {
    let (mut desc, mut len) = (ptr::null_mut(), 0);
    // SAFETY: the map is started, the device is one of its, and both pointers are ours for the call.
    let exported = unsafe { (functions.doca_mmap_export)(mmap.as_ptr(), device.as_ptr(), &raw mut desc, &raw mut len) };
    checked("export memory", exported)?;
    // SAFETY: the descriptor is ours now and has this length.
    let bytes = unsafe { std::slice::from_raw_parts(desc.cast::<u8>(), len) }.to_vec();
    // SAFETY: this generation gives descriptors away, to be freed by who got them.
    unsafe { libc::free(desc) };
    Ok(bytes)
}

/// A started context with its work queue.
#[derive(Debug)]
pub(super) struct Context {
    functions: WorkqFunctions,
    core: Core,
    workq: NonNull<Workq>,
    /// The file that becomes readable when a job ends, if it was asked for.
    event: Option<c_int>,
    in_flight: usize,
    has_device: bool,
    is_started: bool,
    is_queued: bool,
    is_closed: bool,
    is_dead: bool,
}

impl Context {
    /// Opens and starts a context with room for a job for each of `ends`.
    pub(super) fn open(device: &Arc<Device>, functions: &WorkqFunctions, ends: &[Ends]) -> Result<Self, DocaError> {
        let unexpected = |step| DocaError::Refused { step, cause: RawError::UNEXPECTED };
        let (mut dma, mut workq) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the pointer is ours for the call.
        let created = unsafe { (functions.doca_workq_create)(ends.len() as u32, &raw mut workq) };
        checked("make a work queue", created)?;
        let workq = NonNull::new(workq).ok_or_else(|| unexpected("make a work queue"))?;
        // SAFETY: the pointer is ours for the call.
        let created = unsafe { (functions.doca_dma_create)(&raw mut dma) };
        let dma = NonNull::new(dma).ok_or_else(|| unexpected("make a DMA context"));
        let dma = checked("make a DMA context", created).and(dma).inspect_err(|_| {
            // SAFETY: the queue is nobody's. What it says would change nothing.
            let _ = unsafe { (functions.doca_workq_destroy)(workq.as_ptr()) };
        })?;
        let mut context = Self {
            functions: *functions,
            core: Core { device: Arc::clone(device), dma },
            workq,
            event: None,
            in_flight: 0,
            has_device: false,
            is_started: false,
            is_queued: false,
            is_closed: false,
            is_dead: false,
        };
        match context.start() {
            Ok(()) => Ok(context),
            Err(error) => {
                // The first error is the one that says what is wrong.
                let _ = context.close();
                Err(error)
            }
        }
    }

    fn start(&mut self) -> Result<(), DocaError> {
        let (functions, ctx) = (self.functions, self.core.ctx());
        // SAFETY: the context is not started, and the device is open.
        let added = unsafe { (functions.doca_ctx_dev_add)(ctx, self.core.device.as_ptr()) };
        checked("add the device to a context", added)?;
        self.has_device = true;
        self.core.start()?;
        self.is_started = true;
        if self.core.device.completion() == CompletionMode::Event {
            self.event = Some(self.new_event()?);
        }
        // SAFETY: the context is started, and the queue is nobody's.
        let added = unsafe { (functions.doca_ctx_workq_add)(ctx, self.workq.as_ptr()) };
        checked("add a work queue to a context", added)?;
        self.is_queued = true;
        Ok(())
    }

    /// Lets the queue, which is in no context yet, call when a job ends.
    fn new_event(&self) -> Result<c_int, DocaError> {
        let workq = self.workq.as_ptr();
        let mut handle = -1;
        // SAFETY: the queue is alive.
        let enabled = unsafe { (self.functions.doca_workq_set_event_driven_enable)(workq, 1) };
        checked("let a work queue call", enabled)?;
        // SAFETY: the queue is alive, and the pointer is ours for the call.
        let got = unsafe { (self.functions.doca_workq_get_event_handle)(workq, &raw mut handle) };
        given_handle("get an event", got, handle)
    }

    pub(super) fn submit(&mut self, task: u32, ends: &Ends, is_push: bool) -> Submitted {
        let (src, dst) = ends.of(is_push);
        let user_data = Data { u64: task.into() };
        let base = Job { kind: JOB_MEMCPY, flags: JOB_FLAGS_NONE, ctx: self.core.ctx(), user_data };
        let job = MemcpyJob { base, dst: dst.as_ptr(), src: src.as_ptr() };
        // SAFETY: the job is a whole one of its kind, which begins with what all jobs have, and is copied; its buffers live
        // until it has ended.
        match unsafe { (self.functions.doca_workq_submit)(self.workq.as_ptr(), (&raw const job).cast()) } {
            RawError::SUCCESS => {
                self.in_flight += 1;
                Submitted::Taken
            }
            RawError::NO_MEMORY | RawError::AGAIN => Submitted::Full,
            error => {
                self.is_dead |= error == RawError::BAD_STATE;
                Submitted::Refused(error)
            }
        }
    }

    pub(super) fn poll(&mut self) -> Option<Ended> {
        let none = Data { u64: u64::MAX };
        let mut event = Event { kind: 0, user_data: none, result: none };
        let workq = self.workq.as_ptr();
        // SAFETY: the queue is alive and this thread's, and the event is ours for the call.
        let result =
            unsafe { (self.functions.doca_workq_progress_retrieve)(workq, &raw mut event, WORKQ_RETRIEVE_FLAGS_NONE) };
        match result {
            RawError::SUCCESS | RawError::IO_FAILED => {}
            RawError::AGAIN => return None,
            _ => {
                self.is_dead = true;
                return None;
            }
        }
        // SAFETY: any word is a number; a job's is its task.
        let task = u32::try_from(unsafe { event.user_data.u64 }).ok()?;
        self.in_flight = self.in_flight.saturating_sub(1);
        Some(Ended { task, is_copied: result == RawError::SUCCESS })
    }

    /// Asks for a call when a job ends: the file that it comes by.
    pub(super) fn arm(&self) -> Option<c_int> {
        let handle = self.event?;
        // SAFETY: the queue is alive and this thread's.
        let armed = unsafe { (self.functions.doca_workq_event_handle_arm)(self.workq.as_ptr()) };
        (armed == RawError::SUCCESS).then_some(handle)
    }

    /// Takes the call away, if it came.
    pub(super) fn clear(&self, handle: c_int) {
        // SAFETY: the queue is alive and this thread's, and the file is its. A call that stays comes too early.
        let _ = unsafe { (self.functions.doca_workq_event_handle_clear)(self.workq.as_ptr(), handle) };
    }

    pub(super) fn is_dead(&self) -> bool {
        self.is_dead
    }

    pub(super) fn close(&mut self) -> Result<(), DocaError> {
        if self.is_closed {
            return Ok(());
        }
        let (functions, ctx) = (self.functions, self.core.ctx());
        if self.is_queued {
            self.drain()?;
            // SAFETY: the queue is the context's, and nothing is in flight.
            let removed = unsafe { (functions.doca_ctx_workq_rm)(ctx, self.workq.as_ptr()) };
            checked("take a work queue from its context", removed)?;
            self.is_queued = false;
        }
        if self.is_started {
            match self.core.stop() {
                // It has stopped of its own accord.
                RawError::BAD_STATE => {}
                result => checked("stop a DMA context", result)?,
            }
            self.is_started = false;
        }
        if self.has_device {
            // SAFETY: the context is stopped, and the device is its.
            let removed = unsafe { (functions.doca_ctx_dev_rm)(ctx, self.core.device.as_ptr()) };
            checked("take the device from a context", removed)?;
            self.has_device = false;
        }
        self.core.destroy()?;
        self.is_closed = true;
        // SAFETY: the queue is nobody's, and forgotten afterwards.
        checked("destroy a work queue", unsafe { (functions.doca_workq_destroy)(self.workq.as_ptr()) })
    }

    /// Fetches the events of what is in flight.
    fn drain(&mut self) -> Result<(), DocaError> {
        let begin = Instant::now();
        while self.in_flight > 0 {
            let _ = self.poll();
            if begin.elapsed() > DRAIN_TIME {
                return Err(DocaError::InFlight { count: self.in_flight });
            }
        }
        Ok(())
    }
}
