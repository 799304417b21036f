//! The port of one core.

use std::cell::Cell;
use std::io;
use std::mem;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use dpdk_sys::{dpukv_finish, dpukv_mbuf_view, rte_mbuf};
use kv_core::counters::{Counter, Counters};
use kv_core::port::{BURST_COUNT_MAX, Burst, DropCounts, Holds, RawFrame, RawPort};
use qp_wire::DropReason;

use super::device::{Device, DeviceCounts, LinkState, Part};
use super::frame::DpdkFrame;
use super::interrupt::QueueInterrupt;
use super::pool::{NO_VIEWS, Views};
use super::steering::udp_port_of;

/// A device is asked what it counts each time that so many counts of ours were made, which are a millisecond apart or
/// so: some drivers ask the kernel for it.
const DEVICE_COUNT_INTERVAL: u32 = 100;

/// One core's share of a device: a queue in each direction, or the way over another core's.
///
/// It may move to its core's thread. The device is closed with its last port.
#[derive(Debug)]
pub struct DpdkPort {
    device: Arc<Device>,
    part: Part,
    /// Frames that came in pieces, or with another owner, and were copied.
    gathered: u64,
    /// Frames that were for another core.
    handed_over: u64,
    /// Empty frames at hand for those who send without having been asked.
    spare: Box<heapless::Vec<DpdkFrame, BURST_COUNT_MAX>>,
    scratch: Box<Scratch>,
    counts_until_device: Cell<u32>,
    device_counts: Cell<DeviceCounts>,
}

/// Where DPDK writes what it gives; kept, so that it need not be cleared each time.
#[derive(Debug)]
struct Scratch {
    mbufs: [*mut rte_mbuf; BURST_COUNT_MAX],
    views: Views,
    finishes: [dpukv_finish; BURST_COUNT_MAX],
}

impl Scratch {
    fn new() -> Self {
        let finish = dpukv_finish { len: 0, with_ipv4_checksum: false };
        Self { mbufs: [ptr::null_mut(); BURST_COUNT_MAX], views: NO_VIEWS, finishes: [finish; BURST_COUNT_MAX] }
    }
}

// SAFETY: what is left of pointers here is never used: each call writes before it reads.
unsafe impl Send for Scratch {}

impl DpdkPort {
    pub(super) fn new(device: Arc<Device>, part: Part) -> Self {
        Self {
            device,
            part,
            gathered: 0,
            handed_over: 0,
            spare: Box::default(),
            scratch: Box::new(Scratch::new()),
            counts_until_device: Cell::new(0),
            device_counts: Cell::new(DeviceCounts::default()),
        }
    }

    /// How many frames the core's pool has in all.
    pub fn pool_size(&self) -> usize {
        self.part.pool.size()
    }

    /// How many frames nobody has, neither a core nor the device. Slow.
    pub fn free_count(&self) -> usize {
        self.part.pool.free_count()
    }

    /// A way to ask for [`free_count`](Self::free_count) when the port is gone. Pools are never freed.
    pub fn free_count_afterwards(&self) -> impl Fn() -> usize + Send + use<> {
        let pool = self.part.pool;
        move || pool.free_count()
    }

    /// What wakes the core when a frame comes; `None` where the device does not, or was not asked to be able to.
    ///
    /// # Errors
    /// The process has no file numbers left.
    pub fn interrupt(&self) -> io::Result<Option<QueueInterrupt>> {
        let queue = self.part.queue.filter(|_| self.device.wakes_cores());
        queue.map(|queue| QueueInterrupt::open(Arc::clone(&self.device), queue)).transpose()
    }

    /// The link at this moment.
    pub fn link(&self) -> LinkState {
        self.device.link()
    }

    /// What the device has counted so far.
    pub fn device_counts(&self) -> DeviceCounts {
        self.device.counts()
    }

    /// All that the driver counts, by the driver's names.
    pub fn extended_counts(&self) -> Vec<(String, u64)> {
        self.device.extended_counts()
    }

    /// Mb/s of the link: 0 when it is down, 1 when it is up and does not say more.
    fn link_mbps(&self) -> u64 {
        match self.device.link() {
            LinkState { is_up: false, .. } => 0,
            LinkState { speed_mbps, .. } => u64::from(speed_mbps.max(1)),
        }
    }

    /// Takes what other cores found for this one.
    fn take_from_inbox(&mut self, into: &mut Burst<DpdkFrame>) {
        if let Some(inbox) = self.device.inbox(self.part.core) {
            // SAFETY: the inbox is this core's, which has one port, which is borrowed mutably.
            unsafe { inbox.take(into, self.part.can_offload) }
        }
    }

    fn take_from_queue(&mut self, queue: u16, into: &mut Burst<DpdkFrame>, drops: &mut DropCounts) {
        let (port, room) = (self.device.port(), into.room() as u16);
        let Scratch { mbufs, views, .. } = &mut *self.scratch;
        // SAFETY: the queue is this core's, which has one port, which is borrowed mutably; the arrays have as much room.
        let count = unsafe { dpdk_sys::dpukv_eth_receive(port, queue, mbufs.as_mut_ptr(), views.as_mut_ptr(), room) };
        for index in 0..usize::from(count) {
            let Some(mbuf) = NonNull::new(self.scratch.mbufs[index]) else { continue };
            let view = self.scratch.views[index];
            match self.frame_of(mbuf, &view) {
                // No more were taken than there is room for.
                Ok(frame) => drop(self.keep_or_hand_over(frame, drops).map(|frame| into.push(frame))),
                Err(reason) => drops.count(reason),
            }
        }
    }

    /// Takes as many empty frames as a burst has, or one, or none.
    fn fetch_spare(&mut self) {
        let Scratch { mbufs, views, .. } = &mut *self.scratch;
        let taken = [BURST_COUNT_MAX, 1].into_iter().find(|count| self.part.pool.take(*count, mbufs, views));
        for (mbuf, view) in mbufs.iter().zip(views.iter()).take(taken.unwrap_or(0)) {
            let Some(mbuf) = NonNull::new(*mbuf) else { continue };
            // SAFETY: a fresh mbuf of the pool is in one piece and nobody else's, and the view is its own.
            let frame = unsafe { DpdkFrame::new(mbuf, view, self.part.can_offload) };
            // There is room for a burst, and it is called when there is none left.
            drop(self.spare.push(frame));
        }
    }

    /// The frame in an mbuf that came from the device, copied if it is in pieces.
    fn frame_of(&mut self, mbuf: NonNull<rte_mbuf>, view: &dpukv_mbuf_view) -> Result<DpdkFrame, DropReason> {
        if DpdkFrame::is_whole(view) {
            // SAFETY: the device has given the mbuf away, and the view says that it is in one piece and nobody else's.
            return Ok(unsafe { DpdkFrame::new(mbuf, view, self.part.can_offload) });
        }
        self.gathered += 1;
        let copy = self.gather(mbuf, view);
        // SAFETY: the device has given the mbuf away, and it is not used again.
        unsafe { dpdk_sys::dpukv_mbuf_free(mbuf.as_ptr()) };
        copy
    }

    fn gather(&mut self, mbuf: NonNull<rte_mbuf>, view: &dpukv_mbuf_view) -> Result<DpdkFrame, DropReason> {
        // Not by `alloc`, which would use the scratch memory in which the burst stands.
        let copy = self.part.pool.take_one(self.part.can_offload);
        let mut copy = copy.ok_or(DropReason::Backpressure)?;
        let buf = copy.buf();
        let len = u32::try_from(buf.len()).unwrap_or(u32::MAX);
        if view.len > len {
            return Err(DropReason::Long);
        }
        // SAFETY: the mbuf is a live one, and there are `len` bytes to write to.
        let copied = unsafe { dpdk_sys::dpukv_mbuf_copy_out(mbuf.as_ptr(), buf.as_mut_ptr(), len) };
        copy.set_len(copied as usize);
        copy.set_verified(view.is_verified);
        Ok(copy)
    }

    /// The frame if it is for this core or for none.
    fn keep_or_hand_over(&mut self, frame: DpdkFrame, drops: &mut DropCounts) -> Option<DpdkFrame> {
        if !self.device.steering().hands_over() {
            return Some(frame);
        }
        match udp_port_of(frame.bytes()).and_then(|udp_port| self.device.inbox_of(udp_port)) {
            Some((core, inbox)) if core != self.part.core => {
                match inbox.put(frame) {
                    Ok(()) => self.handed_over += 1,
                    Err(_full) => drops.count(DropReason::Backpressure),
                }
                None
            }
            _ => Some(frame),
        }
    }

    /// Sends what cores without a queue have left for this one's. What the device does not take is dropped: the next
    /// look comes soon, and cores that leave something are told by then that there is no room.
    fn empty_outbox(&mut self, queue: u16, drops: &mut DropCounts) {
        let Some(outbox) = self.device.outbox(queue) else { return };
        let mut leaving = Burst::new();
        // SAFETY: the outbox is emptied by the core that owns the queue, which has one port, which is borrowed mutably.
        unsafe { outbox.take(&mut leaving, false) };
        if !leaving.is_empty() {
            self.give_to_queue(queue, &mut leaving);
            drops.add(DropReason::Transmit, leaving.count() as u64);
        }
    }

    /// Hands frames to the device from the front; what it does not take stays.
    fn give_to_queue<H: Holds<DpdkFrame>>(&mut self, queue: u16, from: &mut Burst<H>) {
        let Scratch { mbufs, finishes, .. } = &mut *self.scratch;
        for ((held, mbuf), finish) in from.iter().zip(&mut *mbufs).zip(&mut *finishes) {
            (*mbuf, *finish) = (held.frame().as_ptr(), held.frame().finish());
        }
        let (port, count) = (self.device.port(), from.count() as u16);
        // SAFETY: the queue is this core's, which has one port, which is borrowed mutably; there are `count` mbufs, each a
        // frame's alone and in one piece, and as many finishes. Those that are sent are forgotten below, the others are not
        // touched.
        let sent = unsafe { dpdk_sys::dpukv_eth_transmit(port, queue, mbufs.as_mut_ptr(), finishes.as_ptr(), count) };
        for _ in 0..sent {
            // The device owns the mbuf now.
            mem::forget(from.pop().map(Holds::into_frame));
        }
    }
}

impl RawPort for DpdkPort {
    type Frame = DpdkFrame;

    fn count(&self, counters: &mut Counters) {
        counters.set(Counter::FramesGathered, self.gathered);
        counters.set(Counter::FramesHandedOver, self.handed_over);
        if self.part.core > 0 {
            // What the device counts is counted once.
            return;
        }
        let left = self.counts_until_device.get();
        if left == 0 {
            self.device_counts.set(self.device.counts());
            counters.set(Counter::LinkMbps, self.link_mbps());
            counters.set(Counter::SteeringRules, self.device.rule_count() as u64);
        }
        self.counts_until_device.set(left.checked_sub(1).unwrap_or(DEVICE_COUNT_INTERVAL));
        let counts = self.device_counts.get();
        counters.set(Counter::DeviceReceived, counts.received);
        counters.set(Counter::DeviceTransmitted, counts.transmitted);
        counters.set(Counter::DeviceMissed, counts.missed);
        counters.set(Counter::DeviceReceiveErrors, counts.receive_errors);
        counters.set(Counter::DeviceWithoutBuffer, counts.without_buffer);
        counters.set(Counter::DeviceTransmitErrors, counts.transmit_errors);
    }

    fn alloc(&mut self) -> Option<DpdkFrame> {
        if self.spare.is_empty() {
            self.fetch_spare();
        }
        self.spare.pop()
    }

    fn receive(&mut self, into: &mut Burst<DpdkFrame>, drops: &mut DropCounts) {
        if self.device.steering().hands_over() {
            self.take_from_inbox(into);
        }
        if let Some(queue) = self.part.queue {
            self.empty_outbox(queue, drops);
            if into.room() > 0 {
                self.take_from_queue(queue, into, drops);
            }
        }
    }

    fn transmit<H: Holds<DpdkFrame>>(&mut self, from: &mut Burst<H>, _: &mut DropCounts) {
        match (self.part.queue, self.device.outbox(self.part.way_out)) {
            (Some(queue), _) => self.give_to_queue(queue, from),
            (None, Some(outbox)) => {
                while let Some(frame) = from.pop() {
                    if let Err(frame) = outbox.put(frame) {
                        // It came out of there.
                        drop(from.unpop(frame));
                        return;
                    }
                }
            }
            // A core without a queue has an outbox.
            (None, None) => {}
        }
    }
}

#[cfg(test)]
mod tests;
