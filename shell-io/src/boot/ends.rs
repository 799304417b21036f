//! This side's ends of all queue pairs, on behalf of the control channel: it speaks with the cores through their
//! mailboxes.

use std::sync::Arc;

use kv_core::design::{CoreId, Plan, QueuePairId, Role, Side};
use kv_core::dma::{COPY_ALIGN, Window};
use kv_core::ring::{self, QueuePairGeometry};
use tracing::warn;

use super::bridge::{Bridge, check_window};
use super::identity::Directory;
use super::publication::Publication;
use crate::control::{Epoch, Introduction, QueuePairEnds, WindowDescriptor, link};
use crate::counters_file::CountersFile;
use crate::dma::doca::DocaError;
use crate::dma::{SharedWindow, WindowError};
use crate::mailbox::{Attachment, Mailbox, Order, Peer};
use crate::memory::{DescriptorError, Region, RegionCreateError, RegionOpenError};

/// Where this side's end of a queue pair is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The queue pair.
    pub(super) id: QueuePairId,
    /// The core that turns it.
    pub(super) core: u8,
    /// Where its window begins in the core's region, in bytes.
    pub(super) offset: usize,
    /// Length of the window, in bytes.
    pub(super) len: usize,
}

/// Length of a side's window of one queue pair. A DPU that pulls responses needs none, but its core sleeps on a region.
pub(super) fn window_len(side: Side, geometry: &QueuePairGeometry) -> usize {
    let len = match side {
        Side::Host => geometry.host_window_len(),
        Side::Dpu => geometry.dpu_window_len(),
    };
    len.max(COPY_ALIGN)
}

/// The places of all queue pairs, in their order.
pub(super) fn places(plan: &Plan, side: Side, geometry: &QueuePairGeometry) -> Vec<Place> {
    let len = window_len(side, geometry);
    let mut places = Vec::new();
    for core in 0..plan.core_count(side) {
        let (first, count) = match plan.role(side, CoreId(core)) {
            Role::Communicate(id) => (id.0, 1),
            Role::Process { first, count } => (first.0, count),
            Role::Serve | Role::Idle => continue,
        };
        let of_core = (0..count).map(|index| Place {
            id: QueuePairId(first + index),
            core,
            offset: usize::from(index) * len,
            len,
        });
        places.extend(of_core);
    }
    places
}

/// The region of each core of a side, for those that turn queue pairs: one for all windows of a core, since it sleeps
/// on one doorbell.
pub(super) fn regions(core_count: u8, places: &[Place]) -> Result<Vec<Option<Arc<Region>>>, RegionCreateError> {
    let len = |core| places.iter().filter(|place| place.core == core).map(|place| place.len).sum();
    let region = |len| if len == 0 { Ok(None) } else { Region::create(len).map(|region| Some(Arc::new(region))) };
    (0..core_count).map(|core| region(len(core))).collect()
}

/// Why the peer's windows cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// What it says of its memory is not understood.
    #[error("queue pair {}: {cause}", queue_pair.0)]
    Descriptor {
        /// The queue pair.
        queue_pair: QueuePairId,
        /// Why.
        cause: DescriptorError,
    },
    /// The window has another length than the agreed geometry gives it.
    #[error("queue pair {}: a window of {got} bytes, where {needed} were agreed", queue_pair.0)]
    Len {
        /// The queue pair.
        queue_pair: QueuePairId,
        /// The length that follows from the geometry.
        needed: usize,
        /// Its length.
        got: u64,
    },
    /// Its memory cannot be mapped.
    #[error("queue pair {}: {cause}", queue_pair.0)]
    Open {
        /// The queue pair.
        queue_pair: QueuePairId,
        /// Why.
        cause: RegionOpenError,
    },
    /// DOCA does not reach its memory.
    #[error("queue pair {}: {cause}", queue_pair.0)]
    Import {
        /// The queue pair.
        queue_pair: QueuePairId,
        /// Why.
        cause: DocaError,
    },
    /// The window is not inside its memory.
    #[error("queue pair {}: {cause}", queue_pair.0)]
    Window {
        /// The queue pair.
        queue_pair: QueuePairId,
        /// Why.
        cause: WindowError,
    },
}

/// This side's ends.
#[derive(Debug)]
pub(super) struct Ends<'a> {
    pub(super) places: &'a [Place],
    /// Length of the peer's window of one queue pair.
    pub(super) peer_window_len: usize,
    pub(super) regions: &'a [Option<Arc<Region>>],
    pub(super) bridge: Bridge,
    pub(super) mailboxes: &'a [Mailbox],
    pub(super) directory: Directory,
    /// Where clients find the server, if this side sees to it.
    pub(super) publication: Option<Publication>,
    pub(super) counters: &'a CountersFile,
    /// The last epoch that clients were told of.
    pub(super) epoch: Epoch,
    /// Whether cores may be attached.
    pub(super) is_attached: bool,
}

impl Ends<'_> {
    /// Tells every core what to tell clients, and publishes the same.
    pub(super) fn identify(&self, peer: Option<&Introduction>) {
        let identity = self.directory.identity(self.epoch, peer);
        for mailbox in self.mailboxes {
            mailbox.send(Order::Identify(Box::new(identity.clone())));
        }
        if let Some(publication) = &self.publication {
            publication.publish(self.directory.entry(peer).as_ref());
        }
    }

    fn mailbox_of(&self, place: &Place) -> &Mailbox {
        &self.mailboxes[usize::from(place.core)]
    }

    fn wait_until_settled(&self) {
        for mailbox in self.mailboxes {
            mailbox.wait_until_settled();
        }
    }

    fn window(&self, place: &Place) -> Option<SharedWindow> {
        let region = self.regions[usize::from(place.core)].as_ref()?;
        SharedWindow::open(Arc::clone(region), place.offset, place.len).ok()
    }

    fn offer_one(&self, place: &Place) -> Option<WindowDescriptor> {
        ring::clear(self.window(place)?.words());
        let region = self.regions[usize::from(place.core)].as_ref()?;
        Some(WindowDescriptor {
            queue_pair: place.id,
            region: self.bridge.describe(usize::from(place.core), region),
            offset: place.offset as u64,
            len: place.len as u64,
        })
    }

    /// Checks the peer's windows and reaches the memory that they are in.
    fn open(&self, epoch: Epoch, windows: &[WindowDescriptor]) -> Result<Vec<Attachment>, AttachError> {
        let mut opened = Vec::new();
        // As many as there are places: the session has compared the numbers.
        windows
            .iter()
            .map(|window| {
                let peer = self.bridge.reach(window, &mut opened)?;
                self.fit(epoch, window, peer)
            })
            .collect()
    }

    fn fit(&self, epoch: Epoch, window: &WindowDescriptor, peer: Peer) -> Result<Attachment, AttachError> {
        let queue_pair = window.queue_pair;
        let (needed, got) = (self.peer_window_len, window.len);
        if got != needed as u64 {
            return Err(AttachError::Len { queue_pair, needed, got });
        }
        // An offset beyond the address space is beyond the memory as well.
        let offset = usize::try_from(window.offset).unwrap_or(usize::MAX);
        check_window(window, &peer, offset, needed)?;
        Ok(Attachment { id: queue_pair, epoch, peer, offset, len: needed })
    }
}

impl QueuePairEnds for Ends<'_> {
    type Error = AttachError;

    fn offer(&mut self) -> Vec<WindowDescriptor> {
        self.bridge.renew(self.regions);
        self.places.iter().filter_map(|place| self.offer_one(place)).collect()
    }

    fn attach(&mut self, epoch: Epoch, peer: &Introduction) -> Result<(), AttachError> {
        self.epoch = epoch;
        self.is_attached = true;
        let attachments = self.open(epoch, &peer.windows)?;
        for (place, attachment) in self.places.iter().zip(attachments) {
            self.mailbox_of(place).send(Order::Attach(attachment));
        }
        self.identify(Some(peer));
        self.wait_until_settled();
        self.counters.set_epoch(epoch);
        Ok(())
    }

    fn detach(&mut self) {
        if !std::mem::take(&mut self.is_attached) {
            return;
        }
        for place in self.places {
            self.mailbox_of(place).send(Order::Detach(place.id));
        }
        self.epoch = link::after(self.epoch);
        self.identify(None);
        self.wait_until_settled();
        self.counters.set_epoch(0);
    }

    fn is_broken(&mut self) -> bool {
        let fault = self.mailboxes.iter().find_map(Mailbox::fault);
        if let Some((queue_pair, fault)) = fault {
            warn!(queue_pair = queue_pair.0, ?fault, "a queue pair is given up and begins a new epoch");
        }
        fault.is_some()
    }
}
