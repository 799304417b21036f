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

use arch::{SIPHASH_LANES, siphash13_lanes};
use siphasher::sip::SipHasher13;

/// Keys that are placed at once.
pub const KEY_LANES: usize = SIPHASH_LANES;

const WORD_LEN: usize = size_of::<u64>();

/// The number of no bucket.
const NOWHERE: usize = usize::MAX;

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
    aim: usize,
}

impl KeyHash {
    /// The hash of `key`.
    #[inline]
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        Self(city_8_to_16(key).unwrap_or_else(|| cityhasher::hash(key)))
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

/// `CityHash64` 1.1 of 8 to 16 bytes, which most keys have. The hash of every request on MICA2's wire is computed anew, and
/// here it takes a third of what it takes through all that chooses between lengths.
#[inline]
fn city_8_to_16(key: &[u8]) -> Option<u64> {
    const K2: u64 = 0x9ae1_6a3b_2f90_404f;
    let (first, last) = (u64::from_le_bytes(*key.first_chunk()?), u64::from_le_bytes(*key.last_chunk()?));
    if key.len() > 16 {
        return None;
    }
    let mul = K2.wrapping_add(2 * key.len() as u64);
    let first = first.wrapping_add(K2);
    let u = last.rotate_right(37).wrapping_mul(mul).wrapping_add(first);
    let v = first.rotate_right(25).wrapping_add(last).wrapping_mul(mul);
    let mixed = (u ^ v).wrapping_mul(mul);
    let mixed = (v ^ mixed ^ mixed >> 47).wrapping_mul(mul);
    Some((mixed ^ mixed >> 47).wrapping_mul(mul))
}

/// Most counts are powers of two, and a division takes as long as a fifth of a look-up.
#[inline]
fn remainder(selector: u16, count: u16) -> u16 {
    if count.is_power_of_two() { selector & (count - 1) } else { selector.checked_rem(count).unwrap_or(0) }
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

/// Eight keys of tables with one secret.
#[derive(Clone, Copy, Debug)]
pub struct KeyLanes<'l, 'a> {
    bytes: &'l [&'a [u8]; KEY_LANES],
    placements: [u64; KEY_LANES],
}

impl<'l, 'a> KeyLanes<'l, 'a> {
    /// Places eight keys, for the price of one or two when they have one length of up to 31 bytes.
    #[inline]
    #[must_use]
    pub fn new(secret: &Secret, bytes: &'l [&'a [u8]; KEY_LANES]) -> Self {
        // Most keys of a load have one length, often this one.
        let placements = match whole_words(bytes) {
            Some(words) => hash_words::<1, 2>(secret, &words),
            None => placements(secret, bytes),
        };
        Self { bytes, placements }
    }

    /// The places of the keys, in the order of their bytes.
    #[inline]
    pub(crate) fn placements(&self) -> [Placement; KEY_LANES] {
        self.placements.map(Placement)
    }

    /// The keys, in the order of their bytes.
    #[inline]
    pub fn keys(&self) -> impl Iterator<Item = Key<'a>> {
        let placed = self.bytes.iter().zip(&self.placements);
        placed.map(|(&bytes, &placement)| Key { bytes, placement: Placement(placement), aim: NOWHERE })
    }
}

impl<'a> Key<'a> {
    /// The key of these bytes in a table with this secret.
    ///
    /// Keys longer than [`qp_wire::limits::KEY_LEN_MAX`] are allowed here; no table holds one.
    #[inline]
    #[must_use]
    pub fn new(secret: &Secret, bytes: &'a [u8]) -> Self {
        Self { bytes, placement: Placement::of(secret, bytes), aim: NOWHERE }
    }

    /// A key that has no place yet.
    #[inline]
    pub(crate) const fn unplaced(bytes: &'a [u8]) -> Self {
        Self { bytes, placement: Placement(0), aim: NOWHERE }
    }

    /// The key itself.
    #[inline]
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The key as two little-endian words, padded with zeros; both are 0 when it has more than 16 bytes.
    #[inline]
    pub(crate) fn words(&self) -> [u64; 2] {
        words_of(self.bytes)
    }

    /// Which bits of [`words`](Self::words) are the key's.
    #[inline]
    pub(crate) fn masks(&self) -> [u64; 2] {
        static MASKS: [[u64; 2]; 17] = masks();
        MASKS.get(self.bytes.len()).copied().unwrap_or_default()
    }

    /// The number of the bucket where a look-up begins, [`NOWHERE`] until a table has fetched one. It is a hint: who does
    /// not find the key there looks into all places that the placement allows.
    #[inline]
    pub(crate) const fn aim(&self) -> usize {
        self.aim
    }

    /// Places a key that is [`unplaced`](Self::unplaced).
    #[inline]
    pub(crate) const fn place(&mut self, placement: Placement) {
        self.placement = placement;
    }

    #[inline]
    pub(crate) const fn set_aim(&mut self, bucket_number: usize) {
        self.aim = bucket_number;
    }

    /// Where tables with the secret that it was made with keep it.
    #[inline]
    #[must_use]
    pub const fn placement(&self) -> Placement {
        self.placement
    }
}

/// For each length up to that of two words, the bits that so many bytes take of them.
const fn masks() -> [[u64; 2]; 17] {
    let mut masks = [[0; 2]; 17];
    let mut len = 0;
    while len < masks.len() {
        let bits = 8 * len as u32;
        masks[len] = [!u64::MAX.unbounded_shl(bits), !u64::MAX.unbounded_shl(bits.saturating_sub(64))];
        len += 1;
    }
    masks
}

/// So many words of a key, as bytes.
type WordBytes<const WORDS: usize> = [[u8; WORD_LEN]; WORDS];

/// The keys as the bytes of so many words each, when they are.
#[inline]
fn whole_words<'a, const WORDS: usize>(keys: &[&'a [u8]; KEY_LANES]) -> Option<[&'a WordBytes<WORDS>; KEY_LANES]> {
    let are_words = |key: &&[u8]| key.len() == WORDS * WORD_LEN;
    keys.iter()
        .all(are_words)
        .then(|| keys.map(|key| key.as_chunks().0.first_chunk().unwrap_or(&[[0; WORD_LEN]; WORDS])))
}

/// The placements of eight keys of so many words. There is one block more, with the length.
#[inline]
fn hash_words<const WORDS: usize, const BLOCKS: usize>(
    secret: &Secret,
    keys: &[&WordBytes<WORDS>; KEY_LANES],
) -> [u64; KEY_LANES] {
    const { assert!(BLOCKS == WORDS + 1) };
    siphash13_lanes::<BLOCKS>([secret.k0, secret.k1], |block, lane| match keys[lane % KEY_LANES].get(block) {
        Some(word) => u64::from_le_bytes(*word),
        None => ((WORDS * WORD_LEN) as u64) << 56,
    })
}

/// The placements of eight keys.
#[inline(never)]
fn placements(secret: &Secret, keys: &[&[u8]; KEY_LANES]) -> [u64; KEY_LANES] {
    if let Some(words) = whole_words(keys) {
        return hash_words::<2, 3>(secret, &words);
    }
    let [first, ..] = keys;
    let each = |key| Placement::of(secret, key).to_bits();
    if keys.iter().any(|key| key.len() != first.len()) {
        return keys.map(each);
    }
    match first.len() / WORD_LEN {
        0 => lanes::<1>(secret, keys),
        1 => lanes::<2>(secret, keys),
        2 => lanes::<3>(secret, keys),
        3 => lanes::<4>(secret, keys),
        _ => keys.map(each),
    }
}

/// The placements of eight keys that have one length, that of `BLOCKS` words less 1 to 8 bytes.
#[inline]
fn lanes<const BLOCKS: usize>(secret: &Secret, keys: &[&[u8]; KEY_LANES]) -> [u64; KEY_LANES] {
    siphash13_lanes::<BLOCKS>([secret.k0, secret.k1], |block, lane| {
        let key = keys[lane % KEY_LANES];
        let len = if block + 1 == BLOCKS { (key.len() as u64) << 56 } else { 0 };
        word_of(key, block) | len
    })
}

/// See [`Key::words`].
#[inline]
fn words_of(key: &[u8]) -> [u64; 2] {
    if key.len() > 2 * WORD_LEN { [0, 0] } else { [word_of(key, 0), word_of(key, 1)] }
}

/// The word of a key at an index, padded with zeros.
#[inline]
fn word_of(name: &[u8], index: usize) -> u64 {
    let rest = name.get(WORD_LEN * index..).unwrap_or_default();
    match (rest.first_chunk(), name.last_chunk()) {
        (Some(word), _) => u64::from_le_bytes(*word),
        // The last word has the rest at its upper end.
        (_, Some(last)) => u64::from_le_bytes(*last).unbounded_shr(8 * (WORD_LEN - rest.len()) as u32),
        _ => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
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
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn short_keys_have_the_hash_that_all_have(key in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(KeyHash::of(&key), KeyHash(cityhasher::hash(&key)));
            prop_assert_eq!(city_8_to_16(&key).is_some(), (8..=16).contains(&key.len()));
        }
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
    fn eight_keys_at_once_are_those_one_by_one() {
        extern crate std;
        let secret = Secret { k0: 0x0706_0504_0302_0100, k1: 0x0f0e_0d0c_0b0a_0908 };
        let bytes: std::vec::Vec<u8> = (0..=u8::MAX).collect();
        for len in 0..48 {
            // All of one length, and one of another.
            for odd in [len, len + 1] {
                let names = core::array::from_fn(|lane| &bytes[3 * lane..][..if lane == 5 { odd } else { len }]);
                for (key, name) in KeyLanes::new(&secret, &names).keys().zip(names) {
                    let alone = Key::new(&secret, name);
                    assert_eq!((key.bytes(), key.placement()), (name, alone.placement()));
                }
            }
        }
    }

    #[test]
    fn the_words_of_a_key_are_its_bytes() {
        let bytes: [u8; 20] = core::array::from_fn(|index| index as u8 + 1);
        for len in 0..=16 {
            let key = Key { bytes: &bytes[..len], placement: Placement(0), aim: NOWHERE };
            let mut padded = [0; 16];
            padded[..len].copy_from_slice(&bytes[..len]);
            let bits = u128::from_le_bytes(padded);
            assert_eq!(key.words(), [bits as u64, (bits >> 64) as u64]);
            let [low, high] = key.masks();
            assert_eq!(u128::from(high) << 64 | u128::from(low), !u128::MAX.unbounded_shl(8 * len as u32));
        }
        assert_eq!(words_of(&bytes[..17]), [0, 0]);
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
