//! `lat`: each DPU core communicates, and the host core of the same number processes its queue pair.

use kv_core::counters::Counter;
use kv_core::design::{Design, Side};
use kv_core::engine::{FlushLaw, FlushPolicy};
use kv_core::ring::RingGeometry;
use qp_wire::DropReason;
use qp_wire::limits::DATAGRAM_LEN_MAX;
use sim::balance;
use sim::fault::FaultClass;
use sim::scenario::Scenario;
use sim::seed::Chance;
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

#[test]
fn a_copy_that_fails_is_done_again_before_anybody_gives_up() {
    for mut scenario in Scenario::all_calm(Design::Lat) {
        scenario.faults.copy.failure = Chance::percent(2);
        // Waiting for a batch that never comes would end nobody's operation in time.
        scenario.server.stall_ns = u64::MAX;
        let report = scenario.run();
        assert!(report.failure.is_none(), "{:#?}", report.failure);
        let failures = report.faults.get(FaultClass::CopyFailed);
        assert!(failures > 5, "{failures}");
        assert_eq!(report.total(Counter::CopiesFailed), failures);
        // It takes four failures in a row to give up.
        assert!(report.given_up.is_empty(), "{:?}", report.given_up);
    }
}

#[test]
fn a_full_copy_engine_makes_batches_wait_and_nothing_else() {
    for mut scenario in Scenario::all_calm(Design::Lat) {
        scenario.server.copy_count_max = 2;
        scenario.faults.copy.latency_ns = 50_000;
        balance::check(&scenario);
    }
}

#[test]
fn one_batch_in_flight_and_whole_slots_are_a_configuration_like_others() {
    for scenario in Scenario::all_calm(Design::Lat) {
        let slot_len = scenario.server.queue_pair.request.slot_len() as u64;
        let report = balance::check(&scenario.stop_and_wait());
        let copies = report.total(Counter::Copies);
        assert_eq!(report.total(Counter::CopyBytes), copies * slot_len, "every copy is a whole slot");
    }
}

#[test]
fn what_fits_no_slot_does_not_stop_the_others() {
    let mut scenario = Scenario::calm(Design::Lat, Wire::Native);
    scenario.server.port.frame_len = DATAGRAM_LEN_MAX;
    scenario.key_len_max = 8;
    scenario.value_len_max = 400;
    // Writes of the second client are often longer than a slot of 4096 bytes.
    scenario.clients[1].payload_len_max = DATAGRAM_LEN_MAX;
    scenario.clients[1].batch_count_max = 128;
    let report = scenario.run();
    assert!(report.failure.is_none(), "{:#?}", report.failure);
    assert!(report.given_up.is_empty(), "{:?}", report.given_up);
    assert_eq!(report.clients[0].given_up, 0);
    assert!(report.clients[1].given_up > 0);
    let dropped: u64 = report.cores.iter().map(|(_, _, counters)| counters.drops.get(DropReason::Long)).sum();
    assert!(dropped > 0);
    assert_eq!(dropped, report.clients.iter().map(|client| client.frames_given_up).sum::<u64>());
}

#[test]
fn strangers_are_served_and_get_no_more_bytes_than_they_send() {
    // A MICA2 frame that asks for one value of 8 bytes is as long as its answer; a native frame is padded.
    for mut scenario in Scenario::all_calm(Design::Lat) {
        scenario.value_len_max = if scenario.clients[0].wire == Wire::Mica { 8 } else { 200 };
        balance::check(&scenario.with_strangers());
    }
}

#[test]
fn answers_to_both_protocols_share_slots_of_every_length() {
    // Runs of either kind are planned to the last byte of a response slot, so each length has its own edge.
    for lines in 24..64 {
        let mut scenario = Scenario::calm(Design::Lat, Wire::Native);
        // Eight of MICA2's answers without values fit the longest answer that is allowed here.
        (scenario.clients[1].wire, scenario.clients[1].batch_count_max) = (Wire::Mica, 8);
        (scenario.operation_count, scenario.value_len_max, scenario.server.reply_len_max) = (400, 100, 320);
        // Small requests that wait for each other fill the answers' slot first.
        scenario.key_len_max = 8;
        scenario.server.flush = FlushPolicy { len: 4_096, ticks: 50_000, law: FlushLaw::Fixed };
        scenario.server.queue_pair.response = RingGeometry::new(2, 64 * lines).expect("valid sizes");
        balance::check(&scenario);
    }
}
