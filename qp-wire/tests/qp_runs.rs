//! The batches within a slot.

mod batches;

use batches::{
    OwnedRequest, OwnedResponse, any_requests, any_responses, hex, read_requests, read_responses, reference_requests,
    reference_responses,
};
use proptest::prelude::*;
use qp_wire::ResultCode;
use qp_wire::batch::{BatchError, response_len_min};
use qp_wire::limits::REQUEST_COUNT_MAX;
use qp_wire::qp::{RUN_HEADER_LEN, SlotError, put_response_run_header, put_run_header, request_runs, response_runs};

/// A run with this body.
fn run(body: &[u8], response_len_max: usize) -> Vec<u8> {
    let mut run = vec![0xee; RUN_HEADER_LEN];
    put_run_header(&mut run, body.len(), response_len_max).expect("room for a header");
    run.extend(body);
    run
}

/// A run of responses with this body.
fn response_run(body: &[u8], may_expire: bool) -> Vec<u8> {
    let mut run = vec![0xee; RUN_HEADER_LEN];
    put_response_run_header(&mut run, body.len(), may_expire).expect("room for a header");
    run.extend(body);
    run
}

/// A body of `count` NOOPs, the shortest that there is.
fn noops(count: usize) -> Vec<u8> {
    reference_requests(&vec![OwnedRequest::new(1, b"", b""); count], [true; 3])
}

fn request_error(payload: &[u8]) -> Option<SlotError> {
    request_runs(payload).err()
}

fn response_error(payload: &[u8]) -> Option<SlotError> {
    response_runs(payload).err()
}

/// W-Q-5: two runs of requests, and their responses.
#[test]
fn runs_have_their_golden_bytes() {
    let get = reference_requests(&[OwnedRequest::new(5, b"k", b"")], [true; 3]);
    let requests = [run(&get, 64), run(&noops(2), 14)].concat();
    assert_eq!(requests, hex("0900 4000 0100 07 05 01 00 0000 6b  0800 0e00 0200 07 01 00 00 0000"));
    let runs = request_runs(&requests).expect("golden runs");
    assert!(!runs.is_empty());
    let told: Vec<_> = runs.iter().map(|run| (run.batch.bytes(), run.response_len_max)).collect();
    assert_eq!(told, [(&get[..], 64), (&noops(2)[..], 14)]);
    let promised: Vec<_> = runs.promises().map(|promise| (promise.count, promise.response_len_max)).collect();
    assert_eq!(promised, [(1, 64), (2, 14)]);
    assert_eq!(runs.responses_len_max(), 64 + 14 + 2 * RUN_HEADER_LEN);

    let miss = reference_responses(&[OwnedResponse { result: ResultCode::NotFound, value: None }], [true; 2]);
    let responses = response_run(&miss, false);
    assert_eq!(responses, hex("0800 0000 0100 03 04 0000 0000"));
    let runs = response_runs(&responses).expect("a golden run");
    assert!(!runs.is_empty());
    assert_eq!(runs.iter().map(|run| (run.batch.bytes(), run.may_expire)).collect::<Vec<_>>(), [(&miss[..], false)]);
}

/// W-Q-5: such a slot brings credits.
#[test]
fn no_runs_are_fine() {
    assert!(request_runs(&[]).is_ok_and(|runs| runs.is_empty() && runs.iter().next().is_none()));
    assert!(response_runs(&[]).is_ok_and(|runs| runs.is_empty() && runs.iter().next().is_none()));
}

/// W-Q-5: a run header of zeros is no end mark.
#[test]
fn an_empty_run_is_refused() {
    let empty = SlotError::Batch(BatchError::Truncated { needed: 8, got: 0 });
    assert_eq!(request_error(&[0; 4]), Some(empty));
    assert_eq!(response_error(&[0; 4]), Some(empty));
}

/// W-Q-5: the body fills its run.
#[test]
fn a_run_longer_than_its_body_is_refused() {
    let trailing = SlotError::Batch(BatchError::Trailing { len: 1 });
    let mut body = noops(1);
    body.push(0);
    assert_eq!(request_error(&run(&body, 64)), Some(trailing));
    let response = hex("0100 03 00 0000 0000 00");
    assert_eq!(response_error(&run(&response, 0)), Some(trailing));
}

/// W-Q-5: one bound for the slot, however its requests are divided.
#[test]
fn the_runs_of_a_slot_share_one_bound() {
    let count = REQUEST_COUNT_MAX / 2;
    let half = run(&noops(count), response_len_min(count));
    assert_eq!(request_error(&half.repeat(2)), None);
    let one_more = [half.repeat(2), run(&noops(1), 8)].concat();
    assert_eq!(request_error(&one_more), Some(SlotError::Count { count: REQUEST_COUNT_MAX + 1 }));

    let [low, high] = (count as u16).to_le_bytes();
    let half = run(&[low, high, 3, 0, 0, 0, 0, 0], 0);
    assert_eq!(response_error(&half.repeat(2)), None);
    let one_more = [half.repeat(2), run(&hex("0100 03 00 0000 0000"), 0)].concat();
    assert_eq!(response_error(&one_more), Some(SlotError::Count { count: REQUEST_COUNT_MAX + 1 }));
}

/// W-Q-6
#[test]
fn a_response_that_cannot_be_written_is_not_asked_for() {
    for count in [1, 2, 32, REQUEST_COUNT_MAX] {
        let needed = response_len_min(count);
        assert_eq!(request_error(&run(&noops(count), needed)), None);
        let got = needed - 1;
        assert_eq!(request_error(&run(&noops(count), got)), Some(SlotError::ResponseLenMax { needed, got }));
    }
    assert_eq!(response_len_min(1), 8);
    assert_eq!(response_len_min(32), 8 + 3 * 32);
}

/// W-Q-7: a value that may expire, and flags that nobody knows.
#[test]
fn a_response_run_says_what_may_expire_and_nothing_else() {
    let hit =
        reference_responses(&[OwnedResponse { result: ResultCode::Success, value: Some(b"v".to_vec()) }], [true; 2]);
    let responses = response_run(&hit, true);
    assert_eq!(responses, hex("0900 0100 0100 03 80 0100 0000 76"));
    let told: Vec<_> = response_runs(&responses).expect("a golden run").iter().map(|run| run.may_expire).collect();
    assert_eq!(told, [true]);
    for flags in [2, 3, 0x8000] {
        assert_eq!(response_error(&run(&hit, flags)), Some(SlotError::RunFlags { flags: flags as u16 }));
    }
}

#[test]
fn only_what_has_room_gets_a_run_header() {
    assert_eq!(put_run_header(&mut [0; 3], 8, 8), None);
    assert_eq!(put_run_header(&mut [0; 4], 65_536, 8), None);
    assert_eq!(put_run_header(&mut [0; 4], 8, 65_536), None);
    let mut into = [0; 5];
    assert_eq!(put_run_header(&mut into, 65_535, 258), Some(()));
    assert_eq!(into, [0xff, 0xff, 2, 1, 0]);
    assert_eq!(put_response_run_header(&mut [0; 3], 8, false), None);
    assert_eq!(put_response_run_header(&mut [0; 4], 65_536, true), None);
}

/// Whatever the bytes are: an error, or runs that are exactly these bytes.
fn check_any_payload(bytes: &[u8]) {
    if let Ok(runs) = request_runs(bytes) {
        let told = runs.iter().flat_map(|each| {
            assert_eq!(read_requests(&each.batch).len(), each.batch.count());
            run(each.batch.bytes(), each.response_len_max)
        });
        assert_eq!(told.collect::<Vec<_>>(), bytes);
    }
    if let Ok(runs) = response_runs(bytes) {
        let told = runs.iter().flat_map(|each| {
            assert_eq!(read_responses(&each.batch).len(), each.batch.count());
            response_run(each.batch.bytes(), each.may_expire)
        });
        assert_eq!(told.collect::<Vec<_>>(), bytes);
    }
}

proptest! {
    #[test]
    fn request_runs_survive_their_encoding(batches in proptest::collection::vec((any_requests(), 100..9000usize), 0..5)) {
        let payload: Vec<_> =
            batches.iter().flat_map(|(requests, len_max)| run(&reference_requests(requests, [true; 3]), *len_max)).collect();
        let runs = request_runs(&payload).expect("good runs");
        let told: Vec<_> = runs.iter().map(|run| (read_requests(&run.batch), run.response_len_max)).collect();
        let expected: Vec<(Vec<_>, _)> = batches
            .iter()
            .map(|(requests, len_max)| (requests.iter().map(OwnedRequest::carried).collect(), *len_max))
            .collect();
        prop_assert_eq!(told, expected);
    }

    #[test]
    fn response_runs_survive_their_encoding(
        batches in proptest::collection::vec((any_responses(), any::<bool>()), 0..5),
    ) {
        let encode = |(responses, may_expire): &(Vec<_>, _)| {
            response_run(&reference_responses(responses, [true; 2]), *may_expire)
        };
        let payload: Vec<_> = batches.iter().flat_map(encode).collect();
        let runs = response_runs(&payload).expect("good runs");
        let told: Vec<_> = runs.iter().map(|run| (read_responses(&run.batch), run.may_expire)).collect();
        prop_assert_eq!(told, batches);
    }

    /// All or nothing: a cut within a run spoils the runs before it too. A cut between two runs makes fewer runs.
    #[test]
    fn every_cut_within_a_run_is_refused(first in any_requests(), second in any_requests()) {
        let first = run(&reference_requests(&first, [true; 3]), 9000);
        let both = [first.clone(), run(&reference_requests(&second, [true; 3]), 9000)].concat();
        for len in 0..both.len() {
            let is_between = len == 0 || len == first.len();
            prop_assert_eq!(request_runs(&both[..len]).is_ok(), is_between, "{} of {}", len, both.len());
        }
    }

    #[test]
    fn every_cut_within_a_response_run_is_refused(first in any_responses(), second in any_responses()) {
        let first = run(&reference_responses(&first, [true; 2]), 0);
        let both = [first.clone(), run(&reference_responses(&second, [true; 2]), 0)].concat();
        for len in 0..both.len() {
            let is_between = len == 0 || len == first.len();
            prop_assert_eq!(response_runs(&both[..len]).is_ok(), is_between, "{} of {}", len, both.len());
        }
    }

    #[test]
    fn any_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        check_any_payload(&bytes);
    }

    #[test]
    fn good_runs_with_one_bad_byte_are_refused_or_read(
        requests in any_requests(), responses in any_responses(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        for mut bytes in [
            run(&reference_requests(&requests, [true; 3]), 9000).repeat(2),
            run(&reference_responses(&responses, [true; 2]), 0).repeat(2),
        ] {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            check_any_payload(&bytes);
        }
    }
}
