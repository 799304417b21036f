//! Keys and values as people type and read them: text, hexadecimal, numbers.

use std::io::{self, Read};

use clap::Args;

use crate::exit::Failure;

/// How keys and values are written.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Notation {
    /// Keys and values are hexadecimal digits, for bytes that are no text
    #[arg(long)]
    pub(crate) hex: bool,
}

/// Whether a value is a counter.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Counter {
    /// The value is a number, stored in 8 bytes, as incr takes it
    #[arg(long = "u64", conflicts_with = "hex")]
    pub(crate) is_u64: bool,
}

/// The bytes of a key that was typed.
///
/// # Errors
/// [`Failure::Usage`].
pub(crate) fn key(text: &str, notation: Notation) -> Result<Vec<u8>, Failure> {
    if notation.hex { from_hex(text) } else { Ok(text.as_bytes().to_vec()) }
}

/// The bytes of a value that was typed; `-` stands for all of standard input.
///
/// # Errors
/// [`Failure::Usage`] and [`Failure::Stream`].
pub(crate) fn value(text: &str, notation: Notation, counter: Counter) -> Result<Vec<u8>, Failure> {
    if counter.is_u64 {
        let number: u64 =
            text.parse().map_err(|_| Failure::Usage(format!("{text:?} is no number from 0 to 2^64-1")))?;
        return Ok(number.to_le_bytes().to_vec());
    }
    if text == "-" {
        let mut bytes = Vec::new();
        let read = io::stdin().lock().read_to_end(&mut bytes);
        read.map_err(|source| Failure::Stream { doing: "read the value from standard input", source })?;
        return Ok(bytes);
    }
    if notation.hex { from_hex(text) } else { Ok(text.as_bytes().to_vec()) }
}

/// The number in a counter's value.
///
/// # Errors
/// [`Failure::Usage`] when it is none.
pub(crate) fn number(value: &[u8]) -> Result<u64, Failure> {
    let bytes = value.try_into().map_err(|_| {
        Failure::Usage(format!("the value has {} bytes, so it is no counter; leave --u64 out", value.len()))
    })?;
    Ok(u64::from_le_bytes(bytes))
}

/// Hexadecimal digits, two a byte.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 0xf])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

fn from_hex(text: &str) -> Result<Vec<u8>, Failure> {
    let wrong = || Failure::Usage(format!("{text:?} is not hexadecimal: two digits a byte, from 0 to f"));
    let digits: Vec<u32> = text.chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>().ok_or_else(wrong)?;
    if !digits.len().is_multiple_of(2) {
        return Err(wrong());
    }
    // Both digits are below 16.
    Ok(digits.chunks_exact(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: Notation = Notation { hex: false };
    const HEX: Notation = Notation { hex: true };
    const PLAIN: Counter = Counter { is_u64: false };

    #[test]
    fn hexadecimal_digits_are_bytes() {
        let every_byte: Vec<u8> = (0..=u8::MAX).collect();
        assert_eq!(from_hex(&to_hex(&every_byte)).ok(), Some(every_byte));
        assert_eq!(key("00fFA0", HEX).ok(), Some(vec![0, 0xff, 0xa0]));
        assert_eq!(value("", HEX, PLAIN).ok(), Some(Vec::new()));
    }

    #[test]
    fn other_digits_and_half_bytes_are_refused() {
        for text in ["0", "abc", "0g", "0x00", "é0", "-1"] {
            assert!(matches!(from_hex(text), Err(Failure::Usage(_))), "{text}");
        }
    }

    #[test]
    fn text_is_its_utf_8_bytes() {
        assert_eq!(key("é", TEXT).ok(), Some(vec![0xc3, 0xa9]));
        assert_eq!(value("ab", TEXT, PLAIN).ok(), Some(b"ab".to_vec()));
    }

    #[test]
    fn counters_are_8_bytes_little_endian() {
        let counter = Counter { is_u64: true };
        assert_eq!(value("258", TEXT, counter).ok(), Some(vec![2, 1, 0, 0, 0, 0, 0, 0]));
        assert_eq!(number(&[2, 1, 0, 0, 0, 0, 0, 0]).ok(), Some(258));
        assert!(value("-1", TEXT, counter).is_err());
        assert!(value("18446744073709551616", TEXT, counter).is_err());
        assert!(number(b"1234567").is_err());
    }
}
