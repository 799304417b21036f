//! `dpu-only`: every DPU core serves; the host has nothing to do.

use kv_core::counters::Counter;
use kv_core::design::{Design, Side};
use sim::balance;
use sim::scenario::Scenario;

#[test]
fn every_dpu_core_serves_and_no_host_core_does() {
    for scenario in Scenario::all_calm(Design::DpuOnly) {
        let report = balance::check(&scenario);
        assert_eq!((report.core_count(Side::Host), report.core_count(Side::Dpu)), (0, 2));
        for core in 0..2 {
            assert!(report.core(Side::Dpu, core, Counter::Requests) > 0, "core {core}");
            assert!(report.core(Side::Dpu, core, Counter::Items) > 0, "core {core}");
        }
    }
}
