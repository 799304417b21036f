//! The two hashes of a key: MICA2's, which anybody can compute, and ours, which nobody else can.
//!
//! [`KeyHash`] is what MICA2's clients put into their requests. It chooses the server and the partition, because the
//! client must be able to choose them too; the bits are those of MICA2. It is never believed when it comes from a
//! client: the edge computes it again and refuses a request whose hash differs, otherwise one key could live in two
//! partitions.
//!
//! [`Placement`] chooses the place inside a partition. It is a SipHash-1-3 under a [`Secret`] that is drawn when the
//! store starts, so that nobody can choose keys that pile up in one bucket: with CityHash64, which has no key, a few
//! million tries find as many such keys as one wants.

use core::fmt;

use siphasher::sip::SipHasher13;

/// MICA2's 64-bit hash of a key: `CityHash64` version 1.1 of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyHash(pub u64);

/// A partition's number, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId(pub u16);

/// What keys the placement of items, 128 bits that no client may learn.
///
/// Draw it at random when the store starts. A table that survives its process must be opened with the secret that it
/// was formatted with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret {
    /// The first half.
    pub k0: u64,
    /// The second half.
    pub k1: u64,
}

/// The keyed hash that chooses a key's place inside its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Placement(u64);

/// A key together with its placement, which is computed once and then serves every stage of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    bytes: &'a [u8],
    placement: Placement,
}

impl KeyHash {
    /// The hash of `key`.
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        Self(cityhasher::hash(key))
    }

    /// The partition that holds the key when there are `partition_count` of them; partition 0 when there is none.
    #[inline]
    #[must_use]
    pub fn partition(self, partition_count: u16) -> PartitionId {
        PartitionId(remainder((self.0 >> 48) as u16, partition_count))
    }

    /// The index of the server that holds the key when there are `server_count` of them; 0 when there is none.
    #[inline]
    #[must_use]
    pub fn server(self, server_count: u16) -> u16 {
        remainder((self.0 >> 32) as u16, server_count)
    }
}

fn remainder(selector: u16, count: u16) -> u16 {
    selector.checked_rem(count).unwrap_or(0)
}

impl Placement {
    /// The placement of `key` under `secret`.
    #[inline]
    #[must_use]
    pub fn of(secret: &Secret, key: &[u8]) -> Self {
        Self(SipHasher13::new_with_keys(secret.k0, secret.k1).hash(key))
    }

    /// All 64 bits.
    #[inline]
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }
}

impl<'a> Key<'a> {
    /// The key of these bytes in a table with this secret.
    ///
    /// Keys longer than [`qp_wire::limits::KEY_LEN_MAX`] are allowed here; no table holds one.
    #[inline]
    #[must_use]
    pub fn new(secret: &Secret, bytes: &'a [u8]) -> Self {
        Self { bytes, placement: Placement::of(secret, bytes) }
    }

    /// The key itself.
    #[inline]
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Where tables with the secret that it was made with keep it.
    #[inline]
    #[must_use]
    pub const fn placement(&self) -> Placement {
        self.placement
    }
}

/// Hides the secret: debug output ends up in logs.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of MICA2's own hash, taken from the running program.
    const MICA2: [(u64, u64); 8] = [
        (0, 0x1439_7a23_417a_f284),
        (1, 0x523b_e90b_b03b_5a61),
        (2, 0x2e89_1e44_3779_4289),
        (3, 0x64c8_56ff_72c5_4198),
        (4, 0x2d2c_e84a_cccc_9187),
        (100, 0x5e08_9107_f301_34ef),
        (1000, 0x1a89_a616_c688_6075),
        (201_326_591, 0x32ae_36d8_45b1_b723),
    ];

    #[test]
    fn key_hashes_are_those_of_mica2() {
        for (key, hash) in MICA2 {
            assert_eq!(KeyHash::of(&key.to_le_bytes()), KeyHash(hash), "key {key}");
        }
        assert_eq!(KeyHash::of(b"abcd"), KeyHash(0x1a55_02de_4a1f_8101));
        assert_eq!(KeyHash::of(b"abcdefgh"), KeyHash(0xfee9_d229_90c8_2909));
        assert_eq!(KeyHash::of(b"abcdefghijklmnop"), KeyHash(0x5463_0bad_7705_cebd));
    }

    #[test]
    fn partition_and_server_take_the_bits_that_mica2_takes() {
        let hash = KeyHash(0x0123_4567_89ab_cdef);
        assert_eq!(hash.partition(u16::MAX), PartitionId(0x0123));
        assert_eq!(hash.partition(12), PartitionId(0x0123 % 12));
        assert_eq!(hash.server(u16::MAX), 0x4567);
        assert_eq!(hash.server(5), 0x4567 % 5);
    }

    #[test]
    fn without_partitions_or_servers_the_first_is_meant() {
        assert_eq!(KeyHash(u64::MAX).partition(0), PartitionId(0));
        assert_eq!(KeyHash(u64::MAX).server(0), 0);
    }

    /// `DefaultHasher` of std is SipHash-1-3 with both halves of the key 0.
    #[test]
    fn placement_is_siphash_1_3() {
        extern crate std;
        use std::hash::Hasher;
        for key in [&b""[..], b"a", b"12345678", b"a key longer than one word"] {
            let mut expected = std::hash::DefaultHasher::new();
            expected.write(key);
            assert_eq!(Placement::of(&Secret { k0: 0, k1: 0 }, key).to_bits(), expected.finish());
        }
    }

    #[test]
    fn another_secret_places_a_key_elsewhere() {
        let (a, b) = (Secret { k0: 1, k1: 2 }, Secret { k0: 1, k1: 3 });
        assert_ne!(Key::new(&a, b"key").placement(), Key::new(&b, b"key").placement());
    }

    #[test]
    fn a_secret_does_not_print_itself() {
        extern crate std;
        assert_eq!(std::format!("{:?}", Secret { k0: 0x5ec1, k1: 0x5ec2 }), "Secret(..)");
    }
}
