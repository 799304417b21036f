//! One run of a server and its clients, from the seed to the verdict.
//!
//! A [`Scenario`] says who takes part and what goes wrong. [`Scenario::run`] plays it in three acts:
//!
//! 1. Clients ask while faults happen, until all have asked for everything and all planned incidents are over.
//! 2. Faults end. Whatever was begun must end too, and a GET of every key must be answered, within bounded time.
//! 3. Everything comes to rest. No frame may be missing, every counter must add up, and the clients' histories must be
//!    ones that a correct store could have shown.

use kv_core::design::{Design, Plan, Topology};
use kv_core::engine::{FlushLaw, FlushPolicy, HotRules};
use kv_core::framed::Framed;
use kv_core::ring::{CopySpan, QueuePairGeometry, ResponseWay, RingGeometry};
use kv_core::table::Mode;
use qp_wire::limits::{DATAGRAM_LEN_MAX, KEY_LEN_MAX};
use qp_wire::net::Checksums;

use crate::client::ClientConfig;
use crate::fault::FaultPlan;
use crate::medium::{Medium, ServerPort};
use crate::port::{PortGeometry, SimPort};
use crate::raw_port::SimRawPort;
use crate::report::Report;
use crate::seed::Random;
use crate::server::{Memory, ServerConfig, client_address};
use crate::stage::Stage;
use crate::wire::Wire;
use crate::workload::Mix;

const US: u64 = 1_000;
const MS: u64 = 1_000_000;

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
    /// Length of the longest key, in bytes.
    pub key_len_max: usize,
    /// Length of the longest value, in bytes.
    pub value_len_max: usize,
}

impl Scenario {
    /// A design with two clients of one wire, where nothing goes wrong.
    pub fn calm(design: Design, wire: Wire) -> Self {
        let topology = Topology { host_cores: 3, dpu_cores: 2, spare_cores: 2, partitions: 6, concurrent_read: false };
        let ring = RingGeometry::new(4, 4_096).expect("valid sizes");
        let client = |index| ClientConfig {
            address: client_address(index, true),
            writer: index,
            is_listed: true,
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
                queue_pair: QueuePairGeometry {
                    request: ring,
                    response: ring,
                    way: ResponseWay::Push,
                    copy: CopySpan::Used,
                },
                flush: FlushPolicy { len: 1_024, ticks: 20 * US, law: FlushLaw::Adaptive },
                copy_count_max: 8,
                port: PortGeometry { frame_len: 1_500, frame_count: 64 },
                reply_len_max: 1_472,
                table_len: 64 * 1_024,
                mode: Mode::Store,
                torn_ns: MS,
                stall_ns: 20 * MS,
                hot_set_count: 0,
                hot_rules: HotRules::ALL,
                epochs_rise: true,
            },
            clients: vec![client(1), client(2)],
            operation_count: 2_000,
            mix: Mix::ALL,
            key_count: 100,
            counter_count: 5,
            key_len_max: KEY_LEN_MAX,
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
            key_len_max: KEY_LEN_MAX,
            value_len_max: *pick(&mut random, &[8, 64, frames.value_len_max / 4, frames.value_len_max]),
        }
    }

    /// The scenario of a seed in `lat` with a cache of hot keys: few keys, most of which fit it, and often one request to
    /// a frame.
    pub fn draw_hot(seed: u64) -> Self {
        let mut scenario = Self::draw(seed);
        let mut random = Random::from_seed(seed).fork("hot keys", 0);
        let topology = *scenario.server.plan.topology();
        scenario.server.plan = Plan::new(Design::Lat, topology).expect("as many host cores as DPU cores");
        scenario.server.hot_set_count = random.within(1..=3) as usize;
        if random.below(2) == 0 {
            scenario.clients.iter_mut().for_each(|client| client.batch_count_max = 1);
        }
        scenario.mix = Mix { get: 70, test: 5, set: 12, add: 4, delete: 5, compare_and_set: 4 };
        scenario.key_count = *pick(&mut random, &[4, 6, 12]);
        scenario.counter_count = random.below(3) as usize;
        (scenario.key_len_max, scenario.value_len_max) = (*pick(&mut random, &[8, 32, KEY_LEN_MAX]), 32);
        scenario
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

    /// The scenario in the paper's own way: one batch in flight, and whole slots copied.
    pub fn stop_and_wait(mut self) -> Self {
        let queue_pair = &mut self.server.queue_pair;
        for ring in [&mut queue_pair.request, &mut queue_pair.response] {
            *ring = RingGeometry::new(1, ring.slot_len() as u32).expect("valid sizes");
        }
        queue_pair.copy = CopySpan::Whole;
        self
    }

    /// The scenario with clients that the server does not know.
    pub fn with_strangers(mut self) -> Self {
        for client in &mut self.clients {
            (client.address, client.is_listed) = (client_address(client.writer, false), false);
        }
        self
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
    /// Shortest slots that hold any frame and its answer.
    slot_len_min: u64,
    slot_len_max: u64,
    /// Protocols whose clients can read any value.
    wires: &'static [Wire],
}

impl FrameSizes {
    const ETHERNET: Self = Self {
        payload_len_max: 1_472,
        value_len_max: 550,
        slot_len_min: 1_728,
        slot_len_max: 16_384,
        wires: &[Wire::Native, Wire::Mica],
    };
    const JUMBO: Self = Self {
        payload_len_max: DATAGRAM_LEN_MAX,
        value_len_max: 3_000,
        slot_len_min: 9_216,
        slot_len_max: 65_536,
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
        let lines = random.within(frames.slot_len_min / 64..=frames.slot_len_max / 64);
        RingGeometry::new(1 << random.below(4), 64 * lines as u32).expect("valid sizes")
    };
    let (request, response) = (ring(), ring());
    let way = *pick(random, &[ResponseWay::Push, ResponseWay::Pull]);
    let copy = *pick(random, &[CopySpan::Used, CopySpan::Used, CopySpan::Whole]);
    ServerConfig {
        plan: Plan::new(design, topology).expect("a topology drawn to suit the design"),
        queue_pair: QueuePairGeometry { request, response, way, copy },
        flush: FlushPolicy {
            len: random.within(256..=2_048) as usize,
            ticks: random.within(0..=50 * US),
            law: *pick(random, &[FlushLaw::Adaptive, FlushLaw::Fixed]),
        },
        copy_count_max: random.within(2..=16) as usize,
        port: PortGeometry { frame_len: frames.payload_len_max + 28, frame_count: random.within(4..=128) as usize },
        // Long enough for the longest value and no longer than a frame.
        reply_len_max: random.within(frames.value_len_max as u64 + 64..=frames.payload_len_max as u64) as usize,
        table_len: 512 * 1_024,
        mode: Mode::Store,
        torn_ns: random.within(MS..=5 * MS),
        stall_ns: random.within(2 * MS..=10 * MS),
        hot_set_count: 0,
        hot_rules: HotRules::ALL,
        epochs_rise: true,
    }
}

fn draw_client(random: &mut Random, frames: &FrameSizes, index: u8) -> ClientConfig {
    let wire = *pick(random, frames.wires);
    // MICA2's protocol has no pads, so its clients have to be known to get long values.
    let is_listed = wire == Wire::Mica || random.below(2) == 0;
    ClientConfig {
        address: client_address(index, is_listed),
        writer: index,
        is_listed,
        medium: Medium::Datagrams,
        wire,
        frame_count_max: random.within(1..=8) as usize,
        batch_count_max: *pick(random, &[1, 4, 16, 64]),
        payload_len_max: frames.payload_len_max,
        timeout_ns: random.within(500 * US..=3 * MS),
        try_count_max: Some(random.within(1..=6) as u32),
        think_ns_max: random.within(0..=800 * US),
    }
}
