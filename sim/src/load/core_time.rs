//! How far a core has come in its turn.
//!
//! A turn takes all its inputs at its begin, as the engines are told one time only; what it does with them takes time, one
//! thing after the other. So a copy that is submitted, and an answer that leaves, do so when everything before them in the
//! turn is done.

use std::cell::Cell;
use std::rc::Rc;

use arch::Tick;

/// The time on one core. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct CoreTime(Rc<Cell<Tick>>);

impl CoreTime {
    /// A turn begins.
    pub(super) fn begin(&self, now: Tick) {
        self.0.set(now);
    }

    /// The core is busy for so long.
    pub(super) fn spend(&self, ns: u64) {
        self.0.set(self.0.get().after(ns));
    }

    /// The time that its work has come to.
    pub(super) fn now(&self) -> Tick {
        self.0.get()
    }
}
