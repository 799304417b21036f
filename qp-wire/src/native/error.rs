//! What can be wrong with a frame of the native protocol.

use core::error::Error;
use core::fmt;

use super::{ENDPOINT_COUNT_MAX, PARTITION_COUNT_MAX};
use crate::DropReason;
use crate::batch::BatchError;

/// Why bytes are not a frame that could be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NativeError {
    /// Shorter than the frame header, or than the pad says.
    Short {
        /// The length needed, in bytes.
        needed: usize,
        /// The length there is, in bytes.
        got: usize,
    },
    /// Longer than [`DATAGRAM_LEN_MAX`](crate::limits::DATAGRAM_LEN_MAX).
    Long {
        /// The length there is, in bytes.
        got: usize,
    },
    /// The first byte is none of this protocol (W-C-50).
    Magic {
        /// The byte.
        magic: u8,
    },
    /// The first byte says response where a request was expected, or the other way round (W-C-50).
    Direction {
        /// The byte.
        magic: u8,
    },
    /// Another version of the protocol (W-C-51).
    Version {
        /// The version of whoever sent the frame.
        theirs: u8,
    },
    /// A kind that does not exist in this direction (W-C-52).
    Kind {
        /// The kind.
        kind: u8,
    },
    /// Unknown flags (W-C-53).
    Flags {
        /// All flags.
        flags: u8,
    },
    /// A pad that is shorter than its own length field or longer than all that follows the header (W-C-53).
    Pad {
        /// The announced length.
        len: u16,
    },
    /// The batch is malformed (W-C-55).
    Batch(BatchError),
    /// A request for the identity has a body (W-C-56).
    Trailing {
        /// Its length.
        len: usize,
    },
    /// The identity is malformed (W-C-57).
    Identity(IdentityError),
}

impl NativeError {
    /// Under which reason a server counts the frame that it drops.
    pub const fn drop_reason(self) -> DropReason {
        match self {
            Self::Short { .. } | Self::Batch(BatchError::Truncated { .. }) => DropReason::Short,
            Self::Long { .. } | Self::Batch(BatchError::Trailing { .. }) | Self::Trailing { .. } => DropReason::Long,
            Self::Magic { .. } => DropReason::Magic,
            Self::Direction { .. } => DropReason::Response,
            Self::Version { .. } => DropReason::Version,
            Self::Kind { .. } | Self::Flags { .. } | Self::Pad { .. } | Self::Batch(_) | Self::Identity(_) => {
                DropReason::Malformed
            }
        }
    }
}

impl fmt::Display for NativeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Short { needed, got } => write!(f, "a frame of {got} bytes where {needed} are needed"),
            Self::Long { got } => write!(f, "a frame of {got} bytes"),
            Self::Magic { magic } => write!(f, "magic byte {magic:#04x} of no known protocol"),
            Self::Direction { magic } => write!(f, "magic byte {magic:#04x} of the other direction"),
            Self::Version { theirs } => write!(f, "protocol version {theirs}, not {}", super::VERSION),
            Self::Kind { kind } => write!(f, "unknown kind {kind}"),
            Self::Flags { flags } => write!(f, "unknown flags {flags:#04x}"),
            Self::Pad { len } => write!(f, "a pad of {len} bytes"),
            Self::Batch(ref error) => error.fmt(f),
            Self::Trailing { len } => write!(f, "{len} bytes behind a request that has no body"),
            Self::Identity(ref error) => error.fmt(f),
        }
    }
}

impl Error for NativeError {}

impl From<BatchError> for NativeError {
    fn from(error: BatchError) -> Self {
        Self::Batch(error)
    }
}

impl From<IdentityError> for NativeError {
    fn from(error: IdentityError) -> Self {
        Self::Identity(error)
    }
}

/// Why bytes are not a server's identity (W-C-57).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityError {
    /// Not as long as the counts say.
    Len {
        /// The length that the counts ask for, in bytes.
        needed: usize,
        /// The length there is, in bytes.
        got: usize,
    },
    /// No partition, or more than [`PARTITION_COUNT_MAX`].
    PartitionCount {
        /// The announced count.
        count: usize,
    },
    /// No endpoint, or more than [`ENDPOINT_COUNT_MAX`].
    EndpointCount {
        /// The announced count.
        count: usize,
    },
    /// An unknown flag, or a reserved field that is not zero.
    Reserved,
    /// A longest key of no bytes.
    KeyLen,
    /// The list of endpoints is said to be complete, and a partition's owner is not in it.
    Owner {
        /// The owner's label.
        label: u8,
    },
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Len { needed, got } => write!(f, "an identity of {got} bytes where {needed} are announced"),
            Self::PartitionCount { count } => {
                write!(f, "an identity with {count} partitions; 1 to {PARTITION_COUNT_MAX} are allowed")
            }
            Self::EndpointCount { count } => {
                write!(f, "an identity with {count} endpoints; 1 to {ENDPOINT_COUNT_MAX} are allowed")
            }
            Self::Reserved => write!(f, "a reserved field of an identity is not zero"),
            Self::KeyLen => write!(f, "an identity that allows no key"),
            Self::Owner { label } => write!(f, "an identity with partitions of owner {label}, who has no endpoint"),
        }
    }
}

impl Error for IdentityError {}
