//! The cache line: how long it is, how to keep one to oneself, and how to ask for one early.
//!
//! A key-value store is bound by cache misses. Reads of the table are asked for some requests ahead
//! ([`prefetch_read`]), and what two cores write lies in different lines ([`CachePadded`]), or each write of one would
//! take the line away from the other.

use core::ops::{Deref, DerefMut};

use crate::imp::native;

/// Length of a cache line in bytes, the same on every CPU: layouts in shared memory and in queue pairs are built on
/// it.
///
/// It is the real length on x86-64 (Intel 64 and IA-32 Optimization Reference Manual, section on cache parameters) and
/// on the Cortex-A72 and Cortex-A78AE cores of BlueField-2 and -3 (their Technical Reference Manuals, memory system
/// chapter). On a CPU with longer lines it is still correct, only slower. Two machines of different make read the same
/// bytes, so this is part of the wire format and never follows the CPU.
pub const CACHE_LINE_LEN: usize = 64;

/// Length of what [`CachePadded`] fills, in bytes: two cache lines.
///
/// The spatial prefetcher of Intel CPUs completes an aligned pair of lines (Intel 64 and IA-32 Optimization Reference
/// Manual, "Data Prefetching"), so that two cores which write neighbouring lines still disturb each other. Some
/// AArch64 servers have lines of 128 bytes, which is also what DPDK assumes there.
pub const CACHE_PADDING_LEN: usize = 128;

/// A value alone in its cache lines: no other value shares one, neither before it nor after it.
///
/// Use it for what one core writes and another core reads or writes. Do not use it in layouts that another process or
/// machine reads: those are written down field by field, in units of [`CACHE_LINE_LEN`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(align(128))]
pub struct CachePadded<T> {
    value: T,
}

const _: () = assert!(align_of::<CachePadded<u8>>() == CACHE_PADDING_LEN);
const _: () = assert!(size_of::<CachePadded<u8>>() == CACHE_PADDING_LEN);
const _: () = assert!(CACHE_PADDING_LEN.is_multiple_of(CACHE_LINE_LEN));

impl<T> CachePadded<T> {
    /// Puts `value` into lines of its own.
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self { value }
    }

    /// Takes the value out again.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T> Deref for CachePadded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for CachePadded<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

/// Asks for the cache line in which `line` starts, to read it soon. Returns at once; nothing changes but the caches.
///
/// A value longer than what is left of its line needs a call for each further line. Asking pays when some hundred
/// nanoseconds of other work follow before the read; a hint for a line that is already there costs one instruction.
#[inline]
pub fn prefetch_read<T>(line: &T) {
    native::prefetch_read(line);
}

/// Asks for the cache line in which `line` starts, to write it soon: other cores give up their copies.
///
/// It takes a shared reference, since words of shared memory are written through one. Asking for a line that will only
/// be read takes it away from cores that read it too: use [`prefetch_read`] for that.
#[inline]
pub fn prefetch_write<T>(line: &T) {
    native::prefetch_write(line);
}
