//! What work takes, in nanoseconds.
//!
//! What is measured comes from the paper's authors' slides and public measurements of BlueField's DMA engine; what is
//! assumed says so. `docs/benchmarks.md` names the same numbers beside what follows from them.

/// A billion, in which bytes a second are counted here.
pub const GIGA: u64 = 1_000_000_000;

/// What work takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costs {
    /// A DPU core, for each request: receive and parse, to the place where it is batched.
    pub request_in_ns: u64,
    /// A DPU core with a cache of hot keys, for each request: to look there.
    pub look_up_ns: u64,
    /// A DPU core, for each request: respond.
    pub request_out_ns: u64,
    /// A host core, for each request.
    pub process_ns: u64,
    /// Either core, for each copy: to post it.
    pub post_ns: u64,
    /// Either core, for each copy: to see that it has ended.
    pub poll_ns: u64,
    /// Either core, for each slot that it takes out: to copy and to check it.
    pub slot_ns: u64,
    /// Either core: to find nothing to do.
    pub idle_turn_ns: u64,
    /// A copy alone, from its begin to where its bytes are seen.
    pub copy_latency_ns: u64,
    /// Added to each copy, for experiments.
    pub added_latency_ns: u64,
    /// Share of PCIe, in percent, that others than the queue pairs take.
    pub others_percent: u64,
}

impl Costs {
    /// A host core at 3.3 GHz and BlueField-3's Cortex-A78 cores.
    ///
    /// * 195 ns of a DPU core for each request: four cores for 20.5 Mops. Its parts are in the ratio in which the authors'
    ///   profile has receive, parse and respond (YCSB A: 25.4, 20.7 and 23.2 % of the CPU).
    /// * 40 ns to look for hot keys: a fifth of a request, as on x86-64 (`dpukv bench hot-keys`).
    /// * 49 ns of a host core: one core saturates at 20.5 Mops.
    /// * 1.5 us for a copy alone; 60 ns to post it, 40 ns to poll it, 60 ns to take a slot out, 60 ns to find nothing:
    ///   the first is derived from the authors' numbers, the others are assumed.
    pub const BLUEFIELD_3: Self = Self {
        request_in_ns: 130,
        look_up_ns: 40,
        request_out_ns: 65,
        process_ns: 49,
        post_ns: 60,
        poll_ns: 40,
        slot_ns: 60,
        idle_turn_ns: 60,
        copy_latency_ns: 1_500,
        added_latency_ns: 0,
        others_percent: 0,
    };

    /// How long the copy engine is busy with a write of `len` bytes: fitted to public measurements of BlueField-2, where
    /// up to 10.2 million short copies a second and at most 15 GB/s were seen.
    pub(super) fn write_ns(len: usize) -> u64 {
        let len = len as u64;
        (98 + len * 13 / 1_000).max(len * 664 / 10_000)
    }
}
