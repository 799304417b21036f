//! `shrd`: both sides serve, each its share of the partitions; nothing crosses between them.

use kv_core::counters::Counter;
use kv_core::design::{Design, Side};
use sim::balance;
use sim::scenario::Scenario;

#[test]
fn every_core_of_both_sides_serves_its_own_partitions() {
    for scenario in Scenario::all_calm(Design::Shrd) {
        let report = balance::check(&scenario);
        assert_eq!((report.core_count(Side::Host), report.core_count(Side::Dpu)), (3, 2));
        for (side, core, counters) in &report.cores {
            assert!(counters.get(Counter::FramesReceived) > 0, "{side:?} {core:?}");
            assert!(counters.get(Counter::Items) > 0, "{side:?} {core:?}");
        }
    }
}
