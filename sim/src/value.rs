//! Values that say who wrote them, so that a wrong one is known at sight.
//!
//! Each write of a run stores a value of its own. A value's [`ValueId`] names the key, the writer and the writer's
//! count, and determines every byte and the length. Whoever reads bytes that no write of the run can have produced for
//! that key has found a bug, without knowing anything else of the run.
//!
//! ```text
//! 0               3        4           8
//! | check of key  | writer | sequence  | bytes that follow from these eight ...
//! ```

use crate::seed::Random;

/// Names a value: the first eight bytes of it, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueId(pub u64);

/// How many bytes a value has at least: its id.
const ID_LEN: usize = 8;

impl ValueId {
    /// The `sequence`th value that `writer` stores under `key`.
    pub fn new(key: &[u8], writer: u8, sequence: u32) -> Self {
        Self(u64::from(key_check(key)) | u64::from(writer) << 24 | u64::from(sequence) << 32)
    }

    /// The value's bytes, at most `len_max` of them. Half of all values are eight bytes long.
    pub fn bytes(self, len_max: usize) -> Vec<u8> {
        let mut random = Random::from_seed(self.0);
        let more = random.below(2) * random.below((len_max.max(ID_LEN) - ID_LEN + 1) as u64);
        let mut bytes = self.0.to_le_bytes().to_vec();
        bytes.extend((0..more).map(|_| random.bits() as u8));
        bytes
    }

    /// The id of a value read from `key`, or `None` if nobody can have stored these bytes there.
    pub fn of(key: &[u8], bytes: &[u8], len_max: usize) -> Option<Self> {
        let id = Self(u64::from_le_bytes(*bytes.first_chunk()?));
        (id.0 as u32 & 0xFF_FFFF == key_check(key) && id.bytes(len_max) == bytes).then_some(id)
    }
}

fn key_check(key: &[u8]) -> u32 {
    arch::crc32c(0, key) & 0xFF_FFFF
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_known_again_and_any_change_is_not() {
        for sequence in 0..50 {
            let id = ValueId::new(b"key", 3, sequence);
            let bytes = id.bytes(100);
            assert!((8..=100).contains(&bytes.len()));
            assert_eq!(ValueId::of(b"key", &bytes, 100), Some(id));
            assert_eq!(ValueId::of(b"other", &bytes, 100), None);
            assert_eq!(ValueId::of(b"key", &bytes[..bytes.len() - 1], 100), None);
            let mut torn = bytes;
            *torn.last_mut().expect("eight bytes or more") ^= 1;
            assert_eq!(ValueId::of(b"key", &torn, 100).filter(|found| *found == id), None);
        }
    }
}
