//! Ethernet II: who on the local network, and what is inside.

use core::fmt;

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::DropReason;

/// The ether type of IPv4.
pub(super) const IPV4: u16 = 0x0800;
/// The ether type of ARP.
pub(super) const ARP: u16 = 0x0806;

/// The address of a network interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(transparent)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// All stations.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether it names a group of stations; broadcast is the group of all.
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether it is all zero, which no station has.
    pub const fn is_unspecified(self) -> bool {
        matches!(self.0, [0, 0, 0, 0, 0, 0])
    }

    /// Reads what its `Display` writes, with digits of either case; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut octets = [0; 6];
        let mut pairs = text.split(':');
        for octet in &mut octets {
            let pair = pairs.next()?;
            let is_hexadecimal = pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
            *octet = if is_hexadecimal { u8::from_str_radix(pair, 16).ok()? } else { return None };
        }
        pairs.next().is_none().then_some(Self(octets))
    }
}

/// Six pairs of hexadecimal digits with colons in between, as MICA2's directory has them.
impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// The Ethernet header, 14 bytes, big-endian.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct EthernetHeader {
    pub(super) destination: MacAddr,
    pub(super) source: MacAddr,
    ether_type: U16,
}
const _: () = assert!(size_of::<EthernetHeader>() == 14);

impl EthernetHeader {
    /// A header around a packet of this ether type.
    pub(super) fn new(source: MacAddr, destination: MacAddr, ether_type: u16) -> Self {
        Self { destination, source, ether_type: U16::new(ether_type) }
    }

    /// What kind of packet follows, or a VLAN tag.
    pub(super) fn ether_type(&self) -> u16 {
        self.ether_type.get()
    }

    /// Rule W-C-2: IPv4 follows at once, with no VLAN tag in between.
    pub(super) fn check_type(&self) -> Result<(), DropReason> {
        if self.ether_type() == IPV4 { Ok(()) } else { Err(DropReason::NotUdp) }
    }

    /// Rule W-C-11: the source is a single station.
    pub(super) fn check_source(&self) -> Result<(), DropReason> {
        if self.source.is_multicast() || self.source.is_unspecified() { Err(DropReason::Source) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;

    use super::*;

    #[test]
    fn an_address_reads_as_in_the_directory() {
        assert_eq!(MacAddr([2, 0, 0xab, 0, 0, 0x0f]).to_string(), "02:00:ab:00:00:0f");
    }

    #[test]
    fn the_lowest_bit_of_the_first_byte_makes_a_group() {
        assert!(MacAddr([0xff; 6]).is_multicast());
        assert!(MacAddr([1, 0, 0x5e, 0, 0, 1]).is_multicast());
        assert!(!MacAddr([0xfe, 0xff, 0xff, 0xff, 0xff, 0xff]).is_multicast());
    }
}
