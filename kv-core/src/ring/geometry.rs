//! The sizes of a queue pair, agreed at the handshake.

use core::fmt;

use crate::dma::COPY_ALIGN;

/// Most slots of one ring.
pub const SLOT_COUNT_MAX: u32 = 64;

/// Shortest slot, in bytes.
pub const SLOT_LEN_MIN: u32 = 1024;

/// Longest slot, in bytes. Sizes the private copy that each engine takes of a slot.
pub const SLOT_LEN_MAX: u32 = 65536;

/// Why a ring cannot have these sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GeometryError {
    /// Not a power of two from 1 to [`SLOT_COUNT_MAX`].
    SlotCount {
        /// What was asked for.
        got: u32,
    },
    /// Not a multiple of 64 from [`SLOT_LEN_MIN`] to [`SLOT_LEN_MAX`].
    SlotLen {
        /// What was asked for, in bytes.
        got: u32,
    },
}

impl fmt::Display for GeometryError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SlotCount { got } => write!(out, "{got} slots: must be a power of two from 1 to {SLOT_COUNT_MAX}"),
            Self::SlotLen { got } => write!(
                out,
                "slots of {got} bytes: must be a multiple of {COPY_ALIGN} from {SLOT_LEN_MIN} to {SLOT_LEN_MAX}"
            ),
        }
    }
}

impl core::error::Error for GeometryError {}

/// The sizes of one ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingGeometry {
    slot_count: u32,
    slot_len: u32,
}

impl RingGeometry {
    /// A ring of `slot_count` slots of `slot_len` bytes.
    ///
    /// # Errors
    /// [`GeometryError`] names the size that cannot be.
    pub const fn new(slot_count: u32, slot_len: u32) -> Result<Self, GeometryError> {
        if !slot_count.is_power_of_two() || slot_count > SLOT_COUNT_MAX {
            return Err(GeometryError::SlotCount { got: slot_count });
        }
        if slot_len < SLOT_LEN_MIN || slot_len > SLOT_LEN_MAX || !slot_len.is_multiple_of(COPY_ALIGN as u32) {
            return Err(GeometryError::SlotLen { got: slot_len });
        }
        Ok(Self { slot_count, slot_len })
    }

    /// How many slots it has.
    pub const fn slot_count(&self) -> u32 {
        self.slot_count
    }

    /// How long each is, in bytes.
    pub const fn slot_len(&self) -> usize {
        self.slot_len as usize
    }

    /// How long the ring is, in bytes.
    pub const fn byte_len(&self) -> usize {
        self.slot_count as usize * self.slot_len as usize
    }

    /// The slot that a sequence number goes to.
    pub const fn index(&self, sequence: u32) -> u32 {
        sequence & (self.slot_count - 1)
    }

    /// Where that slot starts, in bytes.
    pub const fn offset(&self, sequence: u32) -> usize {
        self.index(sequence) as usize * self.slot_len as usize
    }
}

/// Who moves responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseWay {
    /// The host's engine writes them into the DPU's window.
    Push,
    /// The host leaves them in its own window, behind the request ring, and the DPU's engine reads them.
    Pull,
}

/// How much of a slot is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopySpan {
    /// The bytes in use, rounded up to [`COPY_ALIGN`].
    Used,
    /// The slot, whatever is in use: what the paper's prototype does, to compare with.
    Whole,
}

/// The sizes of a queue pair, and who moves its responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuePairGeometry {
    /// From the DPU to the host.
    pub request: RingGeometry,
    /// From the host to the DPU.
    pub response: RingGeometry,
    /// Who moves the responses.
    pub way: ResponseWay,
    /// How much of each slot is copied.
    pub copy: CopySpan,
}

impl QueuePairGeometry {
    /// Length of the host's window, in bytes.
    pub const fn host_window_len(&self) -> usize {
        match self.way {
            ResponseWay::Push => self.request.byte_len(),
            ResponseWay::Pull => self.request.byte_len() + self.response.byte_len(),
        }
    }

    /// Length of the DPU's window, in bytes; 0 when responses are pulled.
    pub const fn dpu_window_len(&self) -> usize {
        match self.way {
            ResponseWay::Push => self.response.byte_len(),
            ResponseWay::Pull => 0,
        }
    }

    /// Where the response ring starts in the window that holds it, in bytes.
    pub const fn response_offset(&self) -> usize {
        match self.way {
            ResponseWay::Push => 0,
            ResponseWay::Pull => self.request.byte_len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_cannot_be_are_refused_by_name() {
        assert_eq!(RingGeometry::new(0, 1024), Err(GeometryError::SlotCount { got: 0 }));
        assert_eq!(RingGeometry::new(3, 1024), Err(GeometryError::SlotCount { got: 3 }));
        assert_eq!(RingGeometry::new(128, 1024), Err(GeometryError::SlotCount { got: 128 }));
        assert_eq!(RingGeometry::new(4, 960), Err(GeometryError::SlotLen { got: 960 }));
        assert_eq!(RingGeometry::new(4, 1025), Err(GeometryError::SlotLen { got: 1025 }));
        assert_eq!(RingGeometry::new(4, 65600), Err(GeometryError::SlotLen { got: 65600 }));
    }

    #[test]
    fn sequence_numbers_go_round_the_slots_across_their_wrap() {
        let ring = RingGeometry::new(4, 1024).expect("valid sizes");
        let indices: [u32; 6] = core::array::from_fn(|step| ring.index((u32::MAX - 2).wrapping_add(step as u32)));
        assert_eq!(indices, [1, 2, 3, 0, 1, 2]);
        assert_eq!(ring.offset(6), 2048);
    }
}
