//! The Internet checksum: the complement of the one's complement sum of 16-bit big-endian words (RFC 1071).
//!
//! A message with its checksum in place sums up to 0xffff. Sums of parts add up, as long as every part but the last has
//! an even length, so nothing is copied together to be checked.

/// A sum of words, carries not yet folded in.
///
/// 64 bits hold the words of any slice that fits a frame 2^31 times over.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum(u64);

impl Sum {
    /// The sum with `bytes` added; a last odd byte counts as the upper half of a word.
    pub(super) fn add(self, bytes: &[u8]) -> Self {
        let (words, odd) = bytes.as_chunks::<2>();
        let sum: u64 = words.iter().map(|&word| u64::from(u16::from_be_bytes(word))).sum();
        let last = odd.first().map_or(0, |&byte| u64::from(byte) << 8);
        Self(self.0.wrapping_add(sum).wrapping_add(last))
    }

    /// The sum with one word added.
    pub(super) fn add_word(self, word: u16) -> Self {
        Self(self.0.wrapping_add(u64::from(word)))
    }

    /// The 16-bit one's complement sum.
    fn folded(self) -> u16 {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum >> 16) + (sum & 0xffff);
        }
        sum as u16
    }

    /// What to write into the checksum field, if what was summed has zero there.
    pub(super) fn checksum(self) -> u16 {
        !self.folded()
    }

    /// Whether what was summed includes its own correct checksum.
    pub(super) fn is_correct(self) -> bool {
        self.folded() == 0xffff
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 1071, section 3: the words 0001 f203 f4f5 f6f7 sum up to ddf2.
    const EXAMPLE: [u8; 8] = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];

    #[test]
    fn the_example_of_the_rfc_sums_up() {
        assert_eq!(Sum::default().add(&EXAMPLE).folded(), 0xddf2);
        assert_eq!(Sum::default().add(&EXAMPLE).checksum(), !0xddf2);
    }

    #[test]
    fn parts_of_even_length_sum_up_to_the_whole() {
        let (head, tail) = EXAMPLE.split_at(6);
        assert_eq!(Sum::default().add(head).add(tail).folded(), 0xddf2);
        assert_eq!(Sum::default().add(head).add_word(0xf6f7).folded(), 0xddf2);
    }

    #[test]
    fn a_last_odd_byte_is_the_upper_half_of_a_word() {
        assert_eq!(Sum::default().add(&[0x12, 0x34, 0x56]).folded(), 0x1234 + 0x5600);
    }

    #[test]
    fn a_message_with_its_checksum_is_correct_and_any_other_is_not() {
        let checksum = Sum::default().add(&EXAMPLE).checksum();
        assert!(Sum::default().add(&EXAMPLE).add_word(checksum).is_correct());
        assert!(!Sum::default().add(&EXAMPLE).add_word(checksum ^ 1).is_correct());
    }
}
