//! A set of network addresses that share their first bits: `"10.0.0.0/8"`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

/// All addresses whose first `bit_count` bits are those of `address`. The other bits of `address` are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    address: IpAddr,
    bit_count: u8,
}

/// What a [`Prefix`] looks like, for messages.
const FORM: &str = "an address prefix such as \"10.0.0.0/8\", with every bit after the prefix 0";

impl Prefix {
    /// The lowest address of the set.
    pub const fn address(self) -> IpAddr {
        self.address
    }

    /// How many leading bits count, 0 to 32 or 128.
    pub const fn bit_count(self) -> u8 {
        self.bit_count
    }
}

/// A text is no [`Prefix`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {FORM}")]
pub struct PrefixError;

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let (address, bit_count) = text.split_once('/').map_or((text, None), |(address, count)| (address, Some(count)));
        let address: IpAddr = address.parse().map_err(|_| PrefixError)?;
        let (bits, width) = match address {
            IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
            IpAddr::V6(address) => (address.to_bits(), 128),
        };
        let bit_count = match bit_count {
            None => width,
            Some(count) => count.parse().ok().filter(|count| *count <= width).ok_or(PrefixError)?,
        };
        let rest = bits.checked_shl(u32::from(bit_count)).unwrap_or_default();
        if rest == 0 { Ok(Self { address, bit_count }) } else { Err(PrefixError) }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.address, self.bit_count)
    }
}

impl Serialize for Prefix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(PrefixVisitor)
    }
}

struct PrefixVisitor;

impl Visitor<'_> for PrefixVisitor {
    type Value = Prefix;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(FORM)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Prefix, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_shown_as_they_are_read() {
        for text in ["0.0.0.0/0", "10.0.0.0/8", "192.168.1.7/32", "fe80::/10", "::1/128", "::/0"] {
            assert_eq!(text.parse::<Prefix>().map(|prefix| prefix.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("10.1.2.3".parse::<Prefix>().map(Prefix::bit_count), Ok(32));
    }

    #[test]
    fn a_prefix_with_bits_behind_it_is_refused() {
        for text in ["10.0.0.1/8", "10.0.0.0/33", "::1/127", "::/129", "/8", "10.0.0.0/", "ten/8", "10.0.0/8"] {
            assert_eq!(text.parse::<Prefix>(), Err(PrefixError), "{text}");
        }
    }
}
