//! `doca_error_t`: a C enumeration to which releases add values, so a number with names for the known ones.

use std::fmt;

macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident = $value:literal),* $(,)?) => {
        impl RawError {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            /// The name of the value, if it is a known one.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

/// The result of a call. Unknown values keep their number.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct RawError(pub u32);

errors! {
    /// Done.
    SUCCESS = 0,
    /// No reason given.
    UNKNOWN = 1,
    /// Not allowed, by permissions of memory or of the process.
    NOT_PERMITTED = 2,
    /// Somebody uses it.
    IN_USE = 3,
    /// The device or the release cannot.
    NOT_SUPPORTED = 4,
    /// Not now.
    AGAIN = 5,
    /// An argument is wrong.
    INVALID_VALUE = 6,
    /// No memory, or no place in a queue.
    NO_MEMORY = 7,
    /// Something could not be set up.
    INITIALIZATION = 8,
    /// It took too long.
    TIME_OUT = 9,
    /// It is shut down.
    SHUTDOWN = 10,
    /// The other end has reset the connection.
    CONNECTION_RESET = 11,
    /// The connection was aborted.
    CONNECTION_ABORTED = 12,
    /// The connection is being made.
    CONNECTION_INPROGRESS = 13,
    /// There is no connection.
    NOT_CONNECTED = 14,
    /// A lock is not to be had.
    NO_LOCK = 15,
    /// There is none.
    NOT_FOUND = 16,
    /// A transfer failed.
    IO_FAILED = 17,
    /// The object's state does not allow it.
    BAD_STATE = 18,
    /// The versions do not go together.
    UNSUPPORTED_VERSION = 19,
    /// A call to the operating system failed.
    OPERATING_SYSTEM = 20,
    /// The driver below DOCA failed.
    DRIVER = 21,
    /// Something that should not happen.
    UNEXPECTED = 22,
    /// It is there already.
    ALREADY_EXIST = 23,
    /// No place is left.
    FULL = 24,
    /// Nothing is there.
    EMPTY = 25,
    /// It goes on and will end later.
    IN_PROGRESS = 26,
    /// Too large.
    TOO_BIG = 27,
    /// Authentication failed.
    AUTHENTICATION = 28,
    /// The configuration is wrong.
    BAD_CONFIG = 29,
    /// It was left out.
    SKIPPED = 30,
    /// The device is lost.
    DEVICE_FATAL_ERROR = 31,
}

impl RawError {
    /// Nothing, or the error.
    ///
    /// # Errors
    /// Itself, unless it is [`SUCCESS`](Self::SUCCESS).
    pub const fn ok(self) -> Result<(), Self> {
        if self.0 == Self::SUCCESS.0 { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for RawError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(out, "DOCA_ERROR_{name}"),
            None => write!(out, "unknown DOCA error {}", self.0),
        }
    }
}

impl fmt::Debug for RawError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl std::error::Error for RawError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_have_names_and_unknown_ones_keep_their_number() {
        assert_eq!(RawError::IO_FAILED.to_string(), "DOCA_ERROR_IO_FAILED");
        assert_eq!(RawError(31).name(), Some("DEVICE_FATAL_ERROR"));
        assert_eq!(RawError(4711).to_string(), "unknown DOCA error 4711");
        assert!((0..=31).all(|value| RawError(value).name().is_some()) && RawError(32).name().is_none());
    }

    #[test]
    fn only_success_is_none() {
        assert_eq!(RawError::SUCCESS.ok(), Ok(()));
        assert_eq!(RawError::AGAIN.ok(), Err(RawError::AGAIN));
        assert_eq!(RawError(32).ok(), Err(RawError(32)));
    }
}
