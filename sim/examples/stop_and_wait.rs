//! Compares the paper's stop and wait with several batches in flight, in virtual time: one DPU core and one host core with the
//! costs of a BlueField-3, and copies that take longer by an argument, 2 us without one.
//!
//! `cargo run --release -p sim --example stop_and_wait [US]` prints a line for each way.

use kv_core::engine::{FlushLaw, FlushPolicy};
use kv_core::ring::CopySpan;
use sim::load::{Load, Outcome, Pace};

/// Requests of each frame, and so of each batch that is one frame.
const REQUESTS_PER_FRAME: usize = 16;

/// Frames outstanding under load.
const WINDOW: usize = 64;

/// Frames a second of light load: most find nothing in flight.
const LIGHT_RATE: u64 = 20_000;

fn flush(len: usize) -> FlushPolicy {
    FlushPolicy { len, ticks: 5_000, law: FlushLaw::Adaptive }
}

fn main() {
    let added_us = std::env::args().nth(1).and_then(|us| us.parse().ok()).unwrap_or(2);
    let mut ours = Load::lat(flush(1_024), Pace::Closed(WINDOW));
    ours.costs.added_latency_ns = 1_000 * added_us;
    (ours.requests_per_frame, ours.frame_counts) = (REQUESTS_PER_FRAME, (500, 3_000));
    let frame_a_batch = Load { flush: flush(1), ..ours };
    // The prototype's buffers have 2049 bytes.
    let stop_and_wait = Load { depth: 1, slot_lens: (2_048, 2_048), copy: CopySpan::Whole, ..frame_a_batch };
    let eight = Load { depth: 8, ..frame_a_batch };
    let ways =
        [("stop-and-wait", stop_and_wait), ("frame-a-batch", frame_a_batch), ("8-in-flight", eight), ("default", ours)];
    let mut base = None;
    println!("{REQUESTS_PER_FRAME} requests a frame, copies take {added_us} us more");
    for (name, load) in ways {
        let Outcome { mops, p50_us, p99_us, requests_per_batch, .. } = load.run();
        let light = Load { pace: Pace::Open(LIGHT_RATE), ..load }.run();
        println!(
            "{name:<14} {mops:6.2} Mops  {:4.1} times  p50 {p50_us:.1} us  p99 {p99_us:.1} us  \
             light p50 {:.2} us  p99 {:.2} us  {requests_per_batch:.0} a batch",
            mops / *base.get_or_insert(mops),
            light.p50_us,
            light.p99_us
        );
    }
}
