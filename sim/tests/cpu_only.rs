//! `cpu-only`: every host core serves; the DPU has nothing to do.

use kv_core::counters::Counter;
use kv_core::design::{Design, Plan, Side, Topology};
use kv_core::table::{Mode, TABLE_LEN_MIN};
use sim::balance;
use sim::scenario::Scenario;
use sim::wire::Wire;

#[test]
fn every_host_core_serves_and_no_dpu_core_does() {
    for scenario in Scenario::all_calm(Design::CpuOnly) {
        let report = balance::check(&scenario);
        assert_eq!((report.core_count(Side::Host), report.core_count(Side::Dpu)), (3, 0));
        for core in 0..3 {
            assert!(report.core(Side::Host, core, Counter::Requests) > 0, "core {core}");
            assert!(report.core(Side::Host, core, Counter::Items) > 0, "core {core}");
        }
    }
}

#[test]
fn any_core_answers_reads_when_asked_for() {
    for wire in Wire::ALL {
        let mut scenario = Scenario::calm(Design::CpuOnly, wire);
        let topology = Topology { concurrent_read: true, partitions: 3, ..*scenario.server.plan.topology() };
        scenario.server.plan = Plan::new(Design::CpuOnly, topology).expect("a partition for each core");
        let report = balance::check(&scenario);
        for core in 0..3 {
            // Reads go to all three cores in turn, not only to the owner's.
            let reads = report.core(Side::Host, core, Counter::Hits) + report.core(Side::Host, core, Counter::Misses);
            assert!(reads * 4 > report.reads && reads * 3 < report.reads * 2, "core {core}: {reads}");
        }
    }
}

/// Keys and values for which three tables of 8 KiB are too small.
fn crowded(mode: Mode) -> Scenario {
    let mut scenario = Scenario::calm(Design::CpuOnly, Wire::Native);
    let topology = Topology { partitions: 3, ..*scenario.server.plan.topology() };
    scenario.server.plan = Plan::new(Design::CpuOnly, topology).expect("a partition for each core");
    (scenario.server.table_len, scenario.server.mode) = (TABLE_LEN_MIN, mode);
    (scenario.key_count, scenario.counter_count) = (600, 0);
    (scenario.key_len_max, scenario.value_len_max) = (8, 64);
    scenario
}

#[test]
fn a_full_store_says_so_and_keeps_what_it_acknowledged() {
    let report = crowded(Mode::Store).run();
    // The histories hold: every key that was stored was read again in the end.
    assert!(report.failure.is_none(), "{:#?}", report.failure);
    let refused = report.clients.iter().map(|client| client.no_space).sum::<u64>();
    assert!(refused > 100, "{refused}");
    assert_eq!(report.total(Counter::InsufficientSpace), refused);
    assert_eq!(report.total(Counter::Evicted), 0);
}

#[test]
fn a_full_cache_forgets_and_says_how_much() {
    let report = crowded(Mode::Cache).run();
    assert!(report.failure.is_none(), "{:#?}", report.failure);
    assert_eq!(report.total(Counter::InsufficientSpace), 0);
    assert!(report.total(Counter::Evicted) > 100);
}

#[test]
fn strangers_are_served_and_get_no_more_bytes_than_they_send() {
    // A MICA2 frame that asks for one value of 8 bytes is as long as its answer; a native frame is padded.
    for mut scenario in Scenario::all_calm(Design::CpuOnly) {
        scenario.value_len_max = if scenario.clients[0].wire == Wire::Mica { 8 } else { 200 };
        balance::check(&scenario.with_strangers());
    }
}
