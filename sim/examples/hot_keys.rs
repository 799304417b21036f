//! `lat` with a cache of hot keys beside `lat` without one, in virtual time: one DPU core and one host core with the costs of a
//! BlueField-3, 5000 keys by Zipf's law, and a cache that answers about as large a share of GETs as 64 KiB do of a million keys.
//!
//! `cargo run --release -p sim --example hot_keys` prints a line for each load.

use kv_core::engine::{FlushLaw, FlushPolicy};
use sim::load::{Keys, Load, Outcome, Pace};

/// What one DPU core answers at most without a cache, in requests a second.
const CAPACITY: u64 = 5_000_000;

/// Loads in percent of that.
const PERCENTS: [u64; 6] = [2, 12, 25, 50, 75, 90];

/// Frames outstanding where as many are sent as are answered.
const WINDOW: usize = 256;

const KEYS: Keys = Keys::Zipf { count: 5_000, exponent_percent: 99 };

/// Sets of four values.
const HOT_SET_COUNT: usize = 12;

fn main() {
    let flush = FlushPolicy { len: 1_024, ticks: 5_000, law: FlushLaw::Adaptive };
    let paces = PERCENTS.map(|percent| (format!("{percent} %"), Pace::Open(CAPACITY * percent / 100)));
    for (name, pace) in paces.into_iter().chain([("full".to_owned(), Pace::Closed(WINDOW))]) {
        // Keys are set and the cache is filled before anything counts.
        let without = Load { keys: KEYS, frame_counts: (15_000, 15_000), ..Load::lat(flush, pace) };
        let with = Load { hot_set_count: HOT_SET_COUNT, ..without };
        let [without, with] = [without, with].map(|load| load.run());
        let Outcome { mops, mean_us, p50_us, p99_us, .. } = without;
        println!(
            "{name:>5}  without {mops:5.2} Mops  mean {mean_us:5.2} us  p50 {p50_us:5.2}  p99 {p99_us:6.2}   \
             with {:5.2} Mops  mean {:5.2} us  p50 {:5.2}  p99 {:6.2}  {:.1} % answered by the DPU",
            with.mops,
            with.mean_us,
            with.p50_us,
            with.p99_us,
            100.0 * with.hot_share
        );
    }
}
