//! What all parts of one world share: time, faults, the trace, copies under way, and the seed.

use arch::Tick;

use crate::bus::Bus;
use crate::clock::Clock;
use crate::fault::{FaultPlan, Faults};
use crate::seed::Random;
use crate::trace::Trace;

/// The laws of one world. Clones share everything.
#[derive(Clone, Debug)]
pub struct Physics {
    clock: Clock,
    faults: Faults,
    trace: Trace,
    bus: Bus,
    seed: Random,
}

impl Physics {
    /// A world at tick 0, in which this plan's faults happen where this seed lets them.
    pub fn new(seed: u64, plan: FaultPlan) -> Self {
        Self {
            clock: Clock::new(),
            faults: Faults::new(plan),
            trace: Trace::default(),
            bus: Bus::default(),
            seed: Random::from_seed(seed),
        }
    }

    /// The present.
    pub fn now(&self) -> Tick {
        self.clock.now()
    }

    /// The faults, planned and counted.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The fingerprint of what happened so far.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The random stream of a part of the world.
    pub fn stream(&self, name: &str, index: u64) -> Random {
        self.seed.fork(name, index)
    }

    /// Lets time pass until `to`, and with it everything that copies under way do.
    pub fn advance(&self, to: Tick) {
        self.bus.advance(to, &self.trace, &self.faults);
        self.clock.set(to);
    }

    /// Whether no copy is under way any more.
    pub fn is_settled(&self) -> bool {
        self.bus.pending_count() == 0
    }

    pub(crate) fn bus(&self) -> &Bus {
        &self.bus
    }
}
