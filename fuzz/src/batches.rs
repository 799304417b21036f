//! Batch bodies, which the native wire and the queue pair share.

use qp_wire::batch::{
    RequestBatch, RequestWriter, Response, ResponseBatch, ResponseColumns, ResponseWriter, response_len_min,
};
use qp_wire::limits::{DATAGRAM_LEN_MAX, REQUEST_COUNT_MAX};
use qp_wire::{RawRequest, Request};

/// A body in the one form that senders use, or `None` if no frame could carry it.
///
/// # Panics
/// If the batch and what its own encoding says differ.
pub(crate) fn check_requests(batch: &RequestBatch<'_>) -> Option<Vec<u8>> {
    let requests: Vec<RawRequest<'_>> = batch.iter().collect();
    assert_eq!((requests.len(), batch.iter().len()), (batch.count(), batch.count()));
    assert!((1..=REQUEST_COUNT_MAX).contains(&requests.len()));
    let keys_len: usize = requests.iter().map(|request| request.key.len()).sum();
    let values_len: usize = requests.iter().map(|request| request.value.len()).sum();
    assert!(keys_len + values_len <= batch.bytes().len(), "bytes were counted twice");
    requests.iter().for_each(check_meaning);
    if keys_len > DATAGRAM_LEN_MAX || values_len > DATAGRAM_LEN_MAX {
        return None;
    }

    let mut writer = Box::new(RequestWriter::new());
    for request in &requests {
        let len = writer.encoded_len_with(request);
        writer.push(request).expect("room for what a frame carries");
        assert_eq!(writer.encoded_len(), len, "a length was foretold wrongly");
    }
    let mut body = vec![0xa5; writer.encoded_len()];
    assert_eq!(writer.encode(&mut body), Some(body.len()));
    assert!(body.len() <= batch.bytes().len(), "W-B-9: nobody needs fewer bytes");
    let again = RequestBatch::decode(&body).expect("an encoded body");
    assert!(again.iter().eq(requests), "a request was changed by its encoding");
    Some(body)
}

/// A request that means something still means it when its operands were encoded again.
fn check_meaning(raw: &RawRequest<'_>) {
    let Ok(request) = raw.decode() else { return };
    let mut value = vec![0xa5; request.operation.value_len()];
    assert_eq!(request.operation.encode_value(&mut value), Some(value.len()));
    let again = RawRequest { operation: request.operation.to_wire(), key: request.key, value: &value };
    assert_eq!(again.decode(), Ok(Request { key: raw.key, operation: request.operation }));
}

/// A body in the one form that senders use.
///
/// # Panics
/// If the batch and what its own encoding says differ.
pub(crate) fn check_responses(batch: &ResponseBatch<'_>) -> Vec<u8> {
    let responses: Vec<Response<'_>> = batch.iter().collect();
    assert_eq!((responses.len(), batch.iter().len()), (batch.count(), batch.count()));
    assert!((1..=REQUEST_COUNT_MAX).contains(&responses.len()));
    let values_len: usize = responses.iter().filter_map(|response| response.value).map(<[u8]>::len).sum();
    assert!(values_len <= batch.bytes().len(), "bytes were counted twice");

    let body = encode_responses(&responses);
    assert!(body.len() <= batch.bytes().len(), "W-B-9: nobody needs fewer bytes");
    let again = ResponseBatch::decode(&body).expect("an encoded body");
    assert!(again.iter().eq(responses), "a response was changed by its encoding");
    body
}

/// The body that a server writes for these responses.
pub(crate) fn encode_responses(responses: &[Response<'_>]) -> Vec<u8> {
    let values_len: usize = responses.iter().filter_map(|response| response.value).map(<[u8]>::len).sum();
    let mut body = vec![0xa5; response_len_min(responses.len()) + values_len];
    let mut columns = ResponseColumns::new();
    let mut writer = ResponseWriter::new(&mut body, &mut columns, responses.len()).expect("room for the least answers");
    for response in responses {
        match response.value {
            None => writer.push(response.result),
            Some(value) => {
                writer.value_buf()[..value.len()].copy_from_slice(value);
                writer.push_value(response.result, value.len());
            }
        }
    }
    let len = writer.finish();
    body.truncate(len);
    body
}
