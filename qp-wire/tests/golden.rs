//! Golden bytes: frames captured from MICA2's own programs, decoded and encoded.
//!
//! A fixture is hexadecimal text; what follows a `#` on a line is a comment. Client and server of the captures are
//! 10.0.1.1 and 10.0.0.1, their UDP ports are 0, no checksum is computed, and the one endpoint has id 0.

use std::net::Ipv4Addr;

use qp_wire::mica::{
    MicaRequest, MicaResponse, PROBE_OPAQUE_BASE, RequestFrame, RequestWriter, ResponseFrame, ResponseHead,
    ResponseWriter,
};
use qp_wire::net::{Checksums, Datagram, HEADERS_LEN, Local, MacAddr, Remote, reply_headers, request_headers};
use qp_wire::{Opcode, Operation, RawRequest, Request, ResultCode};

const SERVER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const SERVER_IPV4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const CLIENT_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const CLIENT_IPV4: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 1);

/// CityHash64 of 0, 1 and 4 as 8 bytes little-endian.
const HASH_OF_0: u64 = 0x1439_7a23_417a_f284;
const HASH_OF_1: u64 = 0x523b_e90b_b03b_5a61;
const HASH_OF_4: u64 = 0x2d2c_e84a_cccc_9187;

/// The bytes of a fixture.
fn fixture(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text
        .lines()
        .flat_map(|line| line.split('#').next().unwrap_or_default().chars())
        .filter(|digit| !digit.is_whitespace())
        .collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).expect("two hexadecimal digits"))
        .collect()
}

/// A request frame has these fields, and these fields make the frame.
fn check_request(frame: &[u8], expected: MicaRequest<'_>) {
    let server = Local { mac: SERVER_MAC, ipv4: SERVER_IPV4, port: 0 };
    let client = Remote { mac: CLIENT_MAC, ipv4: CLIENT_IPV4, port: 0 };
    let datagram = Datagram::decode(frame).expect("a good frame");
    assert_eq!(server.accepts(&datagram), Ok(()));
    assert_eq!(datagram.source(), client);
    let requests = RequestFrame::decode(datagram.payload()).expect("a good payload");
    assert_eq!(requests.requests().collect::<Vec<_>>(), [expected]);

    let mut encoded = vec![0xee; frame.len()];
    let mut writer = RequestWriter::new(&mut encoded[HEADERS_LEN..]).expect("room");
    writer.push(&expected).expect("room");
    let payload_len = writer.finish();
    let from = Local { mac: CLIENT_MAC, ipv4: CLIENT_IPV4, port: 0 };
    let to = Remote { mac: SERVER_MAC, ipv4: SERVER_IPV4, port: 0 };
    assert_eq!(request_headers(&mut encoded, &from, &to, payload_len, Checksums::Zero), Some(frame.len()));
    assert_eq!(encoded, frame);
}

/// A response frame has these fields, and they make the frame inside a copy of the frame that it answers.
fn check_response(request: &[u8], frame: &[u8], head: ResponseHead, result: ResultCode, value: &[u8]) {
    let client = Local { mac: CLIENT_MAC, ipv4: CLIENT_IPV4, port: 0 };
    let datagram = Datagram::decode(frame).expect("a good frame");
    assert_eq!(client.accepts(&datagram), Ok(()));
    let responses = ResponseFrame::decode(datagram.payload()).expect("a good payload");
    let ResponseHead { operation, key_hash, opaque, .. } = head;
    let expected = MicaResponse { operation, result, key_hash, opaque, value };
    assert_eq!(responses.responses().collect::<Vec<_>>(), [expected]);

    let mut encoded = request.to_vec();
    let mut writer = ResponseWriter::new(&mut encoded[HEADERS_LEN..], 30).expect("room");
    writer.push(head, result, Some(value)).expect("room");
    let payload_len = writer.finish();
    assert_eq!(reply_headers(&mut encoded, payload_len, Checksums::Zero), Some(frame.len()));
    assert_eq!(&encoded[..frame.len()], frame);
}

#[test]
fn a_probe_is_a_noop_without_a_key_and_is_echoed() {
    let request = fixture(include_str!("fixtures/mica_probe_request.hex"));
    assert_eq!(request.len(), 72);
    let probe = MicaRequest::probe(0);
    check_request(&request, probe);
    assert_eq!(probe.decode(), Ok(Request { key: b"", operation: Operation::NoopRead }));
    assert_eq!(probe.opaque, PROBE_OPAQUE_BASE);

    let response = fixture(include_str!("fixtures/mica_probe_response.hex"));
    assert_eq!(response.len(), 72);
    check_response(&request, &response, probe.head(), ResultCode::Success, b"");
}

#[test]
fn a_get_carries_its_key_and_a_miss_carries_nothing() {
    let request = fixture(include_str!("fixtures/mica_get_request.hex"));
    assert_eq!(request.len(), 80);
    let raw = RawRequest { operation: Opcode::Get.to_wire(), key: &[0; 8], value: b"" };
    let get = MicaRequest { raw, key_hash: HASH_OF_0, opaque: 0 };
    check_request(&request, get);
    assert_eq!(get.decode(), Ok(Request { key: &[0; 8], operation: Operation::Get }));

    let response = fixture(include_str!("fixtures/mica_get_miss_response.hex"));
    assert_eq!(response.len(), 72);
    check_response(&request, &response, get.head(), ResultCode::NotFound, b"");
}

#[test]
fn a_set_carries_key_and_value_and_its_response_neither() {
    let request = fixture(include_str!("fixtures/mica_set_request.hex"));
    assert_eq!(request.len(), 88);
    let (key, value) = (4u64.to_le_bytes(), 1u64.to_le_bytes());
    let raw = RawRequest { operation: Opcode::Set.to_wire(), key: &key, value: &value };
    let set = MicaRequest { raw, key_hash: HASH_OF_4, opaque: 1 << 16 };
    check_request(&request, set);
    assert_eq!(set.decode(), Ok(Request { key: &key, operation: Operation::Set { value: &value, ttl: None } }));

    let response = fixture(include_str!("fixtures/mica_set_response.hex"));
    assert_eq!(response.len(), 72);
    check_response(&request, &response, set.head(), ResultCode::Success, b"");
}

#[test]
fn a_hit_carries_the_value() {
    // Of this request only the response was captured; the GET of another key has the same headers.
    let request = fixture(include_str!("fixtures/mica_get_request.hex"));
    let response = fixture(include_str!("fixtures/mica_get_hit_response.hex"));
    assert_eq!(response.len(), 80);
    let head =
        ResponseHead { key_hash: HASH_OF_1, opaque: 0x23 << 16, operation: Opcode::Get.to_wire(), value_len_min: 0 };
    check_response(&request, &response, head, ResultCode::Success, &16u64.to_le_bytes());
}
