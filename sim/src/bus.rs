//! Copies under way: when which bytes of which window are read or written.
//!
//! A copy engine only plans. The bus carries the plan out, in the order of virtual time, whether or not anybody polls
//! the engine, and even if its process has died meanwhile: that is how writes of an old epoch come to a new one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use arch::Tick;
use kv_core::dma::Window;
use kv_core::sync::Ordering;

use crate::fault::{FaultClass, Faults};
use crate::trace::{Event, Trace};
use crate::window::SimWindow;

/// Whoever planned accesses, for as long as it lives.
#[derive(Debug, Default)]
pub(crate) struct Owner(Rc<()>);

impl Owner {
    /// The mark of this owner's accesses.
    pub(crate) fn mark(&self) -> Weak<()> {
        Rc::downgrade(&self.0)
    }
}

/// The words that a copy from a window has read so far.
pub(crate) type Staging = Rc<RefCell<Vec<u64>>>;

/// An access to a window, done at one instant.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) owner: Weak<()>,
    pub(crate) window: SimWindow,
    /// The first word.
    pub(crate) index: usize,
    pub(crate) kind: AccessKind,
}

#[derive(Debug)]
pub(crate) enum AccessKind {
    /// Writes these words.
    Write(Vec<u64>),
    /// Reads `count` words to the same place, less `base`, of the staging.
    Read { count: usize, base: usize, into: Staging },
}

/// The order of what the bus will do: by time, then by when it was planned.
type Due = (Tick, u64);

/// All accesses that are still to come. Clones are the same bus.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bus {
    shared: Rc<RefCell<Pending>>,
}

#[derive(Debug, Default)]
struct Pending {
    accesses: BTreeMap<Due, Access>,
    planned: u64,
}

impl Bus {
    /// Plans an access.
    pub(crate) fn plan(&self, at: Tick, access: Access) {
        let mut pending = self.shared.borrow_mut();
        let order = pending.planned;
        pending.planned += 1;
        pending.accesses.insert((at, order), access);
    }

    /// Does everything that is due at `now`.
    pub(crate) fn advance(&self, now: Tick, trace: &Trace, faults: &Faults) {
        let mut pending = self.shared.borrow_mut();
        while let Some(entry) = pending.accesses.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((at, _), access) = entry.remove_entry();
            if access.owner.strong_count() == 0 {
                faults.count(FaultClass::CopyOutlived);
            }
            access.perform(at, trace);
        }
    }

    /// How many accesses are still to come.
    pub(crate) fn pending_count(&self) -> usize {
        self.shared.borrow().accesses.len()
    }
}

impl Access {
    fn perform(&self, at: Tick, trace: &Trace) {
        let words = self.window.words();
        match &self.kind {
            AccessKind::Write(content) => {
                for (word, value) in words[self.index..].iter().zip(content) {
                    word.store(*value, Ordering::Release);
                }
                trace.add(at, Event::WindowWritten, [self.index as u64, sum(content)], &[]);
            }
            AccessKind::Read { count, base, into } => {
                let read: Vec<_> =
                    words[self.index..][..*count].iter().map(|word| word.load(Ordering::Acquire)).collect();
                into.borrow_mut()[self.index - base..][..*count].copy_from_slice(&read);
                trace.add(at, Event::WindowRead, [self.index as u64, sum(&read)], &[]);
            }
        }
    }
}

/// Stands for the content in the trace.
fn sum(words: &[u64]) -> u64 {
    words.iter().fold(0, |sum, word| sum.rotate_left(1) ^ word)
}
