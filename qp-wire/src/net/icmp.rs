//! ICMP (RFC 792), of which the echo alone is spoken: is anybody there?
//!
//! ```text
//! 14                            34     35     36         38           40       42
//! | IPv4 header without options | type | code | checksum | identifier | number | data ... | filling |
//! ```
//!
//! | offset | size | field | unit | rule |
//! |---|---|---|---|---|
//! | 34 | 1 | type, 8 or 0 | | W-C-43, W-C-44 |
//! | 35 | 1 | code, 0 | | W-C-43 |
//! | 36 | 2 | checksum over all from type to the end of the data | | W-C-43 |
//! | 38 | 2 | identifier | | W-C-44 |
//! | 40 | 2 | sequence number | | W-C-44 |
//! | 42 | | data | | W-C-44 |
//!
//! All fields are big-endian.

use core::net::Ipv4Addr;

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::checksum::Sum;
use super::ethernet::{self, EthernetHeader};
use super::ipv4::{ICMP, Ipv4Header};
use super::{ETHERNET_LEN, FRAME_LEN_MAX, IPV4_LEN, Local, MacAddr};
use crate::DropReason;

const ECHO_REQUEST: [u8; 2] = [8, 0];
const ECHO_REPLY: [u8; 2] = [0, 0];
/// Where the ICMP message begins, in bytes from the start of the frame.
const MESSAGE_OFFSET: usize = ETHERNET_LEN + IPV4_LEN;

/// All headers of an echo, 42 bytes, big-endian.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct EchoHeaders {
    ethernet: EthernetHeader,
    ipv4: Ipv4Header,
    type_and_code: [u8; 2],
    checksum: U16,
    identifier: U16,
    number: U16,
}
const _: () = assert!(size_of::<EchoHeaders>() == 42);

/// Somebody asks whether we are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EchoRequest {
    destination_mac: MacAddr,
    destination_ipv4: Ipv4Addr,
    source_mac: MacAddr,
    source_ipv4: Ipv4Addr,
    /// Length of the IPv4 packet, in bytes.
    total_len: u16,
}

impl EchoRequest {
    /// Looks at a frame as it came from the wire.
    ///
    /// # Errors
    /// Those of [`Datagram::decode`](super::Datagram::decode), with ICMP's echo in the place of UDP (rule W-C-43).
    pub fn decode(frame: &[u8]) -> Result<Self, DropReason> {
        // Rule W-C-43.
        if frame.len() > FRAME_LEN_MAX {
            return Err(DropReason::Long);
        }
        let (headers, _) = EchoHeaders::ref_from_prefix(frame).map_err(|_| DropReason::Short)?;
        let EchoHeaders { ethernet, ipv4, .. } = headers;
        ethernet.check_type()?;
        ipv4.check_form(ICMP)?;
        ipv4.check_len(frame.len())?;
        // Shorter than the headers of an echo.
        let total_len = ipv4.total_len();
        let message = frame.get(MESSAGE_OFFSET..ETHERNET_LEN + total_len).ok_or(DropReason::Malformed)?;
        if message.len() < size_of::<EchoHeaders>() - MESSAGE_OFFSET {
            return Err(DropReason::Malformed);
        }
        if headers.type_and_code != ECHO_REQUEST {
            return Err(DropReason::NotUdp);
        }
        ipv4.check_checksum()?;
        if !Sum::default().add(message).is_correct() {
            return Err(DropReason::Checksum);
        }
        ethernet.check_source()?;
        ipv4.check_source()?;
        Ok(Self {
            destination_mac: ethernet.destination,
            destination_ipv4: ipv4.destination(),
            source_mac: ethernet.source,
            source_ipv4: ipv4.source(),
            total_len: total_len as u16,
        })
    }

    /// Rules W-C-13 and W-C-14, as far as they are not about ports.
    pub(super) fn check_for(&self, local: &Local) -> Result<(), DropReason> {
        if self.destination_mac != local.mac || self.destination_ipv4 != local.ipv4 {
            return Err(DropReason::Destination);
        }
        let is_ours = self.source_mac == local.mac || self.source_ipv4 == local.ipv4;
        if is_ours || self.source_ipv4.is_loopback() { Err(DropReason::Source) } else { Ok(()) }
    }

    /// Turns the headers in `frame`, the one that was decoded, into those of the reply, and returns the reply's length
    /// (rule W-C-44). Identifier, number and data stay where they are.
    ///
    /// `None`, and nothing written, if `frame` is too short.
    pub(super) fn write_reply(&self, local: &Local, frame: &mut [u8]) -> Option<usize> {
        let len = ETHERNET_LEN + usize::from(self.total_len);
        let frame = frame.get_mut(..len)?;
        let (headers, data) = EchoHeaders::mut_from_prefix(frame).ok()?;
        headers.ethernet = EthernetHeader::new(local.mac, self.source_mac, ethernet::IPV4);
        headers.ipv4 = Ipv4Header::new(local.ipv4, self.source_ipv4, ICMP, self.total_len).with_checksum();
        headers.type_and_code = ECHO_REPLY;
        let sum = Sum::default().add_word(headers.identifier.get()).add_word(headers.number.get());
        headers.checksum = U16::new(sum.add(data).checksum());
        Some(len)
    }
}
