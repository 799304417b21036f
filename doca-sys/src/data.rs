//! Structures and values that cross the interface.

use std::ffi::{c_int, c_void};
use std::fmt;

use super::objects::{Buf, Ctx};

/// `union doca_data`: a word of the caller's, passed by value.
#[derive(Clone, Copy)]
#[repr(C)]
pub union Data {
    /// As a pointer.
    pub ptr: *mut c_void,
    /// As a number.
    pub u64: u64,
}

const _: () = assert!(size_of::<Data>() == 8 && align_of::<Data>() == 8);

impl fmt::Debug for Data {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Data").finish_non_exhaustive()
    }
}

/// `struct doca_job`, generation 1.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Job {
    /// [`JOB_MEMCPY`].
    pub kind: c_int,
    /// [`JOB_FLAGS_NONE`].
    pub flags: c_int,
    /// The context that does it.
    pub ctx: *mut Ctx,
    /// Handed back with the event.
    pub user_data: Data,
}

/// `struct doca_dma_job_memcpy`, generation 1.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct MemcpyJob {
    /// What all jobs have.
    pub base: Job,
    /// Where to.
    pub dst: *mut Buf,
    /// Where from.
    pub src: *const Buf,
}

/// `struct doca_event`, generation 1.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Event {
    /// The kind of job that ended.
    pub kind: c_int,
    /// The job's word.
    pub user_data: Data,
    /// After `IO_FAILED`: why, as a number.
    pub result: Data,
}

const _: () = assert!(size_of::<Job>() == 24 && size_of::<MemcpyJob>() == 40 && size_of::<Event>() == 24);

/// `struct doca_pci_bdf`, generation 1: bus in the upper 8 bits, device in the next 5, function in the lowest 3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PciBdf {
    /// All three.
    pub raw: u16,
}

/// `DOCA_DMA_JOB_MEMCPY`, generation 1.
pub const JOB_MEMCPY: c_int = (1 << 16) + 1;
/// `DOCA_JOB_FLAGS_NONE`, generation 1.
pub const JOB_FLAGS_NONE: c_int = 0;
/// `DOCA_WORKQ_RETRIEVE_FLAGS_NONE`, generation 1.
pub const WORKQ_RETRIEVE_FLAGS_NONE: c_int = 0;
/// `DOCA_BUF_EXTENSION_NONE`, generation 1.
pub const BUF_EXTENSION_NONE: u32 = 0;

/// The context does nothing, generation 2.
pub const CTX_IDLE: u32 = 0;
/// It is about to run, generation 2.
pub const CTX_STARTING: u32 = 1;
/// It takes tasks, generation 2.
pub const CTX_RUNNING: u32 = 2;
/// It takes no more, and hands back those that it has, generation 2.
pub const CTX_STOPPING: u32 = 3;

/// Devices of this machine may read the memory, generation 2.
pub const ACCESS_LOCAL_READ_ONLY: u32 = 0;
/// Devices of this machine may write it too, generation 2.
pub const ACCESS_LOCAL_READ_WRITE: u32 = 1;
/// Devices at the other end of PCIe may read it, generation 2.
pub const ACCESS_PCI_READ_ONLY: u32 = 16;
/// Devices at the other end of PCIe may write it too, generation 2.
pub const ACCESS_PCI_READ_WRITE: u32 = 32;
