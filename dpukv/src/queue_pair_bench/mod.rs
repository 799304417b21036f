//! Both sides of one queue pair, on two threads or in turn on one, over the copies of shared memory and frames that are ready: what the
//! engines and the way they batch can do, without a network.
//!
//! * [`port`]: requests that are always there, or one at a time.

mod port;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use arch::{Tick, TickRate};
use hdrhistogram::Histogram;
use kv_core::counters::Counter;
use kv_core::design::QueuePairId;
use kv_core::engine::{Communicate, Engine, FlushPolicy, Policy, Prefix, Process, QueuePairEnd};
use kv_core::hash::Secret;
use kv_core::partition::{Partition, Store};
use kv_core::ring::{CopySpan, GeometryError, QueuePairGeometry, ResponseWay, RingGeometry};
use kv_core::table::{Mode, Table, TableConfig};
use shell_io::dma::{SharedMemoryEngine, SharedWindow};
use shell_io::memory::Region;
use thiserror::Error;

use self::port::{FRAME_LEN, Frames, Measured, PreparedPort};
use crate::table_bench::cpu_seconds;

const EPOCH: u32 = 1;
const TABLE_WORDS: usize = 256 * 1024;
const SECRET: Secret = Secret { k0: 1, k1: 2 };

/// A slot or an answer that takes longer than this many seconds is a bug; a thread may be off its CPU for long.
const STALL_S: u64 = 60;

/// A queue pair, and how it is used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    /// Batches in flight.
    pub(crate) depth: u32,
    /// Bytes of a request slot and of a response slot.
    pub(crate) slot_lens: (u32, u32),
    pub(crate) copy: CopySpan,
    /// When a batch leaves.
    pub(crate) flush: FlushPolicy,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    /// Requests of each frame.
    pub(crate) requests_per_frame: usize,
    /// Frames outstanding.
    pub(crate) window: usize,
    /// Ticks that each copy takes beside its own time.
    pub(crate) added_ticks: u64,
    /// For how long.
    pub(crate) duration: Duration,
    /// Whether both sides take turns on one thread, whose CPU time counts. A machine with other work takes a thread off
    /// its CPU for milliseconds; two that wait for each other measure that and nothing else.
    pub(crate) is_on_one_core: bool,
}

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) mops: f64,
    /// From a frame's arrival to its answer.
    pub(crate) latency_ns: Histogram<u64>,
    pub(crate) requests_per_batch: f64,
    /// Bytes of all copies for each request.
    pub(crate) copied_bytes_per_request: f64,
}

/// Why a queue pair could not be measured.
#[derive(Debug, Error)]
pub(crate) enum RunError {
    /// A size is none.
    #[error(transparent)]
    Geometry(#[from] GeometryError),
    /// There is no memory for it.
    #[error("no memory for a queue pair: {0}")]
    Memory(String),
    /// It broke.
    #[error("the queue pair was given up")]
    GivenUp,
}

/// One side's end, before it is on its thread.
struct Half {
    geometry: QueuePairGeometry,
    own: Arc<Region>,
    own_len: usize,
    peer: Arc<Region>,
    peer_len: usize,
    buf_len: usize,
    added_ticks: u64,
    stall_ticks: u64,
}

impl Half {
    fn open(self) -> Result<QueuePairEnd<SharedMemoryEngine, SharedWindow>, RunError> {
        let buf_count = self.geometry.request.slot_count() as usize + 2;
        let engine = SharedMemoryEngine::open(self.peer, 0, self.peer_len, self.buf_len, buf_count)
            .map_err(|error| RunError::Memory(error.to_string()))?
            .with_added_latency(self.added_ticks);
        let window =
            SharedWindow::open(self.own, 0, self.own_len).map_err(|error| RunError::Memory(error.to_string()))?;
        Ok(QueuePairEnd {
            id: QueuePairId(0),
            epoch: EPOCH,
            geometry: self.geometry,
            engine,
            window,
            torn_ticks: self.stall_ticks,
            stall_ticks: self.stall_ticks,
        })
    }
}

/// The DPU's half and the host's.
fn halves(setting: &Setting, added_ticks: u64, rate: TickRate) -> Result<(Half, Half), RunError> {
    let ring = |slot_len| RingGeometry::new(setting.depth, slot_len);
    let geometry = QueuePairGeometry {
        request: ring(setting.slot_lens.0)?,
        response: ring(setting.slot_lens.1)?,
        way: ResponseWay::Push,
        copy: setting.copy,
    };
    let region = |len| Region::create(len).map(Arc::new).map_err(|error| RunError::Memory(error.to_string()));
    let (host_len, dpu_len) = (geometry.host_window_len(), geometry.dpu_window_len());
    let (host, dpu) = (region(host_len)?, region(dpu_len)?);
    let half = |own: &Arc<Region>, own_len, peer: &Arc<Region>, peer_len, buf_len| Half {
        geometry,
        own: Arc::clone(own),
        own_len,
        peer: Arc::clone(peer),
        peer_len,
        buf_len,
        added_ticks,
        stall_ticks: rate.ticks_in_ms(STALL_S * 1000),
    };
    Ok((
        half(&dpu, dpu_len, &host, host_len, geometry.request.slot_len()),
        half(&host, host_len, &dpu, dpu_len, geometry.response.slot_len()),
    ))
}

/// Measures a setting.
///
/// # Errors
/// [`RunError`].
pub(crate) fn measure(setting: &Setting, ask: &Ask, rate: TickRate) -> Result<Outcome, RunError> {
    let (dpu, host) = halves(setting, ask.added_ticks, rate)?;
    let memory: Vec<AtomicU64> = (0..TABLE_WORDS).map(|_| AtomicU64::new(0)).collect();
    let (run, host_bytes) = if ask.is_on_one_core {
        let mut host = HostCore::open(host, &memory, rate)?;
        let run = communicate(dpu, setting.flush, ask, rate, |now| host.turn(now))?;
        (run, host.copied_bytes())
    } else {
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let processing = scope.spawn(|| {
                let mut host = HostCore::open(host, &memory, rate)?;
                while !is_over.load(Ordering::Relaxed) {
                    if host.turn(arch::now())? == 0 {
                        arch::spin_hint();
                    }
                }
                Ok::<_, RunError>(host.copied_bytes())
            });
            let run = communicate(dpu, setting.flush, ask, rate, |_| Ok(0));
            is_over.store(true, Ordering::Relaxed);
            let host_bytes = processing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            Ok::<_, RunError>((run?, host_bytes))
        })?
    };
    let requests = (run.requests as f64).max(1.0);
    Ok(Outcome {
        mops: run.mops,
        latency_ns: run.latency_ns,
        requests_per_batch: run.requests as f64 / (run.batches as f64).max(1.0),
        copied_bytes_per_request: (run.copied_bytes + host_bytes) as f64 / requests,
    })
}

/// The processing engine over a table of its own.
struct HostCore<'m> {
    engine: Box<Process<'m, SharedMemoryEngine, SharedWindow>>,
}

impl<'m> HostCore<'m> {
    fn open(half: Half, memory: &'m [AtomicU64], rate: TickRate) -> Result<Self, RunError> {
        let config = TableConfig { mode: Mode::Store, concurrent_read: false, secret: SECRET, item_len_hint: 16 };
        let table = Table::format(memory, &config).map_err(|error| RunError::Memory(error.to_string()))?;
        let mut store = Store::new(SECRET);
        store.push(Partition::Owned(table)).map_err(|_| RunError::GivenUp)?;
        let mut engine = Box::new(Process::new(store, rate, false));
        engine.attach(half.open()?).map_err(|_| RunError::GivenUp)?;
        Ok(Self { engine })
    }

    fn turn(&mut self, now: Tick) -> Result<u32, RunError> {
        let work = self.engine.turn(now).work;
        self.engine.fault().map_or(Ok(work), |_| Err(RunError::GivenUp))
    }

    fn copied_bytes(&mut self) -> u64 {
        self.engine.counters().get(Counter::CopyBytes)
    }
}

/// What the DPU's core has seen.
struct Run {
    mops: f64,
    latency_ns: Histogram<u64>,
    requests: u64,
    batches: u64,
    copied_bytes: u64,
}

/// The DPU's core. `beside` is what the thread does beside it, in each turn.
fn communicate(
    half: Half,
    flush: FlushPolicy,
    ask: &Ask,
    rate: TickRate,
    mut beside: impl FnMut(Tick) -> Result<u32, RunError>,
) -> Result<Run, RunError> {
    let measured = Rc::new(RefCell::new(Measured::new(rate)));
    let frames = Frames::new(ask.requests_per_frame);
    let first_count = frames.filling_count();
    let port = PreparedPort::new(frames, ask.window, &measured);
    let mut engine = Box::new(Communicate::new(port, policy(), flush, rate));
    engine.attach(half.open()?);
    let mut turn = || {
        let now = arch::now();
        if engine.turn(now).work + beside(now)? == 0 {
            arch::spin_hint();
        }
        engine.fault().map_or(Ok(now), |_| Err(RunError::GivenUp))
    };
    // To fill the table warms up what there is.
    while measured.borrow().answered < first_count {
        turn()?;
    }
    measured.borrow_mut().begin();
    let (start, cpu_start) = (arch::now(), cpu_seconds());
    let ticks = rate.ticks_in_us(ask.duration.as_micros().try_into().unwrap_or(u64::MAX));
    let mut now = start;
    while now.since(start) < ticks {
        now = turn()?;
    }
    let seconds =
        if ask.is_on_one_core { cpu_seconds() - cpu_start } else { rate.ns(arch::now().since(start)) as f64 / 1e9 };
    let answered = measured.borrow().since_begin() * ask.requests_per_frame as u64;
    let counters = engine.counters();
    Ok(Run {
        mops: answered as f64 / seconds / 1e6,
        latency_ns: measured.borrow().latency_ns.clone(),
        requests: counters.get(Counter::Requests),
        batches: counters.get(Counter::BatchesReceived),
        copied_bytes: counters.get(Counter::CopyBytes),
    })
}

fn policy() -> Policy {
    let mut policy = Policy { reply_len_max: FRAME_LEN, ..Policy::default() };
    let everybody = Prefix::new([0, 0, 0, 0].into(), 0);
    // An empty list has room for everybody.
    policy.listed.extend(everybody);
    policy
}
