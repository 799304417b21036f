//! How the thread of the control channel speaks with the threads of the cores.
//!
//! A core looks at one flag in each round of its loop. Orders are rare: a core takes them all at once, between two
//! turns, and only then does it lock or allocate.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use kv_core::design::QueuePairId;
use kv_core::engine::{Fault, IdentityBytes};

use crate::dma::doca::{Device, Imported, MemoryMap};
use crate::memory::Region;

/// What a core is told to do.
#[derive(Clone, Debug)]
pub enum Order {
    /// Begins an epoch of a queue pair.
    Attach(Attachment),
    /// Ends a queue pair's epoch.
    Detach(QueuePairId),
    /// Tells clients this of the server from now on.
    Identify(Box<IdentityBytes>),
}

/// The peer's end of a queue pair, as far as it is known to fit.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// The queue pair.
    pub id: QueuePairId,
    /// The new epoch.
    pub epoch: u32,
    /// The peer's memory.
    pub peer: Peer,
    /// Where in the memory the peer's window begins, in bytes.
    pub offset: usize,
    /// Its length in bytes.
    pub len: usize,
}

/// Memory of the peer's, as it is reached.
#[derive(Clone, Debug)]
pub enum Peer {
    /// By the CPU: it is mapped here.
    SharedMemory(Arc<Region>),
    /// By a device.
    Doca {
        /// The device.
        device: Arc<Device>,
        /// The peer's memory.
        map: Arc<MemoryMap<Imported>>,
    },
    /// Not at all: the peer's device fetches what is for it.
    Fetches,
}

/// The orders of one core, and what it has to say.
#[derive(Debug, Default)]
pub struct Mailbox {
    is_waiting: AtomicBool,
    state: Mutex<State>,
    settled: Condvar,
}

#[derive(Debug, Default)]
struct State {
    orders: VecDeque<Order>,
    /// Orders that were taken and not yet obeyed.
    in_hand: usize,
    is_closed: bool,
    fault: Option<(QueuePairId, Fault)>,
}

impl Mailbox {
    /// Leaves an order. Once the mailbox is closed nobody obeys any, and this does nothing.
    pub fn send(&self, order: Order) {
        let mut state = self.lock();
        if !state.is_closed {
            state.orders.push_back(order);
            self.is_waiting.store(true, Ordering::Release);
        }
    }

    /// Waits until every order has been obeyed, or nobody obeys any more.
    pub fn wait_until_settled(&self) {
        let is_unsettled = |state: &mut State| !state.is_closed && (!state.orders.is_empty() || state.in_hand > 0);
        drop(self.settled.wait_while(self.lock(), is_unsettled).unwrap_or_else(PoisonError::into_inner));
    }

    /// The queue pair that the core has given up, if any.
    pub fn fault(&self) -> Option<(QueuePairId, Fault)> {
        self.lock().fault
    }

    /// Whether there is an order. One load: cheap enough for each turn.
    #[inline]
    pub fn is_waiting(&self) -> bool {
        self.is_waiting.load(Ordering::Relaxed)
    }

    /// The core's part: obeys all orders.
    pub fn obey_all(&self, mut obey: impl FnMut(Order)) {
        let orders = {
            let mut state = self.lock();
            self.is_waiting.store(false, Ordering::Relaxed);
            state.in_hand = state.orders.len();
            std::mem::take(&mut state.orders)
        };
        for order in orders {
            obey(order);
        }
        self.lock().in_hand = 0;
        self.settled.notify_all();
    }

    /// The core's part: says which queue pair it has given up, or that none is.
    pub fn report(&self, fault: Option<(QueuePairId, Fault)>) {
        self.lock().fault = fault;
    }

    /// Says that orders are no longer obeyed. Whoever waits is let go.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.settled.notify_all();
    }

    /// The state is whole between any two statements, so a panic elsewhere leaves it usable.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn taken(mailbox: &Mailbox) -> Vec<u8> {
        let mut taken = Vec::new();
        mailbox.obey_all(|order| match order {
            Order::Detach(id) => taken.push(id.0),
            order => panic!("{order:?}"),
        });
        taken
    }

    #[test]
    fn orders_are_obeyed_once_and_in_their_order() {
        let mailbox = Mailbox::default();
        assert!(!mailbox.is_waiting());
        for id in [3, 1, 2] {
            mailbox.send(Order::Detach(QueuePairId(id)));
        }
        assert!(mailbox.is_waiting());
        assert_eq!(taken(&mailbox), [3, 1, 2]);
        assert!(!mailbox.is_waiting());
        assert!(taken(&mailbox).is_empty());
    }

    #[test]
    fn whoever_waits_is_let_go_when_the_last_order_was_obeyed() {
        let mailbox = Mailbox::default();
        mailbox.wait_until_settled();
        mailbox.send(Order::Detach(QueuePairId(0)));
        let obeyed = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                mailbox.wait_until_settled();
                assert!(obeyed.load(Ordering::Acquire), "let go too early");
            });
            mailbox.obey_all(|_| obeyed.store(true, Ordering::Release));
        });
    }

    #[test]
    fn nobody_waits_for_a_closed_mailbox() {
        let mailbox = Mailbox::default();
        mailbox.send(Order::Detach(QueuePairId(0)));
        thread::scope(|scope| {
            scope.spawn(|| mailbox.wait_until_settled());
            mailbox.close();
        });
        mailbox.send(Order::Detach(QueuePairId(1)));
        mailbox.wait_until_settled();
        assert_eq!(taken(&mailbox), [0]);
    }

    #[test]
    fn a_fault_stays_until_it_is_taken_back() {
        let mailbox = Mailbox::default();
        let fault = Some((QueuePairId(2), Fault::Torn));
        mailbox.report(fault);
        assert_eq!((mailbox.fault(), mailbox.fault()), (fault, fault));
        mailbox.report(None);
        assert_eq!(mailbox.fault(), None);
    }
}
