//! What can be wrong with a slot.

use core::error::Error;
use core::fmt;

use crate::batch::BatchError;
use crate::limits::REQUEST_COUNT_MAX;

/// Why a slot is not used.
///
/// The first three are everyday: they also say that a copy is not complete yet. The others are in a slot whose checksum is
/// right, so its writer is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotError {
    /// Shorter than its header or longer than the slot (W-Q-2).
    Len {
        /// The announced length, in bytes.
        len: usize,
        /// The slot's length, in bytes.
        len_max: usize,
    },
    /// Another slot than the expected one (W-Q-3).
    Sequence {
        /// The expected number.
        expected: u32,
        /// The number there is.
        got: u32,
    },
    /// The checksum does not fit the bytes, the queue pair, the epoch and the index (W-Q-1).
    Checksum,
    /// A run is longer than what is left of the slot (W-Q-5).
    Run {
        /// Bytes that the run needs, its header included.
        needed: usize,
        /// Bytes that are left.
        got: usize,
    },
    /// A run's body is malformed (W-Q-5).
    Batch(BatchError),
    /// More than [`REQUEST_COUNT_MAX`] requests in all runs together (W-Q-5).
    Count {
        /// How many there are, up to and including the run at which counting stopped.
        count: usize,
    },
    /// A request run leaves too little space for its response (W-Q-6).
    ResponseLenMax {
        /// The least that it has to be.
        needed: usize,
        /// What it is.
        got: usize,
    },
    /// A response run has a flag without a meaning (W-Q-7).
    RunFlags {
        /// Its flags.
        flags: u16,
    },
}

impl fmt::Display for SlotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Len { len, len_max } => write!(f, "length {len} in a slot of {len_max} bytes"),
            Self::Sequence { expected, got } => write!(f, "slot {got} where {expected} was expected"),
            Self::Checksum => write!(f, "a slot with a wrong checksum"),
            Self::Run { needed, got } => write!(f, "a run of {needed} bytes in the last {got} of a slot"),
            Self::Batch(ref error) => error.fmt(f),
            Self::Count { count } => write!(f, "{count} requests or more in a slot; {REQUEST_COUNT_MAX} are allowed"),
            Self::ResponseLenMax { needed, got } => {
                write!(f, "a run with {got} bytes for its response where {needed} are right")
            }
            Self::RunFlags { flags } => write!(f, "a run with flags {flags:#06x}, not all of which have a meaning"),
        }
    }
}

impl Error for SlotError {}

impl From<BatchError> for SlotError {
    fn from(error: BatchError) -> Self {
        Self::Batch(error)
    }
}
