//! The three roles that a core can play.
//!
//! ```text
//!  Serve          packets ─▶ decode ─▶ table ─▶ packets
//!  Communicate    packets ─▶ decode ─▶ batch ─▶ request ring   ⇒ DMA ⇒
//!                 packets ◀─ encode ◀─ batch ◀─ response ring  ⇐ DMA ⇐
//!  Process                                          request ring ─▶ table ─▶ response ring
//! ```
//!
//! An engine is turned: each [`turn`](Engine::turn) does one bounded round of work, never waits, and says how much it
//! did. What runs an engine decides how to wait after an idle turn.

mod communicate;
mod execute;
mod inbound;
mod link;
mod lookahead;
mod outbound;
pub mod policy;
mod process;
mod serve;
mod stage;

pub use communicate::{Communicate, FlushLaw, FlushPolicy, HotKeys, HotRule, HotRules, HotSet};
pub use inbound::IdentityBytes;
pub use link::{Fault, QueuePairEnd};
pub use policy::{Policy, Prefix, Prefixes};
pub use process::Process;
pub use serve::Serve;
pub use stage::{Profile, Stage, Unprofiled};

use arch::Tick;

use crate::counters::{Counter, Counters};
use crate::partition::Store;

/// What can bring an engine its next work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Only packets that arrive.
    Packets,
    /// A copy: a slot that arrives in the window, or one of our own that ends. Packets too, where there is a port.
    Copies,
    /// Room on the wire for packets that are ready.
    Wire,
}

/// What a turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Frames and slots that the turn moved; 0 for an idle turn.
    pub work: u32,
    /// What to wait for after an idle turn.
    pub waiting: Waiting,
}

/// A role, turned by the core that plays it.
pub trait Engine {
    /// Does one bounded round of work.
    ///
    /// `now` is a reading of this machine's counter and never goes back.
    fn turn(&mut self, now: Tick) -> Turn;

    /// The core's counters, with its gauges brought up to date. Not for each turn.
    fn counters(&mut self) -> &mut Counters;
}

/// Brings the gauges of a store's own partitions up to date.
fn gauge(store: &Store<'_>, counters: &mut Counters) {
    let (mut items, mut live, mut capacity, mut evicted, mut expired) = (0, 0, 0, 0, 0);
    for stats in store.stats() {
        items += stats.items;
        live += stats.live_bytes;
        capacity += stats.capacity_bytes;
        evicted += stats.evicted_log + stats.evicted_bucket;
        expired += stats.expired;
    }
    counters.set(Counter::Items, items);
    counters.set(Counter::LiveBytes, live);
    counters.set(Counter::CapacityBytes, capacity);
    counters.set(Counter::Evicted, evicted);
    counters.set(Counter::Expired, expired);
}
