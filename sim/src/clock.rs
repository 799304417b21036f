//! Virtual time: it passes when the world says so.

use std::cell::Cell;
use std::rc::Rc;

use arch::{Tick, TickRate};

/// One tick is one nanosecond.
const HZ: u64 = 1_000_000_000;

/// The clock that everything in one world reads. Clones show the same time.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    now: Rc<Cell<Tick>>,
}

impl Clock {
    /// A clock at tick 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// The present.
    pub fn now(&self) -> Tick {
        self.now.get()
    }

    /// How fast it counts: a tick is a nanosecond.
    pub fn rate() -> TickRate {
        const RATE: TickRate = match TickRate::from_hz(HZ) {
            Some(rate) => rate,
            None => unreachable!(),
        };
        RATE
    }

    /// Moves the present to `to`; never back.
    pub(crate) fn set(&self, to: Tick) {
        self.now.set(self.now().max(to));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_show_the_same_time_and_it_never_goes_back() {
        let clock = Clock::new();
        let clone = clock.clone();
        clock.set(Tick(5));
        clock.set(Tick(4));
        assert_eq!(clone.now(), Tick(5));
        assert_eq!(Clock::rate().ns(7), 7);
    }
}
