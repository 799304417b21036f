//! The two rings of a queue pair, without the engine that copies between them.
//!
//! ```text
//!   DPU core                                             host core
//!   SlotSender ──── request ring, in the host's window ───▶ SlotReceiver
//!   SlotReceiver ◀─ response ring, in the DPU's window ──── SlotSender
//!                   (or in the host's, and pulled)
//! ```
//!
//! A ring is a power of two of slots of one length. The sender fills a buffer, seals it and has it copied to the slot of
//! its sequence number, as long as the receiver has taken enough older slots out; how many it took comes back as a
//! credit in each slot of the opposite ring. The receiver looks at the next slot's header, copies the slot out once and
//! believes the copy only when its checksum holds, which is seeded with queue pair, direction, epoch and slot: a torn
//! slot, an older lap, a slot of another ring and a late write of an earlier epoch all fail.
//!
//! Sequence numbers start at 1 in each epoch, so that zeroed memory is an empty ring. Neither end ever reads back an
//! index of its own from shared memory.

mod geometry;
mod receiver;
mod sender;

pub use geometry::{
    CopySpan, GeometryError, QueuePairGeometry, ResponseWay, RingGeometry, SLOT_COUNT_MAX, SLOT_LEN_MAX, SLOT_LEN_MIN,
};
pub use receiver::{Received, SlotReceiver};
pub use sender::{CreditError, RingIdentity, SealedSlot, SlotSender};

use crate::design::QueuePairId;
use crate::sync::{AtomicU64, Ordering};

/// The identity of a queue pair's request ring.
pub fn request_ring(queue_pair: QueuePairId, epoch: u32) -> RingIdentity {
    RingIdentity { queue_pair: u32::from(queue_pair.0), epoch }
}

/// The identity of a queue pair's response ring.
pub fn response_ring(queue_pair: QueuePairId, epoch: u32) -> RingIdentity {
    RingIdentity { queue_pair: u32::from(queue_pair.0) | 1 << 31, epoch }
}

/// Empties a window, before a new epoch's peer is told of it.
///
/// What an old epoch's engine still writes afterwards fails the checksum of the new one.
pub fn clear(words: &[AtomicU64]) {
    for word in words {
        word.store(0, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
