//! One frame: an mbuf that nobody else has.

use std::fmt;
use std::ptr::NonNull;
use std::slice;

use dpdk_sys::{dpukv_finish, dpukv_mbuf_view, rte_mbuf};
use kv_core::port::RawFrame;

/// A whole frame in one piece, in an mbuf of which there is no other owner. Dropping it gives the mbuf back.
pub struct DpdkFrame {
    mbuf: NonNull<rte_mbuf>,
    data: NonNull<u8>,
    room: u16,
    len: u16,
    is_verified: bool,
    /// Whether the device writes IPv4 header checksums if it is asked to.
    can_offload: bool,
    offloads: bool,
}

// SAFETY: an mbuf is memory that any thread may use, one at a time, and its pool is made for giving back from anywhere.
unsafe impl Send for DpdkFrame {}

impl DpdkFrame {
    /// The frame in an mbuf.
    ///
    /// # Safety
    /// The caller owns the mbuf, alone and with all its segments, and there is one segment. The view is its view.
    pub(super) unsafe fn new(mbuf: NonNull<rte_mbuf>, view: &dpukv_mbuf_view, can_offload: bool) -> Self {
        let room = u16::try_from(view.room).unwrap_or(u16::MAX);
        let len = u16::try_from(view.len).unwrap_or(u16::MAX).min(room);
        // No mbuf is without a buffer; a null pointer would have no room.
        let (data, room, len) = NonNull::new(view.data).map_or((NonNull::dangling(), 0, 0), |data| (data, room, len));
        Self { mbuf, data, room, len, is_verified: view.is_verified, can_offload, offloads: false }
    }

    /// The mbuf, which is still the frame's.
    pub(super) fn as_ptr(&self) -> *mut rte_mbuf {
        self.mbuf.as_ptr()
    }

    /// What it is to be when it leaves.
    pub(super) fn finish(&self) -> dpukv_finish {
        dpukv_finish { len: self.len, with_ipv4_checksum: self.offloads }
    }

    /// Says what a device has found of the checksums of its content.
    pub(super) fn set_verified(&mut self, is_verified: bool) {
        self.is_verified = is_verified;
    }

    /// Whether an mbuf can become a frame as it is.
    pub(super) fn is_whole(view: &dpukv_mbuf_view) -> bool {
        view.segment_count == 1 && view.is_own
    }
}

impl Drop for DpdkFrame {
    fn drop(&mut self) {
        // SAFETY: the mbuf is ours alone, and this is the last that is done with it.
        unsafe { dpdk_sys::dpukv_mbuf_free(self.as_ptr()) }
    }
}

impl RawFrame for DpdkFrame {
    fn bytes(&self) -> &[u8] {
        // SAFETY: `data` points to `room` bytes of the mbuf's buffer, which is memory of the process that has been written
        // (the kernel gives it zeroed), belongs to this frame alone, and `len` is not more.
        unsafe { slice::from_raw_parts(self.data.as_ptr(), self.len.into()) }
    }

    fn buf(&mut self) -> &mut [u8] {
        // SAFETY: as for `bytes`; the frame is borrowed mutably.
        unsafe { slice::from_raw_parts_mut(self.data.as_ptr(), self.room.into()) }
    }

    fn set_len(&mut self, len: usize) {
        self.len = u16::try_from(len).map_or(self.room, |len| len.min(self.room));
    }

    fn is_verified(&self) -> bool {
        self.is_verified
    }

    fn offload_ipv4_checksum(&mut self) -> bool {
        self.offloads = self.can_offload;
        self.can_offload
    }
}

impl fmt::Debug for DpdkFrame {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { room, len, is_verified, offloads, .. } = self;
        out.debug_struct("DpdkFrame")
            .field("len", len)
            .field("room", room)
            .field("is_verified", is_verified)
            .field("offloads", offloads)
            .finish_non_exhaustive()
    }
}
