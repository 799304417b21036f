//! `dual`: as `sav`, and spare host cores serve reads of the same store.

use kv_core::counters::Counter;
use kv_core::design::{CoreId, Design, Side};
use kv_core::hash::KeyHash;
use qp_wire::{Operation, Request, ResultCode};
use sim::balance;
use sim::dialogue::Dialogue;
use sim::port::SimPort;
use sim::scenario::Scenario;
use sim::server::{Memory, client_address};
use sim::wire::Wire;

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

#[test]
fn a_spare_core_reads_every_partition_and_rejects_writes() {
    let config = Scenario::calm(Design::Dual, Wire::Native).server;
    let memory = Memory::new(&config);
    let mut dialogue = Dialogue::<SimPort>::new(config, &memory, client_address(1, true));
    let at = |dialogue: &Dialogue<'_, SimPort>, side| dialogue.server().address(side, CoreId(1)).expect("an endpoint");
    let (owner, spare) = (at(&dialogue, Side::Dpu), at(&dialogue, Side::Host));
    // A key of a partition whose label is that of DPU core 1.
    let key = (0_u8..=255).map(|byte| [byte; 8]).find(|key| KeyHash::of(key).partition(6).0 % 2 == 1).expect("a key");
    let mut ask = |to, operation| {
        let (payload, _) = Wire::Native.encode(1, 0, &[Request { key: &key, operation }], 1_472);
        let answers = dialogue.ask(to, &payload);
        let reply = Wire::Native.decode(answers.first().expect("an answer")).expect("a response");
        (reply.answers[0].result, reply.answers[0].value.clone())
    };
    let set = |value| Operation::Set { value, ttl: None };
    assert_eq!(ask(spare, Operation::Get).0, ResultCode::NotFound);
    assert_eq!(ask(owner, set(b"first")).0, ResultCode::Success);
    assert_eq!(ask(spare, set(b"second")).0, ResultCode::Rejected);
    assert_eq!(ask(spare, Operation::Delete).0, ResultCode::Rejected);
    assert_eq!(ask(spare, Operation::Get), (ResultCode::Success, b"first".to_vec()));
}
