//! What can be wrong with a batch.

use core::error::Error;
use core::fmt;

use crate::limits::REQUEST_COUNT_MAX;

/// Why bytes are not a batch body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchError {
    /// A count of 0 or above [`REQUEST_COUNT_MAX`] (W-B-1).
    Count {
        /// The announced count.
        count: u16,
    },
    /// An unknown flag, or something in a field that is not in use (W-B-2).
    Reserved,
    /// The body announces more bytes than there are (W-B-6).
    Truncated {
        /// How many bytes it announces, as far as they could be counted.
        needed: usize,
        /// How many there are.
        got: usize,
    },
    /// Bytes behind the body's end (W-B-6).
    Trailing {
        /// How many.
        len: usize,
    },
    /// A result byte of no result code (W-B-8).
    Result {
        /// The byte.
        value: u8,
    },
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Count { count } => write!(f, "a batch of {count} requests; 1 to {REQUEST_COUNT_MAX} are allowed"),
            Self::Reserved => write!(f, "a reserved field of a batch is not zero"),
            Self::Truncated { needed, got } => write!(f, "a batch of {needed} bytes or more in {got} bytes"),
            Self::Trailing { len } => write!(f, "{len} bytes behind the end of a batch"),
            Self::Result { value } => write!(f, "unknown result byte {value:#04x} in a batch"),
        }
    }
}

impl Error for BatchError {}

/// The request did not fit the writer, which is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchFull;

impl fmt::Display for BatchFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the batch has no room for the request")
    }
}

impl Error for BatchFull {}
