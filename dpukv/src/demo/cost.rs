//! What a run cost the server, as the difference of its counters.

use arch::TickRate;
use kv_core::counters::Counter;
use shell_io::counters_file::{CountersOpenError, CountersReader};

use crate::measure::Cost;

/// The sums over one side's cores.
#[derive(Clone, Copy, Debug, Default)]
struct SideSums {
    busy_ns: u64,
    thread_cpu_ns: u64,
    batch_bytes_sent: u64,
    copies: u64,
}

impl SideSums {
    fn read(counters: &CountersReader) -> Result<Self, CountersOpenError> {
        let snapshot = counters.read()?;
        let sum = |counter| snapshot.total(counter);
        let rate = TickRate::from_hz(counters.head().tick_hz);
        Ok(Self {
            busy_ns: rate.map_or(0, |rate| rate.ns(sum(Counter::BusyTicks))),
            thread_cpu_ns: sum(Counter::ThreadCpuNs),
            batch_bytes_sent: sum(Counter::BatchBytesSent),
            copies: sum(Counter::Copies),
        })
    }
}

/// What both sides had counted at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Snapshot {
    host: SideSums,
    dpu: SideSums,
}

impl Snapshot {
    pub(super) fn read(host: &CountersReader, dpu: &CountersReader) -> Result<Self, CountersOpenError> {
        Ok(Self { host: SideSums::read(host)?, dpu: SideSums::read(dpu)? })
    }

    /// What `ops` requests cost since an earlier moment.
    pub(crate) fn cost_since(&self, earlier: &Self, ops: u64) -> Cost {
        let per_op = |now: u64, then: u64| Some(now.saturating_sub(then) as f64 / ops.max(1) as f64);
        let (now, then) = (self, earlier);
        Cost {
            host_cpu_ns_per_op: per_op(now.host.busy_ns, then.host.busy_ns),
            dpu_cpu_ns_per_op: per_op(now.dpu.busy_ns, then.dpu.busy_ns),
            host_thread_cpu_ns_per_op: per_op(now.host.thread_cpu_ns, then.host.thread_cpu_ns),
            dpu_thread_cpu_ns_per_op: per_op(now.dpu.thread_cpu_ns, then.dpu.thread_cpu_ns),
            qp_request_bytes_per_op: per_op(now.dpu.batch_bytes_sent, then.dpu.batch_bytes_sent),
            qp_response_bytes_per_op: per_op(now.host.batch_bytes_sent, then.host.batch_bytes_sent),
            dma_copies_per_op: per_op(now.host.copies + now.dpu.copies, then.host.copies + then.dpu.copies),
        }
    }
}
