//! Memory of ours that a peer process maps: what a DMA engine reaches, for two processes on one machine.
//!
//! A region is an unnamed file in memory. Its owner makes it and sends a [`RegionDescriptor`] to the peer, who opens
//! the file through `/proc` and maps it. The file's length is sealed, so that neither side can take pages away from
//! the other, and it lives until both have let it go or are dead: writing to the region of a dead peer is harmless.
//!
//! ```text
//! offset  size      content
//! 0       8         magic, "DPUKVRGN"
//! 8       8         version
//! 16      8         nonce, random
//! 24      8         data_len in bytes, a multiple of 64
//! 64      4         doorbell (see `dma::Doorbell`), alone in its cache line
//! 4096    data_len  data, zero at first, then whatever the two agree on
//! ```
//!
//! Words are in the byte order of the machine, the same for both.
//!
//! The head is read once, when the region is opened. Nothing that the peer changes there later is believed.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use kv_core::dma::COPY_ALIGN;
use rustix::fs::{FallocateFlags, MemfdFlags, Mode, OFlags, SealFlags, fallocate, fcntl_add_seals, memfd_create, open};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use super::descriptor::{RegionDescriptor, VERSION, is_data_len};
use super::mapping::{Mapping, PAGE_LEN};
use crate::dma::Doorbell;

const MAGIC: u64 = u64::from_ne_bytes(*b"DPUKVRGN");

/// Length of the head. A page, so that data is aligned to pages.
const HEAD_LEN: usize = PAGE_LEN;

const DOORBELL_OFFSET: usize = 64;

/// Words of the head, in their order.
#[derive(Clone, Copy)]
#[repr(usize)]
enum HeadWord {
    Magic,
    Version,
    Nonce,
    DataLen,
}

/// A region could not be made.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot make {len} bytes of shared memory: {cause}; make the queue pairs smaller, or \
     raise the limit of this process"
)]
pub struct RegionCreateError {
    /// Bytes asked for.
    pub len: usize,
    /// What the kernel says.
    pub cause: io::Error,
}

/// Why a peer's region could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum RegionOpenError {
    /// There is no such process.
    #[error(
        "process {pid} is gone, or hidden in another container: start it again; both processes must run on this \
         machine and see each other's process ids"
    )]
    ProcessGone {
        /// The peer's process id.
        pid: u32,
    },
    /// The process has no such file.
    #[error(
        "process {pid} does not have the shared memory that it announced: it has let go of it, or \
         another program runs under its id; connect again"
    )]
    NoFile {
        /// The peer's process id.
        pid: u32,
    },
    /// We may not open it.
    #[error("the memory of process {pid} is not accessible: {cause}; run both processes as the same user")]
    NotPermitted {
        /// The peer's process id.
        pid: u32,
        /// What the kernel says.
        cause: io::Error,
    },
    /// The file is something else, or shorter than announced, or its length is not sealed.
    #[error(
        "what process {pid} announced as shared memory is not a region of this length: connect \
         again, with the same release on both sides"
    )]
    NotARegion {
        /// The peer's process id.
        pid: u32,
    },
    /// The region was made by another version of the program.
    #[error(
        "the shared memory of process {pid} has version {got}, but this program knows version \
         {VERSION}: run the same release on both sides"
    )]
    Version {
        /// The peer's process id.
        pid: u32,
        /// The version that its region states.
        got: u64,
    },
    /// The region is another one than that announced.
    #[error("process {pid} has another region than it announced: it was started anew; connect again")]
    OtherRegion {
        /// The peer's process id.
        pid: u32,
    },
    /// The kernel refuses to map it.
    #[error("cannot map {len} bytes of process {pid}: {cause}; raise the memory limit of this process")]
    Map {
        /// The peer's process id.
        pid: u32,
        /// Bytes to map.
        len: usize,
        /// What the kernel says.
        cause: io::Error,
    },
}

/// A mapped region, our own or a peer's. Share it with an `Arc`: it is unmapped when the last user is gone.
pub struct Region {
    mapping: Mapping,
    descriptor: RegionDescriptor,
    /// The owner keeps the file open, because the peer opens it through this process. The peer itself needs it no
    /// longer than it takes to map it.
    _file: Option<OwnedFd>,
}

impl Region {
    /// Makes a region with `len` bytes of data, rounded up to 64, all zero.
    ///
    /// # Errors
    /// [`RegionCreateError`], when `len` is 0 or beyond 2^40, or there is not as much memory.
    pub fn create(len: usize) -> Result<Self, RegionCreateError> {
        Self::try_create(len).map_err(|errno| RegionCreateError { len, cause: errno.into() })
    }

    fn try_create(len: usize) -> Result<Self, Errno> {
        let data_len = len.checked_next_multiple_of(COPY_ALIGN).ok_or(Errno::INVAL)?;
        if !is_data_len(data_len as u64) {
            return Err(Errno::INVAL);
        }
        let file = memfd_create("dpukv", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC)?;
        let file_len = file_len(data_len);
        // Takes the memory now, and says so when there is none; a page that is missing later would kill the process.
        fallocate(&file, FallocateFlags::empty(), 0, file_len as u64)?;
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        let mapping = Mapping::shared(&file, file_len)?;
        let descriptor = RegionDescriptor {
            pid: process::id(),
            fd: u32::try_from(file.as_raw_fd()).map_err(|_| Errno::BADF)?,
            nonce: random()?,
            data_len: data_len as u64,
        };
        let region = Self { mapping, descriptor, _file: Some(file) };
        region.head(HeadWord::Version).store(VERSION.into(), Ordering::Relaxed);
        region.head(HeadWord::Nonce).store(descriptor.nonce, Ordering::Relaxed);
        region.head(HeadWord::DataLen).store(descriptor.data_len, Ordering::Relaxed);
        // The peer hears of the region after this, through the kernel; no order is needed among these.
        region.head(HeadWord::Magic).store(MAGIC, Ordering::Relaxed);
        Ok(region)
    }

    /// Maps the region that a peer process has made.
    ///
    /// # Errors
    /// [`RegionOpenError`]: the peer is gone, not reachable, or not what it was when it sent the descriptor.
    pub fn open(descriptor: &RegionDescriptor) -> Result<Self, RegionOpenError> {
        let (descriptor, pid) = (*descriptor, descriptor.pid);
        let file = open_file(pid, descriptor.fd)?;
        let len = file_len(descriptor.data_len());
        let mapping = Mapping::shared(&file, len).map_err(|errno| match errno {
            Errno::INVAL => RegionOpenError::NotARegion { pid },
            errno => RegionOpenError::Map { pid, len, cause: errno.into() },
        })?;
        let region = Self { mapping, descriptor, _file: None };
        let head = |word| region.head(word).load(Ordering::Relaxed);
        if head(HeadWord::Magic) != MAGIC {
            return Err(RegionOpenError::NotARegion { pid });
        }
        if head(HeadWord::Version) != u64::from(VERSION) {
            return Err(RegionOpenError::Version { pid, got: head(HeadWord::Version) });
        }
        if head(HeadWord::Nonce) != descriptor.nonce {
            return Err(RegionOpenError::OtherRegion { pid });
        }
        if head(HeadWord::DataLen) != descriptor.data_len {
            return Err(RegionOpenError::NotARegion { pid });
        }
        Ok(region)
    }

    /// What a peer needs to open this region.
    pub fn descriptor(&self) -> RegionDescriptor {
        self.descriptor
    }

    /// The data. Both processes may change it at any time.
    pub fn data(&self) -> &[AtomicU64] {
        let first = HEAD_LEN / size_of::<AtomicU64>();
        &self.mapping.words()[first..first + self.data_len() / size_of::<AtomicU64>()]
    }

    /// Length of the data in bytes, a multiple of 64.
    pub fn data_len(&self) -> usize {
        self.descriptor.data_len()
    }

    /// What wakes the core that owns the region.
    pub fn doorbell(&self) -> Doorbell<'_> {
        Doorbell::new(self.mapping.half_word(DOORBELL_OFFSET))
    }

    fn head(&self, word: HeadWord) -> &AtomicU64 {
        &self.mapping.words()[word as usize]
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region").field("descriptor", &self.descriptor).finish_non_exhaustive()
    }
}

/// Length of the file of a region, at most `DATA_LEN_MAX` and two pages.
fn file_len(data_len: usize) -> usize {
    HEAD_LEN + data_len.next_multiple_of(PAGE_LEN)
}

fn random() -> Result<u64, Errno> {
    let mut bytes = [0; 8];
    // The kernel gives up to 256 bytes at once, or nothing.
    getrandom(&mut bytes, GetRandomFlags::empty())?;
    Ok(u64::from_ne_bytes(bytes))
}

fn open_file(pid: u32, fd: u32) -> Result<OwnedFd, RegionOpenError> {
    // Whatever a wrong descriptor names, opening it must not block and must not make a terminal ours.
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    open(format!("/proc/{pid}/fd/{fd}"), flags, Mode::empty()).map_err(|errno| match errno {
        Errno::ACCESS | Errno::PERM => RegionOpenError::NotPermitted { pid, cause: errno.into() },
        _ if !Path::new(&format!("/proc/{pid}")).exists() => RegionOpenError::ProcessGone { pid },
        _ => RegionOpenError::NoFile { pid },
    })
}

#[cfg(test)]
mod tests;
