//! A column that is written down only from the first entry on that differs.

/// What a writer remembers of a column so that it knows at any time whether the column folds (W-B-9).
///
/// The answers to most batches are alike. As long as the entries are, there is one to compare with and none to store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column<E> {
    count: usize,
    /// What all entries are; `None` once they differ, and as long as there are none.
    every: Option<E>,
}

impl<E: Copy + PartialEq> Column<E> {
    /// A column without entries, which folds.
    pub(super) const EMPTY: Self = Self { count: 0, every: None };

    /// How many entries there are.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// Adds an entry. `entries` has room for all of them; `None` when it has not.
    #[inline]
    pub(super) fn push(&mut self, entry: E, entries: &mut [E]) -> Option<()> {
        if self.every != Some(entry) {
            self.push_another(entry, entries)?;
        }
        self.count += 1;
        Some(())
    }

    #[inline]
    fn push_another(&mut self, entry: E, entries: &mut [E]) -> Option<()> {
        if self.count == 0 {
            self.every = Some(entry);
            return Some(());
        }
        if let Some(every) = self.every.take() {
            entries.get_mut(..self.count)?.fill(every);
        }
        *entries.get_mut(self.count)? = entry;
        Some(())
    }

    const fn folds(&self) -> bool {
        self.count == 0 || self.every.is_some()
    }

    /// What stands for the column in the header, where it folds and has entries.
    pub(super) const fn field(&self) -> Option<E> {
        self.every
    }

    /// `flag` when the column folds.
    pub(super) const fn flag(&self, flag: u8) -> u8 {
        if self.folds() { flag } else { 0 }
    }

    /// How many of `entries` follow the header.
    pub(super) const fn written(&self) -> usize {
        if self.folds() { 0 } else { self.count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_folds_until_an_entry_differs() {
        let mut entries = [9; 4];
        let mut column = Column::EMPTY;
        assert_eq!((column.field(), column.flag(4), column.written()), (None, 4, 0));
        column.push(7, &mut entries).expect("room");
        column.push(7, &mut entries).expect("room");
        assert_eq!((column.field(), column.flag(4), column.written()), (Some(7), 4, 0));
        assert_eq!(entries, [9; 4]);
        column.push(8, &mut entries).expect("room");
        column.push(7, &mut entries).expect("room");
        assert_eq!((column.field(), column.flag(4), column.written()), (None, 0, 4));
        assert_eq!(entries, [7, 7, 8, 7]);
        assert_eq!(column.push(7, &mut entries), None);
    }
}
