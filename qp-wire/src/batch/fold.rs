//! A column that may turn out to need no bytes.

/// What a writer remembers of a column so that it knows at any time whether the column folds (W-B-9).
#[derive(Clone, Copy, Debug)]
pub(super) struct Fold {
    count: usize,
    first: u16,
    uniform: bool,
}

impl Fold {
    /// A column without entries, which is uniform.
    pub(super) const EMPTY: Self = Self { count: 0, first: 0, uniform: true };

    /// How many entries there are.
    pub(super) const fn count(self) -> usize {
        self.count
    }

    /// The column with one entry more.
    #[inline]
    pub(super) const fn with(self, entry: u16) -> Self {
        let first = if self.count == 0 { entry } else { self.first };
        Self { count: self.count + 1, first, uniform: self.uniform & (first == entry) }
    }

    /// What stands for the column in the header: its entries' value, or 0.
    pub(super) const fn field(self) -> u16 {
        if self.uniform { self.first } else { 0 }
    }

    /// `flag` when the column is folded.
    pub(super) const fn flag(self, flag: u8) -> u8 {
        if self.uniform { flag } else { 0 }
    }

    /// The bytes that the column takes behind the header, with entries of `entry_len` bytes.
    pub(super) const fn column_len(self, entry_len: usize) -> usize {
        if self.uniform { 0 } else { self.count * entry_len }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_folds_until_an_entry_differs() {
        let equal = Fold::EMPTY.with(7).with(7);
        assert_eq!((equal.field(), equal.flag(4), equal.column_len(2)), (7, 4, 0));
        let mixed = equal.with(8).with(7);
        assert_eq!((mixed.count(), mixed.field(), mixed.flag(4), mixed.column_len(2)), (4, 0, 0, 8));
    }
}
