//! Generation 2: progress engines, tasks and callbacks.

use std::cell::Cell;
use std::ffi::c_int;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::{Duration, Instant};

use doca_sys::{
    ACCESS_LOCAL_READ_WRITE, ACCESS_PCI_READ_WRITE, CTX_IDLE, CTX_RUNNING, Data, DevInfo, Mmap, Pe, PeFunctions,
    RawError, SharedFunctions, Task, TaskMemcpy,
};

use super::context::{CompletionMode, Core, Ended, Ends, Submitted, given_handle};
use super::device::{Device, Found, Limits, PciAddress, listed};
use super::error::{DocaError, checked};
use super::memory_map::Access;

/// How long a context that stops is given to hand back what it has: a thousand times as long as a copy takes, and short
/// beside the silence after which a side counts as dead.
const STOP_TIME: Duration = Duration::from_millis(20);

/// Characters of a PCI address, with NUL.
const ADDRESS_LEN: usize = 13;

/// Does something with the list of devices, which ends then.
pub(super) fn with_list<T>(
    functions: &PeFunctions,
    act: impl FnOnce(&[Found]) -> Result<T, DocaError>,
) -> Result<T, DocaError> {
    let (mut list, mut count) = (ptr::null_mut(), 0);
    // SAFETY: both pointers are ours for the call.
    checked("list devices", unsafe { (functions.doca_devinfo_create_list)(&raw mut list, &raw mut count) })?;
    // SAFETY: the list has so many elements; an empty one may be no list at all.
    let found = unsafe { listed(list, count, |info| address_of(functions, info)) };
    let result = act(&found);
    // SAFETY: the list is alive; what was found in it is not used afterwards.
    checked("give the list of devices back", unsafe { (functions.doca_devinfo_destroy_list)(list) })?;
    result
}

fn address_of(functions: &PeFunctions, info: NonNull<DevInfo>) -> Option<PciAddress> {
    // Twice as long as it is known to be.
    let mut text = [0u8; 2 * ADDRESS_LEN];
    // SAFETY: the device's list is alive, and there is room.
    let result = unsafe { (functions.doca_devinfo_get_pci_addr_str)(info.as_ptr(), text.as_mut_ptr().cast()) };
    result.ok().ok()?;
    PciAddress::parse(str::from_utf8(text.split(|byte| *byte == 0).next()?).ok()?)
}

/// What a device of a list can.
pub(super) fn limits(functions: &PeFunctions, info: NonNull<DevInfo>) -> Limits {
    let info = info.as_ptr();
    let (mut copy_len_max, mut export, mut import) = (0, 0, 0);
    // SAFETY: the device's list is alive.
    let copies = unsafe { (functions.doca_dma_cap_task_memcpy_is_supported)(info) };
    // SAFETY: as above, and the pointer is ours for the call.
    let len = unsafe { (functions.doca_dma_cap_task_memcpy_get_max_buf_size)(info, &raw mut copy_len_max) };
    // SAFETY: as above.
    let exports = unsafe { (functions.doca_mmap_cap_is_export_pci_supported)(info, &raw mut export) };
    // SAFETY: as above.
    let imports = unsafe { (functions.doca_mmap_cap_is_create_from_export_pci_supported)(info, &raw mut import) };
    Limits {
        copy_len_max: if len == RawError::SUCCESS { copy_len_max } else { 0 },
        can_copy: copies == RawError::SUCCESS,
        can_export: exports == RawError::SUCCESS && export != 0,
        can_import: imports == RawError::SUCCESS && import != 0,
    }
}

/// Gives a new map its memory and starts it.
///
/// # Safety
/// The map is new; the range is mapped memory that stays and that a device may write.
pub(super) unsafe fn start_map(
    functions: &PeFunctions,
    shared: &SharedFunctions,
    device: &Device,
    mmap: NonNull<Mmap>,
    (base, len): (NonNull<u8>, usize),
    access: Access,
) -> Result<(), DocaError> {
    let mmap = mmap.as_ptr();
    let access = match access {
        Access::Local => ACCESS_LOCAL_READ_WRITE,
        // The side's own engine writes its window too, where responses are pulled.
        Access::Peer => ACCESS_LOCAL_READ_WRITE | ACCESS_PCI_READ_WRITE,
    };
    // SAFETY: the map is new and the device is open.
    checked("add the device to a memory map", unsafe { (functions.doca_mmap_add_dev)(mmap, device.as_ptr()) })?;
    // SAFETY: the map is not started.
    checked("set a memory map's permissions", unsafe { (functions.doca_mmap_set_permissions)(mmap, access) })?;
    // SAFETY: the caller vouches for the range.
    let set = unsafe { (functions.doca_mmap_set_memrange)(mmap, base.as_ptr().cast(), len) };
    checked("give memory to a memory map", set)?;
    // SAFETY: the map has a device and a range.
    checked("start a memory map", unsafe { (shared.doca_mmap_start)(mmap) })
}

/// DOCA's descriptor of a started map.
pub(super) fn export(functions: &PeFunctions, device: &Device, mmap: NonNull<Mmap>) -> Result<Vec<u8>, DocaError> {
    let (mut desc, mut len) = (ptr::null(), 0);
    // SAFETY: the map is started, the device is one of its, and both pointers are ours for the call.
    let exported =
        unsafe { (functions.doca_mmap_export_pci)(mmap.as_ptr(), device.as_ptr(), &raw mut desc, &raw mut len) };
    checked("export memory", exported)?;
    // SAFETY: the descriptor belongs to the map, which is not stopped before the bytes are copied.
    Ok(unsafe { std::slice::from_raw_parts(desc.cast::<u8>(), len) }.to_vec())
}

/// What callbacks leave for the engine. They run inside calls for progress, on the engine's thread.
#[derive(Debug)]
struct Told {
    ended: Box<[Cell<Ended>]>,
    count: Cell<usize>,
}

impl Told {
    fn new(task_count: usize) -> Self {
        let none = Ended { task: 0, is_copied: false };
        Self { ended: (0..task_count).map(|_| Cell::new(none)).collect(), count: Cell::new(0) }
    }

    /// A task ends once, so there is room; what a device tells twice is left out.
    fn push(&self, ended: Ended) {
        if let Some(place) = self.ended.get(self.count.get()) {
            place.set(ended);
            self.count.set(self.count.get() + 1);
        }
    }

    fn pop(&self) -> Option<Ended> {
        let last = self.count.get().checked_sub(1)?;
        self.count.set(last);
        self.ended.get(last).map(Cell::get)
    }
}

unsafe extern "C" fn on_done(_: *mut TaskMemcpy, task_data: Data, ctx_data: Data) {
    // SAFETY: tasks and context have these words since they were made.
    unsafe { tell(task_data, ctx_data, true) };
}

unsafe extern "C" fn on_failed(_: *mut TaskMemcpy, task_data: Data, ctx_data: Data) {
    // SAFETY: as above.
    unsafe { tell(task_data, ctx_data, false) };
}

/// Leaves a task's end for the engine.
///
/// # Safety
/// The words are those of a context of this module and of its task.
unsafe fn tell(task_data: Data, ctx_data: Data, is_copied: bool) {
    // SAFETY: a task's word is its number.
    let task = unsafe { task_data.u64 } as u32;
    // SAFETY: a context's word is a pointer.
    let told = unsafe { ctx_data.ptr }.cast::<Told>();
    // SAFETY: it points to what the context owns, outlives DOCA's part of it, and is only shared.
    let told = unsafe { &*told };
    told.push(Ended { task, is_copied });
}

/// A started context with its progress engine and its tasks.
#[derive(Debug)]
pub(super) struct Context {
    functions: PeFunctions,
    core: Core,
    pe: NonNull<Pe>,
    /// Its address is the context's word, so it stays where it is.
    told: Box<Told>,
    tasks: Vec<NonNull<TaskMemcpy>>,
    /// The file that becomes readable when a task ends, if it was asked for.
    event: Option<c_int>,
    is_connected: bool,
    is_closed: bool,
    is_dead: bool,
}

impl Context {
    /// Opens and starts a context with a task for each of `ends`.
    pub(super) fn open(device: &Arc<Device>, functions: &PeFunctions, ends: &[Ends]) -> Result<Self, DocaError> {
        let unexpected = |step| DocaError::Refused { step, cause: RawError::UNEXPECTED };
        let (mut dma, mut pe) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the pointer is ours for the call.
        checked("make a progress engine", unsafe { (functions.doca_pe_create)(&raw mut pe) })?;
        let pe = NonNull::new(pe).ok_or_else(|| unexpected("make a progress engine"))?;
        // SAFETY: the device is open, and the pointer is ours for the call.
        let created = unsafe { (functions.doca_dma_create)(device.as_ptr(), &raw mut dma) };
        let dma = NonNull::new(dma).ok_or_else(|| unexpected("make a DMA context"));
        let dma = checked("make a DMA context", created).and(dma).inspect_err(|_| {
            // SAFETY: nothing is connected to it. What it says would change nothing.
            let _ = unsafe { (functions.doca_pe_destroy)(pe.as_ptr()) };
        })?;
        let mut context = Self {
            functions: *functions,
            core: Core { device: Arc::clone(device), dma },
            pe,
            told: Box::new(Told::new(ends.len())),
            tasks: Vec::with_capacity(ends.len()),
            event: None,
            is_connected: false,
            is_closed: false,
            is_dead: false,
        };
        match context.start(ends) {
            Ok(()) => Ok(context),
            Err(error) => {
                // The first error is the one that says what is wrong.
                let _ = context.close();
                Err(error)
            }
        }
    }

    fn start(&mut self, ends: &[Ends]) -> Result<(), DocaError> {
        let (functions, ctx, dma) = (self.functions, self.core.ctx(), self.core.dma.as_ptr());
        let task_count = ends.len() as u32;
        // SAFETY: both are alive, and not connected.
        checked("connect a DMA context", unsafe { (functions.doca_pe_connect_ctx)(self.pe.as_ptr(), ctx) })?;
        self.is_connected = true;
        if self.core.device.completion() == CompletionMode::Event {
            let mut handle = -1;
            // SAFETY: the progress engine is alive, and the pointer is ours for the call.
            let got = unsafe { (functions.doca_pe_get_notification_handle)(self.pe.as_ptr(), &raw mut handle) };
            self.event = Some(given_handle("get an event", got, handle)?);
        }
        let mut task_max = 0;
        // SAFETY: the context is alive, and the pointer is ours for the call.
        checked("ask for limits", unsafe { (functions.doca_dma_cap_get_max_num_tasks)(dma, &raw mut task_max) })?;
        if task_count > task_max {
            return Err(DocaError::Refused { step: "have as many copies in flight", cause: RawError::TOO_BIG });
        }
        // SAFETY: the context is not started; both functions have the signature that it calls.
        let set = unsafe { (functions.doca_dma_task_memcpy_set_conf)(dma, on_done, on_failed, task_count) };
        checked("set up copies", set)?;
        let word = Data { ptr: (&raw const *self.told).cast_mut().cast() };
        // SAFETY: the context is not started.
        checked("set a context's word", unsafe { (functions.doca_ctx_set_user_data)(ctx, word) })?;
        self.core.start()?;
        for (number, ends) in (0..).zip(ends) {
            self.tasks.push(self.new_task(number, ends)?);
        }
        Ok(())
    }

    fn new_task(&self, number: u64, ends: &Ends) -> Result<NonNull<TaskMemcpy>, DocaError> {
        let mut task = ptr::null_mut();
        let (src, dst) = ends.of(true);
        let word = Data { u64: number };
        let dma = self.core.dma.as_ptr();
        // SAFETY: the context runs, both buffers are alive, and the pointer is ours for the call.
        let made = unsafe {
            (self.functions.doca_dma_task_memcpy_alloc_init)(dma, src.as_ptr(), dst.as_ptr(), word, &raw mut task)
        };
        const STEP: &str = "make a task";
        checked(STEP, made)?;
        NonNull::new(task).ok_or(DocaError::Refused { step: STEP, cause: RawError::UNEXPECTED })
    }

    pub(super) fn submit(&mut self, task: u32, ends: &Ends, is_push: bool) -> Submitted {
        let Some(task) = self.tasks.get(task as usize).map(|task| task.as_ptr()) else {
            return Submitted::Refused(RawError::NOT_FOUND);
        };
        let (src, dst) = ends.of(is_push);
        // SAFETY: the task is ours and not in flight, and the buffer is alive.
        unsafe { (self.functions.doca_dma_task_memcpy_set_src)(task, src.as_ptr()) };
        // SAFETY: as above.
        unsafe { (self.functions.doca_dma_task_memcpy_set_dst)(task, dst.as_ptr()) };
        let task = self.as_task(task);
        // SAFETY: the task is ours and not in flight, on the thread of its context.
        match unsafe { (self.functions.doca_task_submit)(task) } {
            RawError::SUCCESS => Submitted::Taken,
            RawError::AGAIN | RawError::NO_MEMORY => Submitted::Full,
            error => {
                self.is_dead = !self.is_in(CTX_RUNNING);
                Submitted::Refused(error)
            }
        }
    }

    pub(super) fn poll(&mut self) -> Option<Ended> {
        let ended = self.told.pop().or_else(|| {
            self.progress();
            self.told.pop()
        });
        if ended.is_some_and(|ended| !ended.is_copied) {
            // A failed copy may have taken the context with it.
            self.is_dead |= !self.is_in(CTX_RUNNING);
        }
        ended
    }

    /// Asks for a call when a task ends: the file that it comes by.
    pub(super) fn arm(&self) -> Option<c_int> {
        let handle = self.event?;
        // SAFETY: the progress engine is alive and this thread's.
        let armed = unsafe { (self.functions.doca_pe_request_notification)(self.pe.as_ptr()) };
        (armed == RawError::SUCCESS).then_some(handle)
    }

    /// Takes the call away, if it came.
    pub(super) fn clear(&self, handle: c_int) {
        // SAFETY: the progress engine is alive and this thread's, and the file is its. A call that stays comes too early.
        let _ = unsafe { (self.functions.doca_pe_clear_notification)(self.pe.as_ptr(), handle) };
    }

    pub(super) fn is_dead(&self) -> bool {
        self.is_dead
    }

    pub(super) fn close(&mut self) -> Result<(), DocaError> {
        if self.is_closed {
            return Ok(());
        }
        if self.is_connected && !self.is_in(CTX_IDLE) {
            self.stop()?;
        }
        self.free_tasks();
        self.core.destroy()?;
        self.is_closed = true;
        // SAFETY: its only context is gone, and it is forgotten afterwards.
        checked("destroy a progress engine", unsafe { (self.functions.doca_pe_destroy)(self.pe.as_ptr()) })
    }

    /// Stops the context and waits until it has handed back what it had.
    fn stop(&self) -> Result<(), DocaError> {
        match self.core.stop() {
            RawError::SUCCESS | RawError::IN_PROGRESS => {}
            // It is on its way already, of its own accord.
            RawError::BAD_STATE if !self.is_in(CTX_RUNNING) => {}
            error => checked("stop a DMA context", error)?,
        }
        let begin = Instant::now();
        while !self.is_in(CTX_IDLE) {
            if begin.elapsed() > STOP_TIME {
                return Err(DocaError::Refused { step: "stop a DMA context in time", cause: RawError::TIME_OUT });
            }
            self.progress();
        }
        Ok(())
    }

    fn free_tasks(&mut self) {
        for task in std::mem::take(&mut self.tasks) {
            let task = self.as_task(task.as_ptr());
            // SAFETY: a context that is idle has no task in flight; each is freed once.
            unsafe { (self.functions.doca_task_free)(task) };
        }
    }

    fn as_task(&self, task: *mut TaskMemcpy) -> *mut Task {
        // SAFETY: the task is alive.
        unsafe { (self.functions.doca_dma_task_memcpy_as_task)(task) }
    }

    fn progress(&self) {
        // SAFETY: the progress engine is alive and this thread's. Callbacks only touch `told`, which is shared.
        let _ = unsafe { (self.functions.doca_pe_progress)(self.pe.as_ptr()) };
    }

    fn is_in(&self, wanted: u32) -> bool {
        let mut state = 0;
        // SAFETY: the context is alive, and the pointer is ours for the call.
        let known = unsafe { (self.functions.doca_ctx_get_state)(self.core.ctx(), &raw mut state) };
        known == RawError::SUCCESS && state == wanted
    }
}
