//! The sending end of a ring: sequence numbers, credits, seals.

use qp_wire::qp::{SlotStamp, seal};

use super::RingGeometry;
use crate::dma::COPY_ALIGN;

/// Names one ring of one queue pair in one epoch. Both ends hold the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingIdentity {
    /// The queue pair, and in bit 31 the direction, so that a request slot is never taken for a response slot.
    pub queue_pair: u32,
    /// The epoch.
    pub epoch: u32,
}

/// A credit that says more slots were taken out than were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreditError {
    /// Slots that were sent.
    pub sent: u32,
    /// Slots that the peer says it has taken out.
    pub taken: u32,
}

/// Where a sealed slot goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedSlot {
    /// From the ring's beginning, in bytes.
    pub offset: usize,
    /// Bytes to copy: the slot's length, rounded up to [`COPY_ALIGN`].
    pub copy_len: usize,
}

/// The sending end of a ring. Counts are free-running and wrap.
#[derive(Clone, Debug)]
pub struct SlotSender {
    ring: RingGeometry,
    identity: RingIdentity,
    pub(super) sent: u32,
    pub(super) taken: u32,
}

impl SlotSender {
    /// The end of a ring that has carried nothing yet.
    pub fn new(ring: RingGeometry, identity: RingIdentity) -> Self {
        Self { ring, identity, sent: 0, taken: 0 }
    }

    /// How many slots may be sealed now.
    pub fn room(&self) -> u32 {
        self.ring.slot_count() - self.in_flight()
    }

    /// How many slots were sent and not yet taken out.
    pub fn in_flight(&self) -> u32 {
        self.sent.wrapping_sub(self.taken)
    }

    /// How many slots were ever sent.
    pub fn sent(&self) -> u32 {
        self.sent
    }

    /// Takes the peer's word that it has taken out `taken` slots in all (rule W-Q-7).
    ///
    /// # Errors
    /// [`CreditError`] when that cannot be; the queue pair is broken then.
    pub fn credit(&mut self, taken: u32) -> Result<(), CreditError> {
        if self.sent.wrapping_sub(taken) > self.in_flight() {
            return Err(CreditError { sent: self.sent, taken });
        }
        self.taken = taken;
        Ok(())
    }

    /// Seals the first `len` bytes of `slot` as the ring's next slot; the header is written over the first bytes.
    ///
    /// `credit` is how many slots of the opposite ring we have taken out. Returns `None`, and sends nothing, when there
    /// is no [`room`](Self::room) or the length does not suit the ring.
    pub fn seal(&mut self, slot: &mut [u8], len: usize, credit: u32) -> Option<SealedSlot> {
        let copy_len = len.checked_next_multiple_of(COPY_ALIGN)?;
        if self.room() == 0 || copy_len > self.ring.slot_len() || copy_len > slot.len() {
            return None;
        }
        let sequence = self.sent.wrapping_add(1);
        let stamp = SlotStamp {
            queue_pair: self.identity.queue_pair,
            epoch: self.identity.epoch,
            index: self.ring.index(sequence),
            sequence,
            credit,
        };
        seal(slot, len, &stamp)?;
        self.sent = sequence;
        Some(SealedSlot { offset: self.ring.offset(sequence), copy_len })
    }
}
