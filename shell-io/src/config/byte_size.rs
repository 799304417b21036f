//! A number of bytes as people write it: `"256MiB"`.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

/// A number of bytes, written as an integer with a unit: `B`, `KiB`, `MiB`, `GiB` or `TiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

/// Units, the largest first, with the number of bits that they shift by.
const UNITS: [(&str, u32); 5] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];

/// What a [`ByteSize`] looks like, for messages.
const FORM: &str = "a size such as \"256MiB\" (units: B, KiB, MiB, GiB, TiB)";

impl ByteSize {
    /// So many bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// So many mebibytes.
    pub const fn from_mib(mib: u32) -> Self {
        Self((mib as u64) << 20)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

/// A text is no [`ByteSize`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {FORM}")]
pub struct ByteSizeError;

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<Self, ByteSizeError> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (count, unit) = text.split_at(digits);
        let count: u64 = count.parse().map_err(|_| ByteSizeError)?;
        let unit = unit.trim_start();
        let (_, shift) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or(ByteSizeError)?;
        count.checked_mul(1 << shift).map(Self).ok_or(ByteSizeError)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |shift: u32| self.0.trailing_zeros() >= shift && (self.0 != 0 || shift == 0);
        let (name, shift) = UNITS.into_iter().find(|(_, shift)| fits(*shift)).unwrap_or(("B", 0));
        write!(out, "{}{name}", self.0 >> shift)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(SizeVisitor)
    }
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = ByteSize;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(FORM)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_unit() {
        let bytes = |text: &str| text.parse::<ByteSize>().map(ByteSize::bytes);
        assert_eq!(bytes("64MiB"), Ok(64 << 20));
        assert_eq!(bytes("3 GiB"), Ok(3 << 30));
        assert_eq!(bytes("0B"), Ok(0));
        for wrong in ["", "12", "MiB", "12MB", "1.5GiB", "-1MiB", "12mib", "99999999999TiB", "18446744073709551616B"] {
            assert_eq!(bytes(wrong), Err(ByteSizeError), "{wrong}");
        }
    }

    #[test]
    fn a_size_is_shown_as_it_is_read() {
        for text in ["0B", "1B", "1023B", "1KiB", "3MiB", "1025MiB", "2GiB", "5TiB"] {
            assert_eq!(text.parse::<ByteSize>().map(|size| size.to_string()), Ok(text.to_owned()));
        }
    }
}
