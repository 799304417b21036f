//! How a process tells another one where its region is.
//!
//! The descriptor travels over the control channel. It names an open file of a process, and a number that only the
//! right file contains: process ids and file numbers are used again, random numbers are not.
//!
//! ```text
//!  0               8               16              24              32
//! +-------+-------+-------+-------+---------------+---------------+
//! | magic |version|  pid  |  fd   |     nonce     |   data_len    |
//! +-------+-------+-------+-------+---------------+---------------+
//! ```
//!
//! | offset | size | field    | unit  | rule                                         |
//! |--------|------|----------|-------|----------------------------------------------|
//! | 0      | 4    | magic    |       | 0x5652_4B44, "DKRV" in the order of the bytes |
//! | 4      | 4    | version  |       | [`VERSION`]                                  |
//! | 8      | 4    | pid      |       | 1 to 2^31 − 1                                |
//! | 12     | 4    | fd       |       | 0 to 2^31 − 1                                |
//! | 16     | 8    | nonce    |       | any                                          |
//! | 24     | 8    | data_len | bytes | a multiple of 64, 64 to 2^40                 |
//!
//! All integers are little-endian. Nothing may follow.

use kv_core::dma::COPY_ALIGN;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Length of an encoded descriptor, in bytes.
pub const DESCRIPTOR_LEN: usize = 32;

/// Version of the descriptor and of the head of a region, which change together.
pub(super) const VERSION: u32 = 1;

/// Longest region, in bytes: far beyond what queue pairs need, and far below where sums of offsets overflow.
pub(super) const DATA_LEN_MAX: u64 = 1 << 40;

const MAGIC: u32 = u32::from_le_bytes(*b"DKRV");

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Encoded {
    magic: U32,
    version: U32,
    pid: U32,
    fd: U32,
    nonce: U64,
    data_len: U64,
}

const _: () = assert!(size_of::<Encoded>() == DESCRIPTOR_LEN);

/// Where a region is and how to recognise it. Valid on one machine, for as long as the region's owner lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionDescriptor {
    pub(super) pid: u32,
    pub(super) fd: u32,
    pub(super) nonce: u64,
    pub(super) data_len: u64,
}

/// Why bytes are not a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DescriptorError {
    /// Not as long as a descriptor is.
    #[error("a region descriptor has {DESCRIPTOR_LEN} bytes, this one has {got}")]
    Len {
        /// Length of the bytes.
        got: usize,
    },
    /// The bytes are something else.
    #[error("this is not a region descriptor")]
    Magic,
    /// Made by another version of the program.
    #[error(
        "region descriptor of version {got}, but this program knows version {VERSION}: \
         run the same release on both sides"
    )]
    Version {
        /// The version that the bytes state.
        got: u32,
    },
    /// A field is out of its range.
    #[error("a region descriptor with an impossible {field}")]
    Range {
        /// Which one.
        field: &'static str,
    },
}

impl RegionDescriptor {
    /// The process that made the region.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Bytes of data in the region.
    pub fn data_len(&self) -> usize {
        // At most DATA_LEN_MAX; a region of that length exists only where a usize holds it.
        usize::try_from(self.data_len).unwrap_or(usize::MAX)
    }

    /// The bytes to send.
    pub fn encode(&self) -> [u8; DESCRIPTOR_LEN] {
        let encoded = Encoded {
            magic: MAGIC.into(),
            version: VERSION.into(),
            pid: self.pid.into(),
            fd: self.fd.into(),
            nonce: self.nonce.into(),
            data_len: self.data_len.into(),
        };
        zerocopy::transmute!(encoded)
    }

    /// Reads what [`encode`](Self::encode) has written, and nothing else.
    ///
    /// # Errors
    /// [`DescriptorError`] for any other bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DescriptorError> {
        let encoded = Encoded::read_from_bytes(bytes).map_err(|_| DescriptorError::Len { got: bytes.len() })?;
        if encoded.magic.get() != MAGIC {
            return Err(DescriptorError::Magic);
        }
        if encoded.version.get() != VERSION {
            return Err(DescriptorError::Version { got: encoded.version.get() });
        }
        let descriptor = Self {
            pid: encoded.pid.get(),
            fd: encoded.fd.get(),
            nonce: encoded.nonce.get(),
            data_len: encoded.data_len.get(),
        };
        // The kernel's own numbers are signed 32-bit integers.
        if !(1..=i32::MAX as u32).contains(&descriptor.pid) {
            return Err(DescriptorError::Range { field: "process id" });
        }
        if descriptor.fd > i32::MAX as u32 {
            return Err(DescriptorError::Range { field: "file number" });
        }
        if !is_data_len(descriptor.data_len) {
            return Err(DescriptorError::Range { field: "length" });
        }
        Ok(descriptor)
    }
}

/// Whether a region can have so many bytes of data.
pub(super) fn is_data_len(len: u64) -> bool {
    (COPY_ALIGN as u64..=DATA_LEN_MAX).contains(&len) && len.is_multiple_of(COPY_ALIGN as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DESCRIPTOR: RegionDescriptor =
        RegionDescriptor { pid: 0x0102_0304, fd: 0x0506_0708, nonce: 0x1112_1314_1516_1718, data_len: 0x1_0000_0040 };

    #[test]
    fn a_descriptor_has_these_bytes() {
        let expected =
            *b"DKRV\x01\0\0\0\x04\x03\x02\x01\x08\x07\x06\x05\x18\x17\x16\x15\x14\x13\x12\x11\x40\0\0\0\x01\0\0\0";
        assert_eq!(DESCRIPTOR.encode(), expected);
        assert_eq!(RegionDescriptor::decode(&expected), Ok(DESCRIPTOR));
    }

    #[test]
    fn every_cut_and_every_addition_is_refused() {
        let bytes = DESCRIPTOR.encode();
        for len in 0..bytes.len() {
            assert_eq!(RegionDescriptor::decode(&bytes[..len]), Err(DescriptorError::Len { got: len }));
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(RegionDescriptor::decode(&longer), Err(DescriptorError::Len { got: 33 }));
    }

    #[test]
    fn every_rule_is_checked() {
        let with = |offset: usize, field: &[u8]| {
            let mut bytes = DESCRIPTOR.encode();
            bytes[offset..offset + field.len()].copy_from_slice(field);
            RegionDescriptor::decode(&bytes)
        };
        assert_eq!(with(0, b"d"), Err(DescriptorError::Magic));
        assert_eq!(with(4, &[2]), Err(DescriptorError::Version { got: 2 }));
        for pid in [0, 1 << 31, u32::MAX] {
            assert_eq!(with(8, &pid.to_le_bytes()), Err(DescriptorError::Range { field: "process id" }));
        }
        for fd in [1 << 31, u32::MAX] {
            assert_eq!(with(12, &fd.to_le_bytes()), Err(DescriptorError::Range { field: "file number" }));
        }
        for fd in [0, i32::MAX as u32] {
            assert!(with(12, &fd.to_le_bytes()).is_ok());
        }
        for len in [0, 1, 63, 65, DATA_LEN_MAX + 64, u64::MAX] {
            assert_eq!(with(24, &len.to_le_bytes()), Err(DescriptorError::Range { field: "length" }), "{len}");
        }
        for len in [64, DATA_LEN_MAX] {
            assert!(with(24, &len.to_le_bytes()).is_ok());
        }
    }

    proptest! {
        #[test]
        fn what_is_decoded_is_encoded_to_the_same_bytes(mut bytes: [u8; DESCRIPTOR_LEN], is_repaired: bool) {
            if is_repaired {
                bytes[..8].copy_from_slice(&DESCRIPTOR.encode()[..8]);
                (bytes[11], bytes[15], bytes[24]) = (bytes[11] & 0x7F, bytes[15] & 0x7F, bytes[24] & 0xC0);
                bytes[29..].fill(0);
            }
            if let Ok(descriptor) = RegionDescriptor::decode(&bytes) {
                prop_assert_eq!(descriptor.encode(), bytes);
            } else {
                prop_assert!(!is_repaired || bytes[24..] == [0; 8] || bytes[8..12] == [0; 4]);
            }
        }
    }
}
