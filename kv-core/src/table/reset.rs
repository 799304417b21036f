//! Empties a table.

use super::Table;

impl Table<'_> {
    /// Takes every item out, and counts them as deleted. It writes the whole index, so that it takes time in
    /// proportion to the memory.
    pub fn reset(&mut self) {
        self.index.reset();
        self.log.clear();
        self.counts.forget_all();
    }
}
