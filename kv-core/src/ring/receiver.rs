//! The receiving end of a ring: copy once, check the copy, use the copy.

use arch::Tick;
use qp_wire::qp::{OpenSlot, SLOT_HEADER_LEN, SlotHeader, open};

use super::{RingGeometry, RingIdentity};
use crate::sync::{AtomicU64, Ordering};

/// What a look at the next slot found.
#[derive(Debug)]
pub enum Received<'a> {
    /// Nothing yet.
    Empty,
    /// The expected sequence number with a wrong checksum: the slot is still arriving, or was overwritten.
    Torn,
    /// A whole slot, in private memory.
    Slot(OpenSlot<'a>),
}

/// The receiving end of a ring.
///
/// DMA gives no order, so nothing is read with one: the words are loaded relaxed into private memory, and only a copy
/// whose checksum holds is believed. A copy that mixes old and new words fails and is taken again at the next look.
#[derive(Clone, Debug)]
pub struct SlotReceiver {
    ring: RingGeometry,
    identity: RingIdentity,
    pub(super) taken: u32,
    torn_since: Option<Tick>,
}

impl SlotReceiver {
    /// The end of a ring that has carried nothing yet.
    pub fn new(ring: RingGeometry, identity: RingIdentity) -> Self {
        Self { ring, identity, taken: 0, torn_since: None }
    }

    /// How many slots were ever taken out: the credit to send back.
    pub fn taken(&self) -> u32 {
        self.taken
    }

    /// Since when the next slot has been torn at every look.
    pub fn torn_since(&self) -> Option<Tick> {
        self.torn_since
    }

    /// Where the next slot starts, from the ring's beginning, in bytes.
    pub fn next_offset(&self) -> usize {
        self.ring.offset(self.expected())
    }

    /// Looks for the next slot in a ring that starts at the first of `words`.
    ///
    /// `into` is the private memory, at least [`RingGeometry::slot_len`] bytes.
    pub fn receive<'a>(&mut self, words: &[AtomicU64], into: &'a mut [u8], now: Tick) -> Received<'a> {
        let start = self.next_offset() / size_of::<u64>();
        let slot = words.get(start..start + self.ring.slot_len() / size_of::<u64>()).unwrap_or_default();
        let [first, second, ..] = slot else { return Received::Empty };
        // The second word is looked at first: it changes with every slot, and an idle ring costs this one load.
        let second = second.load(Ordering::Relaxed);
        if !self.is_expected(SlotHeader::from_words([0, second])) {
            return Received::Empty;
        }
        let header = SlotHeader::from_words([first.load(Ordering::Relaxed), second]);
        let len = (header.len as usize).clamp(SLOT_HEADER_LEN, self.ring.slot_len());
        let copy_len = len.next_multiple_of(size_of::<u64>());
        let Some(copy) = into.get_mut(..copy_len) else { return Received::Torn };
        for (bytes, word) in copy.as_chunks_mut().0.iter_mut().zip(slot) {
            *bytes = word.load(Ordering::Relaxed).to_le_bytes();
        }
        self.open(copy, now)
    }

    /// Checks a private copy of the next slot, taken by [`receive`](Self::receive) or by a copy engine.
    pub fn open<'a>(&mut self, copy: &'a [u8], now: Tick) -> Received<'a> {
        let sequence = self.expected();
        let RingIdentity { queue_pair, epoch } = self.identity;
        match open(copy, queue_pair, epoch, self.ring.index(sequence), sequence) {
            Ok(slot) => {
                self.taken = sequence;
                self.torn_since = None;
                Received::Slot(slot)
            }
            Err(_) => {
                self.torn_since.get_or_insert(now);
                Received::Torn
            }
        }
    }

    /// Whether a header carries the next slot's sequence number.
    pub fn is_expected(&self, header: SlotHeader) -> bool {
        header.sequence == self.expected()
    }

    fn expected(&self) -> u32 {
        self.taken.wrapping_add(1)
    }
}
