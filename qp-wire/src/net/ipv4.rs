//! IPv4 (RFC 791), in the one form that is accepted: no options, no fragments, UDP inside.

use core::net::Ipv4Addr;

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::checksum::Sum;
use super::{ETHERNET_LEN, PADDED_FRAME_LEN};
use crate::DropReason;

/// Version 4, and a header of 5 words of 4 bytes.
const VERSION_AND_LENGTH: u8 = 0x45;
/// The protocol number of ICMP.
pub(super) const ICMP: u8 = 1;
/// The protocol number of UDP.
pub(super) const UDP: u8 = 17;
/// "More fragments", and the 13 bits of the fragment offset; what is left out is a reserved bit and "don't fragment".
const FRAGMENT_MASK: u16 = 0x3fff;
/// Hops that a packet of ours may take. MICA2 sends 64 too, which RFC 1340 recommends.
const TTL: u8 = 64;

/// The IPv4 header, 20 bytes, big-endian.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Ipv4Header {
    version_and_length: u8,
    type_of_service: u8,
    total_len: U16,
    id: U16,
    flags_and_fragment_offset: U16,
    ttl: u8,
    protocol: u8,
    checksum: U16,
    source: [u8; 4],
    destination: [u8; 4],
}
const _: () = assert!(size_of::<Ipv4Header>() == 20);

impl Ipv4Header {
    /// A header of a packet with `total_len` bytes, its checksum left zero (rule W-C-16).
    pub(super) fn new(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, total_len: u16) -> Self {
        Self {
            version_and_length: VERSION_AND_LENGTH,
            type_of_service: 0,
            total_len: U16::new(total_len),
            id: U16::ZERO,
            flags_and_fragment_offset: U16::ZERO,
            ttl: TTL,
            protocol,
            checksum: U16::ZERO,
            source: source.octets(),
            destination: destination.octets(),
        }
    }

    /// The same header with its checksum filled in (rule W-C-18).
    pub(super) fn with_checksum(mut self) -> Self {
        self.checksum = U16::ZERO;
        self.checksum = U16::new(Sum::default().add(self.as_bytes()).checksum());
        self
    }

    /// The sender.
    pub(super) fn source(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.source)
    }

    /// The receiver.
    pub(super) fn destination(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.destination)
    }

    /// Length of header and payload, in bytes, as the header says.
    pub(super) fn total_len(&self) -> usize {
        usize::from(self.total_len.get())
    }

    /// Rules W-C-3, W-C-4 and W-C-5: a header without options, around this protocol, around the whole of it.
    pub(super) fn check_form(&self, protocol: u8) -> Result<(), DropReason> {
        if self.version_and_length != VERSION_AND_LENGTH || self.protocol != protocol {
            return Err(DropReason::NotUdp);
        }
        if self.flags_and_fragment_offset.get() & FRAGMENT_MASK != 0 {
            return Err(DropReason::Fragment);
        }
        Ok(())
    }

    /// Rules W-C-6 and W-C-7: the packet is in its frame, and behind it is nothing but Ethernet's own filling.
    pub(super) fn check_len(&self, frame_len: usize) -> Result<(), DropReason> {
        let end = ETHERNET_LEN + self.total_len();
        if end > frame_len {
            return Err(DropReason::Short);
        }
        if end < frame_len && frame_len > PADDED_FRAME_LEN { Err(DropReason::Long) } else { Ok(()) }
    }

    /// Whether its sender computed a checksum.
    pub(super) fn has_checksum(&self) -> bool {
        self.checksum.get() != 0
    }

    /// Rule W-C-9: the checksum was not computed, or it is right.
    pub(super) fn check_checksum(&self) -> Result<(), DropReason> {
        if self.checksum.get() == 0 || Sum::default().add(self.as_bytes()).is_correct() {
            Ok(())
        } else {
            Err(DropReason::Checksum)
        }
    }

    /// Rule W-C-12: the source is a single host.
    pub(super) fn check_source(&self) -> Result<(), DropReason> {
        let source = self.source();
        if source.is_multicast() || source.is_broadcast() || source.is_unspecified() {
            Err(DropReason::Source)
        } else {
            Ok(())
        }
    }

    /// What the UDP checksum covers of this header: addresses and protocol.
    pub(super) fn pseudo_header(&self) -> Sum {
        Sum::default().add(&self.source).add(&self.destination).add_word(u16::from(self.protocol))
    }
}
