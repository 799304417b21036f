//! Takes a body apart from the front.

use zerocopy::little_endian::U16;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::{BatchError, HEADER_LEN};

/// The bytes that have not been taken yet, and how many there were.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, rest: bytes }
    }

    /// The next `len` bytes.
    pub(super) fn bytes(&mut self, len: usize) -> Result<&'a [u8], BatchError> {
        let got = self.bytes.len();
        let needed = self.taken() + len;
        let (head, rest) = self.rest.split_at_checked(len).ok_or(BatchError::Truncated { needed, got })?;
        self.rest = rest;
        Ok(head)
    }

    /// The fixed part of a body.
    pub(super) fn header<H: FromBytes + Immutable + KnownLayout + Unaligned>(&mut self) -> Result<&'a H, BatchError> {
        const { assert!(size_of::<H>() == HEADER_LEN) };
        let bytes = self.bytes(HEADER_LEN)?;
        H::ref_from_bytes(bytes).map_err(|_| BatchError::Truncated { needed: HEADER_LEN, got: bytes.len() })
    }

    /// The next `count` numbers.
    pub(super) fn numbers(&mut self, count: usize) -> Result<&'a [U16], BatchError> {
        let len = count * size_of::<U16>();
        let bytes = self.bytes(len)?;
        <[U16]>::ref_from_bytes(bytes).map_err(|_| BatchError::Truncated { needed: len, got: bytes.len() })
    }

    /// How many bytes were taken.
    pub(super) const fn taken(&self) -> usize {
        self.bytes.len() - self.rest.len()
    }

    /// What was taken and what was not.
    pub(super) fn finish(self) -> (&'a [u8], &'a [u8]) {
        self.bytes.split_at_checked(self.taken()).unwrap_or((self.bytes, &[]))
    }
}

/// Refuses bytes behind the end of a body (W-B-6).
pub(super) const fn nothing_behind(rest: &[u8]) -> Result<(), BatchError> {
    if rest.is_empty() { Ok(()) } else { Err(BatchError::Trailing { len: rest.len() }) }
}
