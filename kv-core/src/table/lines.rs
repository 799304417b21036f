//! How many cache lines an operation touches, for benchmarks.

use super::Table;
use super::words::LINE_WORDS;
use crate::hash::Key;

impl Table<'_> {
    /// Cache lines that a look-up of this key reads: its home, its other bucket if it must be looked at, and the lines of
    /// an item in the log.
    pub fn lines_touched(&self, key: &Key<'_>) -> usize {
        let look = self.look();
        let home = look.home(key.placement());
        let Some(line) = look.line(home) else { return 0 };
        let found = look.find(key);
        let is_here = found.is_some_and(|found| !found.is_displaced());
        let other = if is_here { 0 } else { usize::from(look.displaced_to(line, home, key.placement()).is_some()) };
        let in_log = found.map_or(0, |found| match found.item.shape.is_inline {
            true => 0,
            false => (found.item.end() - 1) / LINE_WORDS - found.item.at / LINE_WORDS + 1,
        });
        1 + other + in_log
    }
}
