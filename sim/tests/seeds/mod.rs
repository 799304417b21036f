//! Seeds to look at: how many, which ones, and how to replay one.

use std::env;

use sim::report::{Failure, Report};
use sim::scenario::Scenario;

/// Seeds that every run of the tests looks at.
pub(crate) const SEED_COUNT: u64 = 300;

/// Seeds among which one has to find a planted mistake.
const PLANTED_SEED_COUNT: u64 = 3000;

/// Prints how to replay a seed when its run panics.
struct Replay {
    test: &'static str,
    seed: u64,
}

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { test, seed } = self;
            eprintln!("replay with: SIM_SEED={seed} cargo test -p sim --test {test} -- --nocapture");
        }
    }
}

/// Runs a seed's scenario, in which nothing must fail. `test` is the file that it is in.
pub(crate) fn play(test: &'static str, seed: u64, scenario: &Scenario) -> Report {
    let replay = Replay { test, seed };
    let report = scenario.run();
    if let Some(failure) = &report.failure {
        panic!("seed {seed}, {:?}: {failure:#?}\n{:#?}\n{:?}", scenario.server.plan, scenario.faults, report.clients);
    }
    drop(replay);
    report
}

/// The seed that the environment asks for alone.
pub(crate) fn lone_seed() -> Option<u64> {
    number("SIM_SEED")
}

/// The first seed to look at, and how many there are.
pub(crate) fn first_and_count() -> (u64, u64) {
    (number("SIM_FIRST_SEED").unwrap_or(0), number("SIM_SEEDS").unwrap_or(SEED_COUNT))
}

/// The first seed whose scenario shows a planted mistake, and how.
pub(crate) fn find(scenario: impl Fn(u64) -> Scenario) -> (u64, Failure) {
    let finds = |seed: u64| scenario(seed).run().failure.map(|failure| (seed, failure));
    let (seed, failure) = (0..PLANTED_SEED_COUNT).find_map(finds).expect("no seed finds it");
    println!("seed {seed} finds it: {failure:#?}");
    (seed, failure)
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}
