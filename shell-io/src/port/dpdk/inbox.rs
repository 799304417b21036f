//! Frames on their way from one core to another: a bounded ring of DPDK's.

use std::ffi::{CString, c_int};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};

use kv_core::port::{BURST_COUNT_MAX, Burst, Holds};

use super::eal;
use super::error::{DpdkOpenError, cause};
use super::frame::DpdkFrame;
use super::pool::NO_VIEWS;

/// Places of an inbox, of which one stays free; a power of two. It holds a client's window of 1024 requests.
const PLACE_COUNT: u32 = 2048;

static INBOX_COUNT: AtomicU32 = AtomicU32::new(0);

/// Frames for one core, put in by any and taken out by that one.
#[derive(Debug)]
pub(super) struct Inbox {
    /// Never freed, as little as pools are.
    ring: NonNull<dpdk_sys::rte_ring>,
}

// SAFETY: any thread may put frames in; that one takes them out is what [`Inbox::take`] asks for.
unsafe impl Send for Inbox {}
// SAFETY: as above.
unsafe impl Sync for Inbox {}

impl Inbox {
    /// An empty one at the given memory node.
    pub(super) fn new(node: c_int) -> Result<Self, DpdkOpenError> {
        let number = INBOX_COUNT.fetch_add(1, Ordering::Relaxed);
        let name = CString::new(format!("dpukv-inbox-{number}")).unwrap_or_default();
        // SAFETY: DPDK has started, since there is a device; the name ends with NUL and is copied.
        let ring =
            unsafe { dpdk_sys::rte_ring_create(name.as_ptr(), PLACE_COUNT, node, dpdk_sys::DPUKV_RING_MANY_TO_ONE) };
        let ring = NonNull::new(ring);
        let ring =
            ring.ok_or_else(|| DpdkOpenError::Memory { count: PLACE_COUNT, len: 8, cause: cause(eal::errno()) })?;
        Ok(Self { ring })
    }

    /// Puts a frame in. That its header checksum was left to the device is forgotten.
    ///
    /// # Errors
    /// The frame, when the inbox is full.
    pub(super) fn put<H: Holds<DpdkFrame>>(&self, held: H) -> Result<(), H> {
        let frame = held.frame();
        let mut mbuf = frame.as_ptr();
        // SAFETY: the mbuf is the frame's alone and in one piece.
        unsafe { dpdk_sys::dpukv_mbuf_set_len(mbuf, frame.finish().len) };
        // SAFETY: the ring lives as long as the process, takes pointers from any thread, and there is one.
        if unsafe { dpdk_sys::dpukv_ring_enqueue(self.ring.as_ptr(), &raw mut mbuf, 1) } == 0 {
            return Err(held);
        }
        // The inbox owns the mbuf now.
        std::mem::forget(held.into_frame());
        Ok(())
    }

    /// Takes frames out until none is left or `into` is full. `can_offload` is of the device by which they leave.
    ///
    /// # Safety
    /// No other thread takes frames out of this inbox at the same time.
    pub(super) unsafe fn take(&self, into: &mut Burst<DpdkFrame>, can_offload: bool) {
        let (mut mbufs, mut views) = ([ptr::null_mut(); BURST_COUNT_MAX], NO_VIEWS);
        // SAFETY: there is room for that many pointers, and the caller is the only one that takes.
        let count = unsafe { dpdk_sys::dpukv_ring_dequeue(self.ring.as_ptr(), mbufs.as_mut_ptr(), into.room() as u32) };
        for (mbuf, view) in mbufs.iter().zip(&mut views).take(count as usize) {
            let Some(mbuf) = NonNull::new(*mbuf) else { continue };
            // SAFETY: the pointer was put in as that of a live mbuf.
            unsafe { dpdk_sys::dpukv_mbuf_view(mbuf.as_ptr(), view) };
            // SAFETY: it was put in as that of a frame, whose owner has forgotten it, and the view is its own.
            let frame = unsafe { DpdkFrame::new(mbuf, view, can_offload) };
            // No more were taken than there is room for.
            drop(into.push(frame));
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        loop {
            let mut left = Burst::new();
            // SAFETY: nobody else has the inbox any more.
            unsafe { self.take(&mut left, false) };
            if left.is_empty() {
                return;
            }
        }
    }
}
