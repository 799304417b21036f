//! The rules that keep cached values true. In a program all of them are kept.

use super::HotRule;

/// Which rules are kept: all of them.
#[derive(Clone, Copy, Debug)]
pub struct HotRules;

impl HotRules {
    /// All of them.
    pub const ALL: Self = Self;

    /// Whether a rule is kept.
    #[inline]
    pub(super) const fn keep(self, _: HotRule) -> bool {
        true
    }
}
