//! The header of a slot and what it guards.

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::SlotError;

/// Length of a slot's header, in bytes.
pub const SLOT_HEADER_LEN: usize = 16;

/// Longest slot, in bytes. A full body of either direction and its run header fit.
pub const SLOT_LEN_MAX: usize = 128 * 1024;

/// Where in a slot the bytes that the checksum covers begin: behind the checksum.
const CHECKED_FROM: usize = 4;

/// The header as it is written.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct WireHeader {
    crc: U32,
    len: U32,
    sequence: U32,
    credit: U32,
}
const _: () = assert!(size_of::<WireHeader>() == SLOT_HEADER_LEN);

/// What the checksum is seeded with (W-Q-1).
#[derive(Clone, Copy, Debug, IntoBytes, Immutable)]
#[repr(C)]
struct Seed {
    queue_pair: U32,
    epoch: U32,
    index: U32,
}

/// What a writer says of a slot beside its runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotStamp {
    /// The queue pair. Not written: both sides know it.
    pub queue_pair: u32,
    /// The life of the queue pair. Not written: both sides know it.
    pub epoch: u32,
    /// Which slot of the ring. Not written: both sides know it.
    pub index: u32,
    /// 1 for the first slot of an epoch, then one more each, wrapping.
    pub sequence: u32,
    /// How many slots of the opposite ring the writer has taken out in this epoch, wrapping.
    pub credit: u32,
}

/// A slot's header, unchecked: good for deciding whether the slot is worth a copy, and for nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotHeader {
    /// The checksum.
    pub crc: u32,
    /// Bytes used, the header included.
    pub len: u32,
    /// The slot's number.
    pub sequence: u32,
    /// See [`SlotStamp::credit`].
    pub credit: u32,
}

impl SlotHeader {
    /// The header in the first two words of a slot; a word is its 8 bytes read as a little-endian number. A reader that
    /// polls needs the second word only, for [`sequence`](Self::sequence).
    pub const fn from_words(words: [u64; 2]) -> Self {
        let [first, second] = words;
        Self { crc: first as u32, len: (first >> 32) as u32, sequence: second as u32, credit: (second >> 32) as u32 }
    }
}

/// A slot that is what its reader waited for, unchanged since it was sealed.
#[derive(Clone, Copy, Debug)]
pub struct OpenSlot<'a> {
    /// See [`SlotStamp::credit`]. The reader still checks that it does not exceed what it has sent.
    pub credit: u32,
    runs: &'a [u8],
}

impl<'a> OpenSlot<'a> {
    /// The bytes of the runs, for [`request_runs`](super::request_runs) or [`response_runs`](super::response_runs).
    pub const fn runs(&self) -> &'a [u8] {
        self.runs
    }
}

/// Writes the header of a slot of `len` bytes, whose runs are in place behind it.
///
/// `None` when `len` is shorter than the header or longer than `slot`. `slot` is memory of the writer's own, from which it
/// is then copied into the ring.
pub fn seal(slot: &mut [u8], len: usize, stamp: &SlotStamp) -> Option<()> {
    let slot = slot.get_mut(..len)?;
    let (header, _) = WireHeader::mut_from_prefix(slot).ok()?;
    header.len = U32::new(u32::try_from(len).ok()?);
    header.sequence = U32::new(stamp.sequence);
    header.credit = U32::new(stamp.credit);
    let crc = checksum(slot, stamp.queue_pair, stamp.epoch, stamp.index)?;
    U32::new(crc).write_to_prefix(slot).ok()
}

/// Checks a copy of a slot: that it is number `sequence`, in its place, complete and unchanged.
///
/// `slot` may be longer than the slot's content, and is memory that nobody else writes: what was checked has to be what is
/// used.
///
/// # Errors
/// [`SlotError::Sequence`], [`SlotError::Len`] or [`SlotError::Checksum`]. All three also appear while a copy arrives.
pub fn open(slot: &[u8], queue_pair: u32, epoch: u32, index: u32, sequence: u32) -> Result<OpenSlot<'_>, SlotError> {
    let len_max = slot.len();
    let (header, _) =
        WireHeader::read_from_prefix(slot).map_err(|_| SlotError::Len { len: SLOT_HEADER_LEN, len_max })?;
    if header.sequence.get() != sequence {
        return Err(SlotError::Sequence { expected: sequence, got: header.sequence.get() });
    }
    let len = header.len.get() as usize;
    let wrong_len = SlotError::Len { len, len_max };
    let slot = slot.get(..len).ok_or(wrong_len)?;
    let runs = slot.get(SLOT_HEADER_LEN..).ok_or(wrong_len)?;
    let crc = checksum(slot, queue_pair, epoch, index).ok_or(wrong_len)?;
    if crc != header.crc.get() {
        return Err(SlotError::Checksum);
    }
    Ok(OpenSlot { credit: header.credit.get(), runs })
}

/// The checksum that a slot should have (W-Q-1). `None` when it has no place for one.
///
/// One of the three seeding numbers alone being another always gives another sum, because CRC32C finds every change
/// within 32 bits in a row.
fn checksum(slot: &[u8], queue_pair: u32, epoch: u32, index: u32) -> Option<u32> {
    let seed = Seed { queue_pair: U32::new(queue_pair), epoch: U32::new(epoch), index: U32::new(index) };
    Some(arch::crc32c(arch::crc32c(0, seed.as_bytes()), slot.get(CHECKED_FROM..)?))
}
