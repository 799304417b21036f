//! The copy engine that all queue pairs of a card share.

use std::cell::RefCell;
use std::rc::Rc;

use arch::Tick;

use super::cost::Costs;

/// Over how long the utilisation of PCIe is averaged, in nanoseconds.
const MEMORY_NS: f64 = 20_000.0;

/// At most so many times the latency of a copy alone (assumed).
const STRETCH_MAX: f64 = 6.0;

/// One card. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Card {
    shared: Rc<RefCell<State>>,
}

#[derive(Debug)]
struct State {
    costs: Costs,
    /// Until when the engine is busy.
    free_at: Tick,
    /// Share of the recent time for which it was.
    busy: f64,
    /// When that share was right.
    at: Tick,
}

impl Card {
    pub(super) fn new(costs: Costs) -> Self {
        Self { shared: Rc::new(RefCell::new(State { costs, free_at: Tick(0), busy: 0.0, at: Tick(0) })) }
    }

    /// Begins a write of `len` bytes; returns when its bytes are seen.
    ///
    /// The engine takes one copy after the other. Each then travels longer the more PCIe is used: latency times
    /// 1 + 0.8 u / (1 - u), at most [`STRETCH_MAX`] (assumed, to give the authors' observation that beyond 1 KiB a copy
    /// throughput stops growing).
    pub(super) fn write(&self, len: usize, now: Tick) -> Tick {
        let mut state = self.shared.borrow_mut();
        let service_ns = Costs::write_ns(len);
        let passed = now.since(state.at.min(now)) as f64;
        state.busy = state.busy * (-passed / MEMORY_NS).exp() + service_ns as f64 / MEMORY_NS;
        state.at = state.at.max(now);
        let used = (state.busy + state.costs.others_percent as f64 / 100.0).min(0.99);
        let stretch = (1.0 + 0.8 * used / (1.0 - used)).min(STRETCH_MAX);
        state.free_at = state.free_at.max(now).after(service_ns);
        let travel_ns = (state.costs.copy_latency_ns as f64 * stretch) as u64 + state.costs.added_latency_ns;
        state.free_at.after(travel_ns)
    }
}
