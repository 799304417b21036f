//! A peer's address as the kernel writes it.
//!
//! A datagram's source comes from the kernel and goes back to it as the response's destination. So it stays in the
//! kernel's form, and becomes a [`SocketAddr`] only for those who ask who it is.
//!
//! ```text
//! offset  size  ip(7)             size  ipv6(7)
//! 0       2     AF_INET, native   2     AF_INET6, native
//! 2       2     port, big-endian  2     port, big-endian
//! 4       4     address           4     flow information, in the order in which the kernel has it
//! 8       8     zero              16    address
//! 24      -                       4     scope id, native
//! ```

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use zerocopy::{FromBytes, IntoBytes};

/// Length of the longest address, the one of IPv6, in bytes.
pub(crate) const ADDRESS_LEN_MAX: usize = 28;

const ADDRESS_LEN_V4: usize = 16;

/// An address of IPv4 or IPv6 with a port, or whatever else a buffer of that length contains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes)]
#[repr(C, align(4))]
pub struct RawAddress {
    bytes: [u8; ADDRESS_LEN_MAX],
}

impl From<SocketAddr> for RawAddress {
    /// What the kernel writes for an address.
    fn from(address: SocketAddr) -> Self {
        let mut raw = Self::default();
        let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        // Families are small numbers.
        raw.bytes[..2].copy_from_slice(&(family as u16).to_ne_bytes());
        raw.bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
        match address {
            SocketAddr::V4(address) => raw.bytes[4..8].copy_from_slice(&address.ip().octets()),
            SocketAddr::V6(address) => {
                raw.bytes[4..8].copy_from_slice(&address.flowinfo().to_ne_bytes());
                raw.bytes[8..24].copy_from_slice(&address.ip().octets());
                raw.bytes[24..28].copy_from_slice(&address.scope_id().to_ne_bytes());
            }
        }
        raw
    }
}

impl RawAddress {
    /// The address, or `None` for a family that is neither IPv4 nor IPv6.
    ///
    /// A client that reaches an IPv6 socket over IPv4 is shown with its IPv4 address.
    pub fn decode(&self) -> Option<SocketAddr> {
        let port = u16::from_be_bytes(self.array(2));
        let family = i32::from(u16::from_ne_bytes(self.array(0)));
        if family == libc::AF_INET {
            Some(SocketAddr::new(Ipv4Addr::from(self.array::<4>(4)).into(), port))
        } else if family == libc::AF_INET6 {
            let address = Ipv6Addr::from(self.array::<16>(8));
            Some(match address.to_ipv4_mapped() {
                Some(mapped) => SocketAddr::new(mapped.into(), port),
                None => {
                    let scope_id = u32::from_ne_bytes(self.array(24));
                    SocketAddrV6::new(address, port, u32::from_ne_bytes(self.array(4)), scope_id).into()
                }
            })
        } else {
            None
        }
    }

    /// How many of its bytes the kernel reads.
    pub(crate) fn encoded_len(&self) -> usize {
        if i32::from(u16::from_ne_bytes(self.array(0))) == libc::AF_INET6 { ADDRESS_LEN_MAX } else { ADDRESS_LEN_V4 }
    }

    /// The bytes at an offset that the callers in this file know to be inside.
    fn array<const LEN: usize>(&self, offset: usize) -> [u8; LEN] {
        std::array::from_fn(|index| self.bytes[offset + index])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn both_families_survive_a_round_trip() {
        for text in ["1.2.3.4:5", "255.255.255.255:65535", "[::1]:80", "[fe80::1%7]:9"] {
            assert_eq!(RawAddress::from(address(text)).decode(), Some(address(text)), "{text}");
        }
        let with_flow = SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::LOCALHOST, 1, 0x000A_BCDE, 3));
        assert_eq!(RawAddress::from(with_flow).decode(), Some(with_flow));
    }

    #[test]
    fn a_mapped_address_is_shown_as_the_ipv4_address_that_it_is() {
        assert_eq!(RawAddress::from(address("[::ffff:10.0.0.1]:7")).decode(), Some(address("10.0.0.1:7")));
    }

    #[test]
    fn another_family_has_no_address() {
        assert_eq!(RawAddress::default().decode(), None);
        assert_eq!(RawAddress { bytes: [0xFF; ADDRESS_LEN_MAX] }.decode(), None);
    }

    #[test]
    fn the_kernel_reads_as_many_bytes_as_the_family_has() {
        assert_eq!(RawAddress::from(address("1.2.3.4:5")).encoded_len(), size_of::<libc::sockaddr_in>());
        assert_eq!(RawAddress::from(address("[::1]:5")).encoded_len(), size_of::<libc::sockaddr_in6>());
        assert_eq!(size_of::<RawAddress>(), size_of::<libc::sockaddr_in6>());
        assert!(align_of::<RawAddress>() >= align_of::<libc::sockaddr_in6>());
    }
}
