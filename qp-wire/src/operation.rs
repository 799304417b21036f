//! Operations and the operands in a request's value field.
//!
//! Every format carries a request as an operation byte, a key and a value field. What the value field means depends on
//! the operation, so it is decoded here, once for all formats:
//!
//! ```text
//! operation                value field (little-endian)
//! RESET NOOP_READ GET TEST DELETE TTL            none
//! NOOP_WRITE               anything, ignored
//! SET ADD                  [ttl_ms u64 when flagged] value
//! APPEND                   suffix
//! INCREMENT                delta u64
//! TOUCH                    ttl_ms u64, 0 = never expires
//! COMPARE_AND_SET          [ttl_ms u64 when flagged] expected_len u16, expected, new value
//! ```
//!
//! The flag is bit 7 of the operation byte (rule W-B-5). MICA2's wire has no flag and knows operations 0 to 8 only.

use core::num::NonZeroU64;

use crate::ResultCode;
use crate::limits::{KEY_LEN_MAX, KEY_LEN_MIN, VALUE_LEN_MAX};

/// Bit 7 of an operation byte: the value field starts with a time to live.
pub const TTL_FLAG: u8 = 0x80;

/// What a request asks for. Values 0 to 8 are MICA2's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Opcode {
    /// Empty every table. Refused from the network unless the source is an administrator.
    Reset = 0,
    /// Do nothing, on any core that may read.
    NoopRead = 1,
    /// Do nothing, on the core that may write.
    NoopWrite = 2,
    /// Store a value if the key is absent.
    Add = 3,
    /// Store a value.
    Set = 4,
    /// Read a value.
    Get = 5,
    /// Is the key there?
    Test = 6,
    /// Remove the key.
    Delete = 7,
    /// Add to an 8-byte little-endian value, wrapping; the answer is the new value.
    Increment = 8,
    /// Replace the value if it equals the expected one.
    CompareAndSet = 9,
    /// Put bytes behind the stored value.
    Append = 10,
    /// Give a stored item a new time to live.
    Touch = 11,
    /// Read the remaining time to live: 8 bytes little-endian in milliseconds, [`u64::MAX`] for an item that never
    /// expires.
    Ttl = 12,
}

impl Opcode {
    /// Every opcode, in the order of its wire value.
    pub const ALL: [Self; 13] = [
        Self::Reset,
        Self::NoopRead,
        Self::NoopWrite,
        Self::Add,
        Self::Set,
        Self::Get,
        Self::Test,
        Self::Delete,
        Self::Increment,
        Self::CompareAndSet,
        Self::Append,
        Self::Touch,
        Self::Ttl,
    ];

    /// The opcode with this wire value (without [`TTL_FLAG`]), if there is one.
    pub const fn from_wire(value: u8) -> Option<Self> {
        if (value as usize) < Self::ALL.len() { Some(Self::ALL[value as usize]) } else { None }
    }

    /// The wire value.
    pub const fn to_wire(self) -> u8 {
        self as u8
    }

    /// Whether MICA2's wire knows it.
    pub const fn is_mica(self) -> bool {
        self.to_wire() <= Self::Increment.to_wire()
    }

    /// Whether a request of this kind has a value field on the native wire and in a queue pair.
    pub const fn has_value(self) -> bool {
        !matches!(self, Self::Reset | Self::NoopRead | Self::Get | Self::Test | Self::Delete | Self::Ttl)
    }

    /// Whether a request of this kind names an item.
    pub const fn has_key(self) -> bool {
        !matches!(self, Self::Reset | Self::NoopRead | Self::NoopWrite)
    }

    /// Whether it leaves the store as it was, so that any core that may read can answer it.
    pub const fn is_read(self) -> bool {
        matches!(self, Self::NoopRead | Self::Get | Self::Test | Self::Ttl)
    }

    /// Whether [`TTL_FLAG`] may accompany it.
    pub const fn may_have_ttl(self) -> bool {
        matches!(self, Self::Set | Self::Add | Self::CompareAndSet)
    }
}

/// A time to live in milliseconds, from the moment the server executes the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TtlMs(pub NonZeroU64);

/// An operation with its operands, valid by construction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation<'a> {
    /// See [`Opcode::Reset`].
    Reset,
    /// See [`Opcode::NoopRead`].
    NoopRead,
    /// See [`Opcode::NoopWrite`].
    NoopWrite,
    /// See [`Opcode::Add`].
    Add {
        /// The value to store.
        value: &'a [u8],
        /// When it expires; `None` is never.
        ttl: Option<TtlMs>,
    },
    /// See [`Opcode::Set`].
    Set {
        /// The value to store.
        value: &'a [u8],
        /// When it expires; `None` is never.
        ttl: Option<TtlMs>,
    },
    /// See [`Opcode::Get`].
    Get,
    /// See [`Opcode::Test`].
    Test,
    /// See [`Opcode::Delete`].
    Delete,
    /// See [`Opcode::Increment`].
    Increment {
        /// What to add, wrapping at 2^64.
        delta: u64,
    },
    /// See [`Opcode::CompareAndSet`].
    CompareAndSet {
        /// The value that must be there.
        expected: &'a [u8],
        /// The value that takes its place.
        new: &'a [u8],
        /// When the new value expires; `None` is never.
        ttl: Option<TtlMs>,
    },
    /// See [`Opcode::Append`].
    Append {
        /// What goes behind the stored value.
        suffix: &'a [u8],
    },
    /// See [`Opcode::Touch`].
    Touch {
        /// The new time to live; `None` is for ever.
        ttl: Option<TtlMs>,
    },
    /// See [`Opcode::Ttl`].
    Ttl,
}

/// A valid request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The item's name; empty for operations without one.
    pub key: &'a [u8],
    /// What to do with it.
    pub operation: Operation<'a>,
}

/// A request as a format carries it, lengths checked against the frame, meaning not yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawRequest<'a> {
    /// Opcode and, in bit 7, [`TTL_FLAG`].
    pub operation: u8,
    /// 0 to 255 bytes.
    pub key: &'a [u8],
    /// The value field, empty where the format has none.
    pub value: &'a [u8],
}

impl<'a> RawRequest<'a> {
    /// The request that these bytes mean.
    ///
    /// # Errors
    /// The result to answer with: [`ResultCode::NotSupported`] for an unknown operation or a flag that it does not
    /// take, [`ResultCode::Error`] for a missing key or malformed operands, [`ResultCode::TooLarge`] for a key or value
    /// beyond the limits. Other requests of the same frame are not affected.
    #[inline]
    pub fn decode(self) -> Result<Request<'a>, ResultCode> {
        let opcode = Opcode::from_wire(self.operation & !TTL_FLAG).ok_or(ResultCode::NotSupported)?;
        let flagged = self.operation & TTL_FLAG != 0;
        if flagged && !opcode.may_have_ttl() {
            return Err(ResultCode::NotSupported);
        }
        if opcode.has_key() && self.key.len() < KEY_LEN_MIN {
            return Err(ResultCode::Error);
        }
        if self.key.len() > KEY_LEN_MAX {
            return Err(ResultCode::TooLarge);
        }
        let (ttl, operands) = if flagged { split_ttl(self.value)? } else { (None, self.value) };
        Ok(Request { key: self.key, operation: decode_operands(opcode, ttl, operands)? })
    }
}

fn decode_operands<'a>(opcode: Opcode, ttl: Option<TtlMs>, operands: &'a [u8]) -> Result<Operation<'a>, ResultCode> {
    Ok(match opcode {
        Opcode::Reset => Operation::Reset,
        Opcode::NoopRead => Operation::NoopRead,
        Opcode::NoopWrite => Operation::NoopWrite,
        Opcode::Get => Operation::Get,
        Opcode::Test => Operation::Test,
        Opcode::Delete => Operation::Delete,
        Opcode::Ttl => Operation::Ttl,
        Opcode::Add => Operation::Add { value: bounded(operands)?, ttl },
        Opcode::Set => Operation::Set { value: bounded(operands)?, ttl },
        Opcode::Append => Operation::Append { suffix: bounded(operands)? },
        Opcode::Increment => {
            let delta = operands.try_into().map_err(|_| ResultCode::Error)?;
            Operation::Increment { delta: u64::from_le_bytes(delta) }
        }
        Opcode::Touch => {
            let (ttl, rest) = split_ttl(operands)?;
            if !rest.is_empty() {
                return Err(ResultCode::Error);
            }
            Operation::Touch { ttl }
        }
        Opcode::CompareAndSet => {
            let (len, rest) = operands.split_first_chunk().ok_or(ResultCode::Error)?;
            let (expected, new) =
                rest.split_at_checked(usize::from(u16::from_le_bytes(*len))).ok_or(ResultCode::Error)?;
            Operation::CompareAndSet { expected: bounded(expected)?, new: bounded(new)?, ttl }
        }
    })
}

fn bounded(value: &[u8]) -> Result<&[u8], ResultCode> {
    if value.len() > VALUE_LEN_MAX { Err(ResultCode::TooLarge) } else { Ok(value) }
}

fn split_ttl(value: &[u8]) -> Result<(Option<TtlMs>, &[u8]), ResultCode> {
    let (ttl, rest) = value.split_first_chunk().ok_or(ResultCode::Error)?;
    Ok((NonZeroU64::new(u64::from_le_bytes(*ttl)).map(TtlMs), rest))
}

impl<'a> Operation<'a> {
    /// The value field, where it is an operand as it is, so that nothing has to be encoded: `None` for operations with a time
    /// to live, a number or two values.
    #[inline]
    pub const fn plain_value(&self) -> Option<&'a [u8]> {
        match *self {
            Self::Add { value, ttl: None } | Self::Set { value, ttl: None } | Self::Append { suffix: value } => {
                Some(value)
            }
            Self::Reset | Self::NoopRead | Self::NoopWrite | Self::Get | Self::Test | Self::Delete | Self::Ttl => {
                Some(&[])
            }
            Self::Add { .. }
            | Self::Set { .. }
            | Self::Increment { .. }
            | Self::CompareAndSet { .. }
            | Self::Touch { .. } => None,
        }
    }

    /// The operation's opcode.
    #[inline]
    pub const fn opcode(&self) -> Opcode {
        match self {
            Self::Reset => Opcode::Reset,
            Self::NoopRead => Opcode::NoopRead,
            Self::NoopWrite => Opcode::NoopWrite,
            Self::Add { .. } => Opcode::Add,
            Self::Set { .. } => Opcode::Set,
            Self::Get => Opcode::Get,
            Self::Test => Opcode::Test,
            Self::Delete => Opcode::Delete,
            Self::Increment { .. } => Opcode::Increment,
            Self::CompareAndSet { .. } => Opcode::CompareAndSet,
            Self::Append { .. } => Opcode::Append,
            Self::Touch { .. } => Opcode::Touch,
            Self::Ttl => Opcode::Ttl,
        }
    }

    /// The operation byte: the opcode, with [`TTL_FLAG`] where a time to live leads the value field.
    #[inline]
    pub const fn to_wire(&self) -> u8 {
        match self {
            Self::Add { ttl: Some(_), .. }
            | Self::Set { ttl: Some(_), .. }
            | Self::CompareAndSet { ttl: Some(_), .. } => self.opcode().to_wire() | TTL_FLAG,
            _ => self.opcode().to_wire(),
        }
    }

    /// Length of the value field, in bytes.
    pub const fn value_len(&self) -> usize {
        match self {
            Self::Add { value, ttl } | Self::Set { value, ttl } => ttl_len(*ttl) + value.len(),
            Self::CompareAndSet { expected, new, ttl } => ttl_len(*ttl) + 2 + expected.len() + new.len(),
            Self::Append { suffix } => suffix.len(),
            Self::Increment { .. } | Self::Touch { .. } => 8,
            _ => 0,
        }
    }

    /// Writes the value field to the start of `into` and returns its length, or `None` when it does not fit or when an
    /// operand exceeds the limits.
    pub fn encode_value(&self, into: &mut [u8]) -> Option<usize> {
        let len = self.value_len();
        let mut rest = into.get_mut(..len)?;
        match self {
            Self::Add { value, ttl } | Self::Set { value, ttl } => {
                put_ttl(&mut rest, *ttl)?;
                put(&mut rest, value)?;
            }
            Self::CompareAndSet { expected, new, ttl } => {
                put_ttl(&mut rest, *ttl)?;
                put(&mut rest, &u16::try_from(expected.len()).ok()?.to_le_bytes())?;
                put(&mut rest, expected)?;
                put(&mut rest, new)?;
            }
            Self::Append { suffix } => put(&mut rest, suffix)?,
            Self::Increment { delta } => put(&mut rest, &delta.to_le_bytes())?,
            Self::Touch { ttl } => put(&mut rest, &ttl.map_or(0, |ttl| ttl.0.get()).to_le_bytes())?,
            _ => {}
        }
        Some(len)
    }
}

const fn ttl_len(ttl: Option<TtlMs>) -> usize {
    if ttl.is_some() { 8 } else { 0 }
}

fn put_ttl(rest: &mut &mut [u8], ttl: Option<TtlMs>) -> Option<()> {
    match ttl {
        Some(ttl) => put(rest, &ttl.0.get().to_le_bytes()),
        None => Some(()),
    }
}

/// Moves `bytes` to the front of `rest` and `rest` behind them, or returns `None` when they do not fit.
pub(crate) fn put(rest: &mut &mut [u8], bytes: &[u8]) -> Option<()> {
    let (head, tail) = core::mem::take(rest).split_at_mut_checked(bytes.len())?;
    head.copy_from_slice(bytes);
    *rest = tail;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ttl(ms: u64) -> Option<TtlMs> {
        NonZeroU64::new(ms).map(TtlMs)
    }

    #[test]
    fn every_operation_survives_its_encoding() {
        let operations = [
            Operation::Reset,
            Operation::NoopRead,
            Operation::NoopWrite,
            Operation::Add { value: b"v", ttl: None },
            Operation::Set { value: b"", ttl: ttl(7) },
            Operation::Get,
            Operation::Test,
            Operation::Delete,
            Operation::Increment { delta: u64::MAX },
            Operation::CompareAndSet { expected: b"old", new: b"newer", ttl: None },
            Operation::CompareAndSet { expected: b"", new: b"", ttl: ttl(u64::MAX) },
            Operation::Append { suffix: b"tail" },
            Operation::Touch { ttl: None },
            Operation::Touch { ttl: ttl(1) },
            Operation::Ttl,
        ];
        for operation in operations {
            let mut bytes = [0xff; 64];
            let len = operation.encode_value(&mut bytes).expect("64 bytes suffice");
            let is_written = matches!(operation, Operation::CompareAndSet { .. } | Operation::Increment { .. })
                || matches!(operation, Operation::Touch { .. } | Operation::Set { ttl: Some(_), .. });
            assert_eq!(operation.plain_value(), (!is_written).then_some(&bytes[..len]), "{operation:?}");
            let raw = RawRequest { operation: operation.to_wire(), key: b"k", value: &bytes[..len] };
            assert_eq!(raw.decode(), Ok(Request { key: b"k", operation }));
        }
    }

    #[test]
    fn malformed_operands_are_answered_not_executed() {
        let decode = |operation, key: &'static [u8], value: &'static [u8]| {
            RawRequest { operation, key, value }.decode().map(|_| ()).unwrap_err()
        };
        assert_eq!(decode(13, b"k", b""), ResultCode::NotSupported);
        assert_eq!(decode(Opcode::Get.to_wire() | TTL_FLAG, b"k", b"12345678"), ResultCode::NotSupported);
        assert_eq!(decode(Opcode::Get.to_wire(), b"", b""), ResultCode::Error);
        assert_eq!(decode(Opcode::Increment.to_wire(), b"k", b"1234567"), ResultCode::Error);
        assert_eq!(decode(Opcode::Set.to_wire() | TTL_FLAG, b"k", b"1234567"), ResultCode::Error);
        assert_eq!(decode(Opcode::CompareAndSet.to_wire(), b"k", b"\x05\x00four"), ResultCode::Error);
        assert_eq!(decode(Opcode::Touch.to_wire(), b"k", b"123456789"), ResultCode::Error);
    }

    #[test]
    fn a_value_beyond_the_limit_is_too_large() {
        let value = [0; VALUE_LEN_MAX + 1];
        let raw = RawRequest { operation: Opcode::Set.to_wire(), key: b"k", value: &value };
        assert_eq!(raw.decode(), Err(ResultCode::TooLarge));
        assert!(RawRequest { value: &value[1..], ..raw }.decode().is_ok());
    }
}
