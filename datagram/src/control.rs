//! What comes or goes beside a message: the length of a train's datagrams, cmsg(3).

#![expect(unsafe_code, reason = "no safe crate makes the kernel's message arrays")]

use std::mem;

/// One control message, with room for the value that the kernel gives or takes.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Control {
    header: libc::cmsghdr,
    value: [u8; 8],
}

/// Its length for the kernel, padding included.
pub(crate) const CONTROL_LEN: usize = size_of::<Control>();

impl Control {
    /// Room for the kernel to write to.
    pub(crate) const EMPTY: Self = Self {
        // SAFETY: a header is made of integers, for which zero is a valid value. A literal would not do: some C libraries
        // have padding fields that cannot be named.
        header: unsafe { mem::zeroed() },
        value: [0; 8],
    };

    /// Asks the kernel to cut a message into datagrams of this length.
    pub(crate) fn segments(len: u16) -> Self {
        let mut control = Self::EMPTY;
        // SAFETY: the function computes a length from a length.
        control.header.cmsg_len = unsafe { libc::CMSG_LEN(size_of::<u16>() as libc::c_uint) } as _;
        control.header.cmsg_level = libc::SOL_UDP;
        control.header.cmsg_type = libc::UDP_SEGMENT;
        let [low, high] = len.to_ne_bytes();
        control.value = [low, high, 0, 0, 0, 0, 0, 0];
        control
    }

    /// The length of the datagrams that the kernel has put together, if it has.
    pub(crate) fn segment_len(&self) -> Option<usize> {
        if (self.header.cmsg_level, self.header.cmsg_type) != (libc::SOL_UDP, libc::UDP_GRO) {
            return None;
        }
        let [a, b, c, d, ..] = self.value;
        usize::try_from(i32::from_ne_bytes([a, b, c, d])).ok()
    }
}
