//! SipHash-1-3 of eight short inputs at once.
//!
//! One such hash is a chain of about 80 additions, rotations and exclusive ors that wait for each other; eight of them
//! side by side fill the vector registers of a CPU that has some. What it hashes, how it is keyed and why is the
//! caller's; here is only the arithmetic (Aumasson and Bernstein, "SipHash: a fast short-input PRF", INDOCRYPT 2012).

use crate::imp::native;

/// Inputs that are hashed at once.
pub const SIPHASH_LANES: usize = 8;

/// One word of each input.
pub type SipHashBlock = [u64; SIPHASH_LANES];

/// The SipHash-1-3 of eight inputs of equal length under one key.
///
/// `word(block, lane)` is one word of an input as SipHash pads it: the little-endian words of the bytes, of which the last
/// has the length in bytes, modulo 256, in its topmost byte. Without a block the result is that of no input at all.
///
/// The words are asked for one by one and never lie in memory side by side: a vector that is loaded from words just
/// stored waits until all of them, and whatever was issued before them, have left the CPU's store buffer.
#[inline]
#[must_use]
pub fn siphash13_lanes<const BLOCKS: usize>(key: [u64; 2], word: impl Fn(usize, usize) -> u64) -> SipHashBlock {
    native::siphash13_lanes::<BLOCKS>(key, word)
}

/// In plain Rust, one lane after the other. With the number of blocks known, a compiler makes one loop without branches
/// of it, whose eight rounds it does side by side where there are vectors.
#[inline(always)]
pub(crate) fn hash_lanes<const BLOCKS: usize>(key: [u64; 2], blocks: &[SipHashBlock; BLOCKS]) -> SipHashBlock {
    let mut hashes = [0; SIPHASH_LANES];
    for (lane, hash) in hashes.iter_mut().enumerate() {
        *hash = hash_lane(key, blocks, lane);
    }
    hashes
}

/// All words of all inputs.
#[inline(always)]
pub(crate) fn blocks<const BLOCKS: usize>(word: impl Fn(usize, usize) -> u64) -> [SipHashBlock; BLOCKS] {
    core::array::from_fn(|block| core::array::from_fn(|lane| word(block, lane)))
}

#[inline(always)]
fn hash_lane<const BLOCKS: usize>([k0, k1]: [u64; 2], blocks: &[SipHashBlock; BLOCKS], lane: usize) -> u64 {
    // "somepseudorandomlygeneratedbytes", as the paper has it.
    let mut state = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    for block in blocks {
        // In range, and known to be: a checked access would be a branch in the loop over the lanes.
        let word = block[lane % SIPHASH_LANES];
        state[3] ^= word;
        state = round(state);
        state[0] ^= word;
    }
    state[2] ^= 0xff;
    let [a, b, c, d] = round(round(round(state)));
    a ^ b ^ c ^ d
}

#[inline(always)]
const fn round([a, b, c, d]: [u64; 4]) -> [u64; 4] {
    let (a, c) = (a.wrapping_add(b), c.wrapping_add(d));
    let (b, d) = (b.rotate_left(13) ^ a, d.rotate_left(16) ^ c);
    let (a, c) = (a.rotate_left(32).wrapping_add(d), c.wrapping_add(b));
    let (b, d) = (b.rotate_left(17) ^ c, d.rotate_left(21) ^ a);
    [a, b, c.rotate_left(32), d]
}
