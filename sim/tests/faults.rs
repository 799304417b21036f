//! Everything that may go wrong, in every design, seed by seed.
//!
//! `SIM_SEEDS=10000 cargo test --release -p sim --test faults` looks at more seeds, `SIM_FIRST_SEED=70000` at others.
//! A seed that fails prints the line that replays it.

use std::env;

use sim::fault::{FaultClass, FaultCounts};
use sim::report::Report;
use sim::scenario::Scenario;

/// Seeds that every run of the tests looks at.
const SEED_COUNT: u64 = 300;

/// Seeds that are played twice to see that nothing but the seed decides.
const REPEATED_SEED_COUNT: u64 = 20;

/// Seeds among which one has to find a planted mistake.
const PLANTED_SEED_COUNT: u64 = 3000;

/// Prints how to replay a seed when its run panics.
struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("replay with: SIM_SEED={} cargo test -p sim --test faults -- --nocapture", self.0);
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

fn play(seed: u64) -> Report {
    let replay = Replay(seed);
    let scenario = Scenario::draw(seed);
    let report = scenario.run();
    if let Some(failure) = &report.failure {
        panic!("seed {seed}, {:?}: {failure:#?}\n{:#?}\n{:?}", scenario.server.plan, scenario.faults, report.clients);
    }
    drop(replay);
    report
}

#[test]
fn no_fault_loses_an_acknowledged_write_or_stops_the_server() {
    if let Some(seed) = number("SIM_SEED") {
        println!("{:#?}", play(seed));
        return;
    }
    let first = number("SIM_FIRST_SEED").unwrap_or(0);
    let count = number("SIM_SEEDS").unwrap_or(SEED_COUNT);
    let mut faults = FaultCounts::default();
    let mut asked = 0;
    for seed in first..first + count {
        let report = play(seed);
        faults.merge(&report.faults);
        asked += report.asked;
    }
    println!("{count} seeds, {asked} operations, {} faults", faults.total());
    for class in FaultClass::ALL {
        println!("{:>26} {}", class.name(), faults.get(*class));
        assert!(count < SEED_COUNT || faults.get(*class) > 0, "{} never happened", class.name());
    }
}

/// With one number for all epochs, windows are still emptied, slots still have their lap and their checksum, and a late
/// copy comes as rarely as ever. A seed that finds it shows that the number keeps late copies out, and nothing else does.
#[test]
fn an_epoch_that_is_never_raised_is_found() {
    let finds = |seed: u64| {
        let mut scenario = Scenario::draw(seed);
        scenario.server.epochs_rise = false;
        scenario.run().failure.map(|failure| (seed, failure))
    };
    let (seed, failure) = (0..PLANTED_SEED_COUNT).find_map(finds).expect("no seed finds it");
    println!("seed {seed} finds it: {failure:#?}");
    assert!(play(seed).failure.is_none());
}

#[test]
fn a_seed_always_gives_the_same_run() {
    for seed in 0..REPEATED_SEED_COUNT {
        let (first, second) = (play(seed), play(seed));
        assert_eq!((first.trace, first.end), (second.trace, second.end), "seed {seed}");
    }
}
