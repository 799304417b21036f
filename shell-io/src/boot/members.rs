//! The three roles as members of a core's loop, and how a queue pair's end comes into being on its core.

use std::sync::Arc;

use kv_core::design::{QueuePairId, Side};
use kv_core::engine::{Communicate, Fault, Process, QueuePairEnd, Serve};
use kv_core::port::PacketPort;
use kv_core::ring::{QueuePairGeometry, ResponseWay};
use tracing::warn;

use super::bridge::{Transport, TransportError, Way};
use super::ends::Place;
use crate::core_loop::Member;
use crate::dma::SharedWindow;
use crate::mailbox::{Attachment, Order};
use crate::memory::Region;

/// A core that serves.
pub(super) struct ServeCore<'m, P: PacketPort> {
    pub(super) engine: Serve<'m, P>,
}

impl<'m, P: PacketPort> Member for ServeCore<'m, P> {
    type Engine = Serve<'m, P>;

    fn engine(&mut self) -> &mut Self::Engine {
        &mut self.engine
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Identify(identity) => self.engine.set_identity(*identity),
            Order::Attach(_) | Order::Detach(_) => {}
        }
    }

    fn fault(&self) -> Option<(QueuePairId, Fault)> {
        None
    }
}

/// A core that communicates.
pub(super) struct CommunicateCore<'m, P: PacketPort, D: Transport> {
    pub(super) engine: Communicate<'m, P, D, SharedWindow>,
    pub(super) opener: Opener,
}

impl<'m, P: PacketPort, D: Transport> Member for CommunicateCore<'m, P, D> {
    type Engine = Communicate<'m, P, D, SharedWindow>;

    fn engine(&mut self) -> &mut Self::Engine {
        &mut self.engine
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Attach(attachment) => {
                if let Some(end) = self.opener.open(&attachment) {
                    self.engine.attach(end);
                }
            }
            Order::Detach(_) => {
                self.engine.detach();
                self.opener.failed = None;
            }
            Order::Identify(identity) => self.engine.set_identity(*identity),
        }
    }

    fn fault(&self) -> Option<(QueuePairId, Fault)> {
        self.engine.fault().or(self.opener.fault())
    }
}

/// A core that processes.
#[derive(Debug)]
pub(super) struct ProcessCore<'m, D: Transport> {
    pub(super) engine: Process<'m, D, SharedWindow>,
    pub(super) opener: Opener,
}

impl<'m, D: Transport> Member for ProcessCore<'m, D> {
    type Engine = Process<'m, D, SharedWindow>;

    fn engine(&mut self) -> &mut Self::Engine {
        &mut self.engine
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Attach(attachment) => {
                if let Some(end) = self.opener.open(&attachment) {
                    // A core has no more queue pairs than there are cores.
                    let attached = self.engine.attach(end);
                    debug_assert!(attached.is_ok(), "a plan has at most as many queue pairs as a core takes");
                }
            }
            Order::Detach(id) => {
                self.engine.detach(id);
                self.opener.failed = None;
            }
            Order::Identify(_) => {}
        }
    }

    fn fault(&self) -> Option<(QueuePairId, Fault)> {
        self.engine.fault().or(self.opener.fault())
    }
}

/// Opens this core's ends of queue pairs, on its thread.
#[derive(Clone, Debug)]
pub(super) struct Opener {
    pub(super) side: Side,
    pub(super) geometry: QueuePairGeometry,
    pub(super) places: Vec<Place>,
    pub(super) region: Arc<Region>,
    pub(super) torn_ticks: u64,
    pub(super) stall_ticks: u64,
    /// Ticks that the CPU's copies take beside their own.
    pub(super) added_ticks: u64,
    /// The queue pair for which there was no engine in this epoch.
    pub(super) failed: Option<QueuePairId>,
}

impl Opener {
    /// The end that goes with an attachment. `None` for one that is not this core's, which nobody sends, and when there is
    /// no engine: then the queue pair is given up, and gets another epoch.
    fn open<D: Transport>(&mut self, attachment: &Attachment) -> Option<QueuePairEnd<D, SharedWindow>> {
        let place = *self.places.iter().find(|place| place.id == attachment.id)?;
        let engine = match self.open_engine(&place, attachment) {
            Ok(engine) => engine,
            Err(error) => {
                warn!(queue_pair = place.id.0, "no engine for a queue pair: {error}");
                self.failed = Some(place.id);
                return None;
            }
        };
        Some(QueuePairEnd {
            id: attachment.id,
            epoch: attachment.epoch,
            geometry: self.geometry,
            engine,
            window: SharedWindow::open(Arc::clone(&self.region), place.offset, place.len).ok()?,
            torn_ticks: self.torn_ticks,
            stall_ticks: self.stall_ticks,
        })
    }

    /// A queue pair that has no engine can copy nothing.
    fn fault(&self) -> Option<(QueuePairId, Fault)> {
        self.failed.map(|id| (id, Fault::CopyFailed))
    }

    /// Copies go to the peer's window, except a host's whose responses are pulled: they stay in its own.
    fn open_engine<D: Transport>(&self, place: &Place, attachment: &Attachment) -> Result<D, TransportError> {
        let Attachment { peer, offset, len, .. } = attachment;
        let QueuePairGeometry { request, response, way, .. } = &self.geometry;
        let buf_len = match (self.side, way) {
            (Side::Host, _) => response.slot_len(),
            (Side::Dpu, ResponseWay::Push) => request.slot_len(),
            (Side::Dpu, ResponseWay::Pull) => request.slot_len().max(response.slot_len()),
        };
        // A buffer for each slot in flight, one that is being filled, and one for a pull.
        let buf_count = request.slot_count().max(response.slot_count()) as usize + 2;
        let to = match (self.side, way) {
            (Side::Host, ResponseWay::Pull) => Way {
                peer,
                own: Some(&self.region),
                offset: place.offset + self.geometry.response_offset(),
                len: response.byte_len(),
                added_ticks: self.added_ticks,
            },
            _ => Way { peer, own: None, offset: *offset, len: *len, added_ticks: self.added_ticks },
        };
        D::open(&to, buf_len, buf_count)
    }
}
