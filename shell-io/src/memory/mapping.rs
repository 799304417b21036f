//! Pages of this process, as atomic words, until they are dropped.
//!
//! Every pointer to mapped memory is made here. The rest of the crate sees slices of atomics, which other threads, the
//! kernel and, for shared pages, other processes may change at any time.

#![expect(unsafe_code, reason = "mapped memory comes as pointers")]

use std::os::fd::OwnedFd;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicU32, AtomicU64};

use rustix::fs::{SealFlags, fcntl_get_seals, fstat};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, mmap_anonymous, munmap};

/// The unit of memory protection, in bytes: what the smallest pages of x86-64 and of most AArch64 systems have. Where
/// pages are larger, mappings are rounded up by the kernel.
pub(crate) const PAGE_LEN: usize = 4096;

/// Length of a huge page on x86-64, and on AArch64 with pages of 4 KiB.
pub(super) const HUGE_PAGE_LEN: usize = 2 << 20;

/// Readable and writable pages that belong to this value and are unmapped with it.
///
/// # Invariants
/// `base` is aligned to [`PAGE_LEN`]; the `len` bytes from there are mapped, initialised, and used through atomics
/// only, for as long as the value lives. `len` is a multiple of [`PAGE_LEN`] and not 0.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<AtomicU64>,
    len: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread: any thread may unmap it once nobody borrows it.
unsafe impl Send for Mapping {}
// SAFETY: a shared mapping gives out shared references to atomics only, which any thread may use.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Zeroed memory of this process alone. `len` is rounded up to pages; no page is touched before it is used.
    pub(super) fn anonymous(len: usize) -> Result<Self, Errno> {
        map_anonymous(round_up(len, PAGE_LEN)?, MapFlags::PRIVATE)
    }

    /// Zeroed memory in huge pages that the administrator has set aside. `len` is rounded up to huge pages, all of
    /// which are reserved now, so that using them cannot fail later.
    pub(super) fn reserved_huge(len: usize) -> Result<Self, Errno> {
        let len = round_up(len, HUGE_PAGE_LEN)?;
        map_anonymous(len, MapFlags::PRIVATE | MapFlags::HUGETLB | MapFlags::HUGE_2MB)
    }

    /// Zeroed memory that begins at a huge page boundary, so that the kernel can give huge pages for all of it.
    pub(super) fn huge_aligned(len: usize) -> Result<Self, Errno> {
        let len = round_up(len, HUGE_PAGE_LEN)?;
        let slack = map_anonymous(len.checked_add(HUGE_PAGE_LEN).ok_or(Errno::NOMEM)?, MapFlags::PRIVATE)?;
        let before = slack.base.as_ptr().align_offset(HUGE_PAGE_LEN / size_of::<AtomicU64>()) * size_of::<AtomicU64>();
        let (_, rest) = slack.split_at(before);
        let (aligned, _) = rest.ok_or(Errno::NOMEM)?.split_at(len);
        aligned.ok_or(Errno::NOMEM)
    }

    /// The first `len` bytes of a file in memory, shared with every process that maps it. `len` is a multiple of
    /// [`PAGE_LEN`]. All pages are fetched now, so that using them costs no page fault later.
    ///
    /// # Errors
    /// `INVAL` when the file can shrink, or is shorter: then another process could take the pages away under us.
    pub(crate) fn shared(file: &OwnedFd, len: usize) -> Result<Self, Errno> {
        let is_long_enough = usize::try_from(fstat(file)?.st_size).is_ok_and(|file_len| len <= file_len);
        let can_shrink = !fcntl_get_seals(file)?.contains(SealFlags::SHRINK);
        if len == 0 || !len.is_multiple_of(PAGE_LEN) || !is_long_enough || can_shrink {
            return Err(Errno::INVAL);
        }
        // SAFETY: with a null address the kernel chooses pages that nothing of ours uses.
        let base = unsafe {
            mmap(
                ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED | MapFlags::POPULATE,
                file,
                0,
            )
        }?;
        Self::from_kernel(base.cast(), len)
    }

    /// Asks for huge pages. Whether there will be any, the kernel decides as they are used.
    pub(super) fn advise_huge(&self) -> Result<(), Errno> {
        // SAFETY: the range is this mapping; this advice changes neither its content nor its protection.
        unsafe { madvise(self.base.as_ptr().cast(), self.len, Advice::LinuxHugepage) }
    }

    /// All of it.
    pub(crate) fn words(&self) -> &[AtomicU64] {
        // SAFETY: by the invariant the range is mapped, initialised, aligned, and nothing uses it but through atomics;
        // the borrow of `self` keeps it mapped.
        unsafe { slice::from_raw_parts(self.base.as_ptr(), self.len / size_of::<AtomicU64>()) }
    }

    /// The 32-bit word at a byte offset, for waiting on it. Whoever uses it must leave the word of
    /// [`words`](Self::words) that contains it alone: accesses of both sizes to one place are not defined.
    ///
    /// # Panics
    /// When the offset is not a multiple of 4 inside the mapping.
    pub(super) fn half_word(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(size_of::<AtomicU32>()) && offset < self.len, "a half word inside the mapping");
        // SAFETY: the offset is inside the mapping.
        let half_word = unsafe { self.base.as_ptr().byte_add(offset) };
        // SAFETY: four bytes from there are mapped, initialised and aligned, as the offset and the length are multiples
        // of four; nothing uses them but through atomics; the borrow of `self` keeps them mapped.
        unsafe { AtomicU32::from_ptr(half_word.cast()) }
    }

    /// Cuts at a byte offset, a multiple of [`PAGE_LEN`]. An empty part is `None`.
    fn split_at(self, offset: usize) -> (Option<Self>, Option<Self>) {
        let (base, len) = (self.base, self.len);
        if offset == 0 {
            return (None, Some(self));
        }
        if offset >= len {
            return (Some(self), None);
        }
        std::mem::forget(self);
        // SAFETY: the offset is inside the mapping.
        let rest = unsafe { base.byte_add(offset) };
        (Some(Self { base, len: offset }), Some(Self { base: rest, len: len - offset }))
    }

    fn from_kernel(base: *mut AtomicU64, len: usize) -> Result<Self, Errno> {
        Ok(Self { base: NonNull::new(base).ok_or(Errno::NOMEM)?, len })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is whole pages that belong to this value; every reference into it borrowed the value, which
        // nobody can any more.
        let unmapped = unsafe { munmap(self.base.as_ptr().cast(), self.len) };
        // The only other outcome is too many mappings after cutting one in two. The pages stay, which harms nobody.
        debug_assert!(unmapped.is_ok(), "unmapping whole pages of our own");
    }
}

fn map_anonymous(len: usize, flags: MapFlags) -> Result<Mapping, Errno> {
    // SAFETY: with a null address the kernel chooses pages that nothing of ours uses.
    let base = unsafe { mmap_anonymous(ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, flags) }?;
    Mapping::from_kernel(base.cast(), len)
}

/// Rounds up to whole pages, at least one.
fn round_up(len: usize, page_len: usize) -> Result<usize, Errno> {
    len.max(1).checked_next_multiple_of(page_len).ok_or(Errno::NOMEM)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use rustix::fs::{MemfdFlags, fcntl_add_seals, ftruncate, memfd_create};

    use super::*;

    fn file(len: u64, seals: SealFlags) -> OwnedFd {
        let file = memfd_create("test", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC).expect("a file in memory");
        ftruncate(&file, len).expect("its length");
        fcntl_add_seals(&file, seals).expect("its seals");
        file
    }

    #[test]
    fn anonymous_memory_is_zero_and_whole_pages() {
        let mapping = Mapping::anonymous(PAGE_LEN + 1).expect("two pages");
        assert_eq!(mapping.words().len(), 2 * PAGE_LEN / 8);
        assert!(mapping.words().iter().all(|word| word.load(Ordering::Relaxed) == 0));
    }

    #[test]
    fn a_huge_aligned_mapping_begins_where_it_says_and_all_of_it_can_be_written() {
        for len in [1, HUGE_PAGE_LEN, HUGE_PAGE_LEN + 1] {
            let mapping = Mapping::huge_aligned(len).expect("memory");
            assert_eq!(mapping.base.as_ptr().addr() % HUGE_PAGE_LEN, 0);
            assert_eq!(mapping.words().len() * 8, len.next_multiple_of(HUGE_PAGE_LEN));
            let (first, last) = (&mapping.words()[0], &mapping.words()[mapping.words().len() - 1]);
            first.store(1, Ordering::Relaxed);
            last.store(2, Ordering::Relaxed);
            assert_eq!((first.load(Ordering::Relaxed), last.load(Ordering::Relaxed)), (1, 2));
        }
    }

    #[test]
    fn a_length_beyond_the_address_space_is_an_error() {
        assert_eq!(Mapping::anonymous(usize::MAX).err(), Some(Errno::NOMEM));
        assert_eq!(Mapping::anonymous(usize::MAX / 2).err(), Some(Errno::NOMEM));
        assert_eq!(Mapping::huge_aligned(usize::MAX - HUGE_PAGE_LEN).err(), Some(Errno::NOMEM));
    }

    #[test]
    fn two_mappings_of_one_file_are_the_same_memory() {
        let file = file(2 * PAGE_LEN as u64, SealFlags::SHRINK);
        let one = Mapping::shared(&file, 2 * PAGE_LEN).expect("a mapping");
        let other = Mapping::shared(&file, 2 * PAGE_LEN).expect("another one");
        one.words()[600].store(7, Ordering::Relaxed);
        assert_eq!(other.words()[600].load(Ordering::Relaxed), 7);
        one.half_word(68).store(9, Ordering::Relaxed);
        assert_eq!(other.half_word(68).load(Ordering::Relaxed), 9);
    }

    #[test]
    fn a_file_that_can_shrink_or_is_too_short_is_refused() {
        let can_shrink = file(2 * PAGE_LEN as u64, SealFlags::GROW);
        assert_eq!(Mapping::shared(&can_shrink, PAGE_LEN).err(), Some(Errno::INVAL));
        let sealed = file(PAGE_LEN as u64, SealFlags::SHRINK);
        for len in [0, 1, PAGE_LEN - 1, 2 * PAGE_LEN] {
            assert_eq!(Mapping::shared(&sealed, len).err(), Some(Errno::INVAL), "{len}");
        }
        assert!(Mapping::shared(&sealed, PAGE_LEN).is_ok());
    }

    #[test]
    #[should_panic(expected = "a half word inside the mapping")]
    fn a_half_word_outside_the_mapping_is_a_bug() {
        let mapping = Mapping::anonymous(PAGE_LEN).expect("a page");
        mapping.half_word(PAGE_LEN);
    }
}
