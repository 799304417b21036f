//! From a configuration to a side that serves: the same for both.
//!
//! Everything is opened before anything is served, in the order in which it may fail: plan, memory, regions of the queue
//! pairs, counters, control channel, then each core's port on its own thread. From then on nothing fails but the control
//! channel, which tries again.

mod birth;
mod bridge;
mod cores;
mod ends;
mod error;
mod identity;
mod members;
mod publication;
mod tables;
mod ways_in;

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::Duration;

use kv_core::design::{CoreId, Plan, Side};
use kv_core::engine::{Policy, Prefix, Prefixes};
use kv_core::partition::Store;
use qp_wire::net::Local;
use tracing::info;

use self::birth::Birth;
use self::bridge::Bridge;
use self::cores::{Core, Opened, Shared};
use self::ends::{Ends, Place};
use self::identity::Directory;
use self::publication::Publisher;
use self::ways_in::WaysIn;
use crate::announce::{Ready, side_name};
use crate::clock::MonotonicClock;
use crate::config::{self, Config, ConnectSection, ControlSection, ListenSection, NetworkSection, Pin, TableMode};
use crate::control::{Agreement, EndpointAddress, Introduction, Link, Timing, Way};
use crate::counters_file::{CountersFile, CountersHead};
use crate::lcore;
use crate::mailbox::Mailbox;
use crate::memory::{Region, TableMemory};
use crate::port::dpdk::DeviceWatch;

pub use ends::AttachError;
pub use error::{Exit, RunError};

/// Bytes of a core's stack: its engine and its port are large values that are moved once, when they are made.
const STACK_LEN: usize = 8 << 20;

/// Between two times that others are shown what a device counts, and the longest that a stop waits for it.
const WATCH_INTERVAL: Duration = Duration::from_millis(200);

/// A core that sleeps obeys late, and the control channel's thread gives no sign of life while it waits for it. So many such
/// waits fit into the silence after which a side counts as dead.
const ORDERS_PER_SILENCE: u64 = 5;

/// The `[control]` section of a side that can be started.
pub trait Boot: ControlSection {
    /// How this side comes to its connections.
    ///
    /// # Errors
    /// The address is not to be had.
    fn open(&self) -> Result<Way, RunError>;

    /// How often to give a sign of life, and how long to wait for one.
    fn timing(&self) -> Timing;
}

impl Boot for ConnectSection {
    fn open(&self) -> Result<Way, RunError> {
        Ok(Way::Connect { to: self.connect, retry_max: Duration::from_millis(self.retry_ms.get().into()) })
    }

    fn timing(&self) -> Timing {
        Timing { heartbeat_ms: self.heartbeat_ms.get().into(), dead_after_ms: self.dead_after_ms.get().into() }
    }
}

impl Boot for ListenSection {
    fn open(&self) -> Result<Way, RunError> {
        let failed = |cause| RunError::Listen { address: self.listen, cause };
        let listener = TcpListener::bind(self.listen).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(Way::Listen(listener))
    }

    fn timing(&self) -> Timing {
        Timing { heartbeat_ms: self.heartbeat_ms.get().into(), dead_after_ms: self.dead_after_ms.get().into() }
    }
}

/// Runs one side until `stop` is set: opens everything, tells `on_ready`, serves, and keeps joined to the other side.
///
/// # Errors
/// It could not start, or the sides turned out not to fit. Nothing is left open.
pub fn run<C: Boot>(config: &Config<C>, stop: &Arc<AtomicBool>, on_ready: impl FnOnce(&Ready)) -> Result<(), RunError> {
    let plan = config.check()?;
    lcore::learn_cpu();
    let clock = MonotonicClock::start()?;
    let birth = Birth::draw().map_err(RunError::Random)?;
    let memory = tables::allocate(&plan, C::SIDE, &config.table)?;
    let stores = tables::stores(&plan, C::SIDE, memory.words(), &config.table, birth.secret)?;
    let geometry = config.queue_pair.geometry()?;
    let places = ends::places(&plan, C::SIDE, &geometry);
    let regions = ends::regions(plan.core_count(C::SIDE), &places)?;
    let bridge = Bridge::open(&config.dma, (C::SIDE, geometry.way), &regions)?;
    let head = CountersHead {
        side: C::SIDE,
        core_count: plan.core_count(C::SIDE),
        tick_hz: clock.rate().hz(),
        server_id: birth.server_id,
        pid: process::id(),
    };
    let link = Some(config.counters.file.as_path()).filter(|path| !path.as_os_str().is_empty());
    let counters = CountersFile::create(&head, link)?;
    let way = config.control.open()?;
    let publisher = Publisher::open(config, &plan)?;
    log_start(config, &plan, &memory);
    let mailboxes: Vec<_> = stores.iter().map(|_| Mailbox::default()).collect();
    let shared = Shared {
        side: C::SIDE,
        clock,
        idle: config.idle.policy().with_orders_in(config.control.timing().dead_after_ms / ORDERS_PER_SILENCE),
        address: config.network.address,
        policy: policy(&config.network),
        flush: config.queue_pair.flush_policy(clock.rate()),
        hot_set_count: config.hot_keys.set_count(),
        buffers: config.network.buffers.get() as usize,
        busy_poll_us: config.port.busy_poll_us.get(),
        geometry,
        dma: config.dma.kind,
        added_latency_us: config.dma.added_latency_us.get().into(),
        patience_ms: config.control.timing().dead_after_ms,
        stop,
    };
    let server = Server { config, plan, birth, shared, places, regions, mailboxes, counters, publisher };
    server.serve(stores, way, bridge, stop, on_ready)
}

fn log_start<C: Boot>(config: &Config<C>, plan: &Plan, memory: &TableMemory) {
    let (side, design, cores) = (side_name(C::SIDE), plan.design().name(), plan.core_count(C::SIDE));
    info!(side, design, cores, "DPU-KV {} starts", env!("CARGO_PKG_VERSION"));
    if plan.has_tables(C::SIDE) {
        let promise = match config.table.mode {
            TableMode::Store => "store: a full table refuses new items",
            TableMode::Cache => "cache: a full table drops its oldest items",
        };
        info!(memory = %config.table.memory, pages = ?memory.pages(), "{promise}");
    }
}

/// A side that has everything but its ports.
struct Server<'a, C> {
    config: &'a Config<C>,
    plan: Plan,
    birth: Birth,
    shared: Shared<'a>,
    places: Vec<Place>,
    regions: Vec<Option<Arc<Region>>>,
    mailboxes: Vec<Mailbox>,
    counters: CountersFile,
    publisher: Option<Publisher>,
}

impl<C: Boot> Server<'_, C> {
    fn serve(
        &self,
        stores: Vec<Store<'_>>,
        way: Way,
        bridge: Bridge,
        stop: &Arc<AtomicBool>,
        on_ready: impl FnOnce(&Ready),
    ) -> Result<(), RunError> {
        thread::scope(|scope| {
            let _stopping = Stopping(stop);
            let (sender, opened) = channel();
            let threads = self.start_cores(scope, stores, &sender)?;
            // The cores have senders of their own, so that nobody waits for cores that are gone.
            drop(sender);
            let endpoints = self.wait_until_opened(threads.len(), &opened)?;
            on_ready(&self.ready(&endpoints, &way));
            let linked = self.run_link(endpoints, way, bridge, stop);
            stop.store(true, Ordering::Relaxed);
            for (thread, core) in threads.into_iter().zip((0..).map(CoreId)) {
                thread.join().map_err(|_| RunError::Core { core })?;
            }
            linked
        })
    }

    fn start_cores<'s>(
        &'s self,
        scope: &'s Scope<'s, '_>,
        stores: Vec<Store<'s>>,
        opened: &Sender<Result<Opened, RunError>>,
    ) -> Result<Vec<ScopedJoinHandle<'s, ()>>, RunError> {
        let cpus = self.cpus();
        let WaysIn { of_cores, device } = ways_in::open(self.config, &self.plan)?;
        let mut ways_in = of_cores.into_iter();
        if let Some(device) = device {
            let (counters, stop) = (&self.counters, self.shared.stop);
            scope.spawn(move || watch(&device, counters, stop));
        }
        let mut threads = Vec::new();
        for (index, store) in (0u8..).zip(stores) {
            let id = CoreId(index);
            let core = Core {
                shared: &self.shared,
                id,
                role: self.plan.role(C::SIDE, id),
                way_in: ways_in.next().flatten(),
                cpu: cpus.get(usize::from(index)).copied(),
                store,
                places: self.places.iter().filter(|place| place.core == index).copied().collect(),
                region: self.regions.get(usize::from(index)).cloned().flatten(),
                mailbox: &self.mailboxes[usize::from(index)],
                counters: self.counters.core(index),
                opened: opened.clone(),
            };
            let stop = Stopping(self.shared.stop);
            let thread = thread::Builder::new().stack_size(STACK_LEN).spawn_scoped(scope, move || {
                // A core that ends takes the side with it, whatever ended it.
                let _stop = stop;
                core.run();
            });
            threads.push(thread.map_err(|cause| RunError::Thread { core: id, cause })?);
        }
        Ok(threads)
    }

    /// The CPU of each core, as far as they are to stay on one.
    fn cpus(&self) -> Vec<usize> {
        match &self.config.cores.pin {
            Pin::No => Vec::new(),
            Pin::InOrder => lcore::usable_cpus(),
            Pin::Listed(cpus) => cpus.clone(),
        }
    }

    /// Waits for every core, or for the first one that fails.
    fn wait_until_opened(
        &self,
        count: usize,
        opened: &Receiver<Result<Opened, RunError>>,
    ) -> Result<Vec<EndpointAddress>, RunError> {
        let mut endpoints = Vec::new();
        for core in (0..).map(CoreId).take(count) {
            // A core that says nothing has panicked.
            let opened = opened.recv().unwrap_or(Err(RunError::Core { core }))?;
            let planned = self.plan.endpoints().find(|endpoint| (endpoint.side, endpoint.core) == (C::SIDE, opened.id));
            if let (Some(Local { mac, ipv4, port }), Some(planned)) = (opened.port, planned) {
                let (core, label) = (opened.id, planned.label);
                endpoints.push(EndpointAddress { core, label, mac, address: ipv4, port });
            }
        }
        endpoints.sort_by_key(|endpoint| endpoint.core);
        Ok(endpoints)
    }

    fn ready(&self, endpoints: &[EndpointAddress], way: &Way) -> Ready {
        Ready {
            side: C::SIDE,
            pid: process::id(),
            endpoints: endpoints.iter().map(|endpoint| SocketAddr::from((endpoint.address, endpoint.port))).collect(),
            control: match way {
                Way::Listen(listener) => listener.local_addr().ok(),
                Way::Connect { .. } => None,
            },
            counters: self.counters.path(),
        }
    }

    fn run_link(
        &self,
        endpoints: Vec<EndpointAddress>,
        way: Way,
        bridge: Bridge,
        stop: &Arc<AtomicBool>,
    ) -> Result<(), RunError> {
        let Config { queue_pair, network, dma, .. } = self.config;
        let agreement = Agreement::of_plan(&self.plan).with_queue_pair(queue_pair).with_network(network).with_dma(dma);
        let own = Introduction {
            software: concat!("dpu-kv ", env!("CARGO_PKG_VERSION")).to_owned(),
            agreement,
            server_id: self.birth.server_id,
            epoch: self.birth.epoch,
            endpoints: endpoints.clone(),
            windows: Vec::new(),
        };
        let publication = self.publisher.as_ref().map(|publisher| publisher.begin(&endpoints)).transpose()?;
        let other = if C::SIDE == Side::Host { Side::Dpu } else { Side::Host };
        let directory = Directory {
            plan: self.plan,
            side: C::SIDE,
            server_id: self.birth.server_id,
            frame_len_max: self.config.network.frame_len_max.get(),
            endpoints,
        };
        let ends = Ends {
            places: &self.places,
            peer_window_len: ends::window_len(other, &self.shared.geometry),
            regions: &self.regions,
            bridge,
            mailboxes: &self.mailboxes,
            directory,
            publication,
            counters: &self.counters,
            epoch: self.birth.epoch,
            is_attached: false,
        };
        ends.identify(None);
        Ok(Link::new(way, own, self.config.control.timing(), ends, Arc::clone(stop)).run()?)
    }
}

/// Shows what a device counts, until the side stops. Not on a core: some drivers ask the card for it, and wait.
fn watch(device: &DeviceWatch, counters: &CountersFile, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed)
        && let Some(counts) = device.extended_counts()
    {
        counters.publish_device(&counts);
        thread::sleep(WATCH_INTERVAL);
    }
}

/// Stops the whole side when it goes out of scope: on an early return and on a panic.
struct Stopping<'a>(&'a AtomicBool);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn policy(network: &NetworkSection) -> Policy {
    Policy {
        listed: prefixes(&network.allow),
        administrators: prefixes(&network.administrators),
        reply_len_max: network.frame_len_max.get().into(),
    }
}

/// The check of the configuration has seen to it that they fit.
fn prefixes(configured: &[config::Prefix]) -> Prefixes {
    configured.iter().filter_map(|prefix| Prefix::new(prefix.address(), prefix.bit_count())).collect()
}

/// Writes the line that says that a side serves to standard output.
pub fn announce(ready: &Ready) {
    let mut out = io::stdout().lock();
    // Whoever does not listen does not miss anything.
    let _ = writeln!(out, "{ready}").and_then(|()| out.flush());
}

#[cfg(test)]
mod tests;
