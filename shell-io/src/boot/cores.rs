//! One core's thread: from its role to its loop.
//!
//! Ports and engines are opened on the thread that uses them. A core that cannot open what it needs says so and ends;
//! then the whole side does not start.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::Sender;

use kv_core::design::{CoreId, Role, Side};
use kv_core::engine::{Communicate, FlushPolicy, HotKeys, HotSet, Policy, Process, Serve};
use kv_core::framed::Framed;
use kv_core::partition::Store;
use kv_core::port::PacketPort;
use kv_core::ring::{QueuePairGeometry, ResponseWay};
use qp_wire::net::{Local, MacAddr};
use tracing::warn;

use super::ends::Place;
use super::error::RunError;
use super::members::{CommunicateCore, Opener, ProcessCore, ServeCore};
use crate::announce::side_name;
use crate::clock::MonotonicClock;
use crate::config::DmaKind;
use crate::core_loop::{self, Member, Surroundings};
use crate::counters_file::CoreCounters;
use crate::dma::SharedMemoryEngine;
use crate::dma::doca::DocaEngine;
use crate::idle::{IdlePolicy, Packets, Sleeper};
use crate::lcore;
use crate::mailbox::Mailbox;
use crate::memory::Region;
use crate::port::dpdk::{self, DpdkPort};
use crate::port::{ReplayFrames, ReplayPort, UdpConfig, UdpPort};

/// What every core of a side has in common.
#[derive(Clone, Debug)]
pub(super) struct Shared<'a> {
    pub(super) side: Side,
    pub(super) clock: MonotonicClock,
    pub(super) idle: IdlePolicy,
    /// The address that clients send to.
    pub(super) address: Ipv4Addr,
    pub(super) policy: Policy,
    pub(super) flush: FlushPolicy,
    /// The cache of hot keys in each core that communicates.
    pub(super) hot_set_count: usize,
    pub(super) buffers: usize,
    pub(super) busy_poll_us: u16,
    pub(super) geometry: QueuePairGeometry,
    pub(super) dma: DmaKind,
    /// Microseconds that the CPU's copies take beside their own.
    pub(super) added_latency_us: u64,
    /// Milliseconds after which a slot that is not whole or a batch without answer ends an epoch.
    pub(super) patience_ms: u64,
    pub(super) stop: &'a AtomicBool,
}

impl Shared<'_> {
    fn open_socket(&self, core: CoreId, bind: SocketAddr) -> Result<UdpPort, RunError> {
        let config = UdpConfig { bind, buffers: self.buffers, reply_len_max: self.policy.reply_len_max };
        let open = || {
            let port = UdpPort::open(config)?;
            if self.busy_poll_us > 0 {
                port.poll_device(self.busy_poll_us)?;
            }
            Ok(port)
        };
        open().map_err(|cause| RunError::Port { core, cause })
    }
}

/// What one core gets.
#[derive(Debug)]
pub(super) struct Core<'a, 'm> {
    pub(super) shared: &'a Shared<'a>,
    pub(super) id: CoreId,
    pub(super) role: Role,
    /// By what packets come to it, if any do.
    pub(super) way_in: Option<WayIn>,
    pub(super) cpu: Option<usize>,
    pub(super) store: Store<'m>,
    pub(super) places: Vec<Place>,
    pub(super) region: Option<Arc<Region>>,
    pub(super) mailbox: &'a Mailbox,
    pub(super) counters: CoreCounters<'a>,
    /// Where it says that it has opened everything.
    pub(super) opened: Sender<Result<Opened, RunError>>,
}

/// By what packets come to a core.
#[derive(Debug)]
pub(super) enum WayIn {
    /// A socket to be bound here; port 0 for whatever is free.
    Socket(SocketAddr),
    /// A share of a device, and the endpoint at it.
    Device(DpdkPort, Local),
    /// Frames from a file, and the endpoint that they are for.
    Replay(Arc<ReplayFrames>, Local),
}

/// What a core has opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opened {
    pub(super) id: CoreId,
    /// Where its port receives, if it has one.
    pub(super) port: Option<Local>,
}

impl Core<'_, '_> {
    /// Opens what the role needs and runs it until the side stops.
    pub(super) fn run(self) {
        lcore::name_thread(&format!("{}-{}", side_name(self.shared.side), self.id.0));
        if let Some(cpu) = self.cpu
            && let Err(error) = lcore::pin(cpu)
        {
            warn!(core = self.id.0, "{error}; this core moves between CPUs");
        }
        let opened = self.opened.clone();
        if let Err(error) = self.open_and_run() {
            // Whoever started the core waits for this, or has given up for another core's sake.
            let _ = opened.send(Err(error));
        }
    }

    fn open_and_run(mut self) -> Result<(), RunError> {
        let (id, shared) = (self.id, self.shared);
        match self.way_in.take() {
            None => self.run_without_port(),
            Some(WayIn::Socket(bind)) => {
                let port = shared.open_socket(id, bind)?;
                let local = Local { mac: MacAddr([0; 6]), ipv4: shared.address, port: port.local_addr().port() };
                let packets = Packets::from_socket(&port).map_err(|cause| RunError::Thread { core: id, cause })?;
                let sleeper = self.sleeper(Some(packets));
                self.run_with_port(port, sleeper, local);
            }
            Some(WayIn::Device(port, local)) => {
                // It outlives the engine, which has DPDK's frames.
                let _registration = dpdk::register_thread();
                let interrupt = port.interrupt().map_err(|cause| RunError::Thread { core: id, cause })?;
                let sleeper = self.sleeper(interrupt.map(Packets::from_queue));
                self.run_with_port(Framed::new(port, local, shared.clock.rate()), sleeper, local);
            }
            Some(WayIn::Replay(frames, local)) => {
                let port = ReplayPort::new(frames, shared.buffers, shared.policy.reply_len_max);
                let sleeper = self.sleeper(None);
                self.run_with_port(Framed::new(port, local, shared.clock.rate()), sleeper, local);
            }
        }
        Ok(())
    }

    /// What a core with a port waits on; `None` where nobody tells of packets.
    fn sleeper(&self, packets: Option<Packets>) -> Sleeper {
        let calls = self.shared.dma == DmaKind::SharedMemory;
        match (packets, &self.region) {
            (Some(packets), None) => Sleeper::for_packets(packets),
            (Some(packets), Some(region)) if calls => Sleeper::for_both(packets, Arc::clone(region)),
            (Some(packets), Some(_)) => Sleeper::for_packets_beside_copies(packets),
            (None, region) => Sleeper::polled(region.clone().filter(|_| calls)),
        }
    }

    fn run_with_port<P: PacketPort>(self, port: P, sleeper: Sleeper, local: Local) {
        let Self { shared, id, role, store, region, .. } = self;
        let (policy, rate) = (shared.policy.clone(), shared.clock.rate());
        let start = Start { shared, id, mailbox: self.mailbox, counters: self.counters, opened: self.opened };
        match (role, region) {
            (Role::Communicate(_), Some(region)) => {
                let opener = opener(shared, self.places, region);
                let flush = shared.flush;
                let mut hot_sets = vec![HotSet::EMPTY; shared.hot_set_count];
                let hot = HotKeys::new(&mut hot_sets);
                match shared.dma {
                    DmaKind::SharedMemory => {
                        let mut engine = Communicate::<_, SharedMemoryEngine, _>::new(port, policy, flush, rate);
                        engine.set_hot_keys(hot);
                        start.run(&mut *Box::new(CommunicateCore { engine, opener }), sleeper, Some(local));
                    }
                    DmaKind::Doca => {
                        let mut engine = Communicate::<_, DocaEngine, _>::new(port, policy, flush, rate);
                        engine.set_hot_keys(hot);
                        start.run(&mut *Box::new(CommunicateCore { engine, opener }), sleeper, Some(local));
                    }
                }
            }
            _ => {
                let mut core = Box::new(ServeCore { engine: Serve::new(port, store, policy, rate) });
                start.run(&mut *core, sleeper, Some(local));
            }
        }
    }

    fn run_without_port(self) {
        let Self { shared, id, role, store, region, .. } = self;
        let start = Start { shared, id, mailbox: self.mailbox, counters: self.counters, opened: self.opened };
        match (role, region) {
            (Role::Process { .. }, Some(region)) => {
                let (rate, own) = (shared.clock.rate(), Arc::clone(&region));
                let opener = opener(shared, self.places, region);
                // Who may RESET is known on the other side, which lets nobody else's through.
                match (shared.dma, shared.geometry.way) {
                    (DmaKind::SharedMemory, _) => {
                        let engine = Process::<SharedMemoryEngine, _>::new(store, rate, true);
                        start.run(&mut *Box::new(ProcessCore { engine, opener }), Sleeper::for_copies(own), None);
                    }
                    // Its responses stay in its own memory, where they come without a device.
                    (DmaKind::Doca, ResponseWay::Pull) => {
                        let engine = Process::<SharedMemoryEngine, _>::new(store, rate, true);
                        start.run(&mut *Box::new(ProcessCore { engine, opener }), Sleeper::polled(None), None);
                    }
                    (DmaKind::Doca, ResponseWay::Push) => {
                        let engine = Process::<DocaEngine, _>::new(store, rate, true);
                        start.run(&mut *Box::new(ProcessCore { engine, opener }), Sleeper::polled(None), None);
                    }
                }
            }
            _ => start.say_opened(None),
        }
    }
}

fn opener(shared: &Shared<'_>, places: Vec<Place>, region: Arc<Region>) -> Opener {
    let rate = shared.clock.rate();
    Opener {
        side: shared.side,
        geometry: shared.geometry,
        places,
        region,
        torn_ticks: rate.ticks_in_ms(shared.patience_ms),
        // A batch waits longer than a slot: the other side's core may have other work.
        stall_ticks: rate.ticks_in_ms(2 * shared.patience_ms),
        added_ticks: rate.ticks_in_us(shared.added_latency_us),
        failed: None,
    }
}

/// What is left of a core's things when its engine has taken the others.
struct Start<'a> {
    shared: &'a Shared<'a>,
    id: CoreId,
    mailbox: &'a Mailbox,
    counters: CoreCounters<'a>,
    opened: Sender<Result<Opened, RunError>>,
}

impl Start<'_> {
    fn run(&self, member: &mut impl Member, sleeper: Sleeper, port: Option<Local>) {
        self.say_opened(port);
        let surroundings = Surroundings {
            mailbox: self.mailbox,
            counters: self.counters,
            sleeper: sleeper.for_policy(self.shared.idle),
            is_called_for_copies: self.shared.geometry.way == ResponseWay::Push || self.shared.side == Side::Host,
            idle: self.shared.idle,
            clock: self.shared.clock,
            stop: self.shared.stop,
        };
        core_loop::run(member, &surroundings);
    }

    fn say_opened(&self, port: Option<Local>) {
        // Nobody listens any more when another core has failed, and then the stop is on its way.
        let _ = self.opened.send(Ok(Opened { id: self.id, port }));
    }
}
