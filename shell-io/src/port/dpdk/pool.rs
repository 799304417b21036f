//! Memory for frames: a pool of mbufs.
//!
//! A pool is never freed. Its buffers may be in a device, in another core's inbox or in a frame that lives longer than
//! its port, and DPDK cannot tell; there is one pool for each core, made at the start.

use std::ffi::{CString, c_int};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};

use kv_core::port::BURST_COUNT_MAX;
use qp_wire::net::HEADERS_LEN;

use super::error::{DpdkOpenError, cause};
use super::frame::DpdkFrame;
use super::{DpdkConfig, eal};

/// Frames that wait in a device in each direction, if it leaves the choice. MICA2 has 128 and 512; a burst of 1024
/// requests, one client's window, is to find room.
pub(super) const DESCRIPTOR_COUNT: u16 = 1024;

/// Free frames that each thread keeps at hand. The most that DPDK allows is 512.
const CACHE_COUNT: u32 = 256;

/// Shortest buffer: what drivers take for granted (`RTE_MBUF_DEFAULT_DATAROOM`).
const DATA_LEN_MIN: usize = 2048;

/// Bytes that an mbuf takes beside its data: itself, and what DPDK's pool puts around it.
const OVERHEAD_LEN: u64 = 256;

/// MiB that DPDK takes for itself.
const OWN_MIB: u64 = 48;

static POOL_COUNT: AtomicU32 = AtomicU32::new(0);

/// A pool of mbufs.
#[derive(Clone, Copy, Debug)]
pub(super) struct FramePool {
    pool: NonNull<dpdk_sys::rte_mempool>,
    size: u32,
}

// SAFETY: pools are made for use by any threads at the same time, and live as long as the process.
unsafe impl Send for FramePool {}
// SAFETY: as above.
unsafe impl Sync for FramePool {}

impl FramePool {
    /// A pool for one core at the given memory node.
    pub(super) fn new(config: &DpdkConfig, node: c_int) -> Result<Self, DpdkOpenError> {
        let (count, len) = (count_of(config), data_len_of(config));
        let number = POOL_COUNT.fetch_add(1, Ordering::Relaxed);
        let name = CString::new(format!("dpukv-{number}")).unwrap_or_default();
        let room = u16::try_from(len).unwrap_or(u16::MAX);
        // SAFETY: DPDK has started, since there is a device; the name ends with NUL and is copied.
        let pool = unsafe { dpdk_sys::rte_pktmbuf_pool_create(name.as_ptr(), count, CACHE_COUNT, 0, room, node) };
        let pool = NonNull::new(pool);
        let pool = pool.ok_or_else(|| DpdkOpenError::Memory { count, len: room.into(), cause: cause(eal::errno()) })?;
        Ok(Self { pool, size: count })
    }

    pub(super) fn as_ptr(self) -> *mut dpdk_sys::rte_mempool {
        self.pool.as_ptr()
    }

    /// How many frames there are in all.
    pub(super) fn size(self) -> usize {
        self.size as usize
    }

    /// How many of them nobody has. Slow.
    pub(super) fn free_count(self) -> usize {
        // SAFETY: the pool lives as long as the process.
        unsafe { dpdk_sys::rte_mempool_avail_count(self.as_ptr()) as usize }
    }

    /// Takes one frame.
    pub(super) fn take_one(self, can_offload: bool) -> Option<DpdkFrame> {
        // SAFETY: the pool lives as long as the process.
        let mbuf = NonNull::new(unsafe { dpdk_sys::dpukv_mbuf_alloc(self.as_ptr()) })?;
        let [mut view, ..] = NO_VIEWS;
        // SAFETY: the mbuf is a live one, and the view is ours for the call.
        unsafe { dpdk_sys::dpukv_mbuf_view(mbuf.as_ptr(), &raw mut view) };
        // SAFETY: a fresh mbuf of the pool is in one piece and nobody else's, and the view is its own.
        Some(unsafe { DpdkFrame::new(mbuf, &view, can_offload) })
    }

    /// Takes `count` frames, at most [`BURST_COUNT_MAX`], or none.
    pub(super) fn take(
        self,
        count: usize,
        into: &mut [*mut dpdk_sys::rte_mbuf; BURST_COUNT_MAX],
        views: &mut Views,
    ) -> bool {
        let count = count.min(BURST_COUNT_MAX) as u32;
        // SAFETY: the pool lives as long as the process; both arrays have room for `count` elements.
        unsafe { dpdk_sys::dpukv_mbuf_alloc_bulk(self.as_ptr(), into.as_mut_ptr(), views.as_mut_ptr(), count) == 0 }
    }
}

/// What is known of a burst of mbufs.
pub(super) type Views = [dpdk_sys::dpukv_mbuf_view; BURST_COUNT_MAX];

/// Nothing known yet.
pub(super) const NO_VIEWS: Views = [dpdk_sys::dpukv_mbuf_view {
    data: ptr::null_mut(),
    room: 0,
    len: 0,
    segment_count: 0,
    is_own: false,
    is_verified: false,
}; BURST_COUNT_MAX];

/// Frames of one core's pool: in the device in either direction, in the core's hands, and in the caches of two threads,
/// which hold half as many again as they are made for.
fn count_of(config: &DpdkConfig) -> u32 {
    config.buffers + 2 * u32::from(DESCRIPTOR_COUNT) + 3 * CACHE_COUNT + 2 * BURST_COUNT_MAX as u32
}

/// The length of a buffer: the longest response is built in the request's.
fn data_len_of(config: &DpdkConfig) -> usize {
    let frame_len = HEADERS_LEN + usize::from(config.payload_len_max);
    frame_len.next_multiple_of(arch::CACHE_LINE_LEN).max(DATA_LEN_MIN) + dpdk_sys::DPUKV_HEADROOM as usize
}

/// MiB that all pools of a configuration take, with what DPDK needs beside them.
pub(super) fn mib_of(config: &DpdkConfig) -> u64 {
    let frames = u64::from(config.core_count) * u64::from(count_of(config));
    OWN_MIB + frames * (data_len_of(config) as u64 + OVERHEAD_LEN) / (1 << 20)
}
