//! The descriptor of exported memory: to others, bytes without a meaning.

use crate::faults::Random;

/// Length in bytes.
pub(crate) const LEN: usize = 56;

const MAGIC: u64 = u64::from_le_bytes(*b"DOCASTND");
const VERSION: u64 = 1;

/// What an importer needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub(crate) pid: u32,
    pub(crate) fd: u32,
    /// Of the memory in the file.
    pub(crate) offset: u64,
    /// Where its owner has it.
    pub(crate) base: u64,
    pub(crate) len: u64,
    pub(crate) access: u64,
}

/// Why bytes are no descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    Malformed,
    Version,
}

impl Descriptor {
    pub(crate) fn encode(&self) -> [u8; LEN] {
        let process = u64::from(self.pid) << 32 | u64::from(self.fd);
        let words = [MAGIC, VERSION, process, self.offset, self.base, self.len, self.access];
        let mut bytes = [0; LEN];
        for (place, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
            *place = word.to_le_bytes();
        }
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Wrong> {
        let (words, rest) = bytes.as_chunks();
        let words: Vec<_> = words.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
        let [MAGIC, version, process, offset, base, len, access] = words[..] else { return Err(Wrong::Malformed) };
        if version != VERSION {
            return Err(Wrong::Version);
        }
        if !rest.is_empty() || len == 0 || base.checked_add(len).is_none() {
            return Err(Wrong::Malformed);
        }
        Ok(Self { pid: (process >> 32) as u32, fd: process as u32, offset, base, len, access })
    }
}

/// Damages a descriptor in one of three ways.
pub(crate) fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    match random.below(3) {
        0 => bytes.truncate(random.below(LEN as u64) as usize),
        1 => bytes[8] = 99,
        _ => bytes[random.below(8) as usize] ^= 0x10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESCRIPTOR: Descriptor = Descriptor { pid: 1, fd: 2, offset: 3, base: 4, len: 5, access: 6 };

    #[test]
    fn what_is_encoded_is_decoded() {
        assert_eq!(Descriptor::decode(&DESCRIPTOR.encode()), Ok(DESCRIPTOR));
    }

    #[test]
    fn every_damage_is_noticed() {
        for seed in 0..1000 {
            let mut bytes = DESCRIPTOR.encode().to_vec();
            damage(&mut bytes, &mut Random::new(seed));
            assert!(Descriptor::decode(&bytes).is_err(), "{seed}");
        }
    }
}
