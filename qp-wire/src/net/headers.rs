//! The 42 bytes in front of a payload, written.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::ethernet::{EthernetHeader, IPV4};
use super::ipv4::{Ipv4Header, UDP};
use super::udp::UdpHeader;
use super::{HEADERS_LEN, IPV4_LEN, Local, Remote, UDP_LEN};
use crate::limits::DATAGRAM_LEN_MAX;

/// Which checksums are written (rule W-C-18). The UDP checksum is zero either way, which RFC 768 allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Checksums {
    /// None, as MICA2 sends. Its own receiver does not look; a kernel or a router would drop the packet.
    Zero,
    /// The IPv4 header's, so that kernels and routers accept the packet.
    Computed,
}

/// All headers in front of a payload, 42 bytes, big-endian.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Headers {
    pub(super) ethernet: EthernetHeader,
    pub(super) ipv4: Ipv4Header,
    pub(super) udp: UdpHeader,
}
const _: () = assert!(size_of::<Headers>() == HEADERS_LEN);

impl Headers {
    /// The headers of a datagram with `payload_len` bytes, or `None` beyond [`DATAGRAM_LEN_MAX`].
    fn new(local: &Local, remote: &Remote, payload_len: usize, checksums: Checksums) -> Option<Self> {
        if payload_len > DATAGRAM_LEN_MAX {
            return None;
        }
        // Rule W-C-17: both lengths are exact.
        let udp_len = u16::try_from(UDP_LEN + payload_len).ok()?;
        let total_len = u16::try_from(IPV4_LEN + UDP_LEN + payload_len).ok()?;
        let ipv4 = Ipv4Header::new(local.ipv4, remote.ipv4, UDP, total_len);
        Some(Self {
            ethernet: EthernetHeader::new(local.mac, remote.mac, IPV4),
            ipv4: match checksums {
                Checksums::Zero => ipv4,
                Checksums::Computed => ipv4.with_checksum(),
            },
            udp: UdpHeader::new(local.port, remote.port, udp_len),
        })
    }

    /// Who sent it.
    pub(super) fn source(&self) -> Remote {
        Remote { mac: self.ethernet.source, ipv4: self.ipv4.source(), port: self.udp.source() }
    }

    /// For whom it is.
    pub(super) fn destination(&self) -> Local {
        Local { mac: self.ethernet.destination, ipv4: self.ipv4.destination(), port: self.udp.destination() }
    }
}

/// Turns the headers of a request into those of its response, in place, and returns the length of the response's frame.
///
/// `frame` starts with the headers of the frame to answer, and has room for [`HEADERS_LEN`] and `payload_len` bytes. MACs,
/// addresses and ports change sides; all else is written anew, so nothing that the sender chose is sent back (rules
/// W-C-16 and W-C-17). The payload is not touched.
///
/// `None`, and nothing written, if `frame` is too short or `payload_len` exceeds [`DATAGRAM_LEN_MAX`].
pub fn reply_headers(frame: &mut [u8], payload_len: usize, checksums: Checksums) -> Option<usize> {
    let headers = headers_of(frame, payload_len)?;
    *headers = Headers::new(&headers.destination(), &headers.source(), payload_len, checksums)?;
    Some(HEADERS_LEN + payload_len)
}

/// Writes the headers of a datagram from `local` to `remote` to the start of `frame` and returns the frame's length.
///
/// `frame` has room for [`HEADERS_LEN`] and `payload_len` bytes; the payload, behind the headers, is not touched.
///
/// `None`, and nothing written, if `frame` is too short or `payload_len` exceeds [`DATAGRAM_LEN_MAX`].
pub fn request_headers(
    frame: &mut [u8],
    local: &Local,
    remote: &Remote,
    payload_len: usize,
    checksums: Checksums,
) -> Option<usize> {
    let headers = headers_of(frame, payload_len)?;
    *headers = Headers::new(local, remote, payload_len, checksums)?;
    Some(HEADERS_LEN + payload_len)
}

/// The place of the headers in a frame that has room for the payload too.
fn headers_of(frame: &mut [u8], payload_len: usize) -> Option<&mut Headers> {
    let (headers, room) = Headers::mut_from_prefix(frame).ok()?;
    (payload_len <= room.len()).then_some(headers)
}
