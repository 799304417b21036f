//! A frame that was looked at: everything about it that needs no configuration is in order.

use core::net::Ipv4Addr;
use core::ops::Range;

use zerocopy::FromBytes;

use super::headers::Headers;
use super::ipv4::UDP;
use super::{Checksums, FRAME_LEN_MAX, HEADERS_LEN, IPV4_LEN, MacAddr, Remote, UDP_LEN};
use crate::DropReason;

/// A view of a valid UDP datagram in its frame.
///
/// Valid says nothing about whom it is for: see [`Local::accepts`](super::Local::accepts).
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    headers: &'a Headers,
    payload: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// Looks at a frame as it came from the wire, without its frame check sequence.
    ///
    /// The rules W-C-1 to W-C-12 are checked in their order; the first one that is broken gives the reason.
    ///
    /// # Errors
    /// [`DropReason::Short`] or [`DropReason::Long`] for a frame of an impossible length, or of another one than its
    /// IPv4 header says; [`DropReason::NotUdp`], [`DropReason::Fragment`] and [`DropReason::Checksum`] for what their
    /// names say; [`DropReason::Malformed`] if the lengths of IPv4 and UDP disagree; [`DropReason::Source`] for a
    /// sender who cannot be answered.
    pub fn decode(frame: &'a [u8]) -> Result<Self, DropReason> {
        Self::decode_with(frame, |headers, payload| {
            headers.ipv4.check_checksum()?;
            headers.udp.check_checksum(&headers.ipv4, payload)
        })
    }

    /// Looks at a frame whose checksums somebody else has found right, a network card as a rule.
    ///
    /// # Errors
    /// Those of [`decode`](Self::decode) without [`DropReason::Checksum`].
    pub fn decode_verified(frame: &'a [u8]) -> Result<Self, DropReason> {
        Self::decode_with(frame, |_, _| Ok(()))
    }

    fn decode_with(
        frame: &'a [u8],
        check_checksums: impl FnOnce(&Headers, &[u8]) -> Result<(), DropReason>,
    ) -> Result<Self, DropReason> {
        // Rule W-C-1.
        if frame.len() > FRAME_LEN_MAX {
            return Err(DropReason::Long);
        }
        let (headers, rest) = Headers::ref_from_prefix(frame).map_err(|_| DropReason::Short)?;
        headers.ethernet.check_type()?;
        headers.ipv4.check_form(UDP)?;
        let payload = split_payload(headers, rest)?;
        check_checksums(headers, payload)?;
        headers.ethernet.check_source()?;
        headers.ipv4.check_source()?;
        Ok(Self { headers, payload })
    }

    /// Which checksums the sender computes, and so expects: a MICA2 client sends none, a kernel sends and wants them (rule
    /// W-C-18).
    pub fn checksums(&self) -> Checksums {
        if self.headers.ipv4.has_checksum() { Checksums::Computed } else { Checksums::Zero }
    }

    /// The sender, to whom an answer goes.
    pub fn source(&self) -> Remote {
        self.headers.source()
    }

    /// The interface to which the frame was sent.
    pub fn destination_mac(&self) -> MacAddr {
        self.headers.ethernet.destination
    }

    /// The address to which the packet was sent.
    pub fn destination_ipv4(&self) -> Ipv4Addr {
        self.headers.ipv4.destination()
    }

    /// The UDP port to which the datagram was sent.
    pub fn destination_port(&self) -> u16 {
        self.headers.udp.destination()
    }

    /// What the datagram carries, without any padding of its frame.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Where the payload lies in the frame, in bytes from its start.
    ///
    /// For owners of the frame's buffer, who cannot keep a borrow of it.
    pub fn payload_range(&self) -> Range<usize> {
        HEADERS_LEN..HEADERS_LEN + self.payload.len()
    }
}

/// The payload among the bytes behind the headers (rules W-C-6, W-C-7 and W-C-8).
fn split_payload<'a>(headers: &Headers, rest: &'a [u8]) -> Result<&'a [u8], DropReason> {
    headers.ipv4.check_len(HEADERS_LEN + rest.len())?;
    // Rule W-C-8.
    let payload_len = headers.udp.payload_len().ok_or(DropReason::Malformed)?;
    if IPV4_LEN + UDP_LEN + payload_len != headers.ipv4.total_len() {
        return Err(DropReason::Malformed);
    }
    rest.get(..payload_len).ok_or(DropReason::Malformed)
}
