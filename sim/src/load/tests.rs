use kv_core::engine::FlushLaw;

use super::*;

fn fixed(ticks: u64) -> FlushPolicy {
    FlushPolicy { len: 1_024, ticks, law: FlushLaw::Fixed }
}

#[test]
fn a_lone_request_takes_its_way_and_nothing_more() {
    let outcome = Load::lat(fixed(0), Pace::Open(50_000)).run();
    let costs = Costs::BLUEFIELD_3;
    let copies_ns = 2 * (costs.copy_latency_ns + Costs::write_ns(64));
    let work_ns = costs.request_in_ns + costs.request_out_ns + costs.process_ns + 3 * costs.slot_ns + 2 * costs.post_ns;
    // Each of three places is looked at once in the time of an idle turn.
    let least_us = (copies_ns + work_ns) as f64 / 1e3 - 0.1;
    let most_us = least_us + 0.2 + 3.0 * costs.idle_turn_ns as f64 / 1e3;
    assert!((least_us..most_us).contains(&outcome.p50_us), "{least_us} <= {} < {most_us}", outcome.p50_us);
    assert!((outcome.requests_per_batch - 1.0).abs() < 0.01 && outcome.lost == 0.0, "{outcome:?}");
}

#[test]
fn a_core_saturates_where_its_requests_take_all_its_time() {
    let outcome = Load::lat(fixed(5_000), Pace::Open(8_000_000)).run();
    // 195 ns a request, and a batch's own costs.
    assert!((4.8..1e3 / 195.0).contains(&outcome.mops), "{outcome:?}");
    assert!(outcome.lost > 0.3, "{outcome:?}");
}

#[test]
fn a_host_core_saturates_at_what_the_authors_saw() {
    let load = Load { dpu_cores: 8, ..Load::lat(fixed(5_000), Pace::Closed(256)) };
    let outcome = load.run();
    assert!((18.0..1e3 / 49.0).contains(&outcome.mops), "{outcome:?}");
}

#[test]
fn what_pcie_carries_for_others_makes_copies_slower() {
    let quiet = Load::lat(fixed(0), Pace::Open(20_000));
    let mut busy = quiet;
    busy.costs.others_percent = 60;
    let (quiet, busy) = (quiet.run(), busy.run());
    // Twice 1.5 us times 0.8 * 0.6 / 0.4, and the little that its own copies add.
    assert!((3.6..4.0).contains(&(busy.p50_us - quiet.p50_us)), "{quiet:?} {busy:?}");
}

#[test]
fn a_load_gives_the_same_figures_each_time() {
    let load = Load { dpu_cores: 2, host_cores: 2, ..Load::lat(fixed(1_000), Pace::Open(2_000_000)) };
    assert_eq!(load.run(), load.run());
}
