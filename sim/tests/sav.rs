//! `sav`: every DPU core communicates, one host core processes all queue pairs.

use kv_core::counters::Counter;
use kv_core::design::{Design, Side};
use sim::balance;
use sim::scenario::Scenario;
use sim::wire::Wire;

#[test]
fn one_host_core_processes_what_all_dpu_cores_send() {
    for scenario in Scenario::all_calm(Design::Sav) {
        let report = balance::check(&scenario);
        assert_eq!((report.core_count(Side::Host), report.core_count(Side::Dpu)), (1, 2));
        for core in 0..2 {
            assert!(report.core(Side::Dpu, core, Counter::BatchesSent) > 0, "core {core}");
        }
    }
}

#[test]
fn the_host_touches_no_packet_and_the_dpu_no_table() {
    let report = balance::check(&Scenario::calm(Design::Sav, Wire::Native));
    assert_eq!(report.sum(Side::Host, Counter::FramesReceived), 0);
    assert_eq!(report.sum(Side::Dpu, Counter::CapacityBytes), 0);
}
