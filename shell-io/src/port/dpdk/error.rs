//! Why a device cannot be opened.

use std::ffi::c_int;
use std::io;

/// Why the ports of a device could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum DpdkOpenError {
    /// An argument holds a NUL byte.
    #[error("DPDK takes no argument with a NUL byte: {argument:?}")]
    Argument {
        /// The argument.
        argument: String,
    },
    /// DPDK does not start.
    #[error(
        "DPDK does not start with {arguments}: {cause}; its own messages say more, and port.eal changes the arguments"
    )]
    Start {
        /// What it was started with.
        arguments: String,
        /// Its reason.
        cause: io::Error,
    },
    /// DPDK was started with other arguments; once is all there is in a process.
    #[error("DPDK was started in this process with {started}, and cannot start again with {asked}")]
    Started {
        /// What it was started with.
        started: String,
        /// What was asked for now.
        asked: String,
    },
    /// There is no such device, or no driver for it.
    #[error(
        "DPDK has no network device {device}: expected a PCI address bound for DPDK, or a virtual device such as \
         net_tap0,iface=kv0"
    )]
    NoDevice {
        /// Its name.
        device: String,
    },
    /// The device does not take frames of the wanted length.
    #[error("the device {device} takes packets of up to {max} bytes, and network.frame_len_max needs {needed}")]
    Mtu {
        /// Its name.
        device: String,
        /// The longest IPv4 packet that it takes.
        max: u32,
        /// The longest one that is wanted.
        needed: u16,
    },
    /// There is no memory for frames.
    #[error("no memory for {count} frames of {len} bytes: {cause}; reserve more huge pages or lower network.buffers")]
    Memory {
        /// How many.
        count: u32,
        /// The length of each.
        len: u32,
        /// DPDK's reason.
        cause: io::Error,
    },
    /// The device refuses a step of its set-up.
    #[error("the device {device} refuses to {step}: {cause}")]
    Refused {
        /// Its name.
        device: String,
        /// What it was to do.
        step: &'static str,
        /// Its reason.
        cause: io::Error,
    },
}

/// What a negative result of DPDK means.
pub(super) fn cause(result: c_int) -> io::Error {
    io::Error::from_raw_os_error(result.saturating_abs())
}
