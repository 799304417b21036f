//! `lat` with a cache of hot keys in its DPU cores.
//!
//! `SIM_SEEDS=10000 cargo test --release -p sim --test hot_keys` looks at more seeds, `SIM_FIRST_SEED=70000` at others,
//! `SIM_SEED=7` at one.

mod seeds;

use kv_core::counters::Counter;
use kv_core::design::{Design, Plan, Side, Topology};
use kv_core::engine::{HotRule, HotRules};
use kv_core::table::{Mode, TABLE_LEN_MIN};
use sim::balance;
use sim::fault::{FaultClass, FaultCounts};
use sim::report::{Failure, Report};
use sim::scenario::Scenario;
use sim::wire::Wire;

use self::seeds::SEED_COUNT;

fn play(seed: u64) -> Report {
    seeds::play("hot_keys", seed, &Scenario::draw_hot(seed))
}

#[test]
fn what_the_dpu_answers_the_host_does_not() {
    for batch_count_max in [1, 3, 16] {
        for mut scenario in Scenario::all_calm(Design::Lat) {
            scenario.server.hot_set_count = 16;
            scenario.clients.iter_mut().for_each(|client| client.batch_count_max = batch_count_max);
            (scenario.key_count, scenario.key_len_max, scenario.value_len_max) = (20, 16, 32);
            let report = balance::check(&scenario);
            let hits = report.sum(Side::Dpu, Counter::HotHits);
            assert!(batch_count_max > 3 || hits > 50, "{hits} of {}", report.reads);
            assert_eq!(report.sum(Side::Host, Counter::HotHits), 0);
            let at_host = report.sum(Side::Host, Counter::Requests);
            assert_eq!(report.sum(Side::Dpu, Counter::Requests), at_host + hits);
        }
    }
}

#[test]
fn without_memory_nothing_is_kept() {
    let report = balance::check(&Scenario::calm(Design::Lat, Wire::Native));
    for counter in [Counter::HotHits, Counter::HotFills, Counter::HotRemovals] {
        assert_eq!(report.total(counter), 0, "{}", counter.name());
    }
}

#[test]
fn no_fault_makes_a_read_older_than_what_was_acknowledged_or_read() {
    if let Some(seed) = seeds::lone_seed() {
        println!("{:#?}", play(seed));
        return;
    }
    let (first, count) = seeds::first_and_count();
    let mut faults = FaultCounts::default();
    let (mut asked, mut hits, mut removals) = (0, 0, 0);
    for seed in first..first + count {
        let report = play(seed);
        faults.merge(&report.faults);
        asked += report.asked;
        hits += report.total(Counter::HotHits);
        removals += report.total(Counter::HotRemovals);
    }
    println!("{count} seeds, {asked} operations, {hits} answered by the DPU, {removals} values removed");
    assert!(count < SEED_COUNT || hits > 20 * count && removals > count, "{hits} hits, {removals} removals");
    for class in FaultClass::ALL {
        assert!(count < SEED_COUNT || faults.get(*class) > 0, "{} never happened", class.name());
    }
}

/// The first seed whose history shows that a rule is broken.
fn find(rule: HotRule, scenario: impl Fn(u64) -> Scenario) {
    let (seed, failure) = seeds::find(|seed| {
        let mut scenario = scenario(seed);
        scenario.server.hot_rules = HotRules::all_but(rule);
        scenario
    });
    assert!(matches!(failure, Failure::History(_)), "{failure:?}");
    assert!(scenario(seed).run().failure.is_none(), "seed {seed} fails without the mistake");
}

#[test]
fn not_to_remove_what_is_written_is_found() {
    find(HotRule::WritesRemove, Scenario::draw_hot);
}

#[test]
fn to_keep_a_value_that_may_be_older_than_a_write_is_found() {
    find(HotRule::OlderThanWritesIsNotKept, Scenario::draw_hot);
}

#[test]
fn to_keep_values_over_an_epoch_is_found() {
    find(HotRule::EpochsEndEmpty, Scenario::draw_hot);
}

/// Keys and values for which the tables of a cache are too small, and the cache of hot keys is not.
fn crowded(seed: u64) -> Scenario {
    let mut scenario = Scenario::calm(Design::Lat, Wire::Native);
    let topology = Topology { partitions: 2, ..*scenario.server.plan.topology() };
    scenario.server.plan = Plan::new(Design::Lat, topology).expect("a partition for each core");
    (scenario.server.table_len, scenario.server.mode, scenario.server.hot_set_count) =
        (TABLE_LEN_MIN, Mode::Cache, 128);
    scenario.clients.iter_mut().for_each(|client| client.batch_count_max = 2);
    (scenario.seed, scenario.operation_count, scenario.mix.set) = (seed, 10_000, 10);
    (scenario.key_count, scenario.counter_count, scenario.key_len_max, scenario.value_len_max) = (400, 0, 8, 48);
    scenario
}

#[test]
fn what_the_host_forgot_is_not_remembered() {
    for seed in 0..4 {
        let report = crowded(seed).run();
        assert!(report.failure.is_none(), "{:#?}", report.failure);
        assert!(report.total(Counter::Evicted) > 100 && report.total(Counter::HotHits) > 1_000);
    }
    find(HotRule::WhatIsGoneIsRemoved, crowded);
}
