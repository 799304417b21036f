//! CRC32C, the checksum of a batch: it finds copies that arrive torn, late or twice.
//!
//! The polynomial is Castagnoli's, 0x1EDC6F41, as in iSCSI (RFC 3720, appendix B.4), since x86-64 and AArch64 have
//! instructions for it. It finds every change of up to 32 bits in a row and misses any other with a probability of
//! 2^-32. It is no defence against somebody who wants two inputs with the same sum.
//!
//! Every implementation keeps the state as the instructions do: bits reflected, and inverted only at the edges.

use crate::imp::native;

/// Castagnoli's polynomial with its bits reflected: the coefficient of x^31 is bit 0.
pub(crate) const POLYNOMIAL: u32 = 0x82F6_3B78;

/// The checksum of `bytes` continued from `seed`: 0 at the start, then the result for what came before.
///
/// `crc32c(crc32c(0, a), b)` is the checksum of `a` followed by `b`. Any other seed binds the checksum to a number
/// that is not among the bytes, such as a slot index: equal bytes under two seeds never have equal sums.
#[inline]
#[must_use]
pub fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    native::crc32c(seed, bytes)
}

/// The checksum of the little-endian bytes of `words`, equal to [`crc32c`] over those bytes.
///
/// For words that were read from shared memory one by one and are not in memory of ours as bytes.
#[inline]
#[must_use]
pub fn crc32c_words(seed: u32, words: &[u64]) -> u32 {
    native::crc32c_words(seed, words)
}

/// Eight bytes of input, in memory or as a number, so that each implementation has one loop for both.
pub(crate) trait Word: Copy {
    /// The bytes as a number, the first one lowest.
    fn value(self) -> u64;
}

impl Word for [u8; 8] {
    #[inline]
    fn value(self) -> u64 {
        u64::from_le_bytes(self)
    }
}

impl Word for u64 {
    #[inline]
    fn value(self) -> u64 {
        self
    }
}
