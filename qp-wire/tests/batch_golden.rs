//! Batch bodies byte by byte, as `docs/wire-format.md` has them.

mod batches;

use core::num::NonZeroU64;

use batches::{OwnedRequest, OwnedResponse, encode_requests, hex, read_requests, read_responses};
use qp_wire::batch::{RequestBatch, RequestWriter, ResponseBatch, ResponseColumns, ResponseWriter};
use qp_wire::{Operation, RawRequest, Request, ResultCode, TtlMs};

fn assert_requests(requests: &[OwnedRequest], picture: &str) {
    assert_eq!(encode_requests(requests), hex(picture));
    let bytes = hex(picture);
    let batch = RequestBatch::decode(&bytes).expect("a golden body");
    assert_eq!(batch.bytes(), bytes);
    assert_eq!(read_requests(&batch), requests);
}

/// Three requests of one operation and equal lengths: no column is left (W-B-3, W-B-9).
#[test]
fn equal_requests_need_no_columns() {
    let gets = [b"k1", b"k2", b"k3"].map(|key| OwnedRequest::new(5, key, b""));
    // A batch without values folds its empty column of lengths, too.
    assert_requests(&gets, "0300 07 05 02 00 0000  6b31 6b32 6b33");
    let sets = [b"k1", b"k2"].map(|key| OwnedRequest::new(4, key, b"abc"));
    assert_requests(&sets, "0200 07 04 02 00 0300  6b31 6b32  616263 616263");
}

/// A GET, a SET and a NOOP_WRITE: the GET has no entry among the value lengths (W-B-3, W-B-4).
#[test]
fn only_requests_with_a_value_field_have_a_value_length() {
    let requests =
        [OwnedRequest::new(5, b"k", b""), OwnedRequest::new(4, b"key", b"v"), OwnedRequest::new(2, b"", b"xy")];
    assert_requests(&requests, "0300 00 00 00 00 0000  05 04 02  01 03 00  0100 0200  6b 6b6579  76 7879");
}

/// Columns fold one by one (W-B-9).
#[test]
fn a_mixed_column_leaves_the_others_folded() {
    let requests = [OwnedRequest::new(5, b"k1", b""), OwnedRequest::new(4, b"k2", b"v")];
    assert_requests(&requests, "0200 06 00 02 00 0100  05 04  6b31 6b32  76");
}

/// Operations that nobody knows travel with their value (W-B-4).
#[test]
fn an_unknown_operation_keeps_its_value() {
    assert_requests(&[OwnedRequest::new(0x7e, b"k", b"v")], "0100 07 7e 01 00 0100  6b 76");
}

/// The time to live leads the value field, and bit 7 of the operation says so (W-B-5).
#[test]
fn operands_have_their_place_in_the_value_field() {
    let ttl = NonZeroU64::new(0x0102).map(TtlMs);
    let golden = [
        (Operation::Set { value: b"v", ttl }, "0100 07 84 01 00 0900  6b  0201000000000000 76"),
        (Operation::Add { value: b"v", ttl: None }, "0100 07 03 01 00 0100  6b  76"),
        (Operation::Increment { delta: 258 }, "0100 07 08 01 00 0800  6b  0201000000000000"),
        (
            Operation::CompareAndSet { expected: b"ab", new: b"c", ttl },
            "0100 07 89 01 00 0d00  6b  0201000000000000 0200 6162 63",
        ),
        (Operation::Append { suffix: b"xyz" }, "0100 07 0a 01 00 0300  6b  78797a"),
        (Operation::Touch { ttl: None }, "0100 07 0b 01 00 0800  6b  0000000000000000"),
        (Operation::Ttl, "0100 07 0c 01 00 0000  6b"),
    ];
    for (operation, picture) in golden {
        let mut writer = RequestWriter::new();
        writer.push_request(&Request { key: b"k", operation }).expect("an empty writer has room");
        let mut bytes = [0; 64];
        let len = writer.encode(&mut bytes).expect("64 bytes suffice");
        assert_eq!(bytes[..len], hex(picture), "{operation:?}");
        let request = RequestBatch::decode(&bytes[..len]).expect("a golden body").iter().next();
        assert_eq!(request.map(RawRequest::decode), Some(Ok(Request { key: b"k", operation })));
    }
}

fn assert_responses(responses: &[(ResultCode, Option<&[u8]>)], picture: &str) {
    let mut bytes = [0xee; 64];
    let mut columns = ResponseColumns::new();
    let mut writer = ResponseWriter::new(&mut bytes, &mut columns, responses.len()).expect("64 bytes suffice");
    for &(result, value) in responses {
        match value {
            None => writer.push(result),
            Some(value) => {
                writer.value_buf()[..value.len()].copy_from_slice(value);
                writer.push_value(result, value.len());
            }
        }
    }
    let len = writer.finish();
    assert_eq!(bytes[..len], hex(picture));
    let expected: Vec<_> =
        responses.iter().map(|&(result, value)| OwnedResponse { result, value: value.map(<[u8]>::to_vec) }).collect();
    assert_eq!(read_responses(&ResponseBatch::decode(&bytes[..len]).expect("a golden body")), expected);
}

/// Hits of one length, and writes that all went well (W-B-8, W-B-9).
#[test]
fn equal_responses_need_no_columns() {
    let hit: (_, Option<&[u8]>) = (ResultCode::Success, Some(b"v1"));
    assert_responses(&[hit, hit], "0200 03 80 0200 0000  7631 7631");
    assert_responses(&[(ResultCode::Success, None); 3], "0300 03 00 0000 0000");
}

/// A hit, a miss and an empty value: the miss has no entry among the value lengths, the empty value has (W-B-8).
#[test]
fn a_miss_and_an_empty_value_differ() {
    assert_responses(
        &[(ResultCode::Success, Some(b"abc")), (ResultCode::NotFound, None), (ResultCode::Success, Some(b""))],
        "0300 00 00 0000 0000  80 04 80  0300 0000  616263",
    );
}

/// Values that were written before their columns move behind them (W-B-3).
#[test]
fn a_late_miss_moves_the_values_up() {
    assert_responses(
        &[(ResultCode::Success, Some(b"ab")), (ResultCode::Success, Some(b"cd")), (ResultCode::NotFound, None)],
        "0300 02 00 0200 0000  80 80 04  6162 6364",
    );
}
