//! The sections that both programs have, key by key, with their defaults.
//!
//! A section's types admit what is right by itself; [`check`](PlanSection::check) adds what depends on other keys. The
//! annotated example files show every key; a test keeps them equal to the defaults here.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use arch::TickRate;
use kv_core::design::{
    CORE_COUNT_MAX, Design, ENDPOINT_COUNT_MAX, PARTITION_COUNT_MAX, Plan, PlanError, Side, Topology,
};
use kv_core::engine::policy::PREFIX_COUNT_MAX;
use kv_core::engine::{FlushLaw, FlushPolicy};
use kv_core::ring::{
    CopySpan, GeometryError, QueuePairGeometry, ResponseWay, RingGeometry, SLOT_COUNT_MAX, SLOT_LEN_MAX, SLOT_LEN_MIN,
};
use kv_core::table::ITEM_LEN_HINT_DEFAULT;
use qp_wire::limits::DATAGRAM_LEN_MAX;
use serde::{Deserialize, Serialize};

use super::bounded::Bounded;
use super::byte_size::ByteSize;
use super::error::{Finding, require};
use super::pin::Pin;
use super::prefix::Prefix;

const CORES_MAX: u64 = CORE_COUNT_MAX as u64;
const SLOT_COUNT_LAST: u64 = SLOT_COUNT_MAX as u64;
const SLOT_LEN_FIRST: u64 = SLOT_LEN_MIN as u64;
const SLOT_LEN_LAST: u64 = SLOT_LEN_MAX as u64;
const DATAGRAM_MAX: u64 = DATAGRAM_LEN_MAX as u64;
/// Leaves a port for the last endpoint.
const BASE_PORT_MAX: u64 = u16::MAX as u64 - (ENDPOINT_COUNT_MAX as u64 - 1);

/// `[plan]`: how work is divided. Both sides must have the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlanSection {
    /// Which cores do what.
    #[serde(with = "design_name")]
    pub design: Design,
    /// Host cores that the store uses.
    pub host_cores: Bounded<u8, 1, CORES_MAX>,
    /// DPU cores that the store uses, each with one queue pair in offloaded designs.
    pub dpu_cores: Bounded<u8, 1, CORES_MAX>,
    /// Host cores that serve beside the processing one in `dual`.
    pub spare_cores: Bounded<u8, 0, CORES_MAX>,
    /// Partitions of the store.
    pub partitions: Bounded<u16, 1, 256>,
    /// Whether any core may answer reads, in `cpu-only` and `dpu-only`.
    pub concurrent_read: bool,
}

impl Default for PlanSection {
    fn default() -> Self {
        Self {
            design: Design::Lat,
            host_cores: Bounded::default_of(2),
            dpu_cores: Bounded::default_of(2),
            spare_cores: Bounded::default_of(1),
            partitions: Bounded::default_of(16),
            concurrent_read: false,
        }
    }
}

impl PlanSection {
    /// The plan that the section asks for.
    ///
    /// # Errors
    /// The key that does not fit the design.
    pub fn plan(&self) -> Result<Plan, Finding> {
        let topology = Topology {
            host_cores: self.host_cores.get(),
            dpu_cores: self.dpu_cores.get(),
            spare_cores: self.spare_cores.get(),
            partitions: self.partitions.get(),
            concurrent_read: self.concurrent_read,
        };
        Plan::new(self.design, topology).map_err(|error| plan_finding(&error))
    }
}

fn plan_finding(error: &PlanError) -> Finding {
    match *error {
        PlanError::CoreCount { side: Side::Host, .. } => {
            Finding::new("plan.host_cores", format!("1 to {CORE_COUNT_MAX}"))
        }
        PlanError::CoreCount { side: Side::Dpu, .. } => {
            Finding::new("plan.dpu_cores", format!("1 to {CORE_COUNT_MAX}"))
        }
        PlanError::TooFewHostCores { needed, .. } => {
            let expected = format!("at least plan.dpu_cores = {needed}: `lat` pairs each DPU core with a host core");
            Finding::new("plan.host_cores", expected)
        }
        PlanError::SpareCores { max: 0, .. } => {
            Finding::new("plan.host_cores", "at least 2: `dual` needs a spare core beside the processing one")
        }
        PlanError::SpareCores { max, .. } => {
            Finding::new("plan.spare_cores", format!("1 to plan.host_cores - 1 = {max} in `dual`"))
        }
        PlanError::PartitionCount { min, .. } => {
            let expected = format!("{min} to {PARTITION_COUNT_MAX}: one or more for each owning core");
            Finding::new("plan.partitions", expected)
        }
    }
}

mod design_name {
    use kv_core::design::Design;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(design: &Design, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(design.name())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Design, D::Error> {
        let name = String::deserialize(deserializer)?;
        Design::from_name(&name).ok_or_else(|| {
            let names = Design::ALL.map(|design| format!("`{}`", design.name())).join(", ");
            de::Error::custom(format!("expected one of {names}"))
        })
    }
}

/// Who copies responses over PCIe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResponseSetting {
    /// The host writes them into the DPU's window.
    Push,
    /// The DPU reads them out of the host's window.
    Pull,
}

/// How much of a slot is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CopySetting {
    /// The bytes in use.
    Used,
    /// The slot, whatever is in use.
    Whole,
}

/// How long a batch waits for company while others are in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlushSetting {
    /// As long as round trips and load make it worth while, at most `flush_us`.
    Adaptive,
    /// Always `flush_us`.
    Fixed,
}

/// `[queue_pair]`: the rings between the sides. Both sides must have the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct QueuePairSection {
    /// Batches in flight; a power of two.
    pub depth: Bounded<u32, 1, SLOT_COUNT_LAST>,
    /// Bytes of a request slot; a multiple of 64.
    pub request_slot_len: Bounded<u32, SLOT_LEN_FIRST, SLOT_LEN_LAST>,
    /// Bytes of a response slot; a multiple of 64.
    pub response_slot_len: Bounded<u32, SLOT_LEN_FIRST, SLOT_LEN_LAST>,
    /// Who copies responses.
    pub response: ResponseSetting,
    /// How much of each slot is copied.
    pub copy: CopySetting,
    /// How long a batch waits for company while others are in flight.
    pub flush: FlushSetting,
    /// Bytes at which a batch leaves without waiting for more.
    pub flush_len: Bounded<u32, 1, SLOT_LEN_LAST>,
    /// Microseconds after which a batch leaves however small it is.
    pub flush_us: Bounded<u32, 0, 10_000>,
}

impl Default for QueuePairSection {
    fn default() -> Self {
        Self {
            depth: Bounded::default_of(4),
            request_slot_len: Bounded::default_of(16 * 1024),
            response_slot_len: Bounded::default_of(64 * 1024),
            response: ResponseSetting::Push,
            copy: CopySetting::Used,
            flush: FlushSetting::Adaptive,
            flush_len: Bounded::default_of(1024),
            flush_us: Bounded::default_of(20),
        }
    }
}

impl QueuePairSection {
    /// The sizes that the section asks for.
    ///
    /// # Errors
    /// The key that does not make a ring.
    pub fn geometry(&self) -> Result<QueuePairGeometry, Finding> {
        let ring = |slot_len: u32, key| {
            RingGeometry::new(self.depth.get(), slot_len).map_err(|error| match error {
                GeometryError::SlotCount { .. } => {
                    Finding::new("queue_pair.depth", format!("a power of two from 1 to {SLOT_COUNT_MAX}"))
                }
                GeometryError::SlotLen { .. } => Finding::new(key, "a multiple of 64"),
            })
        };
        Ok(QueuePairGeometry {
            request: ring(self.request_slot_len.get(), "queue_pair.request_slot_len")?,
            response: ring(self.response_slot_len.get(), "queue_pair.response_slot_len")?,
            way: match self.response {
                ResponseSetting::Push => ResponseWay::Push,
                ResponseSetting::Pull => ResponseWay::Pull,
            },
            copy: match self.copy {
                CopySetting::Used => CopySpan::Used,
                CopySetting::Whole => CopySpan::Whole,
            },
        })
    }

    /// When a batch that is not full leaves. `rate` is that of the engine's ticks.
    pub fn flush_policy(&self, rate: TickRate) -> FlushPolicy {
        FlushPolicy {
            len: self.flush_len.get() as usize,
            ticks: rate.ticks_in_us(self.flush_us.get().into()),
            law: match self.flush {
                FlushSetting::Adaptive => FlushLaw::Adaptive,
                FlushSetting::Fixed => FlushLaw::Fixed,
            },
        }
    }

    fn check(&self, network: &NetworkSection) -> Result<(), Finding> {
        self.geometry()?;
        let frame_len = u32::from(network.frame_len_max.get());
        let at_least = |slot_len: u32, key, needed: u32| {
            let expected = format!("at least {needed}, for a frame of network.frame_len_max = {frame_len}");
            require(slot_len >= needed, key, expected)
        };
        at_least(self.request_slot_len.get(), "queue_pair.request_slot_len", request_slot_len_min(frame_len))?;
        at_least(self.response_slot_len.get(), "queue_pair.response_slot_len", response_slot_len_min(frame_len))?;
        let longest = self.request_slot_len.get();
        let expected = format!("at most queue_pair.request_slot_len = {longest}");
        require(self.flush_len.get() <= longest, "queue_pair.flush_len", expected)
    }
}

/// A request slot holds the longest frame, with the slot's own headers.
fn request_slot_len_min(frame_len: u32) -> u32 {
    (frame_len + 64).next_multiple_of(64)
}

/// A response slot holds the longest answer; to a frame of MICA2's with the most requests, 3 bytes more for each.
fn response_slot_len_min(frame_len: u32) -> u32 {
    (frame_len + 64 + 3 * (frame_len / 24)).next_multiple_of(64)
}

/// `[network]`: where clients reach this side, and who they may be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkSection {
    /// The address that clients send to.
    pub address: Ipv4Addr,
    /// The UDP port of endpoint 0; endpoint n has this port + n. 0: whatever port is free.
    pub base_port: Bounded<u16, 0, BASE_PORT_MAX>,
    /// Frame buffers of each core.
    pub buffers: Bounded<u32, 64, 65_536>,
    /// Bytes of the longest UDP payload.
    pub frame_len_max: Bounded<u16, 512, DATAGRAM_MAX>,
    /// Sources whose responses may be longer than their requests.
    pub allow: Vec<Prefix>,
    /// Whether an empty `allow` is meant.
    pub open: bool,
    /// Sources that may RESET the store.
    pub administrators: Vec<Prefix>,
}

impl Default for NetworkSection {
    fn default() -> Self {
        Self {
            address: Ipv4Addr::LOCALHOST,
            base_port: Bounded::default_of(7600),
            buffers: Bounded::default_of(512),
            frame_len_max: Bounded::default_of(1472),
            allow: "127.0.0.0/8".parse().into_iter().collect(),
            open: false,
            administrators: Vec::new(),
        }
    }
}

impl NetworkSection {
    fn check(&self, plan: &Plan) -> Result<(), Finding> {
        let single = !self.address.is_multicast() && !self.address.is_broadcast();
        require(single, "network.address", "the one IPv4 address that clients send to")?;
        // Clients learn the addresses of both sides from either one.
        let on_both = plan.has_ports(Side::Host) && plan.has_ports(Side::Dpu);
        let known = !on_both || !self.address.is_unspecified();
        let expected = format!("the one IPv4 address that clients send to: in `{}` both sides", plan.design().name());
        require(known, "network.address", format!("{expected} have some"))?;
        let meant = self.open || !self.allow.is_empty();
        require(meant, "network.allow", "at least one prefix, or network.open = true")?;
        let contradiction = self.open && !self.allow.is_empty();
        require(!contradiction, "network.open", "false, since network.allow is not empty")?;
        let count = format!("at most {PREFIX_COUNT_MAX} prefixes");
        require(self.allow.len() <= PREFIX_COUNT_MAX, "network.allow", &count)?;
        require(self.administrators.len() <= PREFIX_COUNT_MAX, "network.administrators", &count)
    }
}

/// How packets come to a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PortKind {
    /// Through sockets of the kernel.
    Udp,
    /// Through a device of DPDK's.
    Dpdk,
    /// From a file, again and again: what this side's cores can do when no network limits them. Answers go nowhere.
    Replay,
}

/// `[port]`: by what packets come to this side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PortSection {
    /// How they come.
    pub kind: PortKind,
    /// What the kernel is asked for as `SO_BUSY_POLL`; 0: nothing.
    pub busy_poll_us: Bounded<u16, 0, 10_000>,
    /// The device: a PCI address, or a virtual device with its arguments.
    pub device: String,
    /// The UDP port of the device's first queue; queue n has this + n.
    pub udp_port: Bounded<u16, 0, BASE_PORT_MAX>,
    /// Arguments for the start of DPDK; empty: what fits this machine.
    pub eal: Vec<String>,
    /// The file to replay: a capture of Ethernet frames, as `dpukv bench prepare` writes it.
    pub frames: PathBuf,
    /// How many of its first frames come only once, to fill the store.
    pub once: Bounded<u32, 0, { u32::MAX as u64 }>,
}

impl Default for PortSection {
    fn default() -> Self {
        Self {
            kind: PortKind::Udp,
            busy_poll_us: Bounded::default_of(0),
            device: String::new(),
            udp_port: Bounded::default_of(0),
            eal: Vec::new(),
            frames: PathBuf::new(),
            once: Bounded::default_of(0),
        }
    }
}

impl PortSection {
    fn check(&self, network: &NetworkSection) -> Result<(), Finding> {
        let (has_device, has_frames) = (!self.device.is_empty(), !self.frames.as_os_str().is_empty());
        if self.kind != PortKind::Replay {
            require(!has_frames, "port.frames", "none, since port.kind is not \"replay\"")?;
        }
        if self.kind != PortKind::Udp {
            let polls = "0, since port.kind is not \"udp\": such ports are polled in any case";
            require(self.busy_poll_us.get() == 0, "port.busy_poll_us", polls)?;
        }
        match self.kind {
            PortKind::Udp => return require(!has_device, "port.device", "none, since port.kind is \"udp\""),
            PortKind::Replay => {
                require(!has_device, "port.device", "none, since port.kind is \"replay\"")?;
                let file = "a capture of Ethernet frames, since port.kind is \"replay\"";
                return require(has_frames, "port.frames", file);
            }
            PortKind::Dpdk => {}
        }
        let device = "a PCI address such as \"0000:03:00.0\", or a virtual device such as \"net_tap0,iface=kv0\"";
        require(has_device, "port.device", device)?;
        // There is no kernel that would know the machine's addresses.
        let address = "the one IPv4 address of the device, since port.kind is \"dpdk\"";
        let is_one = !network.address.is_unspecified() && !network.address.is_loopback();
        require(is_one, "network.address", address)
    }
}

/// What a full table does with a new item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TableMode {
    /// Refuses it: nothing that was acknowledged is ever dropped.
    Store,
    /// Drops the oldest items.
    Cache,
}

/// `[table]`: the items, on the sides that own partitions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TableSection {
    /// Memory of all partitions of this side together.
    pub memory: ByteSize,
    /// What a full table does with a new item.
    pub mode: TableMode,
    /// Bytes of a typical key and value together; sizes the index.
    pub item_len_hint: Bounded<u32, 2, DATAGRAM_MAX>,
    /// Whether to ask for huge pages; without any, ordinary ones serve.
    pub huge_pages: bool,
}

impl Default for TableSection {
    fn default() -> Self {
        Self {
            memory: ByteSize::from_mib(256),
            mode: TableMode::Store,
            item_len_hint: Bounded::default_of(ITEM_LEN_HINT_DEFAULT as u32),
            huge_pages: true,
        }
    }
}

impl TableSection {
    /// Least memory of one partition, in bytes.
    const PARTITION_BYTES_MIN: u64 = 64 << 10;

    fn check(&self, partitions: u16) -> Result<(), Finding> {
        let least = ByteSize::from_bytes(Self::PARTITION_BYTES_MIN * u64::from(partitions));
        let enough = least <= self.memory && self.memory <= ByteSize::from_mib(1 << 24);
        require(enough, "table.memory", format!("{least} (64KiB for each of {partitions} partitions) to 16TiB"))
    }
}

/// `[cores]`: the threads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CoresSection {
    /// Which CPU each core's thread stays on.
    pub pin: Pin,
}

impl Default for CoresSection {
    fn default() -> Self {
        Self { pin: Pin::No }
    }
}

impl CoresSection {
    fn check(&self, core_count: u8) -> Result<(), Finding> {
        match &self.pin {
            Pin::Listed(cpus) if cpus.len() < usize::from(core_count) => {
                Err(Finding::new("cores.pin", format!("at least {core_count} CPUs, one for each core of this side")))
            }
            _ => Ok(()),
        }
    }
}

/// `[counters]`: where others read what is counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CountersSection {
    /// A link to the counters, made at start and removed at the end; empty: none.
    pub file: PathBuf,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What ends the program or a queue pair.
    Error,
    /// What works worse than it could.
    Warn,
    /// Start, stop and epochs.
    Info,
    /// Each step of set-up.
    Debug,
    /// Everything.
    Trace,
}

/// `[log]`: what is written to standard error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogSection {
    /// How much.
    pub level: LogLevel,
}

impl Default for LogSection {
    fn default() -> Self {
        Self { level: LogLevel::Info }
    }
}

/// Checks what sections expect of each other.
pub(super) fn check_together(
    side: Side,
    plan: &PlanSection,
    queue_pair: &QueuePairSection,
    network: &NetworkSection,
    port: &PortSection,
    table: &TableSection,
    cores: &CoresSection,
) -> Result<(), Finding> {
    let made = plan.plan()?;
    network.check(&made)?;
    port.check(network)?;
    queue_pair.check(network)?;
    table.check(plan.partitions.get())?;
    cores.check(made.core_count(side))
}
