//! Memory for tables.
//!
//! A table is read at random places, so with pages of 4 KiB nearly every access also misses the CPU's cache of page
//! addresses. Huge pages avoid that. They are a matter of speed only: when there are none, the memory is ordinary, and
//! [`TableMemory::pages`] says so.

use std::fs;
use std::io;
use std::sync::atomic::AtomicU64;

use kv_core::dma::COPY_ALIGN;

use super::mapping::{HUGE_PAGE_LEN, Mapping};

/// Where the kernel says whether it gives huge pages to those who ask.
const TRANSPARENT_HUGE_PAGES: &str = "/sys/kernel/mm/transparent_hugepage/enabled";

/// Whether to ask for huge pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HugePages {
    /// Do not ask.
    Off,
    /// Take reserved ones, or else transparent ones, or else ordinary pages.
    #[default]
    Try,
}

/// What pages a [`TableMemory`] got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageKind {
    /// Ordinary ones, as far as we can tell.
    Ordinary,
    /// The kernel was asked and gives huge ones where it finds any.
    TransparentHuge,
    /// Huge ones that the administrator set aside (`vm.nr_hugepages`).
    ReservedHuge,
}

/// There is not as much memory.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot allocate {bytes} bytes for the store: {cause}; give it less memory, or raise the limit of this process"
)]
pub struct AllocateError {
    /// What was asked for.
    pub bytes: usize,
    /// What the kernel says.
    pub cause: io::Error,
}

/// Memory of this process, zero at first, given back when it is dropped. It begins at a multiple of the page size.
#[derive(Debug)]
pub struct TableMemory {
    mapping: Mapping,
    word_count: usize,
    pages: PageKind,
}

impl TableMemory {
    /// Takes `bytes` of memory, rounded up to 64, from the kernel. Pages are fetched as they are first used, so memory
    /// that a table does not use yet costs nothing.
    ///
    /// # Errors
    /// [`AllocateError`], when the kernel has no address range or no commitment for it. Missing huge pages are no
    /// error.
    pub fn allocate(bytes: usize, huge_pages: HugePages) -> Result<Self, AllocateError> {
        let fail = |cause: io::Error| AllocateError { bytes, cause };
        let word_count =
            bytes.checked_next_multiple_of(COPY_ALIGN).ok_or_else(|| fail(io::ErrorKind::OutOfMemory.into()))?
                / size_of::<AtomicU64>();
        // Less than one huge page would be rounded up to one, many times what was asked for.
        let (mapping, pages) = if huge_pages == HugePages::Off || bytes < HUGE_PAGE_LEN {
            (Mapping::anonymous(bytes).map_err(|errno| fail(errno.into()))?, PageKind::Ordinary)
        } else if let Ok(mapping) = Mapping::reserved_huge(bytes) {
            (mapping, PageKind::ReservedHuge)
        } else {
            let mapping = Mapping::huge_aligned(bytes).map_err(|errno| fail(errno.into()))?;
            let is_given = mapping.advise_huge().is_ok() && gives_transparent_huge_pages();
            (mapping, if is_given { PageKind::TransparentHuge } else { PageKind::Ordinary })
        };
        Ok(Self { mapping, word_count, pages })
    }

    /// The memory.
    pub fn words(&self) -> &[AtomicU64] {
        &self.mapping.words()[..self.word_count]
    }

    /// What pages it consists of.
    pub fn pages(&self) -> PageKind {
        self.pages
    }
}

/// The kernel accepts the advice even where an administrator has turned huge pages off.
fn gives_transparent_huge_pages() -> bool {
    fs::read_to_string(TRANSPARENT_HUGE_PAGES).is_ok_and(|choices| !choices.contains("[never]"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn memory_is_zero_aligned_and_as_long_as_asked() {
        let lens = [1, 64, 65, 4096, HUGE_PAGE_LEN - 1, HUGE_PAGE_LEN, 3 * HUGE_PAGE_LEN + 1];
        for huge_pages in [HugePages::Off, HugePages::Try] {
            for len in lens {
                let memory = TableMemory::allocate(len, huge_pages).expect("memory");
                assert_eq!(memory.words().len() * 8, len.next_multiple_of(64));
                assert_eq!(memory.words().as_ptr().addr() % 64, 0);
                assert!(memory.words().iter().step_by(512).all(|word| word.load(Ordering::Relaxed) == 0));
                let last = memory.words().last().expect("a word");
                last.store(u64::MAX, Ordering::Relaxed);
                assert_eq!(last.load(Ordering::Relaxed), u64::MAX);
                let is_huge = memory.pages() != PageKind::Ordinary;
                assert!(!is_huge || memory.words().as_ptr().addr().is_multiple_of(HUGE_PAGE_LEN));
                assert!(!is_huge || (huge_pages == HugePages::Try && len >= HUGE_PAGE_LEN));
            }
        }
    }

    #[test]
    fn too_much_memory_is_an_error_that_says_how_much() {
        for huge_pages in [HugePages::Off, HugePages::Try] {
            for bytes in [usize::MAX, usize::MAX / 2] {
                let error = TableMemory::allocate(bytes, huge_pages).expect_err("more than there is");
                assert_eq!(error.bytes, bytes);
                assert!(error.to_string().contains(&bytes.to_string()));
            }
        }
    }

    #[test]
    fn nothing_asked_for_is_nothing_given() {
        let memory = TableMemory::allocate(0, HugePages::Try).expect("no memory");
        assert!(memory.words().is_empty());
    }
}
