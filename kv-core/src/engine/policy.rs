//! Who may ask for what, and how much an answer may weigh.
//!
//! The wire has no authentication, so a source address is only as good as the network's anti-spoofing. What it decides
//! is therefore limited: a source that is not listed gets no more bytes than it sent, so that the server is never worth
//! reflecting off, and RESET is for administrators.

use core::net::IpAddr;

use heapless::Vec;
use qp_wire::limits::DATAGRAM_LEN_MAX;

/// Most prefixes of each list.
pub const PREFIX_COUNT_MAX: usize = 64;

/// An address prefix, such as 10.0.0.0/8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    network: IpAddr,
    len: u8,
}

impl Prefix {
    /// The prefix of `len` bits of `network`; `None` when the address has fewer bits. Bits behind the prefix do not
    /// matter.
    pub const fn new(network: IpAddr, len: u8) -> Option<Self> {
        let bits = match network {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        if len > bits { None } else { Some(Self { network, len }) }
    }

    /// Whether an address starts with the prefix.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let shift = 32 - u32::from(self.len);
                (network.to_bits() ^ address.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let shift = 128 - u32::from(self.len);
                (network.to_bits() ^ address.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// A list of prefixes. An empty list contains nobody.
pub type Prefixes = Vec<Prefix, PREFIX_COUNT_MAX>;

/// Who may ask for what.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Sources whose answers may be longer than their requests.
    pub listed: Prefixes,
    /// Sources that may RESET the store.
    pub administrators: Prefixes,
    /// Longest UDP payload of an answer, in bytes.
    pub reply_len_max: usize,
}

impl Policy {
    /// The same policy with answers that a datagram can carry.
    pub(super) fn bounded(self) -> Self {
        Self { reply_len_max: self.reply_len_max.min(DATAGRAM_LEN_MAX), ..self }
    }

    /// The longest answer to a request of `request_len` bytes, in a frame with room for `reply_room` bytes.
    pub fn reply_len(&self, source: IpAddr, request_len: usize, reply_room: usize) -> usize {
        let len = reply_room.min(self.reply_len_max);
        if contains(&self.listed, source) { len } else { len.min(request_len) }
    }

    /// Whether a source may RESET the store.
    pub fn may_reset(&self, source: IpAddr) -> bool {
        contains(&self.administrators, source)
    }
}

fn contains(prefixes: &Prefixes, address: IpAddr) -> bool {
    prefixes.iter().any(|prefix| prefix.contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(network: [u8; 4], len: u8) -> Prefix {
        Prefix::new(IpAddr::from(network), len).expect("a valid prefix")
    }

    #[test]
    fn a_prefix_contains_what_starts_with_it() {
        let ten = prefix([10, 9, 8, 7], 8);
        assert!(ten.contains(IpAddr::from([10, 255, 0, 1])));
        assert!(!ten.contains(IpAddr::from([11, 9, 8, 7])));
        assert!(prefix([0; 4], 0).contains(IpAddr::from([255; 4])));
        assert!(prefix([1, 2, 3, 4], 32).contains(IpAddr::from([1, 2, 3, 4])));
        assert!(!prefix([1, 2, 3, 4], 32).contains(IpAddr::from([1, 2, 3, 5])));
        assert!(!prefix([0; 4], 0).contains(IpAddr::from([0_u8; 16])));
        assert_eq!(Prefix::new(IpAddr::from([0; 4]), 33), None);
    }

    #[test]
    fn an_unlisted_source_gets_no_more_than_it_sent() {
        let mut policy = Policy { reply_len_max: 1472, ..Policy::default() };
        let source = IpAddr::from([192, 0, 2, 1]);
        assert_eq!(policy.reply_len(source, 80, 9000), 80);
        policy.listed.push(prefix([192, 0, 2, 0], 24)).expect("an empty list has room");
        assert_eq!(policy.reply_len(source, 80, 9000), 1472);
        assert_eq!(policy.reply_len(source, 80, 1000), 1000);
        assert!(!policy.may_reset(source));
    }
}
