//! What became of one request, as the wire says it.

/// The result of one request.
///
/// Values 0 to 9 are MICA2's. MICA2's wire knows no others; [`ResultCode::to_mica`] folds ours into them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ResultCode {
    /// Done.
    Success = 0,
    /// The request is malformed, or the stored value does not fit the operation.
    Error = 1,
    /// The store is full. Nothing was changed.
    InsufficientSpace = 2,
    /// ADD found the key.
    Exists = 3,
    /// No such key.
    NotFound = 4,
    /// The value did not fit; what is sent is its beginning.
    PartialValue = 5,
    /// The request was not looked at; it may be sent again as it is.
    NotProcessed = 6,
    /// The operation is unknown, or not allowed for this source.
    NotSupported = 7,
    /// MICA2's client-internal time-out; never on the wire.
    TimedOut = 8,
    /// Another core owns the key's partition.
    Rejected = 9,
    /// Key or value exceed what this server takes.
    TooLarge = 10,
    /// COMPARE_AND_SET found another value than the expected one.
    Mismatch = 11,
}

impl ResultCode {
    /// Every code, in the order of its wire value.
    pub const ALL: [Self; 12] = [
        Self::Success,
        Self::Error,
        Self::InsufficientSpace,
        Self::Exists,
        Self::NotFound,
        Self::PartialValue,
        Self::NotProcessed,
        Self::NotSupported,
        Self::TimedOut,
        Self::Rejected,
        Self::TooLarge,
        Self::Mismatch,
    ];

    /// The code with this wire value, if there is one.
    pub const fn from_wire(value: u8) -> Option<Self> {
        // `get` is not const; the bound is checked by hand.
        if (value as usize) < Self::ALL.len() { Some(Self::ALL[value as usize]) } else { None }
    }

    /// The wire value.
    pub const fn to_wire(self) -> u8 {
        self as u8
    }

    /// The nearest code that MICA2 knows.
    pub const fn to_mica(self) -> Self {
        match self {
            Self::TooLarge | Self::Mismatch => Self::Error,
            known => known,
        }
    }
}
