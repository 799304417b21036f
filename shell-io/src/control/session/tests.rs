use kv_core::design::QueuePairId;

use super::*;
use crate::control::agreement::{Agreement, Field};
use crate::control::message::WindowDescriptor;

const TIMING: Timing = Timing { heartbeat_ms: 100, dead_after_ms: 500 };

fn introduction(epoch: Epoch) -> Introduction {
    let window = |index| WindowDescriptor { queue_pair: QueuePairId(index), region: vec![index], offset: 0, len: 64 };
    Introduction {
        software: "dpu-kv".to_owned(),
        agreement: Agreement::from_values([3; Field::ALL.len()]),
        server_id: 7,
        epoch,
        endpoints: vec![],
        windows: vec![window(0), window(1)],
    }
}

/// Runs a handshake between two sides and returns their sessions and the steps with which they attached.
fn handshake(host_epoch: Epoch, dpu_epoch: Epoch) -> (Session, Session, [Step; 2]) {
    let (mut host, hello) = Session::open(Side::Host, introduction(host_epoch), TIMING, 0);
    let (mut dpu, nothing) = Session::open(Side::Dpu, introduction(dpu_epoch), TIMING, 0);
    assert_eq!(nothing, None);
    let Ok(Step::Send(welcome)) = dpu.on_message(hello.unwrap(), 1) else { panic!("no welcome") };
    let host_attaches = host.on_message(welcome, 2).unwrap();
    let Step::Attach { then: Some(attached), .. } = host_attaches.clone() else { panic!("{host_attaches:?}") };
    let dpu_attaches = dpu.on_message(attached, 3).unwrap();
    (host, dpu, [host_attaches, dpu_attaches])
}

#[test]
fn both_sides_attach_in_the_epoch_after_the_last_one_of_either() {
    for (host_epoch, dpu_epoch, next) in [(0, 0, 1), (9, 4, 10), (4, 9, 10), (u32::MAX - 1, 3, u32::MAX)] {
        let (host, dpu, steps) = handshake(host_epoch, dpu_epoch);
        assert_eq!((host.epoch(), dpu.epoch()), (Some(next), Some(next)));
        for step in steps {
            let Step::Attach { epoch, peer, .. } = step else { panic!("{step:?}") };
            assert_eq!((epoch, peer.windows.len()), (next, 2));
        }
    }
}

#[test]
fn neither_side_is_attached_before_its_step() {
    let (mut host, hello) = Session::open(Side::Host, introduction(0), TIMING, 0);
    let (mut dpu, _) = Session::open(Side::Dpu, introduction(0), TIMING, 0);
    let Ok(Step::Send(welcome)) = dpu.on_message(hello.unwrap(), 0) else { panic!("no welcome") };
    assert_eq!((host.epoch(), dpu.epoch()), (None, None));
    assert!(matches!(host.on_message(welcome, 0), Ok(Step::Attach { .. })));
    assert_eq!((host.epoch(), dpu.epoch()), (Some(1), None));
}

#[test]
fn an_epoch_without_a_successor_is_refused() {
    let (mut dpu, _) = Session::open(Side::Dpu, introduction(5), TIMING, 0);
    let end = dpu.on_message(Message::Hello(introduction(u32::MAX)), 0);
    assert_eq!(end, Err(SessionEnd::Epoch { last: 5, got: u32::MAX }));
}

#[test]
fn a_welcome_into_an_old_epoch_is_refused() {
    let (mut host, _) = Session::open(Side::Host, introduction(8), TIMING, 0);
    let end = host.on_message(Message::Welcome(introduction(8)), 0);
    assert_eq!(end, Err(SessionEnd::Epoch { last: 8, got: 8 }));
}

#[test]
fn each_field_that_differs_is_refused_with_both_values_on_both_sides() {
    for field in Field::ALL {
        let mut other = introduction(0);
        other.agreement = other.agreement.with(field, 99);
        let (mut host, hello) = Session::open(Side::Host, other, TIMING, 0);
        let (mut dpu, _) = Session::open(Side::Dpu, introduction(0), TIMING, 0);
        let dpu_end = dpu.on_message(hello.unwrap(), 0).unwrap_err();
        assert_eq!(dpu_end, SessionEnd::Mismatch(Mismatch { field, own: 3, peer: 99 }));
        assert!(dpu_end.is_mismatch());
        let host_end = host.on_message(dpu_end.last_word().unwrap(), 0).unwrap_err();
        assert_eq!(host_end, SessionEnd::Mismatch(Mismatch { field, own: 99, peer: 3 }));
        assert_eq!((host.epoch(), dpu.epoch()), (None, None));
    }
}

#[test]
fn a_host_checks_what_it_is_welcomed_with() {
    let (mut host, _) = Session::open(Side::Host, introduction(0), TIMING, 0);
    let mut welcome = introduction(1);
    welcome.agreement = welcome.agreement.with(Field::Depth, 99);
    let end = host.on_message(Message::Welcome(welcome), 0).unwrap_err();
    let Some(last_word) = end.last_word() else { panic!("{end} is not told") };
    let (mut dpu, _) = Session::open(Side::Dpu, introduction(0), TIMING, 0);
    assert!(dpu.on_message(Message::Hello(introduction(0)), 0).is_ok());
    let told = dpu.on_message(last_word, 0);
    assert_eq!(told, Err(SessionEnd::Mismatch(Mismatch { field: Field::Depth, own: 99, peer: 3 })));
}

#[test]
fn too_few_windows_are_refused() {
    let mut poor = introduction(0);
    poor.windows.pop();
    let (mut dpu, _) = Session::open(Side::Dpu, introduction(0), TIMING, 0);
    assert_eq!(dpu.on_message(Message::Hello(poor), 0), Err(SessionEnd::WindowCount { needed: 2, got: 1 }));
}

#[test]
fn a_busy_dpu_is_no_mismatch() {
    let (mut host, _) = Session::open(Side::Host, introduction(0), TIMING, 0);
    let end = host.on_message(Message::Refusal(Refusal::Busy), 0).unwrap_err();
    assert_eq!(end, SessionEnd::Busy);
    assert!(!end.is_mismatch());
}

#[test]
fn heartbeats_go_out_at_their_interval_once_attached() {
    let (mut host, mut dpu, _) = handshake(0, 0);
    assert_eq!(host.on_time(99), Ok(None));
    assert_eq!(host.on_time(100), Ok(Some(Message::Heartbeat(1))));
    assert_eq!(host.on_time(199), Ok(None));
    assert_eq!(dpu.on_message(Message::Heartbeat(1), 100), Ok(Step::Wait));
    assert_eq!(host.on_time(200), Ok(Some(Message::Heartbeat(1))));
}

#[test]
fn silence_ends_a_session_in_any_state() {
    let (mut host, mut dpu, _) = handshake(0, 0);
    assert!(host.on_time(2 + 499).is_ok());
    assert_eq!(host.on_time(2 + 500), Err(SessionEnd::Silent { silence_ms: 500 }));
    assert!(dpu.on_message(Message::Heartbeat(1), 400).is_ok());
    assert!(dpu.on_time(899).is_ok());
    assert_eq!(dpu.on_time(900), Err(SessionEnd::Silent { silence_ms: 500 }));
    let (mut waiting, _) = Session::open(Side::Dpu, introduction(0), TIMING, 1000);
    assert_eq!(waiting.on_time(1499), Ok(None));
    assert_eq!(waiting.on_time(1500), Err(SessionEnd::Silent { silence_ms: 500 }));
}

#[test]
fn a_message_out_of_turn_ends_the_session() {
    let all = || {
        let mismatch = Mismatch { field: Field::Depth, own: 1, peer: 2 };
        [
            Message::Hello(introduction(0)),
            Message::Welcome(introduction(1)),
            Message::Attached(1),
            Message::Attached(2),
            Message::Heartbeat(1),
            Message::Heartbeat(2),
            Message::Refusal(Refusal::Busy),
            Message::Refusal(Refusal::Mismatch(mismatch)),
        ]
    };
    // For each state, the messages of the list that end it for their kind.
    let out_of_turn = |fresh: fn() -> Session| {
        let ends = |message: Message| {
            let kind = message.kind();
            fresh().on_message(message, 0) == Err(SessionEnd::OutOfTurn { kind })
        };
        all().map(ends)
    };
    let yes = true;
    let no = false;
    let awaiting_welcome = || Session::open(Side::Host, introduction(0), TIMING, 0).0;
    assert_eq!(out_of_turn(awaiting_welcome), [yes, no, yes, yes, yes, yes, no, no]);
    let awaiting_hello = || Session::open(Side::Dpu, introduction(0), TIMING, 0).0;
    assert_eq!(out_of_turn(awaiting_hello), [no, yes, yes, yes, yes, yes, yes, yes]);
    let awaiting_attached = || {
        let mut dpu = Session::open(Side::Dpu, introduction(0), TIMING, 0).0;
        dpu.on_message(Message::Hello(introduction(0)), 0).unwrap();
        dpu
    };
    assert_eq!(out_of_turn(awaiting_attached), [yes, yes, no, yes, yes, yes, yes, no]);
    assert_eq!(out_of_turn(|| handshake(0, 0).0), [yes, yes, yes, yes, no, yes, yes, yes]);
    assert_eq!(out_of_turn(|| handshake(0, 0).1), [yes, yes, yes, yes, no, yes, yes, yes]);
}

#[test]
fn a_farewell_ends_a_session_with_its_reason() {
    for reason in [FarewellReason::Leaving, FarewellReason::Broken, FarewellReason::Unreachable] {
        let (mut host, ..) = handshake(0, 0);
        assert_eq!(host.on_message(Message::Farewell(reason), 5), Err(SessionEnd::Farewell(reason)));
    }
}
