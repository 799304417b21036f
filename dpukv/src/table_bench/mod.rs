//! The table beside the machine's limit and beside other hash tables, in one run.
//!
//! A *subject* is loaded once and stays in memory; then every repetition runs all subjects one after the other, so that
//! whatever else the machine does hits them alike. Time is the CPU time of the measuring thread: on a machine with other
//! work, wall time would measure the scheduler.
//!
//! * [`stream`]: which operations, drawn before the clock starts.
//! * [`ours`]: the table of `kv-core`, driven in stages over a batch.
//! * [`limit`]: prefetched reads of random lines, which nothing that looks keys up can beat.
//! * [`peers`]: maps among the public crates.
//! * [`policy`]: what a cache keeps.
//! * [`report`]: what people and programs read.

mod limit;
mod ours;
mod peers;
pub(crate) mod policy;
mod report;
mod stream;

pub(crate) use limit::{DEPTHS, Limit};
pub(crate) use ours::{Ours, OursConfig, Owner, bytes_for};
pub(crate) use peers::{Peer, PeerKind};
pub(crate) use report::Row;
pub(crate) use stream::{Mix, Operation, Stream};

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Operations between two looks at the clock.
const BLOCK_COUNT: usize = 8192;

/// One thread's share of a subject.
pub(crate) trait Worker: Send {
    /// Executes the operations of a stream at these places, and returns how many found or stored something.
    fn run(&mut self, stream: &Stream, from: usize, count: usize) -> u64;
}

/// The CPU time of this thread in seconds.
pub(crate) fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Runs all workers of a subject at once, each with a stream of its own, and returns million operations a second, all
/// together.
pub(crate) fn measure(workers: &mut [Box<dyn Worker + '_>], streams: &[Stream], duration: Duration) -> f64 {
    let start = Barrier::new(workers.len());
    thread::scope(|scope| {
        let running: Vec<_> = workers
            .iter_mut()
            .zip(streams)
            .map(|(worker, stream)| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    mops_of(worker.as_mut(), stream, duration)
                })
            })
            .collect();
        running.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).sum()
    })
}

fn mops_of(worker: &mut dyn Worker, stream: &Stream, duration: Duration) -> f64 {
    let begin = cpu_seconds();
    let (mut done, mut at) = (0, 0);
    loop {
        let count = BLOCK_COUNT.min(stream.count() - at);
        std::hint::black_box(worker.run(stream, at, count));
        done += count;
        at = (at + count) % stream.count();
        let elapsed = cpu_seconds() - begin;
        if elapsed >= duration.as_secs_f64() {
            return done as f64 / elapsed / 1e6;
        }
    }
}
