//! What an engine asks of either generation.

use std::ffi::c_int;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use doca_sys::{Buf, BufInventory, Ctx, Dma, Generation, RawError};
use rustix::event::{PollFd, PollFlags, poll};

use super::device::Device;
use super::error::{DocaError, checked};
use super::{pe, workq};

/// How an engine waits for its copies when it has looked for ended ones and found none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompletionMode {
    /// Not at all: its core does other work and looks again.
    Poll,
    /// It looks again and again.
    Block,
    /// Its core sleeps until the device calls.
    Event,
}

/// What becomes of a copy that is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Submitted {
    /// It is on its way.
    Taken,
    /// The queue is full: later.
    Full,
    /// It is not possible, and the context may be of no more use.
    Refused(RawError),
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    /// Its number.
    pub(super) task: u32,
    /// Whether the bytes are copied.
    pub(super) is_copied: bool,
}

/// The two ends of a task's copy: a part of the engine's buffers, and a part of the window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub(super) local: NonNull<Buf>,
    pub(super) window: NonNull<Buf>,
}

impl Ends {
    /// Source and destination of a copy.
    pub(super) fn of(&self, is_push: bool) -> (NonNull<Buf>, NonNull<Buf>) {
        if is_push { (self.local, self.window) } else { (self.window, self.local) }
    }
}

/// A DMA context with its queue, of the generation that the library has.
#[derive(Debug)]
pub(super) enum Context {
    Workq(workq::Context),
    Pe(pe::Context),
}

impl Context {
    /// Opens and starts a context with a task for each of `ends`; set-up is locked.
    pub(super) fn open(device: &Arc<Device>, ends: &[Ends]) -> Result<Self, DocaError> {
        match device.library().generation() {
            Generation::Workq(functions) => workq::Context::open(device, functions, ends).map(Self::Workq),
            Generation::Pe(functions) => pe::Context::open(device, functions, ends).map(Self::Pe),
        }
    }

    /// Hands over task `task`, whose ends have their data.
    pub(super) fn submit(&mut self, task: u32, ends: &Ends, is_push: bool) -> Submitted {
        match self {
            Self::Workq(context) => context.submit(task, ends, is_push),
            Self::Pe(context) => context.submit(task, ends, is_push),
        }
    }

    /// A task that has ended, if there is one.
    pub(super) fn poll(&mut self) -> Option<Ended> {
        match self {
            Self::Workq(context) => context.poll(),
            Self::Pe(context) => context.poll(),
        }
    }

    /// Sleeps until a task may have ended, or for this long at most. A task that it finds meanwhile it returns. Without an
    /// event it does not sleep.
    pub(super) fn sleep(&mut self, timeout: Duration) -> Option<Ended> {
        let handle = match self {
            Self::Workq(context) => context.arm(),
            Self::Pe(context) => context.arm(),
        }?;
        // What ended before the device was asked to call, it may not call for.
        let ended = self.poll();
        if ended.is_none() {
            // SAFETY: the file is the context's queue's, which is alive.
            let file = unsafe { BorrowedFd::borrow_raw(handle) };
            let timeout = timeout.try_into().ok();
            // However it ends, the next thing is to look.
            let _ = poll(&mut [PollFd::new(&file, PollFlags::IN)], timeout.as_ref());
        }
        match self {
            Self::Workq(context) => context.clear(handle),
            Self::Pe(context) => context.clear(handle),
        }
        ended
    }

    /// Whether it takes no more tasks.
    pub(super) fn is_dead(&self) -> bool {
        match self {
            Self::Workq(context) => context.is_dead(),
            Self::Pe(context) => context.is_dead(),
        }
    }

    /// Stops the context and takes it down; set-up is locked, and nothing is submitted any more. May be called again after
    /// it failed, and does nothing once it was done.
    pub(super) fn close(&mut self) -> Result<(), DocaError> {
        match self {
            Self::Workq(context) => context.close(),
            Self::Pe(context) => context.close(),
        }
    }
}

/// A file number that DOCA gives out.
pub(super) fn given_handle(step: &'static str, result: RawError, handle: c_int) -> Result<c_int, DocaError> {
    checked(step, result)?;
    if handle < 0 { Err(DocaError::Refused { step, cause: RawError::UNEXPECTED }) } else { Ok(handle) }
}

/// What both generations' contexts have, and the steps of their ends.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) device: Arc<Device>,
    pub(super) dma: NonNull<Dma>,
}

impl Core {
    pub(super) fn ctx(&self) -> *mut Ctx {
        // SAFETY: the DMA object is alive.
        unsafe { (self.device.library().shared().doca_dma_as_ctx)(self.dma.as_ptr()) }
    }

    pub(super) fn start(&self) -> Result<(), DocaError> {
        // SAFETY: the context is alive.
        checked("start a DMA context", unsafe { (self.device.library().shared().doca_ctx_start)(self.ctx()) })
    }

    pub(super) fn stop(&self) -> RawError {
        // SAFETY: the context is alive.
        unsafe { (self.device.library().shared().doca_ctx_stop)(self.ctx()) }
    }

    pub(super) fn destroy(&self) -> Result<(), DocaError> {
        // SAFETY: the context is stopped, and forgotten afterwards.
        let destroyed = unsafe { (self.device.library().shared().doca_dma_destroy)(self.dma.as_ptr()) };
        checked("destroy a DMA context", destroyed)
    }
}

/// A started inventory and what came out of it.
#[derive(Debug)]
pub(super) struct Inventory {
    device: Arc<Device>,
    inventory: NonNull<BufInventory>,
    bufs: Vec<NonNull<Buf>>,
    is_closed: bool,
}

impl Inventory {
    /// An inventory for `count` buffers; set-up is locked.
    pub(super) fn open(device: &Arc<Device>, count: usize) -> Result<Self, DocaError> {
        let library = device.library();
        let mut inventory = ptr::null_mut();
        let created = match library.generation() {
            // SAFETY: no data of ours goes with it, and the pointer is ours for the call.
            Generation::Workq(functions) => unsafe {
                (functions.doca_buf_inventory_create)(
                    ptr::null(),
                    count,
                    doca_sys::BUF_EXTENSION_NONE,
                    &raw mut inventory,
                )
            },
            // SAFETY: the pointer is ours for the call.
            Generation::Pe(functions) => unsafe { (functions.doca_buf_inventory_create)(count, &raw mut inventory) },
        };
        const STEP: &str = "make an inventory of buffers";
        checked(STEP, created)?;
        let inventory =
            NonNull::new(inventory).ok_or(DocaError::Refused { step: STEP, cause: RawError::UNEXPECTED })?;
        let opened = Self { device: Arc::clone(device), inventory, bufs: Vec::with_capacity(count), is_closed: false };
        // SAFETY: the inventory is new.
        checked("start an inventory", unsafe { (library.shared().doca_buf_inventory_start)(inventory.as_ptr()) })?;
        Ok(opened)
    }

    /// A buffer over a range of a map, which outlives the inventory; set-up is locked.
    pub(super) fn take(
        &mut self,
        mmap: *mut doca_sys::Mmap,
        base: usize,
        len: usize,
    ) -> Result<NonNull<Buf>, DocaError> {
        let address = ptr::with_exposed_provenance_mut(base);
        let inventory = self.inventory.as_ptr();
        let mut buf = ptr::null_mut();
        let taken = match self.device.library().generation() {
            // SAFETY: the map is alive and started; DOCA checks that the range is inside.
            Generation::Workq(functions) => unsafe {
                (functions.doca_buf_inventory_buf_by_addr)(inventory, mmap, address, len, &raw mut buf)
            },
            // SAFETY: as above.
            Generation::Pe(functions) => unsafe {
                (functions.doca_buf_inventory_buf_get_by_args)(inventory, mmap, address, len, address, 0, &raw mut buf)
            },
        };
        const STEP: &str = "make a buffer";
        checked(STEP, taken)?;
        let buf = NonNull::new(buf).ok_or(DocaError::Refused { step: STEP, cause: RawError::UNEXPECTED })?;
        self.bufs.push(buf);
        Ok(buf)
    }

    /// Gives all buffers back and destroys the inventory; set-up is locked, and no copy has a buffer.
    pub(super) fn close(&mut self) -> Result<(), DocaError> {
        if std::mem::replace(&mut self.is_closed, true) {
            return Ok(());
        }
        let library = self.device.library();
        let mut result = Ok(());
        for buf in self.bufs.drain(..) {
            let given_back = match library.generation() {
                // SAFETY: the buffer came out of the inventory and goes back once.
                Generation::Workq(functions) => unsafe {
                    (functions.doca_buf_refcount_rm)(buf.as_ptr(), ptr::null_mut())
                },
                // SAFETY: as above.
                Generation::Pe(functions) => unsafe {
                    (functions.doca_buf_dec_refcount)(buf.as_ptr(), ptr::null_mut())
                },
            };
            result = result.and(checked("give a buffer back", given_back));
        }
        let shared = library.shared();
        // SAFETY: the inventory is alive.
        let stopped = unsafe { (shared.doca_buf_inventory_stop)(self.inventory.as_ptr()) };
        result = result.and(checked("stop an inventory", stopped));
        // SAFETY: the inventory is alive, and forgotten afterwards.
        let destroyed = unsafe { (shared.doca_buf_inventory_destroy)(self.inventory.as_ptr()) };
        result.and(checked("destroy an inventory", destroyed))
    }
}
