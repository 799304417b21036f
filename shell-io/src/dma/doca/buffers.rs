//! An engine's buffers: one piece of memory, mapped once, in equal parts.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::any::Any;
use std::fmt;
use std::ptr::NonNull;
use std::rc::Rc;
use std::slice;
use std::sync::Arc;

use super::device::Device;
use super::error::DocaError;
use super::memory_map::{Local, MemoryMap};
use crate::memory::PAGE_LEN;
use crate::pool::{Pool, Pooled};

/// Zeroed pages, freed with the value.
struct Pages {
    base: NonNull<u8>,
    layout: Layout,
}

// SAFETY: the value only owns the pages. Who may touch which part, `Part` says.
unsafe impl Send for Pages {}
// SAFETY: as above.
unsafe impl Sync for Pages {}

impl Pages {
    fn new(len: usize) -> Option<Self> {
        let layout = Layout::from_size_align(len.checked_next_multiple_of(PAGE_LEN)?, PAGE_LEN).ok()?;
        if layout.size() == 0 {
            return None;
        }
        // SAFETY: the size is not 0.
        let base = unsafe { alloc_zeroed(layout) };
        Some(Self { base: NonNull::new(base)?, layout })
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: they were allocated with this layout, and nobody has them any more: parts and the map hold the value.
        unsafe { dealloc(self.base.as_ptr(), self.layout) };
    }
}

/// One buffer's bytes. Whoever has the value may read and write them, and nobody else; while a copy is in flight, that
/// is the device, and the engine, which has the value then, does not look.
#[derive(Debug)]
struct Part {
    base: NonNull<u8>,
    len: usize,
}

impl Default for Part {
    fn default() -> Self {
        Self { base: NonNull::dangling(), len: 0 }
    }
}

/// All buffers of an engine.
pub(super) struct Buffers {
    map: MemoryMap<Local>,
    pages: Arc<Pages>,
    pool: Rc<Pool<Part>>,
}

impl Buffers {
    /// `count` buffers of `len` bytes, a multiple of 64.
    pub(super) fn new(device: &Arc<Device>, len: usize, count: usize) -> Result<Self, DocaError> {
        let impossible = || DocaError::Range { what: "buffers", offset: 0, len, room: 0 };
        let total = len.checked_mul(count).filter(|_| len.is_multiple_of(64)).ok_or_else(impossible)?;
        let pages = Arc::new(Pages::new(total).ok_or_else(impossible)?);
        let memory: Arc<dyn Any + Send + Sync> = Arc::<Pages>::clone(&pages);
        // SAFETY: the pages are whole ones and stay where they are; a part is looked at by nobody while a copy has it.
        let map = unsafe { MemoryMap::local(device, pages.base, pages.layout.size(), memory) }?;
        let part = |index: usize| {
            // SAFETY: the index is below the count, so the part is inside the pages.
            let base = unsafe { pages.base.add(index * len) };
            Part { base, len }
        };
        let pool = Pool::new((0..count).map(part).collect());
        Ok(Self { map, pages, pool })
    }

    pub(super) fn map(&self) -> &MemoryMap<Local> {
        &self.map
    }

    pub(super) fn take(&self) -> Option<DocaBuf> {
        Some(DocaBuf { part: self.pool.take()?, _pages: Arc::clone(&self.pages) })
    }

    /// Keeps the memory for ever, since a device may still write it.
    pub(super) fn leak(&self) {
        std::mem::forget(Arc::clone(&self.pages));
    }
}

impl fmt::Debug for Buffers {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Buffers").field("map", &self.map).field("pool", &self.pool).finish_non_exhaustive()
    }
}

/// A buffer of a [`DocaEngine`](super::DocaEngine), aligned to 64 bytes. Dropping it gives it back.
pub struct DocaBuf {
    part: Pooled<Part>,
    /// Buffers may outlive their engine.
    _pages: Arc<Pages>,
}

impl DocaBuf {
    /// Where it begins.
    pub(super) fn address(&self) -> usize {
        self.part.get().base.as_ptr().expose_provenance()
    }

    /// Its length, without a look at its bytes.
    pub(super) fn len(&self) -> usize {
        self.part.get().len
    }
}

impl AsRef<[u8]> for DocaBuf {
    fn as_ref(&self) -> &[u8] {
        let Part { base, len } = self.part.get();
        // SAFETY: the bytes are initialised pages that live as long as the buffer; whoever has the buffer has them.
        unsafe { slice::from_raw_parts(base.as_ptr(), *len) }
    }
}

impl AsMut<[u8]> for DocaBuf {
    fn as_mut(&mut self) -> &mut [u8] {
        let Part { base, len } = self.part.get_mut();
        // SAFETY: as above, and the buffer is borrowed mutably.
        unsafe { slice::from_raw_parts_mut(base.as_ptr(), *len) }
    }
}

impl fmt::Debug for DocaBuf {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("DocaBuf").field("len", &self.len()).finish_non_exhaustive()
    }
}
