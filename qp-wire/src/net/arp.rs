//! ARP (RFC 826): who has this IPv4 address on this Ethernet?
//!
//! ```text
//! 0         6         12     14     16     18     20   22           28          32           38          42
//! | dst MAC | src MAC | type | hw   | IPv4 | lens | op | sender MAC | sender IP | target MAC | target IP |
//! |<---- Ethernet, 14 bytes ->|<------------------------- 28 bytes ------------------------------------->|
//! ```
//!
//! | offset | size | field | unit | rule |
//! |---|---|---|---|---|
//! | 14 | 2 | hardware type, 1 | | W-C-40 |
//! | 16 | 2 | protocol type, 0x0800 | | W-C-40 |
//! | 18 | 1 | length of a hardware address, 6 | bytes | W-C-40 |
//! | 19 | 1 | length of a protocol address, 4 | bytes | W-C-40 |
//! | 20 | 2 | operation, 1 or 2 | | W-C-40, W-C-42 |
//! | 22 | 6 | sender's MAC | | W-C-40, W-C-42 |
//! | 28 | 4 | sender's address | | W-C-41, W-C-42 |
//! | 32 | 6 | target's MAC; without a meaning in a request | | W-C-42 |
//! | 38 | 4 | target's address | | W-C-41, W-C-42 |
//!
//! All fields are big-endian. What follows is filling.

use core::net::Ipv4Addr;

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::ethernet::{self, EthernetHeader};
use super::{Local, MacAddr};
use crate::DropReason;

/// Ethernet, IPv4, and the lengths of their addresses.
const KIND: [u8; 6] = [0, 1, 8, 0, 6, 4];
const REQUEST: u16 = 1;
const REPLY: u16 = 2;

/// An ARP packet in its frame, 42 bytes, big-endian.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct ArpFrame {
    ethernet: EthernetHeader,
    kind: [u8; 6],
    operation: U16,
    sender_mac: MacAddr,
    sender_ipv4: [u8; 4],
    target_mac: MacAddr,
    target_ipv4: [u8; 4],
}
const _: () = assert!(size_of::<ArpFrame>() == 42);

/// Somebody asks for the interface that has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArpRequest {
    destination: MacAddr,
    sender_mac: MacAddr,
    sender_ipv4: Ipv4Addr,
    target_ipv4: Ipv4Addr,
}

impl ArpRequest {
    /// Looks at a frame as it came from the wire.
    ///
    /// # Errors
    /// [`DropReason::Short`] if it is cut, [`DropReason::NotUdp`] if it is no ARP request for an IPv4 address, and
    /// [`DropReason::Source`] if its sender cannot be answered or is not who sent the frame (rule W-C-40).
    pub fn decode(frame: &[u8]) -> Result<Self, DropReason> {
        let (arp, _) = ArpFrame::ref_from_prefix(frame).map_err(|_| DropReason::Short)?;
        // Rule W-C-40.
        if arp.ethernet.ether_type() != ethernet::ARP || arp.kind != KIND || arp.operation.get() != REQUEST {
            return Err(DropReason::NotUdp);
        }
        arp.ethernet.check_source()?;
        let sender_ipv4 = Ipv4Addr::from(arp.sender_ipv4);
        if arp.sender_mac != arp.ethernet.source || sender_ipv4.is_multicast() || sender_ipv4.is_broadcast() {
            return Err(DropReason::Source);
        }
        Ok(Self {
            destination: arp.ethernet.destination,
            sender_mac: arp.sender_mac,
            sender_ipv4,
            target_ipv4: Ipv4Addr::from(arp.target_ipv4),
        })
    }

    /// Rule W-C-41: whether it asks for this endpoint's interface and comes from elsewhere.
    pub(super) fn check_for(&self, local: &Local) -> Result<(), DropReason> {
        let is_for_us = self.destination == local.mac || self.destination == MacAddr::BROADCAST;
        if !is_for_us || self.target_ipv4 != local.ipv4 {
            return Err(DropReason::Destination);
        }
        let is_from_us = self.sender_mac == local.mac || self.sender_ipv4 == local.ipv4;
        if is_from_us { Err(DropReason::Source) } else { Ok(()) }
    }

    /// Writes the reply to the start of `frame` and returns its length (rule W-C-42).
    ///
    /// `None`, and nothing written, if `frame` is too short.
    pub(super) fn write_reply(&self, local: &Local, frame: &mut [u8]) -> Option<usize> {
        let (place, _) = ArpFrame::mut_from_prefix(frame).ok()?;
        *place = ArpFrame {
            ethernet: EthernetHeader::new(local.mac, self.sender_mac, ethernet::ARP),
            kind: KIND,
            operation: U16::new(REPLY),
            sender_mac: local.mac,
            sender_ipv4: local.ipv4.octets(),
            target_mac: self.sender_mac,
            target_ipv4: self.sender_ipv4.octets(),
        };
        Some(size_of::<ArpFrame>())
    }
}
