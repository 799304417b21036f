//! What both sides must have in common before a byte crosses a queue pair.
//!
//! It travels as one number for each [`Field`], so that a disagreement can name the field and both values, on both
//! sides, in the same words.

use std::fmt;

use arch::crc32c;
use kv_core::design::{Design, Plan, Side};

use crate::config::{CopySetting, DmaKind, DmaSection, NetworkSection, QueuePairSection, ResponseSetting};

/// One thing that must be equal on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Field {
    /// Version of the queue pair's format.
    QueuePairVersion = 0,
    /// Version of the native client protocol, whose batch bodies cross the queue pair as they are.
    NativeVersion = 1,
    /// `plan.design`.
    Design = 2,
    /// `plan.host_cores`.
    HostCores = 3,
    /// `plan.dpu_cores`.
    DpuCores = 4,
    /// `plan.spare_cores`.
    SpareCores = 5,
    /// `plan.partitions`.
    Partitions = 6,
    /// `plan.concurrent_read`.
    ConcurrentRead = 7,
    /// `queue_pair.depth`.
    Depth = 8,
    /// `queue_pair.request_slot_len`.
    RequestSlotLen = 9,
    /// `queue_pair.response_slot_len`.
    ResponseSlotLen = 10,
    /// `queue_pair.response`: 0 pushes, 1 pulls.
    Response = 11,
    /// Checksum over who owns each partition under which label.
    PartitionMap = 12,
    /// `network.frame_len_max`.
    FrameLenMax = 13,
    /// `dma.kind`: 0 shared memory, 1 DOCA.
    Dma = 14,
    /// `queue_pair.copy`: 0 what is used, 1 whole slots.
    Copy = 15,
}

impl Field {
    /// Every field, in the order of its index.
    pub const ALL: [Self; 16] = [
        Self::QueuePairVersion,
        Self::NativeVersion,
        Self::Design,
        Self::HostCores,
        Self::DpuCores,
        Self::SpareCores,
        Self::Partitions,
        Self::ConcurrentRead,
        Self::Depth,
        Self::RequestSlotLen,
        Self::ResponseSlotLen,
        Self::Response,
        Self::PartitionMap,
        Self::FrameLenMax,
        Self::Dma,
        Self::Copy,
    ];

    /// The name in messages: the key of the configuration file where there is one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::QueuePairVersion => "version of the queue-pair format",
            Self::NativeVersion => "version of the native protocol",
            Self::Design => "plan.design",
            Self::HostCores => "plan.host_cores",
            Self::DpuCores => "plan.dpu_cores",
            Self::SpareCores => "plan.spare_cores",
            Self::Partitions => "plan.partitions",
            Self::ConcurrentRead => "plan.concurrent_read",
            Self::Depth => "queue_pair.depth",
            Self::RequestSlotLen => "queue_pair.request_slot_len",
            Self::ResponseSlotLen => "queue_pair.response_slot_len",
            Self::Response => "queue_pair.response",
            Self::PartitionMap => "partition map",
            Self::FrameLenMax => "network.frame_len_max",
            Self::Dma => "dma.kind",
            Self::Copy => "queue_pair.copy",
        }
    }

    /// A value of this field in words.
    fn shown(self, value: u64) -> String {
        let design = || Design::ALL.into_iter().find(|design| *design as u64 == value).map(Design::name);
        match (self, value) {
            (Self::Design, _) => design().map_or_else(|| value.to_string(), str::to_owned),
            (Self::ConcurrentRead, 0) => "false".to_owned(),
            (Self::ConcurrentRead, 1) => "true".to_owned(),
            (Self::Response, 0) => "push".to_owned(),
            (Self::Response, 1) => "pull".to_owned(),
            (Self::Copy, 0) => "used".to_owned(),
            (Self::Copy, 1) => "whole".to_owned(),
            (Self::Dma, 0) => "shared-memory".to_owned(),
            (Self::Dma, 1) => "doca".to_owned(),
            (Self::PartitionMap, _) => format!("{value:#010x}"),
            _ => value.to_string(),
        }
    }
}

/// What one side wants both to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    values: [u64; Field::ALL.len()],
}

impl Agreement {
    /// The agreement with these values, in the order of [`Field::ALL`].
    pub const fn from_values(values: [u64; Field::ALL.len()]) -> Self {
        Self { values }
    }

    /// One value of each field, in the order of [`Field::ALL`].
    pub const fn values(&self) -> &[u64; Field::ALL.len()] {
        &self.values
    }

    /// The same with one other value.
    #[must_use]
    pub fn with(mut self, field: Field, value: u64) -> Self {
        if let Some(place) = self.values.get_mut(field as usize) {
            *place = value;
        }
        self
    }

    /// Everything that the plan says.
    pub fn of_plan(plan: &Plan) -> Self {
        let topology = plan.topology();
        Self { values: [0; Field::ALL.len()] }
            .with(Field::QueuePairVersion, u64::from(qp_wire::qp::VERSION))
            .with(Field::NativeVersion, u64::from(qp_wire::native::VERSION))
            .with(Field::Design, plan.design() as u64)
            .with(Field::HostCores, u64::from(topology.host_cores))
            .with(Field::DpuCores, u64::from(topology.dpu_cores))
            .with(Field::SpareCores, u64::from(topology.spare_cores))
            .with(Field::Partitions, u64::from(topology.partitions))
            .with(Field::ConcurrentRead, u64::from(topology.concurrent_read))
            .with(Field::PartitionMap, u64::from(partition_map_checksum(plan)))
    }

    /// The same with the longest frame, of which clients know one number only.
    #[must_use]
    pub fn with_network(self, section: &NetworkSection) -> Self {
        self.with(Field::FrameLenMax, u64::from(section.frame_len_max.get()))
    }

    /// The same with who copies: memory is described in other words to each kind of engine.
    #[must_use]
    pub fn with_dma(self, section: &DmaSection) -> Self {
        self.with(Field::Dma, u64::from(section.kind == DmaKind::Doca))
    }

    /// The same with everything that the section says of both sides.
    #[must_use]
    pub fn with_queue_pair(self, section: &QueuePairSection) -> Self {
        self.with(Field::Depth, u64::from(section.depth.get()))
            .with(Field::RequestSlotLen, u64::from(section.request_slot_len.get()))
            .with(Field::ResponseSlotLen, u64::from(section.response_slot_len.get()))
            .with(Field::Response, u64::from(section.response == ResponseSetting::Pull))
            .with(Field::Copy, u64::from(section.copy == CopySetting::Whole))
    }

    /// The first field in which two agreements differ.
    pub fn mismatch(&self, peer: &Self) -> Option<Mismatch> {
        Field::ALL.into_iter().zip(self.values).zip(peer.values).find_map(|((field, own), peer)| {
            let differs = own != peer;
            differs.then_some(Mismatch { field, own, peer })
        })
    }
}

/// Both sides derive the map from the plan; the checksum shows that they derive the same.
fn partition_map_checksum(plan: &Plan) -> u32 {
    (0..plan.topology().partitions).fold(0, |sum, partition| {
        let (side, core) = plan.owner(partition);
        crc32c(sum, &[u8::from(side == Side::Dpu), core.0, plan.label(partition).0])
    })
}

/// A field in which the two sides differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The field.
    pub field: Field,
    /// Our value.
    pub own: u64,
    /// The other side's value.
    pub peer: u64,
}

impl Mismatch {
    /// The same as the other side sees it.
    #[must_use]
    pub const fn seen_by_peer(self) -> Self {
        Self { field: self.field, own: self.peer, peer: self.own }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (own, peer) = (self.field.shown(self.own), self.field.shown(self.peer));
        write!(out, "{} differs: {own} on this side, {peer} on the other one", self.field.name())
    }
}

impl std::error::Error for Mismatch {}

#[cfg(test)]
mod tests {
    use kv_core::design::Topology;

    use super::*;

    fn plan(design: Design) -> Plan {
        let topology = Topology { host_cores: 3, dpu_cores: 2, spare_cores: 1, partitions: 8, concurrent_read: false };
        Plan::new(design, topology).unwrap()
    }

    #[test]
    fn fields_are_in_the_order_of_their_index() {
        for (index, field) in Field::ALL.into_iter().enumerate() {
            assert_eq!(field as usize, index);
        }
    }

    #[test]
    fn each_field_alone_is_a_mismatch_with_both_values() {
        let own = Agreement::of_plan(&plan(Design::Lat));
        assert_eq!(own.mismatch(&own), None);
        for field in Field::ALL {
            let peer = own.with(field, 77);
            let mismatch = own.mismatch(&peer).unwrap();
            assert_eq!((mismatch.field, mismatch.peer), (field, 77));
            assert_eq!(peer.mismatch(&own), Some(mismatch.seen_by_peer()));
        }
    }

    #[test]
    fn what_the_section_says_of_both_sides_is_agreed_upon() {
        let changes = [
            ("depth = 8", "queue_pair.depth differs: 4 on this side, 8 on the other one"),
            ("request_slot_len = 32768", "queue_pair.request_slot_len differs: 16384 on this side, 32768 on"),
            ("response_slot_len = 32768", "queue_pair.response_slot_len differs: 65536 on this side, 32768 on"),
            ("copy = 'whole'", "queue_pair.copy differs: used on this side, whole on the other one"),
            ("response = 'pull'", "queue_pair.response differs: push on this side, pull on the other one"),
        ];
        let own = Agreement::of_plan(&plan(Design::Lat)).with_queue_pair(&QueuePairSection::default());
        for (change, shown) in changes {
            let section: QueuePairSection = toml::from_str(change).unwrap();
            let mismatch = own.mismatch(&own.with_queue_pair(&section)).unwrap().to_string();
            assert!(mismatch.starts_with(shown), "{mismatch}");
        }
    }

    #[test]
    fn a_mismatch_is_said_in_the_words_of_the_configuration() {
        let mismatch = Agreement::of_plan(&plan(Design::Lat)).mismatch(&Agreement::of_plan(&plan(Design::Dual)));
        let shown = mismatch.unwrap().to_string();
        assert_eq!(shown, "plan.design differs: lat on this side, dual on the other one");
    }

    #[test]
    fn plans_that_place_partitions_differently_have_different_maps() {
        let maps = Design::ALL.map(|design| partition_map_checksum(&plan(design)));
        let [cpu_only, dpu_only, lat, sav, dual, shrd] = maps;
        assert!(cpu_only != dpu_only && lat != sav && shrd != cpu_only && shrd != dpu_only && cpu_only != lat);
        assert_eq!(sav, dual);
    }
}
