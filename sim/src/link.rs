//! The network between clients and endpoints: packets under way, and what happens to them.
//!
//! It carries bytes from one address to another and knows nothing of what they mean. A packet is lost, doubled,
//! overtaken, delayed, changed or cut as the plan says; without faults, packets arrive whole, once, and in order.
//!
//! At any moment, `sent + duplicated == received + lost + overflowed + unreachable + under way`.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;

use arch::Tick;

use crate::fault::FaultClass;
use crate::physics::Physics;
use crate::seed::Random;
use crate::trace::Event;

/// Packets that wait for a port at most; what comes on top is lost. A DPDK receive queue of MICA2 has as many.
pub const WAITING_COUNT_MAX: usize = 128;

/// Most bytes that a corruption changes.
const CORRUPTION_LEN_MAX: u64 = 8;

/// Some bytes that somebody sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The sender's address.
    pub from: SocketAddr,
    /// The content.
    pub bytes: Vec<u8>,
}

/// What became of packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounts {
    /// Packets handed to the network.
    pub sent: u64,
    /// Copies that the network made of its own accord.
    pub duplicated: u64,
    /// Packets that a port has taken.
    pub received: u64,
    /// Packets that the network lost, those that a checksum refused among them.
    pub lost: u64,
    /// Packets that found too many waiting before them.
    pub overflowed: u64,
    /// Packets to an address at which nobody listens.
    pub unreachable: u64,
}

/// A network. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Network {
    shared: Rc<RefCell<State>>,
}

#[derive(Debug)]
struct State {
    physics: Physics,
    random: Random,
    inboxes: BTreeMap<SocketAddr, Inbox>,
    counts: LinkCounts,
    scheduled: u64,
}

#[derive(Debug, Default)]
struct Inbox {
    /// By when they arrive, then by when they were sent.
    arriving: BTreeMap<(Tick, u64), Packet>,
    waiting: VecDeque<Packet>,
    traffic: Traffic,
}

/// Packets of one address since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Received there.
    pub received: u64,
    /// Sent from there.
    pub sent: u64,
}

impl Network {
    /// A network with nobody on it.
    pub fn new(physics: &Physics) -> Self {
        let state = State {
            random: physics.stream("link", 0),
            physics: physics.clone(),
            inboxes: BTreeMap::new(),
            counts: LinkCounts::default(),
            scheduled: 0,
        };
        Self { shared: Rc::new(RefCell::new(state)) }
    }

    /// Listens at an address from now on. Who opens it again, after a crash, finds it as it was.
    pub fn open(&self, address: SocketAddr) {
        self.shared.borrow_mut().inboxes.entry(address).or_default();
    }

    /// Listens there no more: what is on its way to the address is lost.
    pub fn close(&self, address: SocketAddr) {
        let mut state = self.shared.borrow_mut();
        if let Some(inbox) = state.inboxes.remove(&address) {
            state.counts.unreachable += (inbox.arriving.len() + inbox.waiting.len()) as u64;
        }
    }

    /// Hands a packet to the network. Returns how many copies of it may arrive, which no sender of a real network
    /// learns: it is for those who judge what came of it.
    pub fn send(&self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) -> u32 {
        let state = &mut *self.shared.borrow_mut();
        let faults = state.physics.faults().clone();
        let plan = faults.plan().link;
        state.counts.sent += 1;
        if let Some(inbox) = state.inboxes.get_mut(&from) {
            inbox.traffic.sent += 1;
        }
        state.physics.trace().add(state.physics.now(), Event::PacketSent, [port_of(from), port_of(to)], bytes);
        let packet = Packet { from, bytes: bytes.to_vec() };
        let mut copies = 0;
        if faults.strikes(&mut state.random, plan.duplication, FaultClass::PacketDuplicated) {
            state.counts.duplicated += 1;
            copies += u32::from(state.carry(to, packet.clone()));
        }
        copies + u32::from(state.carry(to, packet))
    }

    /// The next packet that has arrived at this address.
    pub fn receive(&self, address: SocketAddr) -> Option<Packet> {
        let state = &mut *self.shared.borrow_mut();
        let now = state.physics.now();
        let inbox = state.inboxes.get_mut(&address)?;
        while let Some(entry) = inbox.arriving.first_entry().filter(|entry| entry.key().0 <= now) {
            let packet = entry.remove();
            if inbox.waiting.len() < WAITING_COUNT_MAX {
                inbox.waiting.push_back(packet);
            } else {
                state.counts.overflowed += 1;
            }
        }
        let packet = inbox.waiting.pop_front()?;
        inbox.traffic.received += 1;
        state.counts.received += 1;
        state.physics.trace().add(now, Event::PacketReceived, [port_of(packet.from), port_of(address)], &packet.bytes);
        Some(packet)
    }

    /// How many packets an address has received and sent since it was opened.
    pub fn traffic(&self, address: SocketAddr) -> Traffic {
        self.shared.borrow().inboxes.get(&address).map(|inbox| inbox.traffic).unwrap_or_default()
    }

    /// What became of all packets.
    pub fn counts(&self) -> LinkCounts {
        self.shared.borrow().counts
    }

    /// How many packets have been sent and are neither received nor lost.
    pub fn under_way_count(&self) -> u64 {
        let state = self.shared.borrow();
        state.inboxes.values().map(|inbox| (inbox.arriving.len() + inbox.waiting.len()) as u64).sum()
    }
}

impl State {
    /// Lets one packet travel, with all that may happen to it. Returns whether it is on its way.
    fn carry(&mut self, to: SocketAddr, mut packet: Packet) -> bool {
        let faults = self.physics.faults().clone();
        let plan = faults.plan().link;
        let noticed = self.damage(&mut packet.bytes);
        if noticed || faults.strikes(&mut self.random, plan.loss, FaultClass::PacketLost) {
            self.counts.lost += 1;
            return false;
        }
        let mut latency_ns = plan.latency_ns;
        if faults.strikes(&mut self.random, plan.reordering, FaultClass::PacketReordered) {
            latency_ns += self.random.within(1..=plan.reordering_ns_max);
        }
        if faults.strikes(&mut self.random, plan.delay, FaultClass::PacketDelayed) {
            latency_ns += self.random.within(1..=plan.delay_ns_max);
        }
        let due = (self.physics.now().after(latency_ns), self.scheduled);
        self.scheduled += 1;
        let inbox = self.inboxes.get_mut(&to);
        let is_reachable = inbox.is_some();
        if let Some(inbox) = inbox {
            inbox.arriving.insert(due, packet);
        } else {
            self.counts.unreachable += 1;
        }
        is_reachable
    }

    /// Changes and cuts bytes. Returns whether the receiver's checksum will notice.
    fn damage(&mut self, bytes: &mut Vec<u8>) -> bool {
        let faults = self.physics.faults().clone();
        let plan = faults.plan().link;
        if bytes.is_empty() {
            return false;
        }
        if faults.strikes(&mut self.random, plan.truncation, FaultClass::PacketTruncated) {
            bytes.truncate(self.random.below(bytes.len() as u64) as usize);
        }
        let class =
            if plan.corruption_is_seen { FaultClass::PacketCorrupted } else { FaultClass::PacketCorruptedUnseen };
        if bytes.is_empty() || !faults.strikes(&mut self.random, plan.corruption, class) {
            return false;
        }
        for _ in 0..self.random.within(1..=CORRUPTION_LEN_MAX) {
            let index = self.random.below(bytes.len() as u64) as usize;
            bytes[index] ^= 1 << self.random.below(8);
        }
        plan.corruption_is_seen
    }
}

/// Stands for an address in the trace.
fn port_of(address: SocketAddr) -> u64 {
    u64::from(address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{FaultPlan, LinkFaults};
    use crate::seed::Chance;

    const A: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)), 1);
    const B: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)), 2);
    type Change = fn(&mut LinkFaults);

    const ALWAYS: Chance = Chance::percent(100);

    fn network(seed: u64, change: impl FnOnce(&mut LinkFaults)) -> (Physics, Network) {
        let mut plan = FaultPlan::NONE;
        change(&mut plan.link);
        let physics = Physics::new(seed, plan);
        let network = Network::new(&physics);
        network.open(B);
        (physics, network)
    }

    fn drain(network: &Network) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| network.receive(B)).map(|packet| packet.bytes).collect()
    }

    fn assert_conserved(network: &Network) {
        let counts = network.counts();
        let ended = counts.received + counts.lost + counts.overflowed + counts.unreachable;
        assert_eq!(counts.sent + counts.duplicated, ended + network.under_way_count(), "{counts:?}");
    }

    #[test]
    fn packets_arrive_in_order_after_the_latency() {
        let (physics, network) = network(1, |_| {});
        (0..10).for_each(|number| assert_eq!(network.send(A, B, &[number]), 1));
        physics.advance(Tick(4_999));
        assert_eq!(network.receive(B), None);
        physics.advance(Tick(5_000));
        assert_eq!(drain(&network), (0..10).map(|number| vec![number]).collect::<Vec<_>>());
        assert_conserved(&network);
    }

    #[test]
    fn a_packet_to_nobody_is_unreachable() {
        let (_, network) = network(1, |_| {});
        assert_eq!(network.send(B, A, b"?"), 0);
        assert_eq!(network.send(A, B, b"!"), 1);
        network.close(B);
        assert_eq!(network.counts().unreachable, 2);
        assert_conserved(&network);
    }

    #[test]
    fn a_port_that_does_not_receive_overflows() {
        let (physics, network) = network(1, |_| {});
        for _ in 0..200 {
            network.send(A, B, b"x");
        }
        physics.advance(Tick(10_000));
        assert_eq!(drain(&network).len(), WAITING_COUNT_MAX);
        assert_eq!(network.counts().overflowed, 200 - WAITING_COUNT_MAX as u64);
        assert_conserved(&network);
    }

    #[test]
    fn overtaken_packets_all_arrive() {
        let (physics, network) = network(3, |plan| {
            plan.reordering = Chance::percent(50);
            plan.reordering_ns_max = 1_000;
        });
        for number in 0..100 {
            network.send(A, B, &[number]);
        }
        physics.advance(Tick(6_000));
        let mut arrived = drain(&network);
        assert!(!arrived.is_sorted());
        arrived.sort();
        assert_eq!(arrived, (0..100).map(|number| vec![number]).collect::<Vec<_>>());
    }

    #[test]
    fn every_fault_happens_is_counted_and_conserves_packets() {
        let plans: [(FaultClass, Change); 6] = [
            (FaultClass::PacketLost, |plan| plan.loss = ALWAYS),
            (FaultClass::PacketDuplicated, |plan| plan.duplication = ALWAYS),
            (FaultClass::PacketDelayed, |plan| (plan.delay, plan.delay_ns_max) = (ALWAYS, 9)),
            (FaultClass::PacketTruncated, |plan| plan.truncation = ALWAYS),
            (FaultClass::PacketCorrupted, |plan| plan.corruption = ALWAYS),
            (FaultClass::PacketCorruptedUnseen, |plan| {
                (plan.corruption, plan.corruption_is_seen) = (ALWAYS, false);
            }),
        ];
        let content = [0x55; 40];
        for (class, change) in plans {
            let (physics, network) = network(4, change);
            for _ in 0..20 {
                network.send(A, B, &content);
            }
            physics.advance(Tick(5_009));
            let arrived = drain(&network);
            assert!(physics.faults().counts().get(class) >= 20, "{}", class.name());
            assert_conserved(&network);
            let expected_count = match class {
                FaultClass::PacketLost | FaultClass::PacketCorrupted => 0,
                FaultClass::PacketDuplicated => 40,
                _ => 20,
            };
            assert_eq!(arrived.len(), expected_count, "{}", class.name());
            let changed = matches!(class, FaultClass::PacketTruncated | FaultClass::PacketCorruptedUnseen);
            assert!(arrived.iter().all(|bytes| (bytes[..] != content) == changed), "{}", class.name());
        }
    }
}
