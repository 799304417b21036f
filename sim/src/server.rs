//! A whole server: both sides of a plan, with the engines of `kv-core` on simulated ports, copy engines and windows.
//!
//! It also does what the shells' control channel does: it notices that a side died or that a queue pair was given up,
//! and begins a new epoch. Windows stay the same memory over all epochs and restarts, so that whatever an old epoch
//! still writes lands where it can do harm.

use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use arch::Tick;
use kv_core::counters::Counters;
use kv_core::design::{Access, CoreId, Plan, QueuePairId, Role, Side};
use kv_core::dma::Window;
use kv_core::engine::{
    Communicate, Fault, FlushPolicy, HotKeys, HotRules, HotSet, Policy, Prefix, Process, QueuePairEnd, Serve,
};
use kv_core::hash::Secret;
use kv_core::partition::{Partition, Store};
use kv_core::ring::{self, QueuePairGeometry, ResponseWay};
use kv_core::sync::AtomicU64;
use kv_core::table::{ITEM_LEN_HINT_DEFAULT, Mode, Table, TableConfig, TableReader};

use crate::clock::Clock;
use crate::directory::Directory;
use crate::dma::{DmaGeometry, SimDma};
use crate::fault::FaultClass;
use crate::link::Network;
use crate::medium::ServerPort;
use crate::node::{Core, Node};
use crate::physics::Physics;
use crate::port::PortGeometry;
use crate::seed::Random;
use crate::window::SimWindow;
use crate::world::{ActorId, World};

/// Everything that a server is built from.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Who does what.
    pub plan: Plan,
    /// The sizes of its queue pairs.
    pub queue_pair: QueuePairGeometry,
    /// When a batch is sent; ticks are nanoseconds.
    pub flush: FlushPolicy,
    /// Copies in flight and buffers of each copy engine.
    pub copy_count_max: usize,
    /// Frames of each port.
    pub port: PortGeometry,
    /// Longest answer, in bytes of payload.
    pub reply_len_max: usize,
    /// Memory of each partition, in bytes.
    pub table_len: usize,
    /// What a full table does.
    pub mode: Mode,
    /// How long a slot may be torn, in nanoseconds.
    pub torn_ns: u64,
    /// How long batches may stay unanswered, in nanoseconds.
    pub stall_ns: u64,
    /// The cache of hot keys in each DPU core, in sets; 0 for none. In `lat` only.
    pub hot_set_count: usize,
    /// Which of its rules the cache keeps. A test that plants a mistake leaves one out.
    pub hot_rules: HotRules,
    /// Whether each epoch's number is above the one before, as the control channel has it. A test that plants a mistake
    /// says no.
    pub epochs_rise: bool,
}

/// The memory of a server's tables. It belongs to nobody who can die.
#[derive(Debug)]
pub struct Memory {
    partitions: Vec<Vec<AtomicU64>>,
    word_count: usize,
}

/// Words to the next 64-byte boundary, at most.
const ALIGNING_WORDS: usize = 64 / size_of::<AtomicU64>() - 1;

impl Memory {
    /// Memory for the partitions of a server.
    pub fn new(config: &ServerConfig) -> Self {
        let word_count = config.table_len / size_of::<AtomicU64>();
        let partition = || (0..word_count + ALIGNING_WORDS).map(|_| AtomicU64::new(0)).collect();
        Self { partitions: (0..config.plan.topology().partitions).map(|_| partition()).collect(), word_count }
    }

    /// A partition's words. They begin at a 64-byte boundary, wherever the allocator has put them: a table uses no
    /// others, and its size must not differ between two runs of a seed.
    fn partition(&self, index: u16) -> &[AtomicU64] {
        let words = &self.partitions[usize::from(index)];
        let skipped = words.as_ptr().addr().next_multiple_of(64) - words.as_ptr().addr();
        &words[skipped / size_of::<AtomicU64>()..][..self.word_count]
    }
}

/// Where listed clients come from; answers to them may be longer than their requests.
const CLIENT_NETWORK: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 0);

/// Where clients come from that get no more bytes than they send.
const OTHER_NETWORK: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 0);

const SECRET: Secret = Secret { k0: 0x0123_4567_89AB_CDEF, k1: 0xFEDC_BA98_7654_3210 };

/// The longest time until anybody notices anything, in nanoseconds.
const NOTICE_NS_MAX: u64 = 300_000;

/// A queue pair as the control channel sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pair {
    /// It works, as far as anybody knows.
    Up,
    /// One of its sides died, and the other does not know yet.
    Broken,
    /// It was taken down.
    Down,
    /// Its sides begin the epoch at these times; `None` has already begun.
    Rising { epoch: u32, host_at: Option<Tick>, dpu_at: Option<Tick> },
}

/// A server in a world.
#[derive(Debug)]
pub struct Server<'m, P: ServerPort> {
    physics: Physics,
    random: Random,
    network: Network,
    config: ServerConfig,
    memory: &'m Memory,
    directory: Rc<Directory>,
    host: Vec<ActorId>,
    dpu: Vec<ActorId>,
    /// For each queue pair the host's window and the DPU's.
    windows: Vec<(SimWindow, SimWindow)>,
    pairs: Vec<Pair>,
    epoch: u32,
    engine_count: u64,
    is_up: [bool; 2],
    given_up: Vec<GivenUp>,
    /// When which queue pair began an epoch at the DPU.
    begun: Vec<(Tick, QueuePairId)>,
    ports: PhantomData<P>,
}

/// A queue pair that an engine gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// When the control channel learnt of it.
    pub at: Tick,
    /// Who gave it up.
    pub side: Side,
    /// Which one.
    pub id: QueuePairId,
    /// Why.
    pub fault: Fault,
}

impl<'m, P: ServerPort> Server<'m, P> {
    /// A server, all of whose cores join `world` and are down.
    pub fn new(network: &Network, config: ServerConfig, memory: &'m Memory, world: &mut World<Node<'m, P>>) -> Self {
        let physics = world.physics().clone();
        let geometry = &config.queue_pair;
        let windows = (0..config.plan.queue_pair_count())
            .map(|_| (SimWindow::new(geometry.host_window_len()), SimWindow::new(geometry.dpu_window_len())))
            .collect::<Vec<_>>();
        let mut add = |side| (0..config.plan.core_count(side)).map(|_| world.add(Node::Core(Core::Down))).collect();
        Self {
            random: physics.stream("server", 0),
            directory: Rc::new(Directory::new(&config.plan, endpoint_address)),
            host: add(Side::Host),
            dpu: add(Side::Dpu),
            pairs: vec![Pair::Down; windows.len()],
            windows,
            epoch: 0,
            engine_count: 0,
            is_up: [false; 2],
            given_up: Vec::new(),
            begun: Vec::new(),
            ports: PhantomData,
            network: network.clone(),
            physics,
            config,
            memory,
        }
    }

    /// What clients know of it.
    pub fn directory(&self) -> &Rc<Directory> {
        &self.directory
    }

    /// Its sizes.
    pub fn config(&self) -> &ServerConfig {
        &self.config
    }

    /// The epoch that began last. Each queue pair's epochs are counted here together.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Every queue pair that was given up.
    pub fn given_up(&self) -> &[GivenUp] {
        &self.given_up
    }

    /// When a queue pair's first epoch after `at` began at the DPU.
    pub fn epoch_after(&self, at: Tick, id: QueuePairId) -> Option<Tick> {
        self.begun.iter().find(|(begun, of)| *begun >= at && *of == id).map(|(begun, _)| *begun)
    }

    /// Whether a side's process lives.
    pub fn is_up(&self, side: Side) -> bool {
        self.is_up[side as usize]
    }

    /// Whether every queue pair works.
    pub fn is_joined(&self) -> bool {
        self.pairs.iter().all(|pair| *pair == Pair::Up)
    }

    /// Starts a side's process, with empty tables.
    pub fn start(&mut self, side: Side, world: &mut World<Node<'m, P>>) {
        self.is_up[side as usize] = true;
        let mut tables = self.format_tables(side);
        let policy = || policy(self.config.reply_len_max);
        for (core, id) in (0..).map(CoreId).zip(self.actors(side).to_vec()) {
            let core = match self.config.plan.role(side, core) {
                Role::Idle => Core::Down,
                Role::Serve => {
                    let store = self.store(side, core, &mut tables);
                    Core::Serve(Box::new(Serve::new(self.open_port(side, core), store, policy(), Clock::rate())))
                }
                Role::Communicate(_) => {
                    let port = self.open_port(side, core);
                    let mut engine = Communicate::new(port, policy(), self.config.flush, Clock::rate());
                    engine.set_hot_keys(self.hot_keys());
                    Core::Communicate(Box::new(engine))
                }
                Role::Process { .. } => {
                    let store = self.store(side, core, &mut tables);
                    Core::Process(Box::new(Process::new(store, Clock::rate(), false)))
                }
            };
            *world.actor_mut(id) = Node::Core(core);
        }
    }

    /// Kills a side's process: everything in its memory is gone but the windows' bytes.
    pub fn kill(&mut self, side: Side, world: &mut World<Node<'m, P>>) {
        self.is_up[side as usize] = false;
        for id in self.actors(side) {
            *world.actor_mut(*id) = Node::Core(Core::Down);
        }
        for pair in self.pairs.iter_mut().filter(|pair| **pair != Pair::Down) {
            *pair = Pair::Broken;
        }
        let class = if side == Side::Host { FaultClass::HostCrash } else { FaultClass::DpuCrash };
        self.physics.faults().count(class);
    }

    /// Lets no core of a side take a turn before `until`.
    pub fn pause(&mut self, side: Side, until: Tick, world: &mut World<Node<'m, P>>) {
        for id in self.actors(side) {
            world.pause(*id, until);
        }
        let class = if side == Side::Host { FaultClass::HostPause } else { FaultClass::DpuPause };
        self.physics.faults().count(class);
    }

    /// Does what is due on the control channel. To be called every now and then.
    pub fn supervise(&mut self, world: &mut World<Node<'m, P>>) {
        let now = self.physics.now();
        for index in 0..self.pairs.len() {
            let id = QueuePairId(index as u8);
            let both_live = self.is_up(Side::Host) && self.is_up(Side::Dpu);
            let pair = self.pairs[index];
            match pair {
                Pair::Down if both_live => self.begin_epoch(id),
                Pair::Down => {}
                _ if pair == Pair::Broken || self.learn_of_fault(id, pair, world) => {
                    self.detach(id, world);
                    self.pairs[index] = Pair::Down;
                }
                Pair::Broken | Pair::Up => {}
                Pair::Rising { epoch, mut host_at, mut dpu_at } => {
                    for (side, at) in [(Side::Host, &mut host_at), (Side::Dpu, &mut dpu_at)] {
                        if at.is_some_and(|at| at <= now) {
                            self.attach(id, side, epoch, world);
                            *at = None;
                        }
                    }
                    let is_up = host_at.is_none() && dpu_at.is_none();
                    self.pairs[index] = if is_up { Pair::Up } else { Pair::Rising { epoch, host_at, dpu_at } };
                }
            }
        }
    }

    /// The counters of a core, if its process lives.
    pub fn counters<'w>(&self, side: Side, core: CoreId, world: &'w mut World<Node<'m, P>>) -> Option<&'w Counters> {
        match world.actor_mut(self.actors(side)[usize::from(core.0)]) {
            Node::Core(core) => core.counters(),
            Node::Client(_) => None,
        }
    }

    /// How many frames a core's port has lent out and not got back; 0 without a port.
    pub fn frames_out(&self, side: Side, core: CoreId, world: &World<Node<'m, P>>) -> usize {
        match world.actor(self.actors(side)[usize::from(core.0)]) {
            Node::Core(core) => core.frames_out(),
            Node::Client(_) => 0,
        }
    }

    /// The address of a core's port, if it has one.
    pub fn address(&self, side: Side, core: CoreId) -> Option<SocketAddr> {
        let mut endpoints = self.directory.endpoints().iter();
        endpoints.find(|(endpoint, _)| (endpoint.side, endpoint.core) == (side, core)).map(|(_, address)| *address)
    }

    /// Every core of both sides.
    pub fn cores(&self) -> Vec<(Side, CoreId)> {
        let of = |side: Side| (0..self.actors(side).len() as u8).map(move |core| (side, CoreId(core)));
        of(Side::Host).chain(of(Side::Dpu)).collect()
    }

    fn actors(&self, side: Side) -> &[ActorId] {
        match side {
            Side::Host => &self.host,
            Side::Dpu => &self.dpu,
        }
    }

    fn format_tables(&self, side: Side) -> Vec<Option<Table<'m>>> {
        let config = TableConfig {
            mode: self.config.mode,
            concurrent_read: self.config.plan.table_has_readers(),
            secret: SECRET,
            item_len_hint: ITEM_LEN_HINT_DEFAULT,
        };
        (0..self.config.plan.topology().partitions)
            .map(|partition| {
                let words = self.memory.partition(partition);
                let is_here = self.config.plan.owner(partition).0 == side;
                is_here.then(|| Table::format(words, &config).expect("the configured memory holds a table"))
            })
            .collect()
    }

    /// A core's view of the partitions; it takes the tables that it owns.
    fn store(&self, side: Side, core: CoreId, tables: &mut [Option<Table<'m>>]) -> Store<'m> {
        let mut store = Store::new(SECRET);
        for (partition, table) in (0..).zip(tables) {
            let words = self.memory.partition(partition);
            let partition = match self.config.plan.access(side, core, partition) {
                Access::Owner => Partition::Owned(table.take().expect("a partition has one owner")),
                Access::Reader => {
                    Partition::Read(TableReader::open(words, SECRET).expect("the owner formatted the table"))
                }
                Access::None => Partition::Elsewhere,
            };
            store.push(partition).expect("a plan has no more partitions than a store");
        }
        store
    }

    /// A cache for a core that starts. Its memory is some hundred bytes, and is never given back.
    fn hot_keys(&self) -> HotKeys<'m> {
        let count = self.config.hot_set_count;
        assert!(count == 0 || self.config.plan.has_one_way_in(), "writes take other ways, too");
        HotKeys::with_rules(vec![HotSet::EMPTY; count].leak(), self.config.hot_rules)
    }

    fn open_port(&self, side: Side, core: CoreId) -> P {
        P::open(
            &self.physics,
            &self.network,
            self.address(side, core).expect("a core with a port has an endpoint"),
            self.config.port,
        )
    }

    /// Empties the windows and lets both sides attach at their leisure.
    fn begin_epoch(&mut self, id: QueuePairId) {
        let (host_window, dpu_window) = &self.windows[usize::from(id.0)];
        ring::clear(host_window.words());
        ring::clear(dpu_window.words());
        self.epoch += 1;
        let mut at = || Some(self.physics.now().after(self.random.within(0..=NOTICE_NS_MAX)));
        let (host_at, dpu_at) = (at(), at());
        let epoch = if self.config.epochs_rise { self.epoch } else { 1 };
        self.pairs[usize::from(id.0)] = Pair::Rising { epoch, host_at, dpu_at };
    }

    fn attach(&mut self, id: QueuePairId, side: Side, epoch: u32, world: &mut World<Node<'m, P>>) {
        let (host_window, dpu_window) = self.windows[usize::from(id.0)].clone();
        let geometry = self.config.queue_pair;
        let (window, peer) = match (side, geometry.way) {
            (Side::Dpu, _) => (dpu_window, host_window),
            (Side::Host, ResponseWay::Push) => (host_window, dpu_window),
            (Side::Host, ResponseWay::Pull) => (host_window.clone(), host_window.behind(geometry.response_offset())),
        };
        let (request_len, response_len) = (geometry.request.slot_len(), geometry.response.slot_len());
        let dma = DmaGeometry {
            // Not a byte more than what the side sends or pulls.
            buf_len: match (side, geometry.way) {
                (Side::Host, _) => response_len,
                (Side::Dpu, ResponseWay::Push) => request_len,
                (Side::Dpu, ResponseWay::Pull) => request_len.max(response_len),
            },
            buf_count: self.config.copy_count_max + 1,
            job_count_max: self.config.copy_count_max,
        };
        self.engine_count += 1;
        let end = QueuePairEnd {
            id,
            epoch,
            geometry,
            engine: SimDma::new(&self.physics, self.engine_count, peer, dma),
            window,
            torn_ticks: self.config.torn_ns,
            stall_ticks: self.config.stall_ns,
        };
        match world.actor_mut(self.actor_of(id, side)) {
            Node::Core(Core::Communicate(communicate)) => {
                communicate.attach(end);
                self.begun.push((self.physics.now(), id));
            }
            Node::Core(Core::Process(process)) => process.attach(end).expect("a plan has no more queue pairs"),
            node => panic!("{side:?} has no end of {id:?} but {node:?}"),
        }
    }

    /// Ends an epoch, at each side now or only when the next one begins there.
    fn detach(&mut self, id: QueuePairId, world: &mut World<Node<'m, P>>) {
        for side in [Side::Host, Side::Dpu] {
            if self.random.below(2) == 0 {
                continue;
            }
            match world.actor_mut(self.actor_of(id, side)) {
                Node::Core(Core::Communicate(communicate)) => communicate.detach(),
                Node::Core(Core::Process(process)) => process.detach(id),
                _ => {}
            }
        }
    }

    /// Asks the ends of the present epoch whether they have given the queue pair up.
    fn learn_of_fault(&mut self, id: QueuePairId, pair: Pair, world: &World<Node<'m, P>>) -> bool {
        let count = self.given_up.len();
        let (host_is_late, dpu_is_late) = match pair {
            Pair::Rising { host_at, dpu_at, .. } => (host_at.is_some(), dpu_at.is_some()),
            _ => (false, false),
        };
        for (side, is_late) in [(Side::Host, host_is_late), (Side::Dpu, dpu_is_late)] {
            if is_late {
                // What it has is the end of an earlier epoch.
                continue;
            }
            let Node::Core(core) = world.actor(self.actor_of(id, side)) else { continue };
            if let Some((_, fault)) = core.fault().filter(|(faulty, _)| *faulty == id) {
                self.given_up.push(GivenUp { at: self.physics.now(), side, id, fault });
            }
        }
        self.given_up.len() > count
    }

    /// The core with one end of a queue pair.
    fn actor_of(&self, id: QueuePairId, side: Side) -> ActorId {
        let holds_end = |role| match role {
            Role::Communicate(end) => end == id,
            Role::Process { first, count } => (first.0..first.0 + count).contains(&id.0),
            Role::Idle | Role::Serve => false,
        };
        let core = (0..self.config.plan.core_count(side))
            .find(|core| holds_end(self.config.plan.role(side, CoreId(*core))))
            .expect("each queue pair has an end on each side");
        self.actors(side)[usize::from(core)]
    }
}

/// The address of a server's endpoint. Ports are counted from 0, as MICA2's are.
fn endpoint_address(index: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], index as u16))
}

/// The address of a client, which the server knows or does not.
pub fn client_address(index: u8, is_listed: bool) -> SocketAddr {
    let [a, b, c, _] = if is_listed { CLIENT_NETWORK.octets() } else { OTHER_NETWORK.octets() };
    SocketAddr::from(([a, b, c, index], 1_000 + u16::from(index)))
}

fn policy(reply_len_max: usize) -> Policy {
    let mut policy = Policy { reply_len_max, ..Policy::default() };
    let clients = Prefix::new(IpAddr::V4(CLIENT_NETWORK), 16).expect("16 bits of 32");
    policy.listed.push(clients).expect("an empty list has room");
    policy
}
