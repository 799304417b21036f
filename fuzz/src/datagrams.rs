//! Datagrams that scripts let arrive, and what an answer to one may be.

use std::net::{IpAddr, SocketAddr};

use kv_core::engine::{Policy, Prefix};
use kv_core::hash::KeyHash;
use qp_wire::batch::RequestWriter;
use qp_wire::limits::DATAGRAM_LEN_MAX;
use qp_wire::native::{
    self, Endpoint, FrameHeader, FrameKind, Identity, NativeError, RequestBody, ResponseBody, encode_identity_request,
    pad,
};
use qp_wire::protocol::{Protocol, protocol_of};
use qp_wire::{Opcode, RawRequest, mica};

use crate::script::Script;

/// Sources that get long answers, that may RESET, and that may neither.
const LISTED: [u8; 4] = [10, 0, 0, 1];
const ADMINISTRATOR: [u8; 4] = [10, 0, 1, 1];
const STRANGER: [u8; 4] = [192, 0, 2, 1];

/// The policy under which all scripts run.
pub(crate) fn policy(reply_len_max: usize) -> Policy {
    let list =
        |address: [u8; 4]| std::iter::once(Prefix::new(IpAddr::from(address), 24).expect("24 of 32 bits")).collect();
    Policy { listed: list(LISTED), administrators: list(ADMINISTRATOR), reply_len_max }
}

/// What servers say about themselves in all scripts.
pub(crate) fn identity() -> Vec<u8> {
    let identity = Identity {
        server_id: 1,
        epoch: 2,
        design: 0,
        concurrent_read: false,
        complete: true,
        frame_len_max: 1472,
        value_len_max: 1000,
        key_len_max: 255,
        owners: &[0],
        endpoints: &[Endpoint::new(0, [0; 4], 7600)],
    };
    let mut bytes = vec![0; identity.encoded_len()];
    identity.encode(&mut bytes).expect("a valid identity");
    bytes
}

/// A datagram: who sent it, and its payload.
pub(crate) fn datagram(script: &mut Script<'_>) -> (SocketAddr, Vec<u8>) {
    let kind = script.u8();
    let source = match kind & 3 {
        0 => LISTED,
        1 => ADMINISTRATOR,
        _ => STRANGER,
    };
    let payload = match kind >> 2 & 7 {
        0 | 1 => native_requests(script),
        2 | 3 => mica_requests(script),
        4 => {
            let mut question = vec![0; DATAGRAM_LEN_MAX];
            let header = FrameHeader { batch_id: script.u32(), timestamp: 0 };
            let len = encode_identity_request(&mut question, header, usize::from(script.u16() % 2000));
            question.truncate(len.expect("room for the longest question"));
            question
        }
        _ => script.string().to_vec(),
    };
    let mut payload = damaged(payload, kind, script);
    payload.truncate(DATAGRAM_LEN_MAX + 1);
    (SocketAddr::from((source, 4000)), payload)
}

/// The payload, or the payload with one byte changed.
fn damaged(mut payload: Vec<u8>, kind: u8, script: &mut Script<'_>) -> Vec<u8> {
    if kind & 0x80 != 0 {
        let (at, mask) = (usize::from(script.u16()), script.u8());
        if let Some(byte) = at.checked_rem(payload.len()).and_then(|at| payload.get_mut(at)) {
            *byte ^= mask;
        }
    }
    payload
}

/// Requests that take turns between two operations.
struct Requests {
    operations: [u8; 2],
    count: usize,
    key_len: usize,
    value_len: usize,
}

impl Requests {
    fn of(script: &mut Script<'_>) -> Self {
        Self {
            operations: [script.u8(), script.u8()],
            count: usize::from(script.u16() % 1030),
            key_len: usize::from(script.u8()),
            value_len: usize::from(script.u16() % 9000),
        }
    }

    fn operation(&self, index: usize) -> u8 {
        // Half of the bytes are operations that there are.
        let byte = self.operations[index % 2];
        if byte < 0x80 { byte % Opcode::ALL.len() as u8 } else { byte }
    }

    fn key(&self, index: usize) -> Vec<u8> {
        vec![index as u8 & 3; self.key_len]
    }

    fn value(&self, index: usize) -> Vec<u8> {
        let len = if self.operation(index) == Opcode::Increment.to_wire() { 8 } else { self.value_len };
        vec![index as u8; len]
    }
}

fn native_requests(script: &mut Script<'_>) -> Vec<u8> {
    let requests = Requests::of(script);
    let frame_len_max = usize::from(script.u16() % (DATAGRAM_LEN_MAX as u16 + 1));
    let mut writer = Box::new(RequestWriter::new());
    for index in 0..requests.count {
        let (key, value) = (requests.key(index), requests.value(index));
        let request = RawRequest { operation: requests.operation(index), key: &key, value: &value };
        let len = native::HEADER_LEN + writer.encoded_len_with(&request);
        if len > frame_len_max.max(64) || writer.push(&request).is_err() {
            break;
        }
    }
    let mut payload = vec![0; DATAGRAM_LEN_MAX];
    let header = FrameHeader { batch_id: script.u32(), timestamp: u64::MAX };
    native::encode_header(&mut payload, FrameKind::BatchRequest, 0, header).expect("room for the header");
    let len = native::HEADER_LEN + writer.encode(&mut payload[native::HEADER_LEN..]).unwrap_or_default();
    let len = pad(&mut payload, len, frame_len_max).unwrap_or(len);
    payload.truncate(len);
    payload
}

fn mica_requests(script: &mut Script<'_>) -> Vec<u8> {
    let requests = Requests::of(script);
    let opaque = script.u32();
    let mut payload = vec![0; DATAGRAM_LEN_MAX];
    let mut writer = mica::RequestWriter::new(&mut payload).expect("room for a request");
    for index in 0..requests.count {
        let (key, value) = (requests.key(index), requests.value(index));
        let raw = RawRequest { operation: requests.operation(index), key: &key, value: &value };
        // Now and then the client has a wrong hash.
        let key_hash = KeyHash::of(&key).0 ^ u64::from(opaque % 16 == index as u32);
        if writer.push(&mica::MicaRequest { raw, key_hash, opaque: opaque.wrapping_add(index as u32) }).is_err() {
            break;
        }
    }
    let len = writer.finish();
    payload.truncate(len);
    payload
}

/// What may be answered to a request: nothing that was not asked for, nothing longer than its source may get.
///
/// # Panics
/// If `payload` is no such answer.
pub(crate) fn check_answer(policy: &Policy, source: SocketAddr, room: usize, request: &[u8], payload: &[u8]) {
    let len_max = policy.reply_len(source.ip(), request.len(), room);
    assert!(payload.len() <= len_max, "{} bytes for {} from {source}", payload.len(), request.len());
    match protocol_of(request).expect("only requests are answered") {
        Protocol::Mica => check_mica_answer(request, payload),
        Protocol::Native => check_native_answer(request, payload),
    }
}

fn check_mica_answer(request: &[u8], payload: &[u8]) {
    let asked = mica::RequestFrame::decode(request).expect("what is malformed is not answered");
    let answered = mica::ResponseFrame::decode(payload).expect("an answer is a response");
    assert_eq!(answered.count(), asked.count());
    for (request, response) in asked.requests().zip(answered.responses()) {
        let echoed = (response.operation, response.key_hash, response.opaque);
        assert_eq!(echoed, (request.raw.operation, request.key_hash, request.opaque));
    }
}

fn check_native_answer(request: &[u8], payload: &[u8]) {
    let answered = native::ResponseFrame::decode(payload).expect("an answer is a response");
    assert_eq!(payload[4..native::HEADER_LEN], request[4..native::HEADER_LEN], "W-C-54");
    match (native::RequestFrame::decode(request).map(|frame| frame.body), answered.body) {
        (Ok(RequestBody::Batch(asked)), ResponseBody::Batch(answered)) => assert_eq!(answered.count(), asked.count()),
        (Ok(RequestBody::Identity), ResponseBody::Identity(_)) => {}
        (Err(NativeError::Version { .. }), ResponseBody::Version { theirs }) => assert_eq!(theirs, native::VERSION),
        (asked, answered) => panic!("{asked:?} was answered with {answered:?}"),
    }
}
