//! `cpu-only`: every host core serves; the DPU has nothing to do.

use kv_core::counters::Counter;
use kv_core::design::{Design, Plan, Side, Topology};
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
