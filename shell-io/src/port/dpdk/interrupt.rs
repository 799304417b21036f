//! The receive interrupt of a core's queue, which wakes the core when a frame comes.
//!
//! It is off, but while the core sleeps or is about to. Who turns it on looks at the queue once more before sleeping, for a
//! frame that came before may have found it off and does not call.
//!
//! Drivers tell of a frame by a file descriptor, and each takes the news back in another way: with one of them a counter
//! has to be read, with the next one an event has to be fetched, which is done when its interrupt is turned off, and a third
//! one leaves that to nobody. So it is not asked whether there is news, which there may be for ever, but whether there has been
//! any since the last time: that is what `epoll` calls an edge.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use rustix::event::{Timespec, epoll};

use super::device::Device;

/// No time at all.
const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// The receive interrupt of one core's queue. As a descriptor, it is readable when the interrupt has called. It keeps the
/// device open, as a port does.
#[derive(Debug)]
pub struct QueueInterrupt {
    /// Watches the driver's descriptor. It goes first, since the device closes that one.
    watch: OwnedFd,
    device: Arc<Device>,
    queue: u16,
}

impl QueueInterrupt {
    /// That of a queue whose device has interrupts.
    pub(super) fn open(device: Arc<Device>, queue: u16) -> io::Result<Self> {
        let watch = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let fd = descriptor(device.port(), queue).ok_or(io::ErrorKind::Unsupported)?;
        // SAFETY: the driver's descriptor is open as long as the device is started, which is here.
        let source = unsafe { BorrowedFd::borrow_raw(fd) };
        epoll::add(&watch, source, epoll::EventData::new_u64(0), epoll::EventFlags::IN | epoll::EventFlags::ET)?;
        Ok(Self { watch, device, queue })
    }

    /// Turns it on. Frames that have come by then need not call; those that come after do. `false` when the device, which
    /// may be gone, does not do so.
    pub fn enable(&self) -> bool {
        let is_on = enable(self.device.port(), self.queue);
        // The look that follows sees what came before the device, or the peer that plays it, could know of this.
        fence(Ordering::SeqCst);
        is_on
    }

    /// Turns it off and forgets what it has told.
    pub fn disable(&self) {
        let mut events = [const { MaybeUninit::uninit() }; 1];
        // First the edge, then the driver's event: what comes in between is told once more and costs a look. The other way
        // round, the driver could keep an event of which nobody knows, and tell of no other one.
        let _ = epoll::wait(&self.watch, &mut events, Some(&NOW));
        disable(self.device.port(), self.queue);
    }
}

impl AsFd for QueueInterrupt {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }
}

/// Whether each of a started device's queues has an interrupt that can be turned on and off. They are off afterwards.
pub(super) fn has_interrupts(port: u16, queue_count: u16) -> bool {
    (0..queue_count).all(|queue| {
        let is_on = enable(port, queue);
        if is_on {
            disable(port, queue);
        }
        // Where there is no such function, asking for the descriptor would be an error in DPDK's log.
        is_on && descriptor(port, queue).is_some()
    })
}

fn enable(port: u16, queue: u16) -> bool {
    // SAFETY: the port is started and has the queue.
    unsafe { dpdk_sys::rte_eth_dev_rx_intr_enable(port, queue) == 0 }
}

fn disable(port: u16, queue: u16) {
    // Some drivers say here that nothing has called, which is no failure.
    // SAFETY: the port is started and has the queue.
    let _ = unsafe { dpdk_sys::rte_eth_dev_rx_intr_disable(port, queue) };
}

/// What the driver tells of a queue's frames by.
fn descriptor(port: u16, queue: u16) -> Option<i32> {
    // SAFETY: the port is started and has the queue.
    let fd = unsafe { dpdk_sys::rte_eth_dev_rx_intr_ctl_q_get_fd(port, queue) };
    (fd >= 0).then_some(fd)
}
