//! What a run came to.

use arch::Tick;
use kv_core::counters::{Counter, Counters};
use kv_core::design::{CoreId, Side};

use crate::client::{Anomaly, ClientCounts};
use crate::fault::FaultCounts;
use crate::history::HistoryError;
use crate::link::LinkCounts;
use crate::server::GivenUp;

/// What went wrong that must not.
#[derive(Debug)]
pub enum Failure {
    /// A client saw what no correct server answers.
    Anomaly(Anomaly),
    /// Clients saw what no store can show.
    History(HistoryError),
    /// Something was still not answered long after faults had ended.
    NotLive {
        /// Operations of each client that were asked for, and that ended.
        clients: Vec<(usize, ClientCounts)>,
        /// Queue pairs that were given up, the last ones.
        given_up: Vec<GivenUp>,
    },
    /// An engine gave a queue pair up for something that no engine of ours does, whatever happens to copies.
    Impossible(GivenUp),
    /// A core kept frames although nobody asked for anything any more.
    FramesKept {
        /// The core.
        core: (Side, CoreId),
        /// How many frames.
        count: usize,
    },
    /// A core answered and dropped other frames than it received, or sent others than it says.
    FramesUncounted {
        /// The core.
        core: (Side, CoreId),
        /// Packets that its port took from the network.
        received: u64,
        /// Packets that its port gave to the network.
        sent: u64,
        /// Frames that it says it has sent.
        transmitted: u64,
        /// Frames that it says it has dropped.
        dropped: u64,
    },
    /// The network delivered other packets than were sent, lost and doubled.
    PacketsUncounted(LinkCounts),
}

/// What a run came to.
#[derive(Debug)]
pub struct Report {
    /// What went wrong that must not, if anything did.
    pub failure: Option<Failure>,
    /// What went wrong as planned.
    pub faults: FaultCounts,
    /// The run's fingerprint.
    pub trace: u64,
    /// How each client's operations ended.
    pub clients: Vec<ClientCounts>,
    /// How many operations all clients asked for.
    pub asked: u64,
    /// How many of them were answered and only looked at something.
    pub reads: u64,
    /// The counters of every core that lives at the end.
    pub cores: Vec<(Side, CoreId, Counters)>,
    /// What became of packets.
    pub link: LinkCounts,
    /// How many epochs of queue pairs there were.
    pub epochs: u32,
    /// Queue pairs that were given up.
    pub given_up: Vec<GivenUp>,
    /// How much virtual time passed.
    pub end: Tick,
}

impl Report {
    /// The sum of a counter over one side's cores.
    pub fn sum(&self, side: Side, counter: Counter) -> u64 {
        self.cores.iter().filter(|(of, ..)| *of == side).map(|(_, _, counters)| counters.get(counter)).sum()
    }

    /// A core's counter.
    ///
    /// # Panics
    /// When the core has no role.
    pub fn core(&self, side: Side, core: u8, counter: Counter) -> u64 {
        let (_, _, counters) = self
            .cores
            .iter()
            .find(|(of, id, _)| (*of, *id) == (side, CoreId(core)))
            .expect("a core that the design uses");
        counters.get(counter)
    }

    /// How many cores of a side have a role.
    pub fn core_count(&self, side: Side) -> usize {
        self.cores.iter().filter(|(of, ..)| *of == side).count()
    }

    /// The sum of a counter over all cores.
    pub fn total(&self, counter: Counter) -> u64 {
        self.sum(Side::Host, counter) + self.sum(Side::Dpu, counter)
    }
}
