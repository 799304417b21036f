//! The rules that keep cached values true, of which tests break one: a test that finds nothing then would find nothing
//! ever.

use super::HotRule;

/// Which rules are kept: all of them, unless one is broken.
#[derive(Clone, Copy, Debug)]
pub struct HotRules {
    broken: Option<HotRule>,
}

impl HotRules {
    /// All of them.
    pub const ALL: Self = Self { broken: None };

    /// All rules but one. Only with the feature `broken-rules`, which no program has.
    pub const fn all_but(broken: HotRule) -> Self {
        Self { broken: Some(broken) }
    }

    /// Whether a rule is kept.
    #[inline]
    pub(super) fn keep(self, rule: HotRule) -> bool {
        self.broken != Some(rule)
    }
}
