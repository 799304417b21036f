//! Frames of the native protocol, from either end.

use qp_wire::limits::DATAGRAM_LEN_MAX;
use qp_wire::native::{
    FrameHeader, FrameKind, HEADER_LEN, IDENTITY_LEN_MAX, Identity, MAGIC_REQUEST, NativeError, RequestBody,
    RequestFrame, ResponseBody, ResponseFrame, VERSION, encode_header, encode_identity_request, pad, version_answer,
};
use qp_wire::protocol::{Protocol, protocol_of};

use crate::batches::{check_requests, check_responses};

/// Any bytes as a request: what is accepted is encoded again to an equal frame in the one form that senders use, and what
/// is of another version gets an answer of 16 bytes.
///
/// Returns how many requests there were, a question for the identity being one.
pub fn check_native_request(data: &[u8]) -> usize {
    check_version_answer(data);
    match RequestFrame::decode(data) {
        Err(error) => {
            check_error(&error);
            0
        }
        Ok(RequestFrame { header, body: RequestBody::Batch(batch) }) => {
            assert_eq!(protocol_of(data), Ok(Protocol::Native));
            let body = check_requests(&batch).expect("it was in a frame");
            let frame = frame(FrameKind::BatchRequest, header, &body);
            assert!(frame.len() <= data.len());
            for frame_len in [0, frame.len() + 1, frame.len() + 2, data.len()] {
                check_padded(&frame, frame_len, header, &body);
            }
            batch.count()
        }
        Ok(RequestFrame { header, body: RequestBody::Identity }) => {
            let mut again = vec![0xa5; data.len() + 1];
            let len = encode_identity_request(&mut again, header, data.len()).expect("room for a pad");
            // No pad has a single byte.
            assert_eq!(len, data.len() + usize::from(data.len() == HEADER_LEN + 1));
            let again = RequestFrame::decode(&again[..len]).expect("an encoded frame");
            assert!(again.header == header && matches!(again.body, RequestBody::Identity));
            1
        }
    }
}

/// A frame around a body.
pub(crate) fn frame(kind: FrameKind, header: FrameHeader, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; HEADER_LEN + body.len()];
    frame[HEADER_LEN..].copy_from_slice(body);
    encode_header(&mut frame, kind, 0, header).expect("room for the header");
    frame
}

/// A pad changes nothing but the frame's length.
fn check_padded(frame: &[u8], frame_len: usize, header: FrameHeader, body: &[u8]) {
    let mut padded = [frame, &vec![0xa5; frame_len.saturating_sub(frame.len()) + 1]].concat();
    let Some(len) = pad(&mut padded, frame.len(), frame_len) else {
        assert!(frame_len.max(frame.len() + 2) > DATAGRAM_LEN_MAX, "there was room");
        return;
    };
    assert!(len >= frame_len.max(frame.len()) && len <= frame_len.max(frame.len()) + 1);
    let again = RequestFrame::decode(&padded[..len]).expect("a padded frame");
    assert_eq!(again.header, header);
    assert!(matches!(again.body, RequestBody::Batch(batch) if batch.bytes() == body), "a pad has changed the batch");
}

/// Only a request of another version is told ours, in no more bytes than it had (W-C-51).
fn check_version_answer(data: &[u8]) {
    let mut answer = [0xa5; HEADER_LEN];
    let deserved = data.len() >= HEADER_LEN && data[0] == MAGIC_REQUEST && data[1] != VERSION;
    let len = version_answer(data, &mut answer);
    assert_eq!(len, deserved.then_some(HEADER_LEN));
    if deserved {
        let frame = ResponseFrame::decode(&answer).expect("a version answer is a response");
        assert!(matches!(frame.body, ResponseBody::Version { theirs: VERSION }));
        assert_eq!(answer[4..], data[4..HEADER_LEN], "W-C-54: number and time come back");
        let theirs = data[1];
        let is_long = data.len() > DATAGRAM_LEN_MAX;
        let error = if is_long { NativeError::Long { got: data.len() } } else { NativeError::Version { theirs } };
        assert_eq!(RequestFrame::decode(data).map(|_| ()), Err(error));
    }
}

/// Every error has words, and a reason to be counted under.
fn check_error(error: &NativeError) {
    assert!(!error.to_string().is_empty());
    assert!(qp_wire::DropReason::ALL.contains(&error.drop_reason()));
}

/// Any bytes as a response, as a client meets them: what is accepted is encoded again to an equal frame.
///
/// Returns how many responses there were, an identity or a version answer being one.
pub fn check_native_response(data: &[u8]) -> usize {
    let ResponseFrame { header, body } = match ResponseFrame::decode(data) {
        Ok(frame) => frame,
        Err(error) => {
            check_error(&error);
            return 0;
        }
    };
    match body {
        ResponseBody::Batch(batch) => {
            let body = check_responses(&batch);
            let again = frame(FrameKind::BatchResponse, header, &body);
            assert!(again.len() <= data.len());
            let again = ResponseFrame::decode(&again).expect("an encoded frame");
            assert_eq!(again.header, header);
            assert!(matches!(again.body, ResponseBody::Batch(again) if again.bytes() == body));
            batch.count()
        }
        ResponseBody::Identity(identity) => {
            check_identity(&identity, header);
            1
        }
        ResponseBody::Version { theirs } => {
            assert_eq!(theirs, data[1]);
            1
        }
    }
}

/// An identity has exactly one encoding, and a client that believes it always has somewhere to send a request.
fn check_identity(identity: &Identity<'_>, header: FrameHeader) {
    let mut body = vec![0xa5; IDENTITY_LEN_MAX];
    let len = identity.encode(&mut body).expect("no identity is longer than the longest");
    assert_eq!(len, identity.encoded_len());
    assert!(identity.encode(&mut body[..len - 1]).is_err());
    let again = frame(FrameKind::IdentityResponse, header, &body[..len]);
    let again = ResponseFrame::decode(&again).expect("an encoded frame");
    assert_eq!(again.header, header);
    assert!(matches!(again.body, ResponseBody::Identity(again) if again == *identity));
    let has_home = |owner: &u8| identity.endpoints.iter().any(|endpoint| endpoint.label() == *owner);
    assert!(!identity.complete || identity.owners.iter().all(has_home), "a partition without an endpoint");
    assert!(identity.key_len_max > 0 && !identity.endpoints.is_empty() && !identity.owners.is_empty());
}
