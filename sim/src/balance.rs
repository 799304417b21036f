//! What must add up when nothing goes wrong.
//!
//! The tests of the designs play a scenario without faults and give its report to [`check`], which knows what holds in
//! every design; what is particular to a design stays in its test.

use kv_core::counters::{Counter, Counters};
use kv_core::design::Side;
use kv_core::ring::ResponseWay;

use crate::report::Report;
use crate::scenario::Scenario;

/// Plays a scenario without faults and checks everything that holds in every design.
///
/// # Panics
/// When something does not add up.
pub fn check(scenario: &Scenario) -> Report {
    let report = scenario.run();
    assert!(report.failure.is_none(), "{:#?}", report.failure);
    assert_eq!(report.faults.total(), 0, "nothing was to go wrong");
    assert!(report.given_up.is_empty(), "{:?}", report.given_up);
    check_clients(&report);
    check_cores(&report);
    check_queue_pairs(scenario, &report);
    report
}

/// Each request was answered, once, at the first asking.
fn check_clients(report: &Report) {
    for client in &report.clients {
        assert_eq!((client.given_up, client.frames_repeated, client.late, client.no_space), (0, 0, 0, 0));
    }
    assert_eq!(report.clients.iter().map(|client| client.answered).sum::<u64>(), report.asked);
}

/// Each frame and each request was counted once where it arrived and once where the table is.
fn check_cores(report: &Report) {
    let frames: u64 = report.clients.iter().map(|client| client.frames_sent).sum();
    assert_eq!(report.total(Counter::FramesReceived), frames);
    assert_eq!(report.total(Counter::FramesTransmitted), frames);
    for (side, core, counters) in &report.cores {
        assert_eq!(counters.drops.total(), 0, "{side:?} {core:?} {:?}", counters.drops);
    }
    let requests = report.asked + report.clients.iter().map(|client| client.not_processed).sum::<u64>();
    // Where requests cross, the communication engine counts them as well as whoever executes them.
    let executed = report.total(Counter::Requests);
    let crossed: u64 = report.cores.iter().map(|(_, _, counters)| crossing_requests(counters)).sum();
    assert_eq!(executed - crossed, requests);
    for refused in [Counter::Rejected, Counter::Errors, Counter::HashMismatches, Counter::InsufficientSpace] {
        assert_eq!(report.total(refused), 0, "{}", refused.name());
    }
    // A value that MICA2's frame turns out to have no room for was read before that was known.
    let reads =
        [Counter::Hits, Counter::HotHits, Counter::Misses].map(|counter| report.total(counter)).iter().sum::<u64>();
    let not_processed = requests - report.asked;
    assert!((report.reads..=report.reads + not_processed).contains(&reads), "{reads} reads for {}", report.reads);
}

/// Requests that a core has counted and not executed.
fn crossing_requests(counters: &Counters) -> u64 {
    let communicates = counters.get(Counter::FramesReceived) > 0 && counters.get(Counter::BatchesSent) > 0;
    // What it answered by itself crossed nothing.
    if communicates { counters.get(Counter::Requests) - counters.get(Counter::HotHits) } else { 0 }
}

/// Each batch is one copy, and arrives.
fn check_queue_pairs(scenario: &Scenario, report: &Report) {
    let sum = |side, counter| report.sum(side, counter);
    let batches = sum(Side::Dpu, Counter::BatchesSent);
    assert_eq!(batches > 0, scenario.server.plan.design().is_offloaded());
    assert_eq!(sum(Side::Host, Counter::BatchesReceived), batches);
    assert_eq!(sum(Side::Host, Counter::BatchesSent), batches, "a batch of answers for each of requests");
    assert_eq!(sum(Side::Dpu, Counter::BatchesReceived), batches);
    assert_eq!(sum(Side::Host, Counter::Copies), batches);
    match scenario.server.queue_pair.way {
        ResponseWay::Push => assert_eq!(sum(Side::Dpu, Counter::Copies), batches),
        // A pull that finds nothing yet is repeated.
        ResponseWay::Pull => assert!(batches == 0 || sum(Side::Dpu, Counter::Copies) >= 2 * batches),
    }
    for bad in [Counter::CopiesFailed, Counter::SlotsMalformed, Counter::SlotsTorn, Counter::QueuePairResets] {
        assert_eq!(report.total(bad), 0, "{}", bad.name());
    }
}
