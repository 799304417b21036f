//! How a side tells the other one what it exports.
//!
//! DOCA's own descriptor has no meaning but to DOCA, and generation 1 gives the importer neither address nor length. So
//! both go with it:
//!
//! ```text
//!  0       4         8        16       24           28         32
//! +-------+---------+--------+--------+------------+----------+---- ... ----+
//! | magic | version |  base  |  len   | export len | reserved |   export    |
//! +-------+---------+--------+--------+------------+----------+---- ... ----+
//! ```
//!
//! | offset | size | field | unit | rule |
//! |---|---|---|---|---|
//! | 0 | 4 | magic | | "DKDM" |
//! | 4 | 4 | version | | [`VERSION`] |
//! | 8 | 8 | base | bytes | the memory's address at its owner, not 0 |
//! | 16 | 8 | len | bytes | a multiple of 64, 64 to 2^40; base + len below 2^64 |
//! | 24 | 4 | export len | bytes | 1 to [`EXPORT_LEN_MAX`]; exactly what follows |
//! | 28 | 4 | reserved | | 0 |
//!
//! All integers are little-endian.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes before DOCA's own descriptor.
pub const EXPORT_HEADER_LEN: usize = 32;

/// Longest descriptor of DOCA's that can be told of; those that are known have less than 1 KiB.
pub const EXPORT_LEN_MAX: usize = crate::control::message::REGION_LEN_MAX - EXPORT_HEADER_LEN;

const VERSION: u32 = 1;
const MAGIC: u32 = u32::from_le_bytes(*b"DKDM");
const DATA_LEN_MAX: u64 = 1 << 40;

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    magic: U32,
    version: U32,
    base: U64,
    len: U64,
    export_len: U32,
    reserved: U32,
}

const _: () = assert!(size_of::<Header>() == EXPORT_HEADER_LEN);

/// Exported memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExportDescriptor<'a> {
    /// Where its owner has it.
    pub base: u64,
    /// Its length in bytes.
    pub len: u64,
    /// DOCA's own descriptor.
    pub export: &'a [u8],
}

/// Why bytes describe no exported memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportDescriptorError {
    /// They are cut short, or more than they say.
    #[error("a description of exported memory has {needed} bytes, this one has {got}")]
    Len {
        /// What they say, or what they have at least.
        needed: usize,
        /// What there is.
        got: usize,
    },
    /// They are something else.
    #[error("this does not describe memory exported by DOCA: set dma.kind to the same on both sides")]
    Magic,
    /// Made by another version of the program.
    #[error(
        "exported memory is described in version {got}, but this program knows version {VERSION}: run the same release \
         on both sides"
    )]
    Version {
        /// The version that they state.
        got: u32,
    },
    /// A field is out of its range.
    #[error("a description of exported memory with an impossible {field}")]
    Range {
        /// Which one.
        field: &'static str,
    },
}

impl<'a> ExportDescriptor<'a> {
    /// The bytes to send.
    pub fn encode(&self) -> Vec<u8> {
        let header = Header {
            magic: MAGIC.into(),
            version: VERSION.into(),
            base: self.base.into(),
            len: self.len.into(),
            export_len: (self.export.len() as u32).into(),
            reserved: 0.into(),
        };
        [header.as_bytes(), self.export].concat()
    }

    /// Reads what [`encode`](Self::encode) has written, and nothing else.
    ///
    /// # Errors
    /// [`ExportDescriptorError`] for any other bytes.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, ExportDescriptorError> {
        let got = bytes.len();
        let (header, export) = Header::read_from_prefix(bytes)
            .map_err(|_| ExportDescriptorError::Len { needed: EXPORT_HEADER_LEN, got })?;
        if header.magic.get() != MAGIC {
            return Err(ExportDescriptorError::Magic);
        }
        if header.version.get() != VERSION {
            return Err(ExportDescriptorError::Version { got: header.version.get() });
        }
        let (base, len) = (header.base.get(), header.len.get());
        if !(64..=DATA_LEN_MAX).contains(&len) || !len.is_multiple_of(64) {
            return Err(ExportDescriptorError::Range { field: "length" });
        }
        if base == 0 || base.checked_add(len).is_none() {
            return Err(ExportDescriptorError::Range { field: "address" });
        }
        let export_len = header.export_len.get() as usize;
        if export_len == 0 || export_len > EXPORT_LEN_MAX || header.reserved.get() != 0 {
            return Err(ExportDescriptorError::Range { field: "length of its own description" });
        }
        let needed = EXPORT_HEADER_LEN + export_len;
        if export.len() != export_len {
            return Err(ExportDescriptorError::Len { needed, got });
        }
        Ok(Self { base, len, export })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DESCRIPTOR: ExportDescriptor<'static> =
        ExportDescriptor { base: 0x0102_0304_0506_0000, len: 0x1_0000, export: b"any" };

    #[test]
    fn a_description_has_these_bytes() {
        let expected = *b"DKDM\x01\0\0\0\0\0\x06\x05\x04\x03\x02\x01\0\0\x01\0\0\0\0\0\x03\0\0\0\0\0\0\0any";
        assert_eq!(DESCRIPTOR.encode(), expected);
        assert_eq!(ExportDescriptor::decode(&expected), Ok(DESCRIPTOR));
    }

    #[test]
    fn every_cut_and_every_addition_is_refused() {
        let bytes = DESCRIPTOR.encode();
        for len in 0..bytes.len() {
            let refused = ExportDescriptor::decode(&bytes[..len]);
            assert!(matches!(refused, Err(ExportDescriptorError::Len { got, .. }) if got == len), "{refused:?}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(ExportDescriptor::decode(&longer), Err(ExportDescriptorError::Len { needed: 35, got: 36 }));
    }

    #[test]
    fn every_rule_is_checked() {
        let with = |offset: usize, field: &[u8]| {
            let mut bytes = DESCRIPTOR.encode();
            bytes[offset..offset + field.len()].copy_from_slice(field);
            ExportDescriptor::decode(&bytes).expect_err("a wrong field")
        };
        assert_eq!(with(0, b"d"), ExportDescriptorError::Magic);
        assert_eq!(with(4, &[2]), ExportDescriptorError::Version { got: 2 });
        for (offset, value, field) in [
            (8, 0, "address"),
            (8, u64::MAX - 64, "address"),
            (16, 0, "length"),
            (16, 65, "length"),
            (16, DATA_LEN_MAX + 64, "length"),
            (24, 0, "length of its own description"),
            (24, 5000, "length of its own description"),
            (24, 1 << 32 | 3, "length of its own description"),
        ] {
            assert_eq!(with(offset, &value.to_le_bytes()), ExportDescriptorError::Range { field }, "{offset} {value}");
        }
    }

    proptest! {
        #[test]
        fn what_is_decoded_is_encoded_to_the_same_bytes(mut bytes: Vec<u8>, is_repaired: bool) {
            if is_repaired {
                bytes.splice(0..bytes.len().min(8), DESCRIPTOR.encode().into_iter().take(8));
            }
            if let Ok(descriptor) = ExportDescriptor::decode(&bytes) {
                prop_assert_eq!(descriptor.encode(), bytes);
            }
        }
    }
}
