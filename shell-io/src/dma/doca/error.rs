//! Why DOCA does not do what it is asked for.

use doca_sys::{LoadError, RawError};

use super::export::ExportDescriptorError;

/// Why something of DOCA's could not be opened or closed.
#[derive(Debug, thiserror::Error)]
pub enum DocaError {
    /// There is no DOCA.
    #[error("DOCA is not there: {0}; install its runtime libraries, or name their directory in dma.library")]
    Load(#[from] LoadError),
    /// There is no such device.
    #[error("dma.device = \"{address}\": no such device; DOCA has {known}")]
    NoDevice {
        /// What was asked for.
        address: String,
        /// The addresses of those that there are, or `none`.
        known: String,
    },
    /// The device cannot do what is needed.
    #[error("dma.device = \"{address}\": the device cannot {what}; choose another one")]
    Incapable {
        /// The device.
        address: String,
        /// What it cannot do.
        what: &'static str,
    },
    /// A call was refused.
    #[error("DOCA refuses to {step}: {cause}{}", hint(*.cause))]
    Refused {
        /// What was to be done.
        step: &'static str,
        /// What DOCA says.
        cause: RawError,
    },
    /// What the peer says of its memory is not understood.
    #[error("{0}")]
    Descriptor(#[from] ExportDescriptorError),
    /// A window or a buffer of impossible size.
    #[error("{what} of {len} bytes at offset {offset}: not in units of 64 bytes inside the memory of {room}")]
    Range {
        /// What.
        what: &'static str,
        /// Where, in bytes.
        offset: usize,
        /// How long.
        len: usize,
        /// The memory's length.
        room: usize,
    },
    /// Copies in flight did not come back.
    #[error("{count} copies did not come back: what they may still write is not freed")]
    InFlight {
        /// How many.
        count: usize,
    },
}

/// What to do about an error, where that is known.
const fn hint(cause: RawError) -> &'static str {
    match cause {
        RawError::NOT_PERMITTED => "; raise the limit of locked memory (ulimit -l unlimited) and check permissions",
        RawError::UNSUPPORTED_VERSION => "; install the same release of DOCA on both sides",
        RawError::DRIVER => "; look at the kernel's log and at the versions of driver and firmware",
        _ => "",
    }
}

/// The step that failed, if it did.
pub(super) fn checked(step: &'static str, result: RawError) -> Result<(), DocaError> {
    result.ok().map_err(|cause| DocaError::Refused { step, cause })
}
