//! The bytes of one copy on their way.

use std::sync::Arc;

use crate::faults::{Faults, Random};
use crate::memory::{self, Foreign};

/// What becomes visible at once, in bytes: a word up to a cache line.
const UNITS: [usize; 4] = [8, 16, 32, 64];

/// A place in memory, with what keeps it mapped if it is another process's.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) address: usize,
    pub(crate) foreign: Option<Arc<Foreign>>,
}

#[derive(Clone, Debug)]
enum Source {
    Memory(Place),
    /// Taken when the copy was told to be complete: then its memory belongs to the caller again.
    Snapshot(Vec<u8>),
}

/// A copy of which some parts may still be missing.
#[derive(Clone, Debug)]
pub(crate) struct Transfer {
    from: Source,
    to: Place,
    len: usize,
    /// Parts that are not written yet: offset and length.
    missing: Vec<(usize, usize)>,
    /// Calls for progress before the next part is written.
    wait: u64,
}

impl Transfer {
    /// A copy that is to be made as a device does it. Without faults it is made at once.
    pub(crate) fn start(from: Place, to: Place, len: usize, faults: &Faults, random: &mut Random) -> Self {
        let is_torn = random.happens(faults.tear);
        let is_late = random.happens(faults.late);
        let mut transfer = Self { from: Source::Memory(from), to, len, missing: vec![(0, len)], wait: 0 };
        if is_torn {
            transfer.tear(random);
        }
        if is_late {
            transfer.wait = 1 + random.below(12);
        }
        if !is_torn && !is_late {
            transfer.write_all();
        }
        transfer
    }

    /// Cuts what is missing into units, in any order.
    fn tear(&mut self, random: &mut Random) {
        let unit = UNITS[random.below(UNITS.len() as u64) as usize];
        self.missing = (0..self.len).step_by(unit).map(|offset| (offset, unit.min(self.len - offset))).collect();
        for index in (1..self.missing.len()).rev() {
            self.missing.swap(index, random.below(index as u64 + 1) as usize);
        }
    }

    /// Whether all of it is written.
    pub(crate) fn is_done(&self) -> bool {
        self.missing.is_empty()
    }

    /// Writes some of what is missing.
    pub(crate) fn advance(&mut self, random: &mut Random) {
        if self.wait > 0 {
            self.wait -= 1;
            return;
        }
        let count = 1 + random.below(self.missing.len() as u64) as usize;
        for _ in 0..count {
            if let Some((offset, len)) = self.missing.pop() {
                self.write(offset, len);
            }
        }
        self.wait = random.below(3);
    }

    /// Writes all that is missing.
    pub(crate) fn write_all(&mut self) {
        for (offset, len) in std::mem::take(&mut self.missing) {
            self.write(offset, len);
        }
    }

    /// Takes the bytes out of the caller's memory, which may change from now on.
    pub(crate) fn detach(&mut self) {
        if let Source::Memory(place) = &self.from {
            let bytes = vec![0; self.len];
            // SAFETY: the source is mapped for as long as the copy is not complete, and the other range is ours.
            unsafe { memory::copy(place.address, bytes.as_ptr().expose_provenance(), self.len) };
            self.from = Source::Snapshot(bytes);
        }
    }

    /// The same copy once more, some time later; detached.
    pub(crate) fn again(&self, random: &mut Random) -> Self {
        let mut again = self.clone();
        again.tear(random);
        again.wait = 1 + random.below(20);
        again
    }

    fn write(&self, offset: usize, len: usize) {
        let from = match &self.from {
            Source::Memory(place) => place.address,
            Source::Snapshot(bytes) => bytes.as_ptr().expose_provenance(),
        };
        // SAFETY: buffers are inside their memory, which stays mapped: the caller's own as long as the copy is not
        // complete, by the rules of the interface, and another process's as long as this value lives.
        unsafe { memory::copy(from + offset, self.to.address + offset, len) };
    }

    /// Whether the bytes go to another process's memory, where they may arrive after the completion.
    pub(crate) fn is_to_peer(&self) -> bool {
        self.to.foreign.is_some()
    }
}
