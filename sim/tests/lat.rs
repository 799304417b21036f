//! `lat`: each DPU core communicates, and the host core of the same number processes its queue pair.

use kv_core::counters::Counter;
use kv_core::design::{Design, Side};
use sim::balance;
use sim::scenario::Scenario;
use sim::wire::Wire;

#[test]
fn each_queue_pair_joins_two_cores() {
    for scenario in Scenario::all_calm(Design::Lat) {
        let report = balance::check(&scenario);
        assert_eq!((report.core_count(Side::Host), report.core_count(Side::Dpu)), (2, 2));
        for core in 0..2 {
            let sent = report.core(Side::Dpu, core, Counter::BatchesSent);
            assert_eq!(report.core(Side::Host, core, Counter::BatchesReceived), sent, "core {core}");
            assert!(report.core(Side::Host, core, Counter::Items) > 0, "core {core}");
        }
    }
}

#[test]
fn the_host_touches_no_packet_and_the_dpu_no_table() {
    let report = balance::check(&Scenario::calm(Design::Lat, Wire::Native));
    assert_eq!(report.sum(Side::Host, Counter::FramesReceived), 0);
    assert_eq!(report.sum(Side::Dpu, Counter::CapacityBytes), 0);
}
