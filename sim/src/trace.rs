//! A fingerprint of everything that happened.
//!
//! Two runs of one seed must be the same, event by event. Instead of keeping the events, each is folded into a hash;
//! equal hashes after as many events are, for every practical purpose, equal runs.

use std::cell::Cell;
use std::rc::Rc;

use arch::Tick;

/// What kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Event {
    /// A packet was handed to the network.
    PacketSent = 1,
    /// A packet reached its port.
    PacketReceived = 2,
    /// A copy's bytes reached a window.
    WindowWritten = 3,
    /// A copy read bytes of a window.
    WindowRead = 4,
    /// A copy engine reported a copy's end.
    CopyEnded = 5,
    /// An actor's turn did work.
    Worked = 6,
}

/// A hash over events: FNV-1a with 64 bits (Fowler, Noll and Vo; draft-eastlake-fnv). Clones share it.
#[derive(Clone, Debug)]
pub struct Trace {
    state: Rc<Cell<u64>>,
}

impl Default for Trace {
    fn default() -> Self {
        Self { state: Rc::new(Cell::new(OFFSET_BASIS)) }
    }
}

const OFFSET_BASIS: u64 = 0xCBF2_9CE4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01B3;

impl Trace {
    /// The hash of everything so far.
    pub fn hash(&self) -> u64 {
        self.state.get()
    }

    /// Adds an event: when, what, and the numbers and bytes that describe it.
    pub(crate) fn add(&self, now: Tick, event: Event, numbers: [u64; 2], bytes: &[u8]) {
        let mut state = fold(self.state.get(), &[event as u8]);
        for number in [now.0, numbers[0], numbers[1]] {
            state = fold(state, &number.to_le_bytes());
        }
        self.state.set(fold(state, bytes));
    }
}

fn fold(state: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(state, |state, byte| (state ^ u64::from(*byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv_1a() {
        // A published vector: FNV-1a 64 of "foobar".
        assert_eq!(fold(OFFSET_BASIS, b"foobar"), 0x8594_4171_F739_67E8);
    }

    #[test]
    fn order_time_and_content_matter() {
        let hash = |events: &[(u64, u64, &[u8])]| {
            let trace = Trace::default();
            for (now, number, bytes) in events {
                trace.add(Tick(*now), Event::Worked, [*number, 0], bytes);
            }
            trace.hash()
        };
        let reference = hash(&[(1, 2, b"a"), (2, 2, b"b")]);
        assert_eq!(hash(&[(1, 2, b"a"), (2, 2, b"b")]), reference);
        assert_ne!(hash(&[(2, 2, b"b"), (1, 2, b"a")]), reference);
        assert_ne!(hash(&[(1, 2, b"a"), (3, 2, b"b")]), reference);
        assert_ne!(hash(&[(1, 2, b"a"), (2, 2, b"c")]), reference);
    }
}
