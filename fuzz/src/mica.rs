//! MICA2's payloads, from either end.

use qp_wire::ResultCode;
use qp_wire::mica::{
    ENTRY_COUNT_MAX, MicaRequest, MicaResponse, RequestFrame, RequestWriter, ResponseFrame, ResponseHead,
    ResponseWriter,
};

/// Any bytes as a request: what is accepted is encoded again to an equal frame of the same length, and has an answer that
/// is no longer, whatever the store has to tell.
///
/// Returns how many requests there were.
pub fn check_mica_request(data: &[u8]) -> usize {
    let Ok(frame) = RequestFrame::decode(data) else { return 0 };
    let requests: Vec<MicaRequest<'_>> = frame.requests().collect();
    assert_eq!((requests.len(), frame.requests().len()), (frame.count(), frame.count()));
    assert!((1..=ENTRY_COUNT_MAX).contains(&requests.len()));

    let mut encoded = vec![0xa5; data.len()];
    let mut writer = RequestWriter::new(&mut encoded).expect("room for what was there before");
    for request in &requests {
        writer.push(request).expect("room for what was there before");
    }
    assert_eq!(writer.finish(), data.len());
    let again = RequestFrame::decode(&encoded).expect("an encoded frame");
    assert!(again.requests().eq(requests.iter().copied()), "a request was changed by its encoding");

    for value_len in [0, 8, 9, data.len()] {
        check_answer(&frame, data.len(), value_len);
    }
    requests.len()
}

/// Answers each request with a value of `value_len` bytes, if that fits, in as many bytes as the requests took.
fn check_answer(frame: &RequestFrame<'_>, room: usize, value_len: usize) {
    assert!(frame.response_len_min() <= room, "an answer needs more bytes than its question had");
    let value = vec![0x5a; value_len];
    let mut into = vec![0xa5; room];
    let mut writer = ResponseWriter::new(&mut into, frame.response_len_min()).expect("room for the least answer");
    let mut expected = Vec::new();
    for request in frame.requests() {
        let head = request.head();
        let refusal = request.decode().err();
        // An increment's answer has its 8 bytes; nothing else is sure to have room for a value.
        let value = if head.value_len_min > 0 { &[0x5a; 8][..] } else { &value[..] };
        let result = refusal.unwrap_or(ResultCode::Success);
        let (result, value) = match writer.push(head, result, refusal.is_none().then_some(value)) {
            Ok(()) => (result, if refusal.is_none() { value } else { &[][..] }),
            Err(_) => {
                assert_eq!(head.value_len_min, 0, "an increment that was done cannot be told");
                writer.push(head, ResultCode::NotProcessed, None).expect("the least answer always fits");
                (ResultCode::NotProcessed, &[][..])
            }
        };
        let ResponseHead { operation, key_hash, opaque, .. } = head;
        expected.push(MicaResponse { operation, result: result.to_mica(), key_hash, opaque, value });
    }
    let len = writer.finish();
    assert!(len <= room);
    let answer = ResponseFrame::decode(&into[..len]).expect("a client takes what a server writes");
    assert!(answer.responses().eq(expected), "an answer was changed by its encoding");
}

/// Any bytes as a response: what is accepted is encoded again to an equal frame of the same length.
///
/// Returns how many responses there were.
pub fn check_mica_response(data: &[u8]) -> usize {
    let Ok(frame) = ResponseFrame::decode(data) else { return 0 };
    let responses: Vec<MicaResponse<'_>> = frame.responses().collect();
    assert_eq!((responses.len(), frame.responses().len()), (frame.count(), frame.count()));
    assert!((1..=ENTRY_COUNT_MAX).contains(&responses.len()));

    let mut encoded = vec![0xa5; data.len()];
    let mut writer = ResponseWriter::new(&mut encoded, 0).expect("room for what was there before");
    for &MicaResponse { operation, result, key_hash, opaque, value } in &responses {
        let head = ResponseHead { key_hash, opaque, operation, value_len_min: 0 };
        writer.push(head, result, Some(value)).expect("room for what was there before");
    }
    assert_eq!(writer.finish(), data.len());
    let again = ResponseFrame::decode(&encoded).expect("an encoded frame");
    assert!(again.responses().eq(responses.iter().copied()), "a response was changed by its encoding");
    responses.len()
}
