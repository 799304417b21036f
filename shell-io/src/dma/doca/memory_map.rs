//! Memory that a device reaches.
//!
//! A map is in one of three states, which is its type: [`Local`], for an engine's own buffers; [`Exported`], for a window
//! that the peer's engine reaches; [`Imported`], for a window of the peer's. Only an exported map has a descriptor, and
//! only the other two are ends of copies, except that a side may also copy into its own window.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use doca_sys::{Generation, Mmap};
use tracing::warn;

use super::device::Device;
use super::error::{DocaError, checked};
use super::export::{EXPORT_LEN_MAX, ExportDescriptor};
use super::{pe, workq};
use crate::memory::Region;

/// Memory of this process for copies of its own.
#[derive(Debug)]
pub enum Local {}

/// Memory of this process that the peer's device reaches.
#[derive(Debug)]
pub enum Exported {}

/// Memory of the peer's.
#[derive(Debug)]
pub enum Imported {}

/// Who may reach a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Local,
    Peer,
}

/// A started map. It keeps the memory and the device; when it cannot be taken down, it keeps them for ever.
pub struct MemoryMap<S> {
    device: Arc<Device>,
    mmap: NonNull<Mmap>,
    /// Where its owner has the memory.
    base: usize,
    len: usize,
    /// The memory, if it is ours.
    memory: Option<Arc<dyn Any + Send + Sync>>,
    _state: PhantomData<S>,
}

// SAFETY: the handle is used under the library's lock only, except by engines, which use buffers in it: those belong to
// one core.
unsafe impl<S> Send for MemoryMap<S> {}
// SAFETY: as above.
unsafe impl<S> Sync for MemoryMap<S> {}

impl<S> MemoryMap<S> {
    pub(super) fn as_ptr(&self) -> *mut Mmap {
        self.mmap.as_ptr()
    }

    /// Where its owner has the memory.
    pub(super) fn base(&self) -> usize {
        self.base
    }

    /// Length of the memory in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no memory, which no map is.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Makes and starts a map of memory that `memory` keeps where it is.
    ///
    /// # Safety
    /// The `len` bytes at `base` are mapped and whole pages of `memory`, and are used as memory that a device writes.
    unsafe fn start(
        device: &Arc<Device>,
        base: NonNull<u8>,
        len: usize,
        memory: Arc<dyn Any + Send + Sync>,
        access: Access,
    ) -> Result<Self, DocaError> {
        let library = device.library();
        let range = (base, len);
        let (mmap, started) = {
            let _setup = library.setup();
            let mut mmap = ptr::null_mut();
            checked("make a memory map", create(device, &raw mut mmap))?;
            let mmap = NonNull::new(mmap).ok_or(UNEXPECTED)?;
            let started = match library.generation() {
                // SAFETY: the map is new, and the caller vouches for the memory.
                Generation::Workq(functions) => unsafe {
                    workq::start_map(functions, library.shared(), device, mmap, range)
                },
                // SAFETY: as above.
                Generation::Pe(functions) => unsafe {
                    pe::start_map(functions, library.shared(), device, mmap, range, access)
                },
            };
            (mmap, started)
        };
        let base = base.as_ptr().expose_provenance();
        let map = Self { device: Arc::clone(device), mmap, base, len, memory: Some(memory), _state: PhantomData };
        // What was made is taken down again.
        started.map(|()| map)
    }

    /// Stops and destroys the map; set-up is locked. Whether the memory is nobody's but ours afterwards.
    fn stop(&self) -> bool {
        let shared = self.device.library().shared();
        // SAFETY: the map is alive. Engines hold it for as long as they have buffers in it.
        let stopped = unsafe { (shared.doca_mmap_stop)(self.mmap.as_ptr()) };
        // SAFETY: as above; nobody uses it afterwards, as it is being dropped.
        let destroyed = unsafe { (shared.doca_mmap_destroy)(self.mmap.as_ptr()) };
        // One that was never started cannot be stopped, but destroyed.
        let Err(error) = checked("destroy a memory map", destroyed) else { return true };
        warn!("{error} (to stop it: {stopped}); {} bytes of memory are not freed", self.len);
        false
    }
}

const UNEXPECTED: DocaError = DocaError::Refused { step: "make a memory map", cause: doca_sys::RawError::UNEXPECTED };

fn create(device: &Device, mmap: *mut *mut Mmap) -> doca_sys::RawError {
    match device.library().generation() {
        // SAFETY: no data of ours goes with the map, and the pointer is ours for the call.
        Generation::Workq(functions) => unsafe { (functions.doca_mmap_create)(ptr::null(), mmap) },
        // SAFETY: the pointer is ours for the call.
        Generation::Pe(functions) => unsafe { (functions.doca_mmap_create)(mmap) },
    }
}

impl MemoryMap<Local> {
    /// Maps memory for copies of this side.
    ///
    /// # Safety
    /// The `len` bytes at `base` are whole pages that `memory` keeps where they are, and nobody has a reference to what a
    /// copy in flight reads or writes.
    pub(super) unsafe fn local(
        device: &Arc<Device>,
        base: NonNull<u8>,
        len: usize,
        memory: Arc<dyn Any + Send + Sync>,
    ) -> Result<Self, DocaError> {
        // SAFETY: as the caller says.
        unsafe { Self::start(device, base, len, memory, Access::Local) }
    }
}

impl MemoryMap<Exported> {
    /// Maps a region, whose data the peer's device then reaches.
    ///
    /// # Errors
    /// [`DocaError`]: DOCA refuses, mostly for want of lockable memory.
    pub fn export(device: &Arc<Device>, region: &Arc<Region>) -> Result<Self, DocaError> {
        let words = region.data();
        let base = NonNull::from(words).cast();
        let memory: Arc<dyn Any + Send + Sync> = Arc::<Region>::clone(region);
        let len = size_of_val(words).next_multiple_of(crate::memory::PAGE_LEN);
        // SAFETY: a region's data begins at a page and is followed by zeroes up to the next one; it is mapped as long as
        // the region lives, and used through atomics only.
        unsafe { Self::start(device, base, len, memory, Access::Peer) }
    }

    /// What the peer needs to import it.
    ///
    /// # Errors
    /// [`DocaError`]: DOCA does not export it, or its own descriptor is longer than any that is known.
    pub fn descriptor(&self) -> Result<Vec<u8>, DocaError> {
        let library = self.device.library();
        let _setup = library.setup();
        let bytes = match library.generation() {
            Generation::Workq(functions) => workq::export(functions, &self.device, self.mmap),
            Generation::Pe(functions) => pe::export(functions, &self.device, self.mmap),
        }?;
        if bytes.len() > EXPORT_LEN_MAX {
            return Err(DocaError::Refused { step: "describe memory in 4 KiB", cause: doca_sys::RawError::TOO_BIG });
        }
        Ok(ExportDescriptor { base: self.base as u64, len: self.len as u64, export: &bytes }.encode())
    }
}

impl MemoryMap<Imported> {
    /// Maps what the peer has described.
    ///
    /// # Errors
    /// [`DocaError`]: the bytes are no descriptor, or DOCA does not know the memory.
    pub fn import(device: &Arc<Device>, descriptor: &[u8]) -> Result<Self, DocaError> {
        let ExportDescriptor { base, len, export } = ExportDescriptor::decode(descriptor)?;
        let (base, len) = (base as usize, len as usize);
        let library = device.library();
        let _setup = library.setup();
        let mut mmap = ptr::null_mut();
        // SAFETY: the descriptor's bytes are there with their length, the device is open, and the pointer is ours.
        let result = unsafe {
            (library.shared().doca_mmap_create_from_export)(
                ptr::null(),
                export.as_ptr().cast(),
                export.len(),
                device.as_ptr(),
                &raw mut mmap,
            )
        };
        checked("reach the other side's memory", result)?;
        let mmap = NonNull::new(mmap).ok_or(UNEXPECTED)?;
        Ok(Self { device: Arc::clone(device), mmap, base, len, memory: None, _state: PhantomData })
    }
}

impl<S> Drop for MemoryMap<S> {
    fn drop(&mut self) {
        let library = Arc::clone(self.device.library());
        let is_ours = {
            let _setup = library.setup();
            self.stop()
        };
        if !is_ours {
            // The device may reach the memory as long as the map is there.
            std::mem::forget(self.memory.take());
            std::mem::forget(Arc::clone(&self.device));
        }
    }
}

impl<S> fmt::Debug for MemoryMap<S> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("MemoryMap").field("base", &self.base).field("len", &self.len).finish_non_exhaustive()
    }
}
