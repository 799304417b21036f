//! The six designs, as rows of one table.
//!
//! A design says which role each core of each side plays, who owns which partition, and where clients reach it. Both
//! shells ask a [`Plan`] for the role of their cores and run it; neither names a design.
//!
//! ```text
//! design    host cores                      DPU cores     reads
//! cpu-only  each serves                     -             at the owner (or anywhere, if asked for)
//! dpu-only  -                               each serves   at the owner (or anywhere, if asked for)
//! lat       core i processes queue pair i   each          at the owner
//! sav       core 0 processes all            communicates  anywhere: one core owns everything
//! dual      core 0 processes all, spares    each          anywhere
//!           serve the same store
//! shrd      each serves its share           each serves   at the owner
//! ```

/// Most cores of one side that play a role.
pub const CORE_COUNT_MAX: usize = 16;

/// Most partitions of a store. MICA2's directory entry allows as many.
pub const PARTITION_COUNT_MAX: usize = 256;

/// Most endpoints of a server: as many as MICA2's directory entry allows.
pub const ENDPOINT_COUNT_MAX: usize = 2 * CORE_COUNT_MAX;

/// One of the two machines that make up a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The x86-64 machine with the large memory.
    Host,
    /// The smart NIC.
    Dpu,
}

/// A core of one side, counted from 0 among those that the store uses there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CoreId(pub u8);

/// A queue pair; the DPU core with the same number owns its DPU end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueuePairId(pub u8);

/// The name that clients know an owner by: partitions and endpoints with the same label belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OwnerLabel(pub u8);

/// How work is divided between host and DPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Design {
    /// Everything on the host: the baseline.
    CpuOnly = 0,
    /// Everything on the DPU: the other baseline.
    DpuOnly = 1,
    /// One host core for each DPU core: lowest latency.
    Lat = 2,
    /// One host core for all DPU cores: frees the others.
    Sav = 3,
    /// As `sav`, and spare host cores serve the same store.
    Dual = 4,
    /// Partitions divided between both sides.
    Shrd = 5,
}

impl Design {
    /// Every design, in the order of its wire value.
    pub const ALL: [Self; 6] = [Self::CpuOnly, Self::DpuOnly, Self::Lat, Self::Sav, Self::Dual, Self::Shrd];

    /// The name that users type.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// The design of that name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|design| design.name() == name)
    }

    /// Whether requests cross from the DPU to the host.
    pub const fn is_offloaded(self) -> bool {
        matches!(self.row().dpu, Cores::Communicate)
    }

    const fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }
}

/// What one core does, for as long as the plan holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Nothing.
    Idle,
    /// Packets in, table, packets out: both engines on one core.
    Serve,
    /// The communication engine: packets to and from one queue pair.
    Communicate(QueuePairId),
    /// The processing engine: this many queue pairs from the first one on, served round robin.
    Process {
        /// The first queue pair.
        first: QueuePairId,
        /// How many.
        count: u8,
    },
}

/// How a core may use a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It owns the partition: it alone writes.
    Owner,
    /// It reads what another core of the same side writes.
    Reader,
    /// Requests for it are rejected.
    None,
}

/// What the cores of one side do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cores {
    Idle,
    Serve,
    Communicate,
    ProcessOne,
    ProcessAll,
    ProcessAllAndServe,
}

/// Where a partition's table is, and under whose label clients find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Partitions {
    /// On this side, spread over its serving or processing cores.
    On(Side),
    /// On host core 0, labelled by the DPU cores in turn.
    OnHostFirst,
    /// On both sides, spread over all cores.
    OnBoth,
}

struct Row {
    name: &'static str,
    host: Cores,
    dpu: Cores,
    partitions: Partitions,
}

const ROWS: [Row; 6] = [
    Row { name: "cpu-only", host: Cores::Serve, dpu: Cores::Idle, partitions: Partitions::On(Side::Host) },
    Row { name: "dpu-only", host: Cores::Idle, dpu: Cores::Serve, partitions: Partitions::On(Side::Dpu) },
    Row { name: "lat", host: Cores::ProcessOne, dpu: Cores::Communicate, partitions: Partitions::On(Side::Host) },
    Row { name: "sav", host: Cores::ProcessAll, dpu: Cores::Communicate, partitions: Partitions::OnHostFirst },
    Row { name: "dual", host: Cores::ProcessAllAndServe, dpu: Cores::Communicate, partitions: Partitions::OnHostFirst },
    Row { name: "shrd", host: Cores::Serve, dpu: Cores::Serve, partitions: Partitions::OnBoth },
];

/// How many of everything a server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topology {
    /// Host cores that the store may use, 1 to [`CORE_COUNT_MAX`].
    pub host_cores: u8,
    /// DPU cores that the store may use, 1 to [`CORE_COUNT_MAX`].
    pub dpu_cores: u8,
    /// Host cores that serve beside the processing core in `dual`; 1 to `host_cores` − 1 there, ignored elsewhere.
    pub spare_cores: u8,
    /// Partitions of the store, 1 to [`PARTITION_COUNT_MAX`]; at least one for each core that owns any.
    pub partitions: u16,
    /// Whether any serving core of the owner's side may answer reads (CREW), in the designs that leave the choice.
    pub concurrent_read: bool,
}

/// Why a plan cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// A side has no core, or more than [`CORE_COUNT_MAX`].
    CoreCount {
        /// The side.
        side: Side,
        /// What was asked for.
        got: u8,
    },
    /// `lat` pairs each DPU core with a host core, and there are fewer of those.
    TooFewHostCores {
        /// Host cores needed.
        needed: u8,
        /// Host cores given.
        got: u8,
    },
    /// `dual` needs at least one spare core beside the processing one.
    SpareCores {
        /// Most spare cores that the host has.
        max: u8,
        /// What was asked for.
        got: u8,
    },
    /// Fewer partitions than owning cores, or more than [`PARTITION_COUNT_MAX`].
    PartitionCount {
        /// Fewest partitions that give each owner one.
        min: u16,
        /// What was asked for.
        got: u16,
    },
}

impl core::fmt::Display for PlanError {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {
            Self::CoreCount { side, got } => {
                let key = if side == Side::Host { "host_cores" } else { "dpu_cores" };
                write!(out, "{key} = {got}: must be 1 to {CORE_COUNT_MAX}")
            }
            Self::TooFewHostCores { needed, got } => {
                write!(out, "host_cores = {got}: design `lat` pairs each DPU core with a host core and needs {needed}")
            }
            Self::SpareCores { max, got } => {
                write!(out, "spare_cores = {got}: design `dual` needs 1 to {max}, that is host_cores - 1")
            }
            Self::PartitionCount { min, got } => {
                write!(out, "partitions = {got}: must be {min} to {PARTITION_COUNT_MAX}, one or more for each owner")
            }
        }
    }
}

impl core::error::Error for PlanError {}

/// One address at which clients reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The side that answers there.
    pub side: Side,
    /// The core that answers there.
    pub core: CoreId,
    /// The owner that it stands for.
    pub label: OwnerLabel,
}

/// A design on a given number of cores: who does what, who owns what, who is reached where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    design: Design,
    topology: Topology,
}

impl Plan {
    /// The plan of a design on these cores.
    ///
    /// # Errors
    /// [`PlanError`] names the number that does not fit the design.
    pub fn new(design: Design, topology: Topology) -> Result<Self, PlanError> {
        for (side, got) in [(Side::Host, topology.host_cores), (Side::Dpu, topology.dpu_cores)] {
            if got == 0 || usize::from(got) > CORE_COUNT_MAX {
                return Err(PlanError::CoreCount { side, got });
            }
        }
        let plan = Self { design, topology };
        if design.row().host == Cores::ProcessOne && topology.host_cores < topology.dpu_cores {
            return Err(PlanError::TooFewHostCores { needed: topology.dpu_cores, got: topology.host_cores });
        }
        if design.row().host == Cores::ProcessAllAndServe && !(1..topology.host_cores).contains(&topology.spare_cores) {
            return Err(PlanError::SpareCores { max: topology.host_cores - 1, got: topology.spare_cores });
        }
        let min = u16::from(plan.label_count());
        if topology.partitions < min || usize::from(topology.partitions) > PARTITION_COUNT_MAX {
            return Err(PlanError::PartitionCount { min, got: topology.partitions });
        }
        Ok(plan)
    }

    /// The design.
    pub const fn design(&self) -> Design {
        self.design
    }

    /// The numbers that it was made for.
    pub const fn topology(&self) -> &Topology {
        &self.topology
    }

    /// How many cores of a side have something to do. They are the first ones.
    pub fn core_count(&self, side: Side) -> u8 {
        match self.cores(side) {
            Cores::Idle => 0,
            Cores::Serve | Cores::Communicate if side == Side::Host => self.topology.host_cores,
            Cores::Serve | Cores::Communicate => self.topology.dpu_cores,
            Cores::ProcessOne => self.topology.dpu_cores,
            Cores::ProcessAll => 1,
            Cores::ProcessAllAndServe => 1 + self.topology.spare_cores,
        }
    }

    /// What a core does.
    pub fn role(&self, side: Side, core: CoreId) -> Role {
        if core.0 >= self.core_count(side) {
            return Role::Idle;
        }
        match (self.cores(side), core.0) {
            (Cores::Idle, _) => Role::Idle,
            (Cores::Serve, _) => Role::Serve,
            (Cores::Communicate, index) => Role::Communicate(QueuePairId(index)),
            (Cores::ProcessOne, index) => Role::Process { first: QueuePairId(index), count: 1 },
            (Cores::ProcessAll | Cores::ProcessAllAndServe, 0) => {
                Role::Process { first: QueuePairId(0), count: self.queue_pair_count() }
            }
            (Cores::ProcessAll | Cores::ProcessAllAndServe, _) => Role::Serve,
        }
    }

    /// How many queue pairs join the sides.
    pub fn queue_pair_count(&self) -> u8 {
        if self.design.is_offloaded() { self.topology.dpu_cores } else { 0 }
    }

    /// Whether a side opens packet ports.
    pub fn has_ports(&self, side: Side) -> bool {
        (0..self.core_count(side)).any(|core| self.has_port(side, CoreId(core)))
    }

    /// Whether a core has a packet port.
    pub fn has_port(&self, side: Side, core: CoreId) -> bool {
        matches!(self.role(side, core), Role::Serve | Role::Communicate(_))
    }

    /// Whether a side holds any partition's table.
    pub fn has_tables(&self, side: Side) -> bool {
        (0..self.topology.partitions).any(|partition| self.owner(partition).0 == side)
    }

    /// Whether clients may send reads to any endpoint (CREW), not only to the owner's.
    pub fn concurrent_read(&self) -> bool {
        match self.design.row().partitions {
            Partitions::OnHostFirst => true,
            Partitions::On(_) => self.topology.concurrent_read && !self.design.is_offloaded(),
            Partitions::OnBoth => false,
        }
    }

    /// Whether a partition's table must let cores read that do not own it.
    pub fn table_has_readers(&self) -> bool {
        match self.design.row().host {
            Cores::ProcessAll => false,
            _ => self.concurrent_read(),
        }
    }

    /// The side and core that own a partition.
    pub fn owner(&self, partition: u16) -> (Side, CoreId) {
        match self.design.row().partitions {
            Partitions::On(side) => (side, CoreId(self.label(partition).0)),
            Partitions::OnHostFirst => (Side::Host, CoreId(0)),
            Partitions::OnBoth => {
                let label = self.label(partition).0;
                match label.checked_sub(self.topology.host_cores) {
                    None => (Side::Host, CoreId(label)),
                    Some(index) => (Side::Dpu, CoreId(index)),
                }
            }
        }
    }

    /// The label under which clients find a partition's owner.
    pub fn label(&self, partition: u16) -> OwnerLabel {
        // Labels are below 2 * CORE_COUNT_MAX, and there is at least one.
        OwnerLabel((partition % u16::from(self.label_count().max(1))) as u8)
    }

    /// Whether everything that can change a partition comes through one DPU core, which may answer reads by itself then.
    pub fn has_one_way_in(&self) -> bool {
        self.design.row().host == Cores::ProcessOne
    }

    /// How a core may use a partition.
    pub fn access(&self, side: Side, core: CoreId, partition: u16) -> Access {
        let owner = self.owner(partition);
        if owner == (side, core) {
            Access::Owner
        } else if owner.0 == side && self.table_has_readers() && self.role(side, core) == Role::Serve {
            Access::Reader
        } else {
            Access::None
        }
    }

    /// Every endpoint, those of labelled owners first.
    pub fn endpoints(&self) -> impl Iterator<Item = Endpoint> + '_ {
        let labelled_first = match self.design.row().partitions {
            Partitions::OnHostFirst => [Side::Dpu, Side::Host],
            _ => [Side::Host, Side::Dpu],
        };
        labelled_first
            .into_iter()
            .flat_map(move |side| (0..self.core_count(side)).map(move |core| (side, CoreId(core))))
            .filter(|(side, core)| self.has_port(*side, *core))
            .zip(0..)
            .map(|((side, core), label)| Endpoint { side, core, label: OwnerLabel(label) })
    }

    fn cores(&self, side: Side) -> Cores {
        match side {
            Side::Host => self.design.row().host,
            Side::Dpu => self.design.row().dpu,
        }
    }

    fn label_count(&self) -> u8 {
        match self.design.row().partitions {
            Partitions::On(side) => self.core_count(side),
            Partitions::OnHostFirst => self.topology.dpu_cores,
            Partitions::OnBoth => self.topology.host_cores + self.topology.dpu_cores,
        }
    }
}

#[cfg(test)]
mod tests;
