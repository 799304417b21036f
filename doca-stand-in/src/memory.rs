//! Memory of callers, and of other processes.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::ptr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

const PAGE_LEN: u64 = 4096;
const WORD_LEN: usize = size_of::<u64>();

/// Copies bytes between addresses, in words where both are aligned to them, without an order.
///
/// # Safety
/// Both ranges are mapped, the second one writable, and what else uses them at the same time does so as a device's
/// neighbour must: through atomics, or not at all.
pub(crate) unsafe fn copy(from: usize, to: usize, len: usize) {
    let words = if (from | to).is_multiple_of(WORD_LEN) { len / WORD_LEN } else { 0 };
    for index in 0..words {
        let offset = index * WORD_LEN;
        // SAFETY: the caller vouches for the address, which is aligned.
        let source = unsafe { AtomicU64::from_ptr(ptr::with_exposed_provenance_mut(from + offset)) };
        // SAFETY: as above.
        let target = unsafe { AtomicU64::from_ptr(ptr::with_exposed_provenance_mut(to + offset)) };
        target.store(source.load(Ordering::Relaxed), Ordering::Relaxed);
    }
    for offset in words * WORD_LEN..len {
        // SAFETY: the caller vouches for the address.
        let source = unsafe { AtomicU8::from_ptr(ptr::with_exposed_provenance_mut(from + offset)) };
        // SAFETY: as above.
        let target = unsafe { AtomicU8::from_ptr(ptr::with_exposed_provenance_mut(to + offset)) };
        target.store(source.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// A file that an address range of this process is a shared mapping of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backing {
    /// Its number in this process.
    pub(crate) fd: u32,
    /// Where the range begins in it, in bytes.
    pub(crate) offset: u64,
}

impl Backing {
    /// The file behind a range, if there is one that the process keeps open.
    pub(crate) fn find(base: usize, len: usize) -> Option<Self> {
        let maps = fs::read_to_string("/proc/self/maps").ok()?;
        let (offset, inode) = maps.lines().find_map(|line| shared_file_at(line, base, len))?;
        let fd = fs::read_dir("/proc/self/fd").ok()?.filter_map(Result::ok).find_map(|entry| {
            let is_it = fs::metadata(entry.path()).is_ok_and(|file| file.ino() == inode);
            entry.file_name().to_str()?.parse().ok().filter(|_| is_it)
        })?;
        Some(Self { fd, offset })
    }
}

/// From a line of `/proc/self/maps`: the range's offset in a file and the file's number.
fn shared_file_at(line: &str, base: usize, len: usize) -> Option<(u64, u64)> {
    let mut fields = line.split_whitespace();
    let (first, last) = fields.next()?.split_once('-')?;
    let (first, last) = (usize::from_str_radix(first, 16).ok()?, usize::from_str_radix(last, 16).ok()?);
    let is_shared = fields.next()?.ends_with('s');
    let offset = u64::from_str_radix(fields.next()?, 16).ok()?;
    let inode = fields.nth(1)?.parse().ok().filter(|inode| *inode != 0)?;
    let is_inside = first <= base && base.checked_add(len).is_some_and(|end| end <= last);
    (is_shared && is_inside).then(|| (offset + (base - first) as u64, inode))
}

/// A range of another process's memory, mapped here.
#[derive(Debug)]
pub(crate) struct Foreign {
    mapped: usize,
    mapped_len: usize,
    /// Where the range begins here.
    pub(crate) base: usize,
    /// Readable once the owner is dead.
    owner: OwnedFd,
}

impl Foreign {
    /// Maps `len` bytes at an offset of a file that another process has open. `None`: the process or the file is gone.
    pub(crate) fn open(pid: u32, fd: u32, offset: u64, len: usize) -> Option<Self> {
        let owner = pidfd_open(Pid::from_raw(i32::try_from(pid).ok()?)?, PidfdFlags::empty()).ok()?;
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = open(format!("/proc/{pid}/fd/{fd}"), flags, Mode::empty()).ok()?;
        let before = offset % PAGE_LEN;
        let mapped_len = len.checked_add(before as usize)?;
        let end = offset.checked_add(len as u64)?;
        if rustix::fs::fstat(&file).ok()?.st_size < i64::try_from(end).ok()? {
            return None;
        }
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses pages that nothing uses.
        let mapped = unsafe { mmap(ptr::null_mut(), mapped_len, access, MapFlags::SHARED, &file, offset - before) };
        let mapped = mapped.ok()?.expose_provenance();
        Some(Self { mapped, mapped_len, base: mapped + before as usize, owner })
    }

    /// Whether the owner still lives.
    pub(crate) fn is_alive(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(&self.owner, PollFlags::IN)], Some(&now)) == Ok(0)
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        // SAFETY: the pages are this value's own, and whoever copies to them holds the value.
        let unmapped = unsafe { munmap(ptr::with_exposed_provenance_mut(self.mapped), self.mapped_len) };
        debug_assert!(unmapped.is_ok(), "unmapping pages of our own");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_the_file_behind_a_range() {
        let line = "7f0000002000-7f0000006000 rw-s 00001000 00:01 77 /memfd:x (deleted)";
        assert_eq!(shared_file_at(line, 0x7f00_0000_3000, 0x1000), Some((0x2000, 77)));
        assert_eq!(shared_file_at(line, 0x7f00_0000_3000, 0x4000), None);
        assert_eq!(shared_file_at(&line.replace("rw-s", "rw-p"), 0x7f00_0000_3000, 8), None);
    }
}
