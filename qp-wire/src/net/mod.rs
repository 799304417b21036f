//! The network headers around a datagram.
//!
//! A port that takes whole frames off a wire (DPDK, AF_XDP, AF_PACKET) has no kernel behind it that would sort out what
//! is not for us, so this module does: a frame becomes a [`Datagram`] only if it is an unfragmented UDP datagram over
//! IPv4 in an untagged Ethernet frame, whole, undamaged, and from somebody who can be answered. Whether it is for us
//! is then for [`Local::accepts`] to say. What asks for the interface itself, ARP and ICMP's echo, is a [`Question`].
//! Ports over kernel sockets need nothing of this.
//!
//! ```text
//! 0         6         12     14                            34                    42
//! | dst MAC | src MAC | type | IPv4 header without options | UDP header          | payload ... | padding |
//! |<---- Ethernet, 14 bytes ->|<-------- 20 bytes -------->|<----- 8 bytes ----->|
//! ```
//!
//! | offset | size | field | unit | rule |
//! |---|---|---|---|---|
//! | 0 | 6 | destination MAC | | W-C-13 |
//! | 6 | 6 | source MAC | | W-C-11, W-C-14 |
//! | 12 | 2 | ether type | | W-C-2 |
//! | 14 | 1 | version and header length | 4 bits each, the length in 4 bytes | W-C-3 |
//! | 15 | 1 | type of service | | W-C-15 |
//! | 16 | 2 | total length, IPv4 header included | bytes | W-C-6, W-C-7 |
//! | 18 | 2 | identification | | W-C-15 |
//! | 20 | 2 | 3 flags, fragment offset | the offset in 8 bytes | W-C-5 |
//! | 22 | 1 | time to live | hops | W-C-15 |
//! | 23 | 1 | protocol | | W-C-4 |
//! | 24 | 2 | header checksum | | W-C-9 |
//! | 26 | 4 | source address | | W-C-12, W-C-14 |
//! | 30 | 4 | destination address | | W-C-13 |
//! | 34 | 2 | source port | | W-C-15 |
//! | 36 | 2 | destination port | | W-C-13 |
//! | 38 | 2 | length, UDP header included | bytes | W-C-8 |
//! | 40 | 2 | checksum | | W-C-10 |
//!
//! All fields are big-endian. [`reply_headers`] and [`request_headers`] write them (rules W-C-16 to W-C-18).

mod arp;
mod checksum;
mod datagram;
mod endpoint;
mod ethernet;
mod headers;
mod icmp;
mod ipv4;
mod question;
mod udp;

use crate::limits::DATAGRAM_LEN_MAX;

pub use arp::ArpRequest;
pub use datagram::Datagram;
pub use endpoint::{Local, Remote};
pub use ethernet::MacAddr;
pub use headers::{Checksums, reply_headers, request_headers};
pub use icmp::EchoRequest;
pub use question::Question;

/// Length of the Ethernet header, in bytes, without a VLAN tag.
pub const ETHERNET_LEN: usize = size_of::<ethernet::EthernetHeader>();

/// Length of the IPv4 header, in bytes. Headers with options are refused (rule W-C-3).
pub const IPV4_LEN: usize = size_of::<ipv4::Ipv4Header>();

/// Length of the UDP header, in bytes.
pub const UDP_LEN: usize = size_of::<udp::UdpHeader>();

/// Length of all headers in front of a payload, in bytes, and so the offset of the payload in its frame.
pub const HEADERS_LEN: usize = ETHERNET_LEN + IPV4_LEN + UDP_LEN;

/// Longest frame, in bytes, without the frame check sequence: the headers and a payload of [`DATAGRAM_LEN_MAX`].
pub const FRAME_LEN_MAX: usize = HEADERS_LEN + DATAGRAM_LEN_MAX;

/// Ethernet's shortest frame, in bytes, without the frame check sequence (IEEE 802.3: 64 with it). Senders fill up to it,
/// so a frame of at most this length may have bytes behind its datagram.
pub const PADDED_FRAME_LEN: usize = 60;

const _: () = assert!(HEADERS_LEN == 42 && FRAME_LEN_MAX == 9014);
