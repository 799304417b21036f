//! Numbers and byte strings out of an input.
//!
//! An input of a property that acts is a script. What is missing at its end reads as zeros, so every input is a whole one,
//! and a shorter input is a simpler one.

/// What is left of a script.
#[derive(Clone, Debug)]
pub(crate) struct Script<'a> {
    rest: &'a [u8],
}

impl<'a> Script<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether everything has been read.
    pub(crate) const fn is_over(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `len` bytes, or as many as are left.
    pub(crate) fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (head, rest) = self.rest.split_at(len.min(self.rest.len()));
        self.rest = rest;
        head
    }

    /// A byte string behind its length, which takes two bytes.
    pub(crate) fn string(&mut self) -> &'a [u8] {
        let len = usize::from(self.u16());
        self.bytes(len)
    }

    pub(crate) fn u8(&mut self) -> u8 {
        u8::from_le_bytes(self.array())
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let bytes = self.bytes(N);
        array[..bytes.len()].copy_from_slice(bytes);
        array
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_goes_on_with_zeros() {
        let mut script = Script::new(&[1, 2, 3, 4, 0, 9, 8, 7]);
        assert_eq!((script.u16(), script.u8()), (0x201, 3));
        assert_eq!(script.string(), [9, 8, 7]);
        assert!(script.is_over());
        assert_eq!((script.u64(), script.string()), (0, &[][..]));
    }
}
