//! A run while it lasts: the three acts of a scenario.

use std::rc::Rc;

use arch::Tick;
use kv_core::counters::Counter;
use kv_core::design::{QueuePairId, Side};
use kv_core::engine::Fault;
use kv_core::table::Mode;

use crate::client::{Anomaly, Client, ClientConfig};
use crate::fault::FaultClass;
use crate::history::{Action, Outcome, Record, check, check_counter, check_forgetful};
use crate::link::{Network, Traffic};
use crate::medium::ServerPort;
use crate::node::Node;
use crate::physics::Physics;
use crate::report::{Failure, Report};
use crate::scenario::Scenario;
use crate::seed::Random;
use crate::server::{GivenUp, Memory, Server};
use crate::workload::KeySpace;
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

/// Something that happens to a whole side of the server.
#[derive(Clone, Copy, Debug)]
enum Incident {
    Kill(Side),
    Start(Side),
    Pause(Side, u64),
}

/// A scenario on stage.
pub(crate) struct Stage<'m, P: ServerPort> {
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
    /// A world in which nothing has happened yet.
    pub(crate) fn new(scenario: &Scenario, memory: &'m Memory) -> Self {
        let physics = Physics::new(scenario.seed, scenario.faults);
        let network = Network::new(&physics);
        let mut world = World::new(&physics);
        let server = Server::new(&network, scenario.server.clone(), memory, &mut world);
        let mut random = physics.stream("scenario", 1);
        let keys = Rc::new(KeySpace::new(&mut random, scenario));
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

    /// Plays all three acts.
    ///
    /// # Errors
    /// What went wrong that must not.
    pub(crate) fn play(&mut self) -> Result<(), Failure> {
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
        let start = self.physics.now();
        while !self.server.is_joined() && self.physics.now().since(start) < LIVENESS_NS_MAX {
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

    /// Remembers that the keys of a side are gone. Where the DPU has kept some, that shows when the next epoch begins.
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
            let (transmitted, dropped) = (counters.get(Counter::FramesTransmitted), counters.drops.total());
            let address = self.server.address(core.0, core.1);
            let Traffic { received, sent } = address.map(|at| self.network.traffic(at)).unwrap_or_default();
            if received != transmitted + dropped || sent != transmitted {
                return Err(Failure::FramesUncounted { core, received, sent, transmitted, dropped });
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
        let wipes = self.wipes.iter().map(|wipe| self.shown(*wipe));
        let records = clients().flat_map(Client::records).copied().chain(wipes);
        let (counters, others): (Vec<_>, Vec<_>) = records.partition(|record| self.keys.is_counter(record.key));
        if self.scenario.server.mode == Mode::Cache {
            // Of a counter that may be forgotten nothing is known.
            return check_forgetful(&others).map_err(Failure::History);
        }
        check(&others).map_err(Failure::History)?;
        for key in 0..self.scenario.counter_count {
            let of_key: Vec<_> = counters.iter().filter(|record| record.key == key).copied().collect();
            check_counter(&of_key).map_err(Failure::History)?;
        }
        Ok(())
    }

    /// The record of a wipe, with when it is over for those who read: a cache of hot keys has the old values until an
    /// epoch begins, and nobody can have read new ones before.
    fn shown(&self, mut wipe: Record) -> Record {
        let plan = self.scenario.server.plan;
        if self.scenario.server.hot_set_count > 0 {
            let (_, core) = plan.owner(self.keys.hash(wipe.key).partition(plan.topology().partitions).0);
            let begun = self.server.epoch_after(wipe.called, QueuePairId(core.0));
            wipe.answered = Some((begun.unwrap_or(Tick(u64::MAX)), Outcome::Done));
        }
        wipe
    }

    /// What the run came to.
    pub(crate) fn report(mut self, failure: Option<Failure>) -> Report {
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
