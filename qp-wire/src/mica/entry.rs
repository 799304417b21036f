//! What requests and responses have in common: a batch header, and entries with padded keys and values.

use core::iter;

use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::PAYLOAD_LEN_MIN;
use crate::DropReason;
use crate::limits::{DATAGRAM_LEN_MAX, KEY_LEN_MAX};
use crate::short_copy::copy;

/// Keys and values are filled up to a multiple of this, in bytes.
const ALIGNMENT: usize = 8;
const _: () = assert!(ALIGNMENT.is_power_of_two());
/// The lower bits of kv_length_vec, which hold the value's length.
const VALUE_LEN_BITS: u32 = 24;

/// The fixed part of a payload, 6 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct BatchHeader {
    magic: u8,
    pub(super) num_requests: u8,
    reserved: [u8; 4],
}
const _: () = assert!(size_of::<BatchHeader>() == 6);

impl BatchHeader {
    pub(super) fn new(magic: u8, num_requests: u8) -> Self {
        // Rule W-C-26: MICA2 leaves garbage in the reserved bytes; nothing of our memory leaves this way.
        Self { magic, num_requests, reserved: [0; 4] }
    }

    /// Writes a batch header to the start of `payload`, which every writer has made sure to be long enough.
    pub(super) fn put(payload: &mut [u8], magic: u8, num_requests: u8) {
        if let Ok((header, _)) = Self::mut_from_prefix(payload) {
            *header = Self::new(magic, num_requests);
        }
    }
}

/// The fixed part of an entry, 24 bytes, little-endian.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct EntryHeader {
    pub(super) operation: u8,
    pub(super) result: u8,
    reserved0: [u8; 2],
    kv_length_vec: U32,
    pub(super) key_hash: U64,
    pub(super) opaque: U32,
    reserved1: [u8; 4],
}
const _: () = assert!(size_of::<EntryHeader>() == 24);

impl EntryHeader {
    fn new(head: &Head, kv_length_vec: u32) -> Self {
        Self {
            operation: head.operation,
            result: head.result,
            // Rule W-C-26, here and below.
            reserved0: [0; 2],
            kv_length_vec: U32::new(kv_length_vec),
            key_hash: U64::new(head.key_hash),
            opaque: U32::new(head.opaque),
            reserved1: [0; 4],
        }
    }

    pub(super) fn key_len(&self) -> usize {
        (self.kv_length_vec.get() >> VALUE_LEN_BITS) as usize
    }

    pub(super) fn value_len(&self) -> usize {
        (self.kv_length_vec.get() & ((1 << VALUE_LEN_BITS) - 1)) as usize
    }

    /// Length of key and value with their pads.
    fn body_len(&self) -> usize {
        padded(self.key_len()) + padded(self.value_len())
    }

    /// Length of the entry as a whole.
    pub(super) fn entry_len(&self) -> usize {
        size_of::<Self>() + self.body_len()
    }
}

/// The parts of an entry that vary.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) operation: u8,
    pub(super) result: u8,
    pub(super) key_hash: u64,
    pub(super) opaque: u32,
}

/// An entry as it lies in a payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) header: &'a EntryHeader,
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
}

impl<'a> Entry<'a> {
    /// The entry at the start of `bytes`, and what follows it; `None` if it is not all there (rules W-C-23 and W-C-25).
    fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (header, rest) = EntryHeader::ref_from_prefix(bytes).ok()?;
        let (body, rest) = rest.split_at_checked(header.body_len())?;
        let value = body.get(padded(header.key_len())..)?;
        Some((Self { header, key: body.get(..header.key_len())?, value: value.get(..header.value_len())? }, rest))
    }

    /// Length of an entry on the wire, in bytes; `None` for a key or value that no payload holds.
    fn encoded_len(key_len: usize, value_len: usize) -> Option<usize> {
        if key_len > KEY_LEN_MAX || value_len > DATAGRAM_LEN_MAX {
            return None;
        }
        Some(size_of::<EntryHeader>() + padded(key_len) + padded(value_len))
    }

    /// Writes an entry to the start of `into` and returns its length. `None`, and nothing written, if it does not fit.
    pub(super) fn put(into: &mut [u8], head: &Head, key: &[u8], value: &[u8]) -> Option<usize> {
        let len = Self::encoded_len(key.len(), value.len())?;
        let (header, rest) = into.get_mut(..len)?.split_at_mut_checked(size_of::<EntryHeader>())?;
        let rest = put_padded(rest, key)?;
        put_padded(rest, value)?;
        put_header(header, head, key.len(), value.len())?;
        Some(len)
    }

    /// Writes an entry without a key to the start of `place`, with a copy of the value, which is that of a datagram.
    /// `None` if it does not fit.
    #[inline]
    pub(super) fn put_response(place: &mut [u8], head: &Head, value: &[u8]) -> Option<()> {
        let (header, rest) = EntryHeader::mut_from_prefix(place).ok()?;
        put_padded(rest, value)?;
        *header = EntryHeader::new(head, value.len() as u32);
        Some(())
    }

    /// Makes an entry without a key around `value_len` bytes that are in their place already, behind that of the header,
    /// and returns its length. `None`, and nothing written, if it does not fit.
    pub(super) fn put_around(into: &mut [u8], head: &Head, value_len: usize) -> Option<usize> {
        let len = Self::encoded_len(0, value_len)?;
        let (header, value) = into.get_mut(..len)?.split_at_mut_checked(size_of::<EntryHeader>())?;
        let pad = value.get_mut(value_len..)?;
        if !pad.is_empty() {
            pad.fill(0);
        }
        put_header(header, head, 0, value_len)?;
        Some(len)
    }
}

fn put_header(into: &mut [u8], head: &Head, key_len: usize, value_len: usize) -> Option<()> {
    let kv_length_vec = u32::try_from(key_len << VALUE_LEN_BITS | value_len).ok()?;
    EntryHeader::new(head, kv_length_vec).write_to(into).ok()
}

/// `len` rounded up to what it takes on the wire. `len` is at most 2^24, so nothing overflows.
///
/// By a mask, since each look at an entry rounds twice: `next_multiple_of` takes a branch and three times as many
/// instructions.
#[inline]
pub(super) fn padded(len: usize) -> usize {
    (len + (ALIGNMENT - 1)) & !(ALIGNMENT - 1)
}

/// `room` rounded down: the longest value that fits it with its pad.
pub(super) fn unpadded(room: usize) -> usize {
    room - room % ALIGNMENT
}

fn put_padded<'b>(into: &'b mut [u8], bytes: &[u8]) -> Option<&'b mut [u8]> {
    let (with_pad, rest) = into.split_at_mut_checked(padded(bytes.len()))?;
    let (place, pad) = with_pad.split_at_mut_checked(bytes.len())?;
    copy(place, bytes);
    if !pad.is_empty() {
        pad.fill(0);
    }
    Some(rest)
}

/// The entries of a payload that was validated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entries<'a> {
    rest: &'a [u8],
    /// How many are left.
    pub(super) count: u8,
}

impl<'a> Entries<'a> {
    /// Splits a payload into its magic and its entries, which are still to be checked.
    ///
    /// Length and magic come first, because a payload with another magic is not an ill-formed one of ours.
    pub(super) fn split(
        payload: &'a [u8],
        magic: impl FnOnce(u8) -> Result<(), DropReason>,
    ) -> Result<Self, DropReason> {
        // Rule W-C-20.
        if payload.len() < PAYLOAD_LEN_MIN {
            return Err(DropReason::Short);
        }
        if payload.len() > DATAGRAM_LEN_MAX {
            return Err(DropReason::Long);
        }
        let (header, rest) = BatchHeader::ref_from_prefix(payload).map_err(|_| DropReason::Short)?;
        magic(header.magic)?;
        Ok(Self { rest, count: header.num_requests })
    }

    /// The entries of a payload that was checked before; none if it is too short for any.
    pub(super) fn after_header(payload: &'a [u8]) -> Self {
        BatchHeader::ref_from_prefix(payload)
            .map_or(Self { rest: &[], count: 0 }, |(header, rest)| Self { rest, count: header.num_requests })
    }

    /// The last `count` of the entries of such a payload, with which `bytes` begin.
    pub(super) fn last(bytes: &'a [u8], count: u8) -> Self {
        Self { rest: bytes, count }
    }

    /// Checks that there are as many entries as announced, each of them whole and `good`, and nothing else.
    ///
    /// Whether an entry is good, its header says: keys and values are not looked at.
    pub(super) fn check(self, mut good: impl FnMut(&EntryHeader) -> bool) -> Result<Self, DropReason> {
        let mut rest = self.rest;
        for _ in 0..self.count {
            // Rule W-C-23.
            let (header, behind) = EntryHeader::ref_from_prefix(rest).map_err(|_| DropReason::Malformed)?;
            rest = behind.get(header.body_len()..).ok_or(DropReason::Malformed)?;
            if !good(header) {
                return Err(DropReason::Malformed);
            }
        }
        // Rules W-C-22 and W-C-24. Where none is announced, all that there is lies behind the last one.
        if rest.is_empty() { Ok(self) } else { Err(DropReason::Malformed) }
    }

    /// The headers of the entries, without a look at keys and values.
    pub(super) fn headers(self) -> impl Iterator<Item = &'a EntryHeader> {
        let mut rest = self.rest;
        iter::from_fn(move || {
            let (header, behind) = EntryHeader::ref_from_prefix(rest).ok()?;
            rest = behind.get(header.body_len()..)?;
            Some(header)
        })
        .take(self.count.into())
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let left = self.count.checked_sub(1)?;
        let (entry, rest) = Entry::split(self.rest)?;
        *self = Self { rest, count: left };
        Some(entry)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count.into(), Some(self.count.into()))
    }
}
