//! One run of a server and its clients, from the seed to the verdict.
//!
//! A [`Scenario`] says who takes part and what goes wrong. [`Scenario::run`] plays it in three acts:
//!
//! 1. Clients ask while faults happen, until all have asked for everything and all planned incidents are over.
//! 2. Faults end. Whatever was begun must end too, and a GET of every key must be answered, within bounded time.
//! 3. Everything comes to rest. No frame may be missing, every counter must add up, and the clients' histories must be
//!    ones that a correct store could have shown.

use std::rc::Rc;

use arch::Tick;
use kv_core::counters::{Counter, Counters};
use kv_core::design::{CoreId, Design, Plan, Side, Topology};
use kv_core::engine::{Fault, FlushPolicy};
use kv_core::framed::Framed;
use kv_core::ring::{QueuePairGeometry, ResponseWay, RingGeometry};
use kv_core::table::Mode;
use qp_wire::limits::DATAGRAM_LEN_MAX;
use qp_wire::net::Checksums;

use crate::client::{Anomaly, Client, ClientConfig, ClientCounts};
use crate::fault::{FaultClass, FaultCounts, FaultPlan};
use crate::history::{Action, HistoryError, Outcome, Record, check, check_counter};
use crate::link::{LinkCounts, Network};
use crate::medium::{Medium, ServerPort};
use crate::physics::Physics;
use crate::port::{PortGeometry, SimPort};
use crate::raw_port::SimRawPort;
use crate::seed::Random;
use crate::server::{GivenUp, Memory, Node, Server, ServerConfig, client_address};
use crate::wire::Wire;
use crate::workload::{KeySpace, Mix};
use crate::world::{ActorId, World};

const US: u64 = 1_000;
const MS: u64 = 1_000_000;

/// By when clients have asked for everything, faults and all.
const ACT_NS_MAX: u64 = 3_000 * MS;

/// By when everything must be answered once faults have ended. The longest stall of a copy that was begun before, and
/// the longest time-out of a client that repeats itself, fit several times.
const LIVENESS_NS_MAX: u64 = 2_000 * MS;

/// The control channel is looked at so often.
const SUPERVISION_NS: u64 = 50 * US;

/// Who takes part in a run, and what goes wrong.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Decides everything that is drawn.
    pub seed: u64,
    /// What the network carries.
    pub medium: Medium,
    /// What goes wrong.
    pub faults: FaultPlan,
    /// The server.
    pub server: ServerConfig,
    /// The clients' behaviour; each has its own address and name.
    pub clients: Vec<ClientConfig>,
    /// How many operations each client asks for.
    pub operation_count: u64,
    /// What they ask for.
    pub mix: Mix,
    /// How many keys there are, counters among them.
    pub key_count: usize,
    /// How many counters.
    pub counter_count: usize,
    /// Length of the longest value, in bytes.
    pub value_len_max: usize,
}

/// What went wrong that must not.
#[derive(Debug)]
pub enum Failure {
    /// A client saw what no correct server answers.
    Anomaly(Anomaly),
    /// Clients saw what no store can show.
    History(HistoryError),
    /// Something was still not answered long after faults had ended.
    NotLive {
        /// Operations of each client that were asked for, and that ended.
        clients: Vec<(usize, ClientCounts)>,
        /// Queue pairs that were given up, the last ones.
        given_up: Vec<GivenUp>,
    },
    /// An engine gave a queue pair up for something that no engine of ours does, whatever happens to copies.
    Impossible(GivenUp),
    /// A core kept frames although nobody asked for anything any more.
    FramesKept {
        /// The core.
        core: (Side, CoreId),
        /// How many frames.
        count: usize,
    },
    /// A core received other frames than it answered and dropped.
    FramesUncounted {
        /// The core.
        core: (Side, CoreId),
        /// Frames received, transmitted and dropped.
        counts: [u64; 3],
    },
    /// The network delivered other packets than were sent, lost and doubled.
    PacketsUncounted(LinkCounts),
}

/// What a run came to.
#[derive(Debug)]
pub struct Report {
    /// What went wrong that must not, if anything did.
    pub failure: Option<Failure>,
    /// What went wrong as planned.
    pub faults: FaultCounts,
    /// The run's fingerprint.
    pub trace: u64,
    /// How each client's operations ended.
    pub clients: Vec<ClientCounts>,
    /// How many operations all clients asked for.
    pub asked: u64,
    /// How many of them were answered and only looked at something.
    pub reads: u64,
    /// The counters of every core that lives at the end.
    pub cores: Vec<(Side, CoreId, Counters)>,
    /// What became of packets.
    pub link: LinkCounts,
    /// How many epochs of queue pairs there were.
    pub epochs: u32,
    /// Queue pairs that were given up.
    pub given_up: Vec<GivenUp>,
    /// How much virtual time passed.
    pub end: Tick,
}

impl Report {
    /// The sum of a counter over one side's cores.
    pub fn sum(&self, side: Side, counter: Counter) -> u64 {
        self.cores.iter().filter(|(of, ..)| *of == side).map(|(_, _, counters)| counters.get(counter)).sum()
    }

    /// A core's counter.
    ///
    /// # Panics
    /// When the core has no role.
    pub fn core(&self, side: Side, core: u8, counter: Counter) -> u64 {
        let (_, _, counters) = self
            .cores
            .iter()
            .find(|(of, id, _)| (*of, *id) == (side, CoreId(core)))
            .expect("a core that the design uses");
        counters.get(counter)
    }

    /// How many cores of a side have a role.
    pub fn core_count(&self, side: Side) -> usize {
        self.cores.iter().filter(|(of, ..)| *of == side).count()
    }

    /// The sum of a counter over all cores.
    pub fn total(&self, counter: Counter) -> u64 {
        self.sum(Side::Host, counter) + self.sum(Side::Dpu, counter)
    }
}

/// Something that happens to a whole side of the server.
#[derive(Clone, Copy, Debug)]
enum Incident {
    Kill(Side),
    Start(Side),
    Pause(Side, u64),
}

impl Scenario {
    /// A design with two clients of one wire, where nothing goes wrong.
    pub fn calm(design: Design, wire: Wire) -> Self {
        let topology = Topology { host_cores: 3, dpu_cores: 2, spare_cores: 2, partitions: 6, concurrent_read: false };
        let ring = RingGeometry::new(4, 4_096).expect("valid sizes");
        let client = |index| ClientConfig {
            address: client_address(index),
            writer: index,
            medium: Medium::Datagrams,
            wire,
            frame_count_max: 8,
            batch_count_max: 16,
            payload_len_max: 1_472,
            timeout_ns: 20 * MS,
            try_count_max: Some(1),
            think_ns_max: 0,
        };
        Self {
            seed: design as u64,
            medium: Medium::Datagrams,
            faults: FaultPlan::NONE,
            server: ServerConfig {
                plan: Plan::new(design, topology).expect("the topology suits every design"),
                queue_pair: QueuePairGeometry { request: ring, response: ring, way: ResponseWay::Push },
                flush: FlushPolicy { len: 1_024, ticks: 5 * US },
                copy_count_max: 8,
                port: PortGeometry { frame_len: 1_500, frame_count: 64 },
                reply_len_max: 1_472,
                table_len: 64 * 1_024,
                mode: Mode::Store,
                torn_ns: MS,
                stall_ns: 20 * MS,
            },
            clients: vec![client(1), client(2)],
            operation_count: 2_000,
            mix: Mix::ALL,
            key_count: 100,
            counter_count: 5,
            value_len_max: 200,
        }
    }

    /// The scenario of a seed: any design, any sizes, any faults.
    pub fn draw(seed: u64) -> Self {
        let mut random = Random::from_seed(seed).fork("scenario", 0);
        let frames = *pick(&mut random, &[FrameSizes::ETHERNET, FrameSizes::ETHERNET, FrameSizes::JUMBO]);
        let clients = (1..=random.within(1..=4) as u8).map(|index| draw_client(&mut random, &frames, index)).collect();
        Self {
            seed,
            medium: *pick(&mut random, &MEDIA),
            faults: FaultPlan::draw(seed),
            server: draw_server(&mut random, &frames),
            clients,
            operation_count: random.within(50..=200),
            mix: Mix::ALL,
            key_count: *pick(&mut random, &[6, 12, 25, 50]),
            counter_count: random.below(4) as usize,
            value_len_max: *pick(&mut random, &[8, 64, frames.value_len_max / 4, frames.value_len_max]),
        }
    }

    /// The calm scenarios of a design: both protocols, on each kind of network, with either way for responses where
    /// there are queue pairs.
    pub fn all_calm(design: Design) -> Vec<Self> {
        let ways = [ResponseWay::Push, ResponseWay::Pull];
        let mut scenarios = Vec::new();
        for wire in Wire::ALL {
            for medium in MEDIA {
                for way in ways.into_iter().take(if design.is_offloaded() { 2 } else { 1 }) {
                    let mut scenario = Self { medium, ..Self::calm(design, wire) };
                    scenario.server.queue_pair.way = way;
                    scenarios.push(scenario);
                }
            }
        }
        scenarios
    }

    /// Plays the scenario.
    pub fn run(&self) -> Report {
        match self.medium {
            Medium::Datagrams => self.run_on::<SimPort>(),
            Medium::Frames(_) => self.run_on::<Framed<SimRawPort>>(),
        }
    }

    fn run_on<P: ServerPort>(&self) -> Report {
        let memory = Memory::new(&self.server);
        let mut stage = Stage::<P>::new(self, &memory);
        let failure = stage.play().err();
        stage.report(failure)
    }
}

/// Every kind of network.
const MEDIA: [Medium; 3] = [Medium::Datagrams, Medium::Frames(Checksums::Zero), Medium::Frames(Checksums::Computed)];

/// What goes with how long the network's frames are, all in bytes.
#[derive(Clone, Copy, Debug)]
struct FrameSizes {
    payload_len_max: usize,
    /// Two values and a key fit a frame: COMPARE_AND_SET has as many.
    value_len_max: usize,
    /// Shortest slots that hold any frame, in units of 1 KiB.
    slot_kib_min: u64,
    slot_kib_max: u64,
    /// Protocols whose clients can read any value.
    wires: &'static [Wire],
}

impl FrameSizes {
    const ETHERNET: Self = Self {
        payload_len_max: 1_472,
        value_len_max: 550,
        slot_kib_min: 2,
        slot_kib_max: 16,
        wires: &[Wire::Native, Wire::Mica],
    };
    const JUMBO: Self = Self {
        payload_len_max: DATAGRAM_LEN_MAX,
        value_len_max: 3_000,
        slot_kib_min: 10,
        slot_kib_max: 64,
        wires: &[Wire::Native],
    };
}

fn pick<'a, T>(random: &mut Random, choices: &'a [T]) -> &'a T {
    &choices[random.below(choices.len() as u64) as usize]
}

fn draw_server(random: &mut Random, frames: &FrameSizes) -> ServerConfig {
    let design = *pick(random, &Design::ALL);
    let dpu_cores = random.within(1..=3) as u8;
    let host_cores = dpu_cores + random.below(2) as u8 + u8::from(design == Design::Dual);
    let topology = Topology {
        host_cores,
        dpu_cores,
        spare_cores: random.within(1..=u64::from(host_cores).max(2) - 1) as u8,
        partitions: u16::from(host_cores + dpu_cores) + random.below(4) as u16,
        concurrent_read: random.below(2) == 0,
    };
    let mut ring = || {
        let slot_kib = random.within(frames.slot_kib_min..=frames.slot_kib_max) as u32;
        RingGeometry::new(1 << random.below(4), 1_024 * slot_kib).expect("valid sizes")
    };
    let (request, response) = (ring(), ring());
    let way = *pick(random, &[ResponseWay::Push, ResponseWay::Pull]);
    ServerConfig {
        plan: Plan::new(design, topology).expect("a topology drawn to suit the design"),
        queue_pair: QueuePairGeometry { request, response, way },
        flush: FlushPolicy { len: random.within(256..=2_048) as usize, ticks: random.within(0..=50 * US) },
        copy_count_max: random.within(2..=16) as usize,
        port: PortGeometry { frame_len: frames.payload_len_max + 28, frame_count: random.within(4..=128) as usize },
        reply_len_max: frames.payload_len_max,
        table_len: 512 * 1_024,
        mode: Mode::Store,
        torn_ns: random.within(MS..=5 * MS),
        stall_ns: random.within(2 * MS..=10 * MS),
    }
}

fn draw_client(random: &mut Random, frames: &FrameSizes, index: u8) -> ClientConfig {
    ClientConfig {
        address: client_address(index),
        writer: index,
        medium: Medium::Datagrams,
        wire: *pick(random, frames.wires),
        frame_count_max: random.within(1..=8) as usize,
        batch_count_max: *pick(random, &[1, 4, 16, 64]),
        payload_len_max: frames.payload_len_max,
        timeout_ns: random.within(500 * US..=3 * MS),
        try_count_max: Some(random.within(1..=6) as u32),
        think_ns_max: random.within(0..=800 * US),
    }
}

/// A scenario on stage.
struct Stage<'m, P: ServerPort> {
    scenario: Scenario,
    physics: Physics,
    network: Network,
    world: World<Node<'m, P>>,
    server: Server<'m, P>,
    clients: Vec<ActorId>,
    keys: Rc<KeySpace>,
    random: Random,
    wipes: Vec<Record>,
}

impl<'m, P: ServerPort> Stage<'m, P> {
    fn new(scenario: &Scenario, memory: &'m Memory) -> Self {
        let physics = Physics::new(scenario.seed, scenario.faults);
        let network = Network::new(&physics);
        let mut world = World::new(&physics);
        let server = Server::new(&network, scenario.server.clone(), memory, &mut world);
        let mut random = physics.stream("scenario", 1);
        let keys =
            Rc::new(KeySpace::new(&mut random, scenario.key_count, scenario.counter_count, scenario.value_len_max));
        let clients = scenario
            .clients
            .iter()
            .map(|config| {
                let config = ClientConfig { medium: scenario.medium, ..*config };
                let client = Client::new(&physics, &network, server.directory(), &keys, config);
                world.add(Node::Client(Box::new(client)))
            })
            .collect();
        Self { scenario: scenario.clone(), physics, network, world, server, clients, keys, random, wipes: Vec::new() }
    }

    fn play(&mut self) -> Result<(), Failure> {
        self.server.start(Side::Host, &mut self.world);
        self.server.start(Side::Dpu, &mut self.world);
        self.join();
        let (count, mix) = (self.scenario.operation_count, self.scenario.mix);
        self.each_client(|client| {
            client.create_counters();
            client.ask(count, mix);
        });
        self.suffer();
        self.recover()?;
        self.rest();
        self.judge()
    }

    /// Waits until the queue pairs work, so that the first requests find them.
    fn join(&mut self) {
        while !self.server.is_joined() {
            self.pass(SUPERVISION_NS);
        }
    }

    /// Lets some time pass, and then the control channel act.
    fn pass(&mut self, ns: u64) {
        self.world.run_until(self.physics.now().after(ns));
        self.server.supervise(&mut self.world);
    }

    fn each_client(&mut self, mut act: impl FnMut(&mut Client)) {
        for id in &self.clients {
            if let Node::Client(client) = self.world.actor_mut(*id) {
                act(client);
            }
        }
    }

    fn client(&self, id: ActorId) -> &Client {
        match self.world.actor(id) {
            Node::Client(client) => client,
            Node::Core(_) => unreachable!("clients stay clients"),
        }
    }

    fn is_done(&self) -> bool {
        self.clients.iter().all(|id| self.client(*id).is_done())
    }

    /// The first act: clients ask, and everything planned goes wrong.
    fn suffer(&mut self) {
        let start = self.physics.now();
        let mut incidents = self.draw_incidents();
        while !(self.is_done() && incidents.is_empty()) && self.physics.now().since(start) < ACT_NS_MAX {
            let ns = self.random.within(SUPERVISION_NS / 2..=SUPERVISION_NS);
            self.pass(ns);
            while incidents.first().is_some_and(|(at, _)| *at <= self.physics.now()) {
                let (_, incident) = incidents.remove(0);
                self.happen(incident);
            }
        }
    }

    /// The incidents of the plan with their times, in order.
    fn draw_incidents(&mut self) -> Vec<(Tick, Incident)> {
        let plan = self.scenario.faults.process;
        let start = self.physics.now();
        let mut incidents = Vec::new();
        for (side, kills, pauses) in [
            (Side::Dpu, plan.dpu_crash_count, plan.dpu_pause_count),
            (Side::Host, plan.host_crash_count, plan.host_pause_count),
        ] {
            for turn in 0..kills {
                // Each death has a stretch of time to itself, and ends in it.
                let stretch = 30 * MS / kills;
                let at = start.after(turn * stretch + self.random.within(0..=stretch / 2));
                incidents.push((at, Incident::Kill(side)));
                incidents.push((at.after(self.random.within(10 * US..=stretch / 2)), Incident::Start(side)));
            }
            for _ in 0..pauses {
                let at = start.after(self.random.within(0..=30 * MS));
                incidents.push((at, Incident::Pause(side, self.random.within(1..=plan.pause_ns_max))));
            }
        }
        incidents.sort_by_key(|(at, _)| *at);
        incidents
    }

    fn happen(&mut self, incident: Incident) {
        let now = self.physics.now();
        match incident {
            Incident::Kill(side) if self.server.is_up(side) => {
                self.server.kill(side, &mut self.world);
                self.wipe(side, now);
            }
            Incident::Start(side) if !self.server.is_up(side) => self.server.start(side, &mut self.world),
            Incident::Pause(side, ns) => self.server.pause(side, now.after(ns), &mut self.world),
            Incident::Kill(_) | Incident::Start(_) => {}
        }
    }

    /// Remembers that the keys of a side are gone.
    fn wipe(&mut self, side: Side, now: Tick) {
        let plan = self.scenario.server.plan;
        for key in 0..self.keys.count() {
            let partition = self.keys.hash(key).partition(plan.topology().partitions);
            if plan.owner(partition.0).0 == side {
                let answered = Some((now, Outcome::Done));
                self.wipes.push(Record { key, action: Action::Wipe, called: now, answered, copies: 1 });
            }
        }
    }

    /// The second act: nothing goes wrong any more, and everything ends.
    fn recover(&mut self) -> Result<(), Failure> {
        self.physics.faults().set_plan(self.scenario.faults.calmed());
        self.each_client(|client| {
            client.hurry();
            client.ask_for_all();
        });
        let start = self.physics.now();
        while !self.is_done() {
            if self.physics.now().since(start) > LIVENESS_NS_MAX {
                let clients = self.clients.iter().map(|id| self.client(*id));
                return Err(Failure::NotLive {
                    clients: clients.map(|client| (client.records().len(), client.counts())).collect(),
                    given_up: self.server.given_up().iter().rev().take(10).copied().collect(),
                });
            }
            self.pass(SUPERVISION_NS);
        }
        Ok(())
    }

    /// Waits until nothing is under way any more and no core holds a frame.
    fn rest(&mut self) {
        let start = self.physics.now();
        let mut quiet = 0;
        while quiet < 20 && self.physics.now().since(start) < LIVENESS_NS_MAX {
            self.pass(SUPERVISION_NS);
            let mut cores = self.server.cores().into_iter();
            let is_quiet = self.network.under_way_count() == 0
                && self.physics.is_settled()
                && self.server.is_joined()
                && cores.all(|(side, core)| self.server.frames_out(side, core, &self.world) == 0);
            quiet = if is_quiet { quiet + 1 } else { 0 };
        }
    }

    /// The third act.
    fn judge(&mut self) -> Result<(), Failure> {
        self.judge_clients()?;
        let is_impossible = |given_up: &&GivenUp| matches!(given_up.fault, Fault::Credit | Fault::Malformed);
        if let Some(given_up) = self.server.given_up().iter().find(is_impossible) {
            return Err(Failure::Impossible(*given_up));
        }
        let link = self.network.counts();
        let ended = link.received + link.lost + link.overflowed + link.unreachable;
        if link.sent + link.duplicated != ended + self.network.under_way_count() {
            return Err(Failure::PacketsUncounted(link));
        }
        for core in self.server.cores() {
            let count = self.server.frames_out(core.0, core.1, &self.world);
            if count > 0 {
                return Err(Failure::FramesKept { core, count });
            }
            let Some(counters) = self.server.counters(core.0, core.1, &mut self.world) else { continue };
            let received = self.server.address(core.0, core.1).map_or(0, |at| self.network.received_count(at));
            let (transmitted, dropped) = (counters.get(Counter::FramesTransmitted), counters.drops.total());
            if received != transmitted + dropped {
                return Err(Failure::FramesUncounted { core, counts: [received, transmitted, dropped] });
            }
        }
        Ok(())
    }

    fn judge_clients(&self) -> Result<(), Failure> {
        let faults = self.physics.faults().counts();
        if faults.get(FaultClass::PacketCorruptedUnseen) > 0 {
            // What nobody can notice may have stored anything anywhere. That the server survived it is all there is
            // to say.
            return Ok(());
        }
        let clients = || self.clients.iter().map(|id| self.client(*id));
        let may_be_cut = faults.get(FaultClass::PacketTruncated) > 0;
        let mut anomalies = clients().flat_map(Client::anomalies);
        if let Some(anomaly) = anomalies.find(|anomaly| !(may_be_cut && matches!(anomaly, Anomaly::Undecodable { .. })))
        {
            return Err(Failure::Anomaly(anomaly.clone()));
        }
        let records = clients().flat_map(Client::records).chain(&self.wipes).copied();
        let (counters, others): (Vec<_>, Vec<_>) = records.partition(|record| self.keys.is_counter(record.key));
        check(&others).map_err(Failure::History)?;
        for key in 0..self.scenario.counter_count {
            let of_key: Vec<_> = counters.iter().filter(|record| record.key == key).copied().collect();
            check_counter(&of_key).map_err(Failure::History)?;
        }
        Ok(())
    }

    fn report(mut self, failure: Option<Failure>) -> Report {
        let cores = self.server.cores().into_iter().filter_map(|(side, core)| {
            let counters = self.server.counters(side, core, &mut self.world)?.clone();
            Some((side, core, counters))
        });
        let cores = cores.collect();
        let clients: Vec<_> = self.clients.iter().map(|id| self.client(*id)).collect();
        Report {
            failure,
            faults: self.physics.faults().counts(),
            trace: self.physics.trace().hash(),
            reads: clients.iter().map(|client| client.read_count()).sum(),
            asked: clients.iter().map(|client| client.records().len() as u64).sum(),
            clients: clients.iter().map(|client| client.counts()).collect(),
            cores,
            link: self.network.counts(),
            epochs: self.server.epoch(),
            given_up: self.server.given_up().to_vec(),
            end: self.physics.now(),
        }
    }
}
