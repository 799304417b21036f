//! Values that say whose they are, so that a wrong answer is noticed.
//!
//! ```text
//! 0            4            8
//! +------------+------------+- - - - - - - - - - - - - -
//! | sequence   | key check  | the same 8 bytes again …
//! +------------+------------+- - - - - - - - - - - - - -
//! ```
//!
//! The check is a hash of the key's index; the sequence differs from write to write. A value of another key fails the
//! check, a torn one is not periodic. Values below 8 bytes carry what fits.

use qp_wire::limits::VALUE_LEN_MAX;

use super::repeat;

/// The length of a data set's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ValueShape {
    len: usize,
}

/// What a value said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueCheck {
    /// A value of that key.
    Right,
    /// Another length, another key's value, or a mixture.
    Wrong,
}

impl ValueShape {
    /// Values of `len` bytes.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the length.
    pub(crate) fn new(len: usize) -> Result<Self, String> {
        if len > VALUE_LEN_MAX {
            return Err(format!("--value-size {len}: expected 0 to {VALUE_LEN_MAX} bytes"));
        }
        Ok(Self { len })
    }

    /// Bytes of each value.
    pub(crate) fn len(self) -> usize {
        self.len
    }

    /// Writes the `sequence`-th value of key `index` to the start of `into` and returns it.
    #[inline]
    pub(crate) fn encode(self, index: u64, sequence: u32, into: &mut [u8; VALUE_LEN_MAX]) -> &[u8] {
        let value = &mut into[..self.len];
        repeat((u64::from(check_of(index)) << 32 | u64::from(sequence)).to_le_bytes(), value);
        value
    }

    /// Whether `value` is one that key `index` may have.
    #[inline]
    pub(crate) fn check(self, index: u64, value: &[u8]) -> ValueCheck {
        let Some((word, rest)) = value.split_first_chunk::<8>() else {
            return if value.len() == self.len { ValueCheck::Right } else { ValueCheck::Wrong };
        };
        let is_right = value.len() == self.len
            && word[4..] == check_of(index).to_le_bytes()
            && rest.chunks(word.len()).all(|chunk| *chunk == word[..chunk.len()]);
        if is_right { ValueCheck::Right } else { ValueCheck::Wrong }
    }
}

/// 32 bits that differ between neighbouring indices: the upper half of Fibonacci hashing (Knuth, TAOCP 3, 6.4).
const fn check_of(index: u64) -> u32 {
    (index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_right_for_its_own_key_only() {
        let mut bytes = [0; VALUE_LEN_MAX];
        for len in [8, 9, 100, VALUE_LEN_MAX] {
            let shape = ValueShape::new(len).expect("a valid length");
            let value = shape.encode(7, 3, &mut bytes).to_vec();
            assert_eq!(shape.check(7, &value), ValueCheck::Right);
            assert_eq!(shape.check(8, &value), ValueCheck::Wrong);
            assert_eq!(shape.check(7, &value[1..]), ValueCheck::Wrong);
        }
    }

    #[test]
    fn a_mixture_of_two_values_is_wrong() {
        let shape = ValueShape::new(24).expect("a valid length");
        let mut bytes = [0; VALUE_LEN_MAX];
        let mut torn = shape.encode(7, 1, &mut bytes).to_vec();
        torn[8..].copy_from_slice(&shape.encode(7, 2, &mut bytes)[8..]);
        assert_eq!(shape.check(7, &torn), ValueCheck::Wrong);
    }

    #[test]
    fn short_values_are_checked_by_length() {
        for len in 0..8 {
            let shape = ValueShape::new(len).expect("a valid length");
            assert_eq!(shape.check(1, &vec![0; len]), ValueCheck::Right);
            assert_eq!(shape.check(1, &vec![0; len + 1]), ValueCheck::Wrong);
        }
        assert!(ValueShape::new(VALUE_LEN_MAX + 1).is_err_and(|error| error.contains("--value-size")));
    }
}
