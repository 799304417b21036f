//! Bodies that nobody should have sent.

mod batches;

use batches::{any_requests, any_responses, read_requests, read_responses, reference_requests, reference_responses};
use proptest::prelude::*;
use qp_wire::ResultCode;
use qp_wire::batch::{BatchError, RequestBatch, ResponseBatch};
use qp_wire::limits::REQUEST_COUNT_MAX;

/// Whatever the bytes are: an error, or exactly the announced requests in exactly these bytes.
fn check_any_requests(bytes: &[u8]) {
    let Ok((batch, rest)) = RequestBatch::decode_prefix(bytes) else { return };
    assert_eq!([batch.bytes(), rest].concat(), bytes);
    let requests = read_requests(&batch);
    assert_eq!(requests.len(), batch.count());
    let shortest = reference_requests(&requests, [true; 3]);
    assert!(shortest.len() <= batch.bytes().len(), "folding makes nothing longer (W-B-9)");
    assert_eq!(RequestBatch::decode(&shortest).map(|batch| read_requests(&batch)), Ok(requests));
}

/// The same for responses.
fn check_any_responses(bytes: &[u8]) {
    let Ok((batch, rest)) = ResponseBatch::decode_prefix(bytes) else { return };
    assert_eq!([batch.bytes(), rest].concat(), bytes);
    let responses = read_responses(&batch);
    assert_eq!(responses.len(), batch.count());
    let shortest = reference_responses(&responses, [true; 2]);
    assert!(shortest.len() <= batch.bytes().len(), "folding makes nothing longer (W-B-9)");
    assert_eq!(ResponseBatch::decode(&shortest).map(|batch| read_responses(&batch)), Ok(responses));
}

/// A header that may well be right, and bytes that may well be enough for it.
fn plausible() -> impl Strategy<Value = Vec<u8>> {
    let header = (prop_oneof![0..40u16, any::<u16>()], 0..8u8, 0..14u8, 0..20u8, prop_oneof![Just(0u16), 0..40u16]);
    (header, proptest::collection::vec(any::<u8>(), 0..2000)).prop_map(|((count, flags, third, fourth, len), tail)| {
        let [len_low, len_high] = len.to_le_bytes();
        let mut bytes = count.to_le_bytes().to_vec();
        bytes.extend([flags, third, fourth, 0, len_low, len_high]);
        bytes.extend(tail);
        bytes
    })
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        check_any_requests(&bytes);
        check_any_responses(&bytes);
    }

    #[test]
    fn a_plausible_header_over_any_bytes_is_refused_or_read(bytes in plausible()) {
        check_any_requests(&bytes);
        check_any_responses(&bytes);
    }

    #[test]
    fn a_good_body_with_one_bad_byte_is_refused_or_read(
        requests in any_requests(), responses in any_responses(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        for mut bytes in [reference_requests(&requests, [true; 3]), reference_responses(&responses, [true; 2])] {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            check_any_requests(&bytes);
            check_any_responses(&bytes);
        }
    }

    /// W-B-6
    #[test]
    fn every_cut_of_a_request_body_is_refused(requests in any_requests(), fold in any::<[bool; 3]>()) {
        let bytes = reference_requests(&requests, fold);
        for len in 0..bytes.len() {
            let error = RequestBatch::decode(&bytes[..len]).map(|_| ()).unwrap_err();
            let is_truncated = matches!(error, BatchError::Truncated { needed, got } if got == len && needed > len);
            prop_assert!(is_truncated, "{error:?}");
        }
    }

    /// W-B-6
    #[test]
    fn every_cut_of_a_response_body_is_refused(responses in any_responses(), fold in any::<[bool; 2]>()) {
        let bytes = reference_responses(&responses, fold);
        for len in 0..bytes.len() {
            let error = ResponseBatch::decode(&bytes[..len]).map(|_| ()).unwrap_err();
            let is_truncated = matches!(error, BatchError::Truncated { needed, got } if got == len && needed > len);
            prop_assert!(is_truncated, "{error:?}");
        }
    }

    /// W-B-6
    #[test]
    fn bytes_behind_a_body_are_refused(requests in any_requests(), responses in any_responses(), len in 1..9usize) {
        let mut bytes = reference_requests(&requests, [true; 3]);
        bytes.extend(vec![0; len]);
        prop_assert_eq!(RequestBatch::decode(&bytes).map(|_| ()), Err(BatchError::Trailing { len }));
        let mut bytes = reference_responses(&responses, [true; 2]);
        bytes.extend(vec![0; len]);
        prop_assert_eq!(ResponseBatch::decode(&bytes).map(|_| ()), Err(BatchError::Trailing { len }));
    }
}

fn request_error(bytes: &[u8]) -> Option<BatchError> {
    RequestBatch::decode(bytes).err()
}

fn response_error(bytes: &[u8]) -> Option<BatchError> {
    ResponseBatch::decode(bytes).err()
}

/// W-B-1
#[test]
fn a_count_beyond_the_bounds_is_refused() {
    for count in [0, REQUEST_COUNT_MAX as u16 + 1, u16::MAX] {
        let [low, high] = count.to_le_bytes();
        // NOOP_READ without keys: a count is all there is.
        assert_eq!(request_error(&[low, high, 7, 1, 0, 0, 0, 0]), Some(BatchError::Count { count }));
        assert_eq!(response_error(&[low, high, 3, 0, 0, 0, 0, 0]), Some(BatchError::Count { count }));
    }
    let [low, high] = (REQUEST_COUNT_MAX as u16).to_le_bytes();
    assert_eq!(request_error(&[low, high, 7, 1, 0, 0, 0, 0]), None);
    assert_eq!(response_error(&[low, high, 3, 0, 0, 0, 0, 0]), None);
}

/// W-B-2
#[test]
fn what_is_reserved_has_to_be_zero() {
    for bit in 3..8 {
        assert_eq!(request_error(&[1, 0, 7 | 1 << bit, 1, 0, 0, 0, 0]), Some(BatchError::Reserved), "flag {bit}");
    }
    for bit in 2..8 {
        assert_eq!(response_error(&[1, 0, 3 | 1 << bit, 0, 0, 0, 0, 0]), Some(BatchError::Reserved), "flag {bit}");
    }
    assert_eq!(request_error(&[1, 0, 7, 1, 0, 1, 0, 0]), Some(BatchError::Reserved));
    assert_eq!(response_error(&[1, 0, 3, 0, 0, 0, 1, 0]), Some(BatchError::Reserved));
    assert_eq!(response_error(&[1, 0, 3, 0, 0, 0, 0, 1]), Some(BatchError::Reserved));
}

/// W-B-2: a field whose column does not fold is not in use.
#[test]
fn a_field_beside_its_own_column_has_to_be_zero() {
    let good: [&[u8]; 3] =
        [&[1, 0, 0b110, 0, 0, 0, 0, 0, 2], &[1, 0, 0b101, 2, 0, 0, 0, 0, 0], &[1, 0, 0b011, 2, 0, 0, 0, 0, 0, 0]];
    for (bytes, fields) in good.into_iter().zip([3..4, 4..5, 6..8]) {
        assert_eq!(request_error(bytes), None);
        for at in fields {
            let mut bytes = bytes.to_vec();
            bytes[at] = 1;
            assert_eq!(request_error(&bytes), Some(BatchError::Reserved), "field {at}");
        }
    }
    let good: [&[u8]; 2] = [&[1, 0, 0b10, 0, 0, 0, 0, 0, 0], &[1, 0, 0b01, 0x80, 0, 0, 0, 0, 0, 0]];
    for (bytes, fields) in good.into_iter().zip([3..4, 4..6]) {
        assert_eq!(response_error(bytes), None);
        for at in fields {
            let mut bytes = bytes.to_vec();
            bytes[at] = 1;
            assert_eq!(response_error(&bytes), Some(BatchError::Reserved), "field {at}");
        }
    }
}

/// W-B-8
#[test]
fn an_unknown_result_is_refused() {
    for value in 0..=u8::MAX {
        let expected = ResultCode::from_wire(value & 0x7f).is_none().then_some(BatchError::Result { value });
        assert_eq!(response_error(&[2, 0, 3, value, 0, 0, 0, 0]), expected, "folded");
        assert_eq!(response_error(&[2, 0, 2, 0, 0, 0, 0, 0, 0, value]), expected, "in a column");
    }
}

/// Equal lengths of values that do not exist say nothing, and nothing is wrong with them (W-B-9).
#[test]
fn a_folded_length_without_values_is_harmless() {
    assert_eq!(request_error(&[1, 0, 7, 5, 1, 0, 0xff, 0xff, b'k']), None);
    assert_eq!(response_error(&[1, 0, 3, 4, 0xff, 0xff, 0, 0]), None);
}

/// The largest numbers that a header can announce.
#[test]
fn announced_lengths_do_not_overflow() {
    let [low, high] = (REQUEST_COUNT_MAX as u16).to_le_bytes();
    let needed = 8 + REQUEST_COUNT_MAX * 255;
    assert_eq!(request_error(&[low, high, 7, 4, 255, 0, 255, 255]), Some(BatchError::Truncated { needed, got: 8 }));
    let needed = 8 + REQUEST_COUNT_MAX * 65_535;
    assert_eq!(response_error(&[low, high, 3, 0x80, 255, 255, 0, 0]), Some(BatchError::Truncated { needed, got: 8 }));
}
