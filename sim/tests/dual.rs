//! `dual`: as `sav`, and spare host cores serve reads of the same store.

use kv_core::counters::Counter;
use kv_core::design::{Design, Side};
use sim::balance;
use sim::scenario::Scenario;

#[test]
fn spare_cores_answer_reads_beside_the_one_that_processes() {
    for scenario in Scenario::all_calm(Design::Dual) {
        let report = balance::check(&scenario);
        assert_eq!((report.core_count(Side::Host), report.core_count(Side::Dpu)), (3, 2));
        assert!(report.core(Side::Host, 0, Counter::BatchesReceived) > 0);
        assert_eq!(report.core(Side::Host, 0, Counter::FramesReceived), 0);
        for spare in 1..3 {
            assert!(report.core(Side::Host, spare, Counter::Hits) > 0, "core {spare}");
            assert_eq!(report.core(Side::Host, spare, Counter::Writes), 0, "core {spare}");
        }
    }
}
