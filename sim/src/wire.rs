//! The two client protocols, as a simulated client speaks them.
//!
//! A client that tests servers must not be the product's client: two ends that share a mistake agree on it. So this one
//! uses the codecs of `qp-wire` and nothing else.

use kv_core::hash::KeyHash;
use qp_wire::batch::RequestWriter;
use qp_wire::limits::DATAGRAM_LEN_MAX;
use qp_wire::native::{self, FrameHeader, FrameKind, ResponseBody, ResponseFrame};
use qp_wire::{Operation, RawRequest, Request, ResultCode, mica};

/// A client protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Our own.
    Native,
    /// MICA2's.
    Mica,
}

/// One answer of a response frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its place among the frame's requests.
    pub index: usize,
    /// The result.
    pub result: ResultCode,
    /// The value; empty where there is none.
    pub value: Vec<u8>,
}

/// A response frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The frame that it answers.
    pub frame_id: u32,
    /// The client's time at which that frame was sent, if the protocol echoes it.
    pub timestamp: Option<u64>,
    /// Its answers.
    pub answers: Vec<Answer>,
}

/// MICA2's opaque: the frame's number above the request's place.
const OPAQUE_INDEX_BITS: u32 = 8;

/// Longest value field of one request, in bytes.
const VALUE_FIELD_LEN_MAX: usize = DATAGRAM_LEN_MAX;

impl Wire {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Native, Self::Mica];

    /// The payload of a frame that asks for as many of `requests` as fit, in their order, and how many those are.
    pub fn encode(
        self,
        frame_id: u32,
        timestamp: u64,
        requests: &[Request<'_>],
        payload_len_max: usize,
    ) -> (Vec<u8>, usize) {
        match self {
            Self::Native => encode_native(FrameHeader { batch_id: frame_id, timestamp }, requests, payload_len_max),
            Self::Mica => encode_mica(frame_id, requests, payload_len_max),
        }
    }

    /// The frame, padded to `len` bytes if the protocol has pads.
    pub fn pad(self, mut payload: Vec<u8>, len: usize) -> Vec<u8> {
        let unpadded = payload.len();
        if self == Self::Native && unpadded < len {
            // A pad has two bytes at least.
            payload.resize(len + 1, 0);
            let padded = native::pad(&mut payload, unpadded, len).unwrap_or(unpadded);
            payload.truncate(padded);
        }
        payload
    }

    /// The answers in a payload, or `None` if it is no response.
    pub fn decode(self, payload: &[u8]) -> Option<Reply> {
        match self {
            Self::Native => decode_native(payload),
            Self::Mica => decode_mica(payload),
        }
    }

    /// Whether the protocol has an operation.
    pub fn has(self, operation: &Operation<'_>) -> bool {
        self == Self::Native || operation.opcode().is_mica()
    }
}

fn encode_native(header: FrameHeader, requests: &[Request<'_>], payload_len_max: usize) -> (Vec<u8>, usize) {
    let mut writer = Box::new(RequestWriter::new());
    for request in requests {
        let fits = with_raw(request, |raw| native::HEADER_LEN + writer.encoded_len_with(raw) <= payload_len_max);
        if !fits || writer.push_request(request).is_err() {
            break;
        }
    }
    let mut payload = vec![0; native::HEADER_LEN + writer.encoded_len()];
    let encoded = native::encode_header(&mut payload, FrameKind::BatchRequest, 0, header)
        .and_then(|()| writer.encode(&mut payload[native::HEADER_LEN..]));
    if encoded.is_none() {
        payload.clear();
    }
    (payload, writer.count())
}

fn encode_mica(frame_id: u32, requests: &[Request<'_>], payload_len_max: usize) -> (Vec<u8>, usize) {
    let mut payload = vec![0; payload_len_max.min(mica::PAYLOAD_LEN_MAX)];
    let Some(mut writer) = mica::RequestWriter::new(&mut payload) else { return (Vec::new(), 0) };
    for request in requests {
        let key_hash = KeyHash::of(request.key).0;
        let opaque = frame_id << OPAQUE_INDEX_BITS | writer.count() as u32;
        let pushed = with_raw(request, |raw| writer.push(&mica::MicaRequest { raw: *raw, key_hash, opaque }));
        if pushed.is_err() {
            break;
        }
    }
    let (count, len) = (writer.count(), writer.finish());
    payload.truncate(if count == 0 { 0 } else { len });
    (payload, count)
}

fn with_raw<R>(request: &Request<'_>, then: impl FnOnce(&RawRequest<'_>) -> R) -> R {
    let mut value = [0; VALUE_FIELD_LEN_MAX];
    let len = request.operation.encode_value(&mut value).unwrap_or_default();
    then(&RawRequest { operation: request.operation.to_wire(), key: request.key, value: &value[..len] })
}

fn decode_native(payload: &[u8]) -> Option<Reply> {
    let frame = ResponseFrame::decode(payload).ok()?;
    let ResponseBody::Batch(batch) = frame.body else { return None };
    let answers = batch
        .iter()
        .enumerate()
        .map(|(index, response)| Answer {
            index,
            result: response.result,
            value: response.value.unwrap_or_default().to_vec(),
        })
        .collect();
    Some(Reply { frame_id: frame.header.batch_id, timestamp: Some(frame.header.timestamp), answers })
}

fn decode_mica(payload: &[u8]) -> Option<Reply> {
    let frame = mica::ResponseFrame::decode(payload).ok()?;
    let frame_id = frame.responses().next()?.opaque >> OPAQUE_INDEX_BITS;
    let answers: Vec<_> = frame
        .responses()
        .filter(|response| response.opaque >> OPAQUE_INDEX_BITS == frame_id)
        .map(|response| Answer {
            index: (response.opaque & ((1 << OPAQUE_INDEX_BITS) - 1)) as usize,
            result: response.result,
            value: response.value.to_vec(),
        })
        .collect();
    Some(Reply { frame_id, timestamp: None, answers })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_requests_as_fit_are_encoded_and_a_server_reads_them() {
        let value = [7; 100];
        let request = Request { key: b"key", operation: Operation::Set { value: &value, ttl: None } };
        let requests = [request; 20];
        let (native_payload, native_count) = Wire::Native.encode(5, 6, &requests, 1_472);
        let (mica_payload, mica_count) = Wire::Mica.encode(5, 6, &requests, 1_472);
        assert!(native_payload.len() <= 1_472 && mica_payload.len() <= 1_472);
        assert_eq!((native_count, mica_count), (14, 10));
        let frame = native::RequestFrame::decode(&native_payload).expect("a valid frame");
        assert!(matches!(frame.body, native::RequestBody::Batch(batch) if batch.count() == 14));
        assert_eq!(mica::RequestFrame::decode(&mica_payload).map(|frame| frame.count()), Ok(10));
    }

    #[test]
    fn a_padded_frame_asks_for_the_same() {
        let request = Request { key: b"key", operation: Operation::Get };
        let (payload, _) = Wire::Native.encode(5, 6, &[request], 1_472);
        let padded = Wire::Native.pad(payload.clone(), 100);
        assert_eq!(padded.len(), 100);
        let count = |payload: &[u8]| match native::RequestFrame::decode(payload).expect("a valid frame").body {
            native::RequestBody::Batch(batch) => batch.count(),
            native::RequestBody::Identity => 0,
        };
        assert_eq!((count(&payload), count(&padded)), (1, 1));
        assert_eq!(Wire::Mica.pad(payload.clone(), 100), payload);
    }

    #[test]
    fn a_request_that_never_fits_gives_no_frame() {
        let value = [7; 2_000];
        let request = Request { key: b"key", operation: Operation::Set { value: &value, ttl: None } };
        assert_eq!(Wire::Native.encode(5, 6, &[request], 1_472).1, 0);
        assert_eq!(Wire::Mica.encode(5, 6, &[request], 1_472).1, 0);
    }
}
