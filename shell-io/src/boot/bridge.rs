//! How a side's memory is told of, how the other side's is reached, and what copies between them: the CPU or DOCA.

use std::sync::Arc;

use kv_core::design::Side;
use kv_core::dma::DmaEngine;
use kv_core::ring::ResponseWay;
use tracing::warn;

use super::ends::AttachError;
use crate::config::{DmaKind, DmaSection};
use crate::control::WindowDescriptor;
use crate::dma::doca::{Device, DocaEngine, DocaError, Exported, MemoryMap, Purpose, Target};
use crate::dma::{EngineOpenError, SharedMemoryEngine, SharedWindow};
use crate::mailbox::Peer;
use crate::memory::{Region, RegionDescriptor};

/// What copies, with what it needs on this side.
#[derive(Debug)]
pub(super) enum Bridge {
    SharedMemory,
    Doca {
        device: Arc<Device>,
        purpose: Purpose,
        /// The present export of each core's region, if the peer is to reach it.
        exports: Vec<Option<MemoryMap<Exported>>>,
    },
}

impl Bridge {
    /// Opens the device, if there is to be one, and sees whether it takes the regions.
    pub(super) fn open(
        section: &DmaSection,
        (side, way): (Side, ResponseWay),
        regions: &[Option<Arc<Region>>],
    ) -> Result<Self, DocaError> {
        match section.kind {
            DmaKind::SharedMemory => Ok(Self::SharedMemory),
            DmaKind::Doca => {
                let directory = Some(section.library.as_path()).filter(|path| !path.as_os_str().is_empty());
                let purpose = Purpose { completion: section.completion_mode(), ..purpose(side, way) };
                let device = Device::open_for(directory, &section.device, purpose)?;
                let mut exports = Vec::new();
                for region in regions {
                    exports.push(export(&device, purpose, region.as_ref())?);
                }
                Ok(Self::Doca { device, purpose, exports })
            }
        }
    }

    /// Makes what is told of the regions anew. Nobody is attached to them: with the exports of an epoch, its late copies
    /// end.
    pub(super) fn renew(&mut self, regions: &[Option<Arc<Region>>]) {
        let Self::Doca { device, purpose, exports } = self else { return };
        for (place, region) in exports.iter_mut().zip(regions) {
            *place = None;
            match export(device, *purpose, region.as_ref()) {
                Ok(export) => *place = export,
                Err(error) => warn!("{error}"),
            }
        }
    }

    /// What the other side needs to reach a core's region; nothing if that could not be had, which it will refuse.
    pub(super) fn describe(&self, core: usize, region: &Region) -> Vec<u8> {
        match self {
            Self::SharedMemory => region.descriptor().encode().to_vec(),
            Self::Doca { exports, .. } => {
                let described = exports.get(core).and_then(Option::as_ref).map(MemoryMap::descriptor);
                described.transpose().unwrap_or_else(|error| {
                    warn!("{error}");
                    None
                })
            }
            .unwrap_or_default(),
        }
    }

    /// Reaches the memory that a window of the other side's is in. `opened` are those that this epoch has reached before.
    pub(super) fn reach(
        &self,
        window: &WindowDescriptor,
        opened: &mut Vec<(Vec<u8>, Arc<Region>)>,
    ) -> Result<Peer, AttachError> {
        let queue_pair = window.queue_pair;
        match self {
            Self::SharedMemory => {
                let known = opened.iter().find(|(bytes, _)| *bytes == window.region);
                if let Some((_, region)) = known {
                    return Ok(Peer::SharedMemory(Arc::clone(region)));
                }
                let descriptor = RegionDescriptor::decode(&window.region)
                    .map_err(|cause| AttachError::Descriptor { queue_pair, cause })?;
                let region = Region::open(&descriptor).map_err(|cause| AttachError::Open { queue_pair, cause })?;
                let region = Arc::new(region);
                opened.push((window.region.clone(), Arc::clone(&region)));
                Ok(Peer::SharedMemory(region))
            }
            Self::Doca { purpose, .. } if !purpose.imports => Ok(Peer::Fetches),
            Self::Doca { device, .. } => {
                // Each queue pair has its own: a map belongs to the core that copies by it.
                let map = MemoryMap::import(device, &window.region)
                    .map_err(|cause| AttachError::Import { queue_pair, cause })?;
                Ok(Peer::Doca { device: Arc::clone(device), map: Arc::new(map) })
            }
        }
    }
}

/// What a side asks of its device. Where responses are pulled, the DPU alone copies between the sides: the host's device only
/// gives access, and a host's CPU writes its responses where they are pulled from.
const fn purpose(side: Side, way: ResponseWay) -> Purpose {
    match (side, way) {
        (_, ResponseWay::Push) => Purpose::ALL,
        (Side::Host, ResponseWay::Pull) => Purpose { copies: false, imports: false, ..Purpose::ALL },
        (Side::Dpu, ResponseWay::Pull) => Purpose { exports: false, ..Purpose::ALL },
    }
}

fn export(
    device: &Arc<Device>,
    purpose: Purpose,
    region: Option<&Arc<Region>>,
) -> Result<Option<MemoryMap<Exported>>, DocaError> {
    region.filter(|_| purpose.exports).map(|region| MemoryMap::export(device, region)).transpose()
}

/// Where an engine copies to.
#[derive(Debug)]
pub(super) struct Way<'a> {
    /// The other side's memory.
    pub(super) peer: &'a Peer,
    /// The core's own region, if copies stay there instead.
    pub(super) own: Option<&'a Arc<Region>>,
    /// Where the window begins, in bytes.
    pub(super) offset: usize,
    /// Its length in bytes.
    pub(super) len: usize,
    /// Ticks that the CPU's copies take beside their own.
    pub(super) added_ticks: u64,
}

/// Why an engine could not be opened on its core.
#[derive(Debug, thiserror::Error)]
pub(super) enum TransportError {
    #[error(transparent)]
    SharedMemory(#[from] EngineOpenError),
    #[error(transparent)]
    Doca(#[from] DocaError),
    /// The memory is another engine's.
    #[error("the other side's memory is not for this engine")]
    Kind,
}

/// A copy engine, as far as start-up has to know it.
pub(super) trait Transport: DmaEngine + Sized {
    /// Opens an engine on its core, with `buf_count` buffers of `buf_len` bytes.
    fn open(way: &Way<'_>, buf_len: usize, buf_count: usize) -> Result<Self, TransportError>;
}

impl Transport for SharedMemoryEngine {
    fn open(way: &Way<'_>, buf_len: usize, buf_count: usize) -> Result<Self, TransportError> {
        let region = match (way.own, way.peer) {
            (Some(own), _) => Arc::clone(own),
            (None, Peer::SharedMemory(peer)) => Arc::clone(peer),
            (None, _) => return Err(TransportError::Kind),
        };
        Ok(Self::open(region, way.offset, way.len, buf_len, buf_count)?.with_added_latency(way.added_ticks))
    }
}

impl Transport for DocaEngine {
    fn open(way: &Way<'_>, buf_len: usize, buf_count: usize) -> Result<Self, TransportError> {
        let (None, Peer::Doca { device, map }) = (way.own, way.peer) else { return Err(TransportError::Kind) };
        Ok(Self::open(device, Target::Peer(Arc::clone(map)), way.offset, way.len, buf_len, buf_count)?)
    }
}

/// Whether a window is inside the memory that it is said to be in.
pub(super) fn check_window(
    window: &WindowDescriptor,
    peer: &Peer,
    offset: usize,
    len: usize,
) -> Result<(), AttachError> {
    let queue_pair = window.queue_pair;
    match peer {
        Peer::SharedMemory(region) => SharedWindow::open(Arc::clone(region), offset, len)
            .map(drop)
            .map_err(|cause| AttachError::Window { queue_pair, cause }),
        Peer::Doca { map, .. } => {
            let is_inside = offset.checked_add(len).is_some_and(|end| end <= map.len());
            let cause = DocaError::Range { what: "a window", offset, len, room: map.len() };
            if is_inside { Ok(()) } else { Err(AttachError::Import { queue_pair, cause }) }
        }
        Peer::Fetches => Ok(()),
    }
}
