//! What goes into a batch comes out of it, for any requests and responses.

mod batches;

use core::num::NonZeroU64;

use batches::{
    OwnedRequest, OwnedResponse, any_requests, any_responses, encode_requests, many_requests, read_requests,
    read_responses, reference_requests, reference_responses,
};
use proptest::prelude::*;
use qp_wire::batch::{
    BatchFull, HEADER_LEN, RequestBatch, RequestWriter, Response, ResponseBatch, ResponseColumns, ResponseWriter,
    response_len_min,
};
use qp_wire::limits::{DATAGRAM_LEN_MAX, REQUEST_COUNT_MAX, VALUE_LEN_MAX};
use qp_wire::{Operation, RawRequest, Request, ResultCode, TtlMs};

fn check_requests(requests: &[OwnedRequest]) {
    let mut writer = RequestWriter::new();
    for request in requests {
        let raw = request.raw();
        let announced = writer.encoded_len_with(&raw);
        let bound = writer.encoded_len_bound_with(raw.key.len(), raw.value.len());
        assert!(bound >= announced, "a bound of {bound} for {announced} bytes");
        writer.push(&raw).expect("tests stay below the capacity");
        assert_eq!(writer.encoded_len(), announced);
    }
    assert_eq!(writer.count(), requests.len());
    let bytes = encode_requests(requests);
    assert_eq!(bytes.len(), writer.encoded_len());
    // All that can fold has folded (W-B-9).
    assert_eq!(bytes, reference_requests(requests, [true; 3]));

    let expected: Vec<_> = requests.iter().map(OwnedRequest::carried).collect();
    let batch = RequestBatch::decode(&bytes).expect("our own body");
    assert_eq!((batch.count(), batch.iter().len()), (requests.len(), requests.len()));
    assert_eq!(read_requests(&batch), expected);
    for operation in 0..=u8::MAX {
        assert_eq!(
            batch.iter().has_operation(operation),
            requests.iter().any(|request| request.raw().operation == operation)
        );
    }

    let mut longer = bytes.clone();
    longer.extend(b"tail");
    let (batch, rest) = RequestBatch::decode_prefix(&longer).expect("our own body");
    assert_eq!((batch.bytes(), rest), (&bytes[..], &b"tail"[..]));
}

fn check_responses(responses: &[OwnedResponse]) {
    let value_lens: usize = responses.iter().filter_map(|response| response.value.as_ref()).map(Vec::len).sum();
    // Not a byte more than the worst case, so that the reserve is tested too.
    let mut bytes = vec![0xee; response_len_min(responses.len()) + value_lens];
    let len = write_responses(&mut bytes, responses);
    assert_eq!(bytes[..len], reference_responses(responses, [true; 2]));
    let batch = ResponseBatch::decode(&bytes[..len]).expect("our own body");
    assert_eq!((batch.count(), batch.iter().len()), (responses.len(), responses.len()));
    assert_eq!(read_responses(&batch), responses);
    bytes.truncate(len);
    bytes.push(0);
    assert_eq!(ResponseBatch::decode_prefix(&bytes).map(|(_, rest)| rest), Ok(&[0][..]));
}

/// Writes what has room and cuts what has not; returns the body's length.
fn write_responses(into: &mut [u8], responses: &[OwnedResponse]) -> usize {
    let mut columns = ResponseColumns::new();
    let mut writer = ResponseWriter::new(into, &mut columns, responses.len()).expect("room without values");
    for response in responses {
        let Some(value) = &response.value else {
            writer.push(response.result);
            continue;
        };
        assert_eq!(writer.value_buf().len(), writer.room());
        if let Ok(word) = value[..].try_into()
            && writer.push_word(response.result, word)
        {
            continue;
        }
        let len = value.len().min(writer.room());
        writer.value_buf()[..len].copy_from_slice(&value[..len]);
        writer.push_value(response.result, len);
    }
    assert_eq!((writer.count(), writer.room()), (responses.len(), 0));
    writer.finish()
}

proptest! {
    #[test]
    fn requests_survive_their_encoding(requests in any_requests()) {
        check_requests(&requests);
    }

    /// W-B-9: what could fold and does not is read as well.
    #[test]
    fn unfolded_requests_mean_the_same(requests in any_requests(), fold in any::<[bool; 3]>()) {
        let bytes = reference_requests(&requests, fold);
        let batch = RequestBatch::decode(&bytes).expect("an unfolded body");
        prop_assert_eq!(read_requests(&batch), requests.iter().map(OwnedRequest::carried).collect::<Vec<_>>());
    }

    #[test]
    fn responses_survive_their_encoding(responses in any_responses()) {
        check_responses(&responses);
    }

    #[test]
    fn a_batch_knows_which_results_it_has(responses in any_responses(), fold in any::<[bool; 2]>()) {
        let body = reference_responses(&responses, fold);
        let batch = ResponseBatch::decode(&body).expect("a good body");
        for result in ResultCode::ALL {
            prop_assert_eq!(batch.has(result), responses.iter().any(|response| response.result == result));
        }
    }

    /// W-B-9, for responses.
    #[test]
    fn unfolded_responses_mean_the_same(responses in any_responses(), fold in any::<[bool; 2]>()) {
        let bytes = reference_responses(&responses, fold);
        prop_assert_eq!(read_responses(&ResponseBatch::decode(&bytes).expect("an unfolded body")), responses);
    }

    /// W-B-7, W-B-10: whatever the space, every request is answered in its place, and values get what is left.
    #[test]
    fn a_narrow_response_cuts_values_and_nothing_else(responses in any_responses(), spare in 0..300usize) {
        let mut bytes = vec![0xee; response_len_min(responses.len()) + spare];
        let len = write_responses(&mut bytes, &responses);
        let got = read_responses(&ResponseBatch::decode(&bytes[..len]).expect("our own body"));
        prop_assert_eq!(got.len(), responses.len());
        for (got, sent) in got.iter().zip(&responses) {
            prop_assert_eq!(got.result, sent.result);
            prop_assert_eq!(got.value.is_some(), sent.value.is_some());
            let (got, sent) = (got.value.as_deref().unwrap_or_default(), sent.value.as_deref().unwrap_or_default());
            prop_assert!(sent.starts_with(got));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// W-B-1 at its upper bound.
    #[test]
    fn a_full_batch_survives_its_encoding(requests in many_requests()) {
        check_requests(&requests);
    }
}

#[test]
fn a_cleared_writer_is_as_good_as_new() {
    let mut writer = RequestWriter::new();
    writer.push(&RawRequest { operation: 4, key: b"a", value: b"12345" }).expect("room");
    writer.clear();
    assert!(writer.is_empty());
    assert_eq!(writer.encode(&mut [0; 64]), None, "an empty batch has no encoding (W-B-1)");
    writer.push(&RawRequest { operation: 5, key: b"bcd", value: b"" }).expect("room");
    let mut bytes = [0; 64];
    let len = writer.encode(&mut bytes).expect("64 bytes suffice");
    assert_eq!(bytes[..len], encode_requests(&[OwnedRequest::new(5, b"bcd", b"")]));
}

#[test]
fn a_body_that_does_not_fit_is_not_begun() {
    let mut writer = RequestWriter::new();
    writer.push(&RawRequest { operation: 4, key: b"key", value: b"value" }).expect("room");
    let mut bytes = vec![0xee; writer.encoded_len() - 1];
    assert_eq!(writer.encode(&mut bytes), None);
    assert!(bytes.iter().all(|&byte| byte == 0xee));
}

/// Pushes `request` until the writer is full and returns how often; what it holds then is still right.
fn fill(writer: &mut RequestWriter, request: &RawRequest<'_>) -> usize {
    let mut count = 0;
    while writer.push(request).is_ok() {
        count += 1;
    }
    let mut bytes = vec![0; writer.encoded_len()];
    writer.encode(&mut bytes).expect("as long as announced");
    let batch = RequestBatch::decode(&bytes).expect("our own body");
    assert!(batch.iter().all(|got| got == *request));
    assert_eq!(batch.count(), count);
    count
}

/// Count (W-B-1), bytes of keys and bytes of values are bounded, each by itself.
#[test]
fn a_full_writer_refuses_and_stays_as_it_was() {
    let count = fill(&mut RequestWriter::new(), &RawRequest { operation: 5, key: b"k", value: b"" });
    assert_eq!(count, REQUEST_COUNT_MAX);
    let key = [7; 255];
    let count = fill(&mut RequestWriter::new(), &RawRequest { operation: 5, key: &key, value: b"" });
    assert_eq!(count, DATAGRAM_LEN_MAX / 255);
    let value = [9; 1000];
    let count = fill(&mut RequestWriter::new(), &RawRequest { operation: 4, key: b"k", value: &value });
    assert_eq!(count, DATAGRAM_LEN_MAX / 1000);
}

#[test]
fn of_requests_that_do_not_all_fit_none_is_added() {
    fn get(key: &[u8]) -> RawRequest<'_> {
        RawRequest { operation: 5, key, value: b"" }
    }
    fn set(value: &[u8]) -> RawRequest<'_> {
        RawRequest { operation: 4, key: b"k", value }
    }
    let long = vec![0; DATAGRAM_LEN_MAX];
    let mut writer = RequestWriter::new();
    writer.extend([get(b"a"), set(b"1")]).expect("room");
    let mut before = vec![0; writer.encoded_len()];
    writer.encode(&mut before).expect("as long as announced");
    for too_many in [
        vec![get(b"longer"); REQUEST_COUNT_MAX],
        vec![get(b"b"), set(&long)],
        vec![set(b"22"), get(&long[..255]), get(&long[..256])],
    ] {
        assert_eq!(writer.extend(too_many), Err(BatchFull));
        let mut after = vec![0; writer.encoded_len()];
        writer.encode(&mut after).expect("as long as announced");
        assert_eq!(after, before);
    }
    writer.extend([]).expect("nothing always fits");
    assert_eq!(writer.count(), 2);
}

#[test]
fn requests_added_at_once_are_those_added_one_by_one() {
    let requests: Vec<_> = (0..40)
        .map(|index| {
            let is_set = index % 16 == 15;
            OwnedRequest::new(if is_set { 4 } else { 5 }, &vec![1; 8 + index / 39], if is_set { b"value" } else { b"" })
        })
        .collect();
    for split in 0..requests.len() {
        let mut writer = RequestWriter::new();
        for part in [&requests[..split], &requests[split..]] {
            writer.extend(part.iter().map(OwnedRequest::raw)).expect("room");
        }
        let mut bytes = vec![0; writer.encoded_len()];
        writer.encode(&mut bytes).expect("as long as announced");
        assert_eq!(bytes, encode_requests(&requests));
    }
}

#[test]
fn a_lone_response_is_encoded_as_columns_would_encode_it() {
    for result in ResultCode::ALL {
        for value in [None, Some(&b""[..]), Some(b"12345678"), Some(b"a value of some length")] {
            let response = Response { result, value };
            let len = HEADER_LEN + value.unwrap_or_default().len();
            let (mut alone, mut columns) = (vec![0xee; len], ResponseColumns::new());
            assert_eq!(response.encode_alone(&mut alone[..len - 1]), None);
            assert_eq!(response.encode_alone(&mut alone), Some(len));
            let mut bytes = vec![0xee; len];
            let mut writer = ResponseWriter::new(&mut bytes, &mut columns, 1).expect("room");
            match value {
                None => writer.push(result),
                Some(value) => {
                    writer.value_buf()[..value.len()].copy_from_slice(value);
                    writer.push_value(result, value.len());
                }
            }
            assert_eq!(writer.finish(), len);
            assert_eq!(alone, bytes);
        }
    }
    let long = vec![0; 70_000];
    let response = Response { result: ResultCode::Success, value: Some(&long) };
    assert_eq!(response.encode_alone(&mut vec![0; 80_000]), None, "a length has 16 bits");
}

#[test]
fn what_no_batch_can_carry_is_refused() {
    let mut writer = RequestWriter::new();
    let long = vec![0; 70_000];
    assert_eq!(writer.push(&RawRequest { operation: 5, key: &long[..256], value: b"" }), Err(BatchFull));
    assert_eq!(writer.push(&RawRequest { operation: 4, key: b"k", value: &long }), Err(BatchFull));
    assert_eq!(
        writer.push(&RawRequest { operation: 4, key: b"k", value: &long[..DATAGRAM_LEN_MAX + 1] }),
        Err(BatchFull)
    );
    let operation = Operation::Set { value: &long[..DATAGRAM_LEN_MAX], ttl: NonZeroU64::new(1).map(TtlMs) };
    assert_eq!(writer.push_request(&Request { key: b"k", operation }), Err(BatchFull));
    assert!(writer.is_empty());
}

/// The largest request that the limits allow.
#[test]
fn the_longest_key_and_value_fit_a_batch() {
    let value = vec![1; VALUE_LEN_MAX];
    check_requests(&[OwnedRequest::new(4, &[2; 255], &value)]);
}

/// W-B-10
#[test]
fn a_response_needs_room_for_its_results() {
    let mut columns = ResponseColumns::new();
    let mut bytes = vec![0; response_len_min(REQUEST_COUNT_MAX + 1)];
    for count in [1, 2, 32, REQUEST_COUNT_MAX] {
        let len = response_len_min(count);
        assert!(ResponseWriter::new(&mut bytes[..len], &mut columns, count).is_some(), "{count}");
        assert!(ResponseWriter::new(&mut bytes[..len - 1], &mut columns, count).is_none(), "{count}");
    }
    assert!(ResponseWriter::new(&mut bytes, &mut columns, 0).is_none(), "W-B-1");
    assert!(ResponseWriter::new(&mut bytes, &mut columns, REQUEST_COUNT_MAX + 1).is_none(), "W-B-1");
}

/// W-B-10: one column entry always folds.
#[test]
fn a_lone_response_may_use_all_of_the_space() {
    let mut columns = ResponseColumns::new();
    let mut bytes = [0; 8 + 100];
    let mut writer = ResponseWriter::new(&mut bytes, &mut columns, 1).expect("room");
    assert_eq!(writer.room(), 100);
    writer.push_value(ResultCode::Success, 100);
    assert_eq!(writer.finish(), 108);
}

/// A value length has 16 bits.
#[test]
fn room_is_never_more_than_a_value_can_be_long() {
    let mut columns = ResponseColumns::new();
    let mut bytes = vec![0; 70_000];
    let writer = ResponseWriter::new(&mut bytes, &mut columns, 1).expect("room");
    assert_eq!(writer.room(), 65_535);
}

/// Bugs of a caller stop a debug build; a release build still answers every request.
#[test]
#[cfg_attr(debug_assertions, should_panic(expected = "without a response"))]
fn a_forgotten_request_is_answered_with_an_error() {
    let mut columns = ResponseColumns::new();
    let mut bytes = [0; 64];
    let mut writer = ResponseWriter::new(&mut bytes, &mut columns, 2).expect("room");
    writer.push(ResultCode::Success);
    let len = writer.finish();
    let results: Vec<_> = ResponseBatch::decode(&bytes[..len]).expect("valid").iter().map(|r| r.result).collect();
    assert_eq!(results, [ResultCode::Success, ResultCode::Error]);
}

#[test]
#[cfg_attr(debug_assertions, should_panic(expected = "a value of 57 bytes in the room of 56"))]
fn a_value_beyond_the_room_becomes_an_error() {
    let mut columns = ResponseColumns::new();
    let mut bytes = [0; 64];
    let mut writer = ResponseWriter::new(&mut bytes, &mut columns, 1).expect("room");
    writer.push_value(ResultCode::Success, 57);
    let len = writer.finish();
    let expected = [OwnedResponse { result: ResultCode::Error, value: None }];
    assert_eq!(read_responses(&ResponseBatch::decode(&bytes[..len]).expect("valid")), expected);
}

#[test]
#[cfg_attr(debug_assertions, should_panic(expected = "a response to no request"))]
fn a_response_too_many_is_ignored() {
    let mut columns = ResponseColumns::new();
    let mut bytes = [0; 64];
    let mut writer = ResponseWriter::new(&mut bytes, &mut columns, 1).expect("room");
    writer.push(ResultCode::NotFound);
    writer.push(ResultCode::Success);
    let len = writer.finish();
    let expected = [OwnedResponse { result: ResultCode::NotFound, value: None }];
    assert_eq!(read_responses(&ResponseBatch::decode(&bytes[..len]).expect("valid")), expected);
}
