//! UDP (RFC 768): which endpoint, and how long.

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::ipv4::Ipv4Header;
use crate::DropReason;

/// The UDP header, 8 bytes, big-endian.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct UdpHeader {
    source: U16,
    destination: U16,
    len: U16,
    checksum: U16,
}
const _: () = assert!(size_of::<UdpHeader>() == 8);

impl UdpHeader {
    /// A header of a datagram with `len` bytes, header included. Its checksum is zero, "not computed": frames between
    /// Ethernet ports are protected by Ethernet's own, and MICA2 sends none either (rule W-C-18).
    pub(super) fn new(source: u16, destination: u16, len: u16) -> Self {
        Self { source: U16::new(source), destination: U16::new(destination), len: U16::new(len), checksum: U16::ZERO }
    }

    /// The sender's port. MICA2 numbers its ports from 0, so all values are in use.
    pub(super) fn source(&self) -> u16 {
        self.source.get()
    }

    /// The receiver's port.
    pub(super) fn destination(&self) -> u16 {
        self.destination.get()
    }

    /// Length of the payload, in bytes, as the header says; `None` if not even the header would fit.
    pub(super) fn payload_len(&self) -> Option<usize> {
        usize::from(self.len.get()).checked_sub(size_of::<Self>())
    }

    /// Rule W-C-10: the checksum was not computed, or it is right.
    pub(super) fn check_checksum(&self, ipv4: &Ipv4Header, payload: &[u8]) -> Result<(), DropReason> {
        // The length counts twice: once in the pseudo header, once in this one.
        if self.checksum.get() == 0
            || ipv4.pseudo_header().add_word(self.len.get()).add(self.as_bytes()).add(payload).is_correct()
        {
            Ok(())
        } else {
            Err(DropReason::Checksum)
        }
    }
}
