//! Frames of the native protocol, from both ends.

mod batches;

use batches::{
    OwnedRequest, any_requests, any_responses, hex, read_requests, read_responses, reference_requests,
    reference_responses,
};
use proptest::prelude::*;
use qp_wire::batch::{BatchError, ResponseColumns, ResponseWriter, response_len_min};
use qp_wire::limits::DATAGRAM_LEN_MAX;
use qp_wire::native::{
    FLAG_PADDED, FrameHeader, FrameKind, HEADER_LEN, IDENTITY_RESPONSE_LEN_MAX, Identity, MAGIC_REQUEST, NativeError,
    RequestBody, RequestFrame, ResponseBody, ResponseFrame, VERSION, encode_header, encode_identity_request, is_native,
    pad, version_answer,
};
use qp_wire::{DropReason, ResultCode};

const HEADER: FrameHeader = FrameHeader { batch_id: 0x0102_0304, timestamp: 0x1122_3344_5566_7788 };

/// A GET of key "k", and the answer that there is none.
const GET: &str = "d5 01 00 00 04030201 8877665544332211  0100 07 05 01 00 0000 6b";
const MISS: &str = "d6 01 00 00 04030201 8877665544332211  0100 03 04 0000 0000";

/// A frame with this body.
fn frame(kind: FrameKind, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0xee; HEADER_LEN];
    encode_header(&mut frame, kind, 0, HEADER).expect("a header's length");
    frame.extend(body);
    frame
}

/// `frame` with a pad up to `frame_len`.
fn padded(mut frame: Vec<u8>, frame_len: usize) -> Vec<u8> {
    let len = frame.len();
    frame.resize(frame_len.max(len) + 1, 0xee);
    let len = pad(&mut frame, len, frame_len).expect("room");
    frame.truncate(len);
    frame
}

fn request_error(frame: &[u8]) -> NativeError {
    RequestFrame::decode(frame).expect_err("a bad request")
}

fn response_error(frame: &[u8]) -> NativeError {
    ResponseFrame::decode(frame).expect_err("a bad response")
}

/// W-C-50 to W-C-52, W-C-54, W-C-55
#[test]
fn a_frame_is_a_header_and_a_body() {
    let get = hex(GET);
    assert_eq!(frame(FrameKind::BatchRequest, &get[HEADER_LEN..]), get);
    let request = RequestFrame::decode(&get).expect("a golden frame");
    assert_eq!(request.header, HEADER);
    assert!(matches!(request.body, RequestBody::Batch(batch) if batch.bytes() == &get[HEADER_LEN..]));

    let miss = hex(MISS);
    assert_eq!(frame(FrameKind::BatchResponse, &miss[HEADER_LEN..]), miss);
    let response = ResponseFrame::decode(&miss).expect("a golden frame");
    assert_eq!(response.header, HEADER);
    assert!(matches!(response.body, ResponseBody::Batch(batch) if batch.bytes() == &miss[HEADER_LEN..]));
}

/// W-C-53: 7 bytes of pad, of which the last two say so.
#[test]
fn a_pad_ends_with_its_length() {
    let get = hex(GET);
    let golden = hex("d5 01 00 01 04030201 8877665544332211  0100 07 05 01 00 0000 6b  0000000000 0700");
    assert_eq!(padded(get.clone(), get.len() + 7), golden);
    let request = RequestFrame::decode(&golden).expect("a golden frame");
    assert!(matches!(request.body, RequestBody::Batch(batch) if batch.bytes() == &get[HEADER_LEN..]));
}

/// W-C-53: a sender writes zeros, a reader does not care.
#[test]
fn the_bytes_of_a_pad_are_ignored() {
    let frame = hex("d5 01 01 01 04030201 8877665544332211  ffffff 0500");
    assert!(matches!(RequestFrame::decode(&frame).map(|frame| frame.body), Ok(RequestBody::Identity)));
}

#[test]
fn a_pad_is_never_shorter_than_its_length_field() {
    let get = hex(GET);
    assert_eq!(padded(get.clone(), get.len()), get);
    assert_eq!(padded(get.clone(), get.len() - 1), get);
    assert_eq!(padded(get.clone(), get.len() + 1).len(), get.len() + 2);
    assert_eq!(padded(get.clone(), get.len() + 2).len(), get.len() + 2);
    let mut short = get.clone();
    short.push(0);
    assert_eq!(pad(&mut short, get.len(), get.len() + 2), None, "no room");
    assert_eq!(short[3] & FLAG_PADDED, 0, "a frame that was not padded does not say so");
    let mut long = vec![0; DATAGRAM_LEN_MAX + 10];
    assert_eq!(pad(&mut long, HEADER_LEN, DATAGRAM_LEN_MAX), Some(DATAGRAM_LEN_MAX));
    assert_eq!(pad(&mut long, DATAGRAM_LEN_MAX, DATAGRAM_LEN_MAX + 2), None, "longer than a datagram");
    assert_eq!(pad(&mut long, HEADER_LEN, 100), None, "padded before");
    assert_eq!(pad(&mut long, HEADER_LEN - 1, 100), None, "no frame");
}

/// W-C-53
#[test]
fn a_pad_that_cannot_be_is_refused() {
    let padded = |pad: &str| hex(&format!("d5 01 01 01 04030201 8877665544332211 {pad}"));
    for len in [0, 1, 5, 0xffff_u16] {
        let [low, high] = len.to_le_bytes();
        let frame = padded(&format!("0000{low:02x}{high:02x}"));
        assert_eq!(request_error(&frame), NativeError::Pad { len });
        assert_eq!(request_error(&frame).drop_reason(), DropReason::Malformed);
    }
    assert!(RequestFrame::decode(&padded("0000 0400")).is_ok());
    assert_eq!(request_error(&padded("00")), NativeError::Short { needed: 18, got: 17 });
}

/// W-C-50
#[test]
fn a_response_is_not_a_request_and_the_other_way_round() {
    assert_eq!(request_error(&hex(MISS)), NativeError::Direction { magic: 0xd6 });
    assert_eq!(request_error(&hex(MISS)).drop_reason(), DropReason::Response);
    assert_eq!(response_error(&hex(GET)), NativeError::Direction { magic: 0xd5 });
    for magic in (0..=u8::MAX).filter(|magic| !is_native(&[*magic])) {
        let mut frame = hex(GET);
        frame[0] = magic;
        assert_eq!(request_error(&frame), NativeError::Magic { magic });
        assert_eq!(request_error(&frame).drop_reason(), DropReason::Magic);
        assert_eq!(response_error(&frame), NativeError::Magic { magic });
    }
    assert!(!is_native(&[]));
}

/// W-C-51
#[test]
fn another_version_is_answered_once_with_ours() {
    let mut request = hex("d5 07 99 ff 04030201 8877665544332211  aabbcc");
    assert_eq!(request_error(&request), NativeError::Version { theirs: 7 });
    assert_eq!(request_error(&request).drop_reason(), DropReason::Version);
    let mut answer = [0xee; 20];
    assert_eq!(version_answer(&request, &mut answer), Some(16));
    assert_eq!(answer[..16], hex("d6 01 02 00 04030201 8877665544332211"));
    assert_eq!(answer[16..], [0xee; 4]);
    assert!(16 <= request.len(), "an answer is no longer than its request");

    let response = ResponseFrame::decode(&answer[..16]).expect("our own answer");
    assert_eq!(response.header, HEADER);
    assert!(matches!(response.body, ResponseBody::Version { theirs: VERSION }));
    assert_eq!(version_answer(&answer[..16], &mut [0; 16]), None, "an answer is never answered");

    assert_eq!(version_answer(&request, &mut [0; 15]), None, "no room");
    assert_eq!(version_answer(&request[..15], &mut [0; 16]), None, "shorter than the answer");
    request[1] = VERSION;
    assert_eq!(version_answer(&request, &mut [0; 16]), None, "nothing to say");
}

/// W-C-51: whatever a later version looks like, its answer is understood.
#[test]
fn the_answer_of_another_version_is_read() {
    let answer = hex("d6 09 02 f0 04030201 8877665544332211  0102030405");
    let response = ResponseFrame::decode(&answer).expect("an answer of version 9");
    assert_eq!(response.header, HEADER);
    assert!(matches!(response.body, ResponseBody::Version { theirs: 9 }));
    assert_eq!(response_error(&hex("d6 09 00 00 04030201 8877665544332211")), NativeError::Version { theirs: 9 });
}

/// W-C-52
#[test]
fn an_unknown_kind_is_refused() {
    for kind in 2..=u8::MAX {
        let (mut request, mut response) = (hex(GET), hex(MISS));
        request[2] = kind;
        response[2] = kind;
        assert_eq!(request_error(&request), NativeError::Kind { kind });
        assert_eq!(request_error(&request).drop_reason(), DropReason::Malformed);
        if kind != 2 {
            assert_eq!(response_error(&response), NativeError::Kind { kind });
        }
    }
}

/// W-C-53
#[test]
fn unknown_flags_are_refused() {
    for bit in 1..8 {
        let (mut request, mut response) = (hex(GET), hex(MISS));
        request[3] = 1 << bit;
        response[3] = 1 << bit;
        assert_eq!(request_error(&request), NativeError::Flags { flags: 1 << bit });
        assert_eq!(request_error(&request).drop_reason(), DropReason::Malformed);
        assert_eq!(response_error(&response), NativeError::Flags { flags: 1 << bit });
    }
}

/// W-C-55
#[test]
fn a_frame_ends_with_its_batch() {
    let mut frame = hex(GET);
    frame.push(0);
    assert_eq!(request_error(&frame), NativeError::Batch(BatchError::Trailing { len: 1 }));
    assert_eq!(request_error(&frame).drop_reason(), DropReason::Long);
    frame.truncate(frame.len() - 2);
    assert_eq!(request_error(&frame).drop_reason(), DropReason::Short);
    frame[HEADER_LEN] = 0;
    assert_eq!(request_error(&frame), NativeError::Batch(BatchError::Count { count: 0 }));
    assert_eq!(request_error(&frame).drop_reason(), DropReason::Malformed);
}

/// W-C-56
#[test]
fn a_request_for_the_identity_has_nothing_but_a_pad() {
    let mut frame = [0xee; IDENTITY_RESPONSE_LEN_MAX];
    let len = encode_identity_request(&mut frame, HEADER, IDENTITY_RESPONSE_LEN_MAX).expect("room");
    assert_eq!(len, IDENTITY_RESPONSE_LEN_MAX, "as long as the longest answer");
    let request = RequestFrame::decode(&frame).expect("our own frame");
    assert_eq!(request.header, HEADER);
    assert!(matches!(request.body, RequestBody::Identity));

    let len = encode_identity_request(&mut frame, HEADER, 0).expect("room");
    assert_eq!(frame[..len], hex("d5 01 01 00 04030201 8877665544332211"));
    assert_eq!(encode_identity_request(&mut frame[..15], HEADER, 0), None);
    assert_eq!(request_error(&frame[..20]), NativeError::Trailing { len: 4 });
    assert_eq!(request_error(&frame[..20]).drop_reason(), DropReason::Long);
}

/// W-C-57
#[test]
fn an_identity_travels_in_a_response() {
    let endpoints = [qp_wire::native::Endpoint::new(0, [10, 0, 0, 1], 11_311)];
    let identity = Identity {
        server_id: 1,
        epoch: 2,
        design: 3,
        concurrent_read: true,
        complete: true,
        frame_len_max: 1472,
        value_len_max: 1024,
        key_len_max: 255,
        owners: &[0, 0],
        endpoints: &endpoints,
    };
    let mut body = vec![0; identity.encoded_len()];
    identity.encode(&mut body).expect("room");
    let frame = frame(FrameKind::IdentityResponse, &body);
    let response = ResponseFrame::decode(&frame).expect("our own frame");
    assert!(matches!(response.body, ResponseBody::Identity(got) if got == identity));
    let error = response_error(&frame[..frame.len() - 1]);
    assert!(matches!(error, NativeError::Identity(_)), "{error:?}");
    assert_eq!(error.drop_reason(), DropReason::Malformed);
}

/// W-C-58
#[test]
fn a_frame_is_never_longer_than_a_datagram() {
    let longest = padded(hex(GET), DATAGRAM_LEN_MAX);
    assert_eq!(longest.len(), DATAGRAM_LEN_MAX);
    assert!(RequestFrame::decode(&longest).is_ok());
    let mut longer = longest;
    longer.push(0);
    assert_eq!(request_error(&longer), NativeError::Long { got: DATAGRAM_LEN_MAX + 1 });
    assert_eq!(request_error(&longer).drop_reason(), DropReason::Long);
}

/// W-C-59: 32 GETs of 8-byte keys. What the columns of the answer may take has to be in the request.
#[test]
fn a_padded_batch_may_be_answered_with_every_value() {
    let gets: Vec<_> = (0..32).map(|index: u64| OwnedRequest::new(5, &index.to_le_bytes(), b"")).collect();
    let request = frame(FrameKind::BatchRequest, &reference_requests(&gets, [true; 3]));
    let len = HEADER_LEN + response_len_min(gets.len()) + gets.len() * 8;
    let request = padded(request, len);
    assert_eq!(request.len(), len);

    let mut body = vec![0; request.len() - HEADER_LEN];
    let mut columns = ResponseColumns::new();
    let mut writer = ResponseWriter::new(&mut body, &mut columns, gets.len()).expect("room");
    for _ in &gets {
        assert!(writer.room() >= 8);
        writer.push_value(ResultCode::Success, 8);
    }
    assert!(HEADER_LEN + writer.finish() <= request.len());
}

#[test]
fn a_cut_header_is_short() {
    for frame in [hex(GET), hex(MISS)] {
        for len in 0..HEADER_LEN {
            let error =
                if frame[0] == MAGIC_REQUEST { request_error(&frame[..len]) } else { response_error(&frame[..len]) };
            assert_eq!(error, NativeError::Short { needed: HEADER_LEN, got: len });
            assert_eq!(error.drop_reason(), DropReason::Short);
        }
    }
}

/// Whatever the bytes are, both directions refuse them or read them.
fn check_any_frame(bytes: &[u8]) {
    if let Ok(frame) = RequestFrame::decode(bytes) {
        if let RequestBody::Batch(batch) = frame.body {
            assert_eq!(read_requests(&batch).len(), batch.count());
        }
        assert_eq!(version_answer(bytes, &mut [0; 16]), None);
    }
    if let Ok(frame) = ResponseFrame::decode(bytes) {
        if let ResponseBody::Batch(batch) = frame.body {
            assert_eq!(read_responses(&batch).len(), batch.count());
        }
        assert_eq!(version_answer(bytes, &mut [0; 16]), None, "a response is never answered (W-C-50)");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_read(mut bytes in proptest::collection::vec(any::<u8>(), 0..64), first in 0xd4..0xd8u8) {
        check_any_frame(&bytes);
        if let [magic, version, kind, flags, ..] = &mut bytes[..] {
            (*magic, *version, *kind, *flags) = (first, 1, *kind & 3, *flags & 1);
        }
        check_any_frame(&bytes);
    }

    #[test]
    fn a_padded_frame_means_the_same(requests in any_requests(), responses in any_responses(), pad_len in 0..99usize) {
        let body = reference_requests(&requests, [true; 3]);
        let request = frame(FrameKind::BatchRequest, &body);
        let len = request.len() + pad_len;
        let request = padded(request, len);
        let decoded = RequestFrame::decode(&request).expect("our own frame");
        let is_same = matches!(decoded.body, RequestBody::Batch(batch) if batch.bytes() == body);
        prop_assert!(is_same);

        let body = reference_responses(&responses, [true; 2]);
        let response = frame(FrameKind::BatchResponse, &body);
        let len = response.len() + pad_len;
        let response = padded(response, len);
        let decoded = ResponseFrame::decode(&response).expect("our own frame");
        let is_same = matches!(decoded.body, ResponseBody::Batch(batch) if batch.bytes() == body);
        prop_assert!(is_same);
    }

    #[test]
    fn every_cut_of_a_frame_is_refused(requests in any_requests(), responses in any_responses()) {
        let request = frame(FrameKind::BatchRequest, &reference_requests(&requests, [true; 3]));
        for len in 0..request.len() {
            let error = request_error(&request[..len]);
            prop_assert_eq!(error.drop_reason(), DropReason::Short);
        }
        let response = frame(FrameKind::BatchResponse, &reference_responses(&responses, [true; 2]));
        for len in 0..response.len() {
            prop_assert!(ResponseFrame::decode(&response[..len]).is_err());
        }
    }

    /// A cut takes the pad's length away, so what is left is read as some other pad or none.
    #[test]
    fn every_cut_of_a_padded_frame_is_refused_or_read(requests in any_requests(), pad_len in 2..99usize) {
        let request = frame(FrameKind::BatchRequest, &reference_requests(&requests, [true; 3]));
        let len = request.len() + pad_len;
        let request = padded(request, len);
        for len in 0..request.len() {
            check_any_frame(&request[..len]);
        }
    }
}
