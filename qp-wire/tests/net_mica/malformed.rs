//! Frames that are wrong in one way each, with the verdict that they must get.
//!
//! A row names the rule it breaks. All but the odd byte of a row is a good frame, so that nothing else can be the reason.

use std::collections::BTreeSet;

use qp_wire::DropReason::{self, *};
use qp_wire::mica::{RequestFrame, ResponseFrame};
use qp_wire::net::Datagram;
use qp_wire::{Operation, ResultCode};

use crate::checks::{check_every_request_can_be_answered, check_frame, check_response_payload};
use crate::frames::{
    SERVER, entry, frame, get, mixed_requests, mixed_responses, payload, set, with_ipv4_checksum, with_udp_checksum,
};

/// What is wrong, which rule says so, what becomes of it, and the bytes.
type Row<V> = (&'static str, &'static str, V, fn() -> Vec<u8>);

/// A good frame of 88 bytes.
fn good() -> Vec<u8> {
    frame(&payload(0x78, &[set(b"12345678", b"abcdefgh")]))
}

/// A good frame with other bytes at an offset.
fn with(offset: usize, bytes: &[u8]) -> Vec<u8> {
    patched(good(), offset, bytes)
}

fn patched(mut frame: Vec<u8>, offset: usize, bytes: &[u8]) -> Vec<u8> {
    frame[offset..offset + bytes.len()].copy_from_slice(bytes);
    frame
}

/// A good frame and something behind it.
fn and(bytes: &[u8]) -> Vec<u8> {
    [good(), bytes.to_vec()].concat()
}

/// A frame around a payload of requests, of which some bytes at an offset are others.
fn requests(entries: &[Vec<u8>], offset: usize, bytes: &[u8]) -> Vec<u8> {
    frame(&patched(payload(0x78, entries), offset, bytes))
}

/// A frame around what is left of a payload.
fn cut(payload: &[u8], len: usize) -> Vec<u8> {
    frame(&payload[..len])
}

/// A frame filled up to `len` bytes, as a sender of short frames does.
fn filled(payload: &[u8], len: usize) -> Vec<u8> {
    let mut bytes = frame(payload);
    bytes.resize(len, 0);
    bytes
}

const NETWORK: &[Row<DropReason>] = &[
    ("nothing at all", "W-C-1", Short, Vec::new),
    ("one byte", "W-C-1", Short, || vec![2]),
    ("an Ethernet header alone", "W-C-1", Short, || good()[..14].to_vec()),
    ("headers cut by one byte", "W-C-1", Short, || good()[..41].to_vec()),
    ("one byte more than a jumbo frame", "W-C-1", Long, || frame(&[0; 8973])),
    ("64 KiB", "W-C-1", Long, || vec![0; 65536]),
    ("a VLAN tag", "W-C-2", NotUdp, || [&good()[..12], &[0x81, 0, 0, 1], &good()[12..]].concat()),
    ("two VLAN tags", "W-C-2", NotUdp, || [&good()[..12], &[0x88, 0xa8, 0, 1, 0x81, 0, 0, 1], &good()[12..]].concat()),
    ("IPv6", "W-C-2", NotUdp, || with(12, &[0x86, 0xdd])),
    ("ARP", "W-C-2", NotUdp, || with(12, &[0x08, 0x06])),
    ("a length instead of a type", "W-C-2", NotUdp, || with(12, &[0, 74])),
    ("the type in the other byte order", "W-C-2", NotUdp, || with(12, &[0, 8])),
    ("IP version 6 in an IPv4 frame", "W-C-3", NotUdp, || with(14, &[0x65])),
    ("IP version 0", "W-C-3", NotUdp, || with(14, &[0x05])),
    ("a header of 4 words", "W-C-3", NotUdp, || with(14, &[0x44])),
    ("a header of 0 words", "W-C-3", NotUdp, || with(14, &[0x40])),
    ("a header with options", "W-C-3", NotUdp, || with(14, &[0x46])),
    ("a header of 15 words", "W-C-3", NotUdp, || with(14, &[0x4f])),
    ("TCP", "W-C-4", NotUdp, || with(23, &[6])),
    ("ICMP", "W-C-4", NotUdp, || with(23, &[1])),
    ("UDP-Lite", "W-C-4", NotUdp, || with(23, &[136])),
    ("the first fragment", "W-C-5", Fragment, || with(20, &[0x20, 0])),
    ("a fragment in the middle", "W-C-5", Fragment, || with(20, &[0x20, 185])),
    ("the last fragment", "W-C-5", Fragment, || with(20, &[0, 185])),
    ("a fragment at the largest offset", "W-C-5", Fragment, || with(20, &[0x1f, 0xff])),
    ("a fragment that must not be fragmented", "W-C-5", Fragment, || with(20, &[0x40, 1])),
    ("a total length beyond the frame", "W-C-6", Short, || with(16, &[0, 75])),
    ("the largest total length", "W-C-6", Short, || with(16, &[0xff, 0xff])),
    ("a frame cut by one byte", "W-C-6", Short, || good()[..87].to_vec()),
    ("a frame cut in the batch header", "W-C-6", Short, || good()[..45].to_vec()),
    ("a frame cut behind the headers", "W-C-6", Short, || good()[..42].to_vec()),
    ("one byte behind the packet", "W-C-7", Long, || and(&[0])),
    ("a frame check sequence left in place", "W-C-7", Long, || and(&[1, 2, 3, 4])),
    ("another packet behind the packet", "W-C-7", Long, || and(&good())),
    ("a total length one less", "W-C-7", Long, || patched(with(16, &[0, 73]), 38, &[0, 53])),
    ("a total length of 0", "W-C-7", Long, || with(16, &[0, 0])),
    ("filling up to 61 bytes", "W-C-7", Long, || filled(&[0x78; 18], 61)),
    ("a total length of 0 in a filled frame", "W-C-8", Malformed, || patched(filled(b"", 60), 16, &[0, 0])),
    ("a packet without room for UDP", "W-C-8", Malformed, || patched(filled(b"", 60), 16, &[0, 27])),
    ("a UDP length without the header", "W-C-8", Malformed, || with(38, &[0, 46])),
    ("a UDP length of 0", "W-C-8", Malformed, || with(38, &[0, 0])),
    ("a UDP length of 7 in a packet of 27", "W-C-8", Malformed, || {
        patched(patched(filled(b"", 60), 16, &[0, 27]), 38, &[0, 7])
    }),
    ("a UDP length one less", "W-C-8", Malformed, || with(38, &[0, 53])),
    ("a UDP length one more", "W-C-8", Malformed, || with(38, &[0, 55])),
    ("the largest UDP length", "W-C-8", Malformed, || with(38, &[0xff, 0xff])),
    ("a UDP length that takes in the filling", "W-C-8", Malformed, || patched(filled(b"1234", 60), 38, &[0, 26])),
    ("an IPv4 checksum that is off by one", "W-C-9", Checksum, || {
        let good = with_ipv4_checksum(good());
        let low = good[25] ^ 1;
        patched(good, 25, &[low])
    }),
    ("an IPv4 checksum in the other byte order", "W-C-9", Checksum, || {
        let good = with_ipv4_checksum(good());
        let swapped = [good[25], good[24]];
        patched(good, 24, &swapped)
    }),
    ("a time to live that was counted down alone", "W-C-9", Checksum, || {
        patched(with_ipv4_checksum(good()), 22, &[63])
    }),
    ("an IPv4 checksum of ones", "W-C-9", Checksum, || with(24, &[0xff, 0xff])),
    ("a UDP checksum that is off by one", "W-C-10", Checksum, || {
        let good = with_udp_checksum(good());
        let low = good[41] ^ 1;
        patched(good, 41, &[low])
    }),
    ("a damaged bit under a UDP checksum", "W-C-10", Checksum, || patched(with_udp_checksum(good()), 87, b"i")),
    ("another source under a UDP checksum", "W-C-10", Checksum, || patched(with_udp_checksum(good()), 29, &[9])),
    ("another destination port under a UDP checksum", "W-C-10", Checksum, || {
        patched(with_udp_checksum(good()), 36, &[9])
    }),
    ("a damaged odd byte under a UDP checksum", "W-C-10", Checksum, || {
        patched(with_udp_checksum(frame(b"odd")), 44, b"e")
    }),
    ("a UDP checksum of ones", "W-C-10", Checksum, || with(40, &[0xff, 0xff])),
    ("a broadcast source MAC", "W-C-11", Source, || with(6, &[0xff; 6])),
    ("a multicast source MAC", "W-C-11", Source, || with(6, &[1, 0, 0x5e, 0, 0, 1])),
    ("a source MAC of zeros", "W-C-11", Source, || with(6, &[0; 6])),
    ("source 0.0.0.0", "W-C-12", Source, || with(26, &[0; 4])),
    ("source 255.255.255.255", "W-C-12", Source, || with(26, &[255; 4])),
    ("source 224.0.0.1", "W-C-12", Source, || with(26, &[224, 0, 0, 1])),
    ("source 239.255.255.255", "W-C-12", Source, || with(26, &[239, 255, 255, 255])),
    ("a broadcast destination MAC", "W-C-13", Destination, || with(0, &[0xff; 6])),
    ("a multicast destination MAC", "W-C-13", Destination, || with(0, &[1, 0, 0x5e, 0, 0, 1])),
    ("another station's MAC", "W-C-13", Destination, || with(5, &[9])),
    ("another host's address", "W-C-13", Destination, || with(33, &[9])),
    ("destination 255.255.255.255", "W-C-13", Destination, || with(30, &[255; 4])),
    ("destination 224.0.0.1", "W-C-13", Destination, || with(30, &[224, 0, 0, 1])),
    ("another endpoint's port", "W-C-13", Destination, || with(36, &[0x12, 0x35])),
    ("our port in the other byte order", "W-C-13", Destination, || with(36, &[0x34, 0x12])),
    ("port 0", "W-C-13", Destination, || with(36, &[0, 0])),
    ("our MAC as the source", "W-C-14", Source, || with(6, &SERVER.mac.0)),
    ("our address as the source", "W-C-14", Source, || with(26, &SERVER.ipv4.octets())),
    ("source 127.0.0.1", "W-C-14", Source, || with(26, &[127, 0, 0, 1])),
    ("source 127.255.255.254", "W-C-14", Source, || with(26, &[127, 255, 255, 254])),
];

const MICA: &[Row<DropReason>] = &[
    ("an empty payload", "W-C-20", Short, || frame(b"")),
    ("an empty payload in a filled frame", "W-C-20", Short, || filled(b"", 60)),
    ("a magic byte alone", "W-C-20", Short, || frame(&[0x78])),
    ("a batch header alone", "W-C-20", Short, || frame(&payload(0x78, &[]))),
    ("a first entry header cut by one byte", "W-C-20", Short, || cut(&payload(0x78, &[get(b"k")]), 29)),
    ("a response magic", "W-C-21", Response, || with(42, &[0x79])),
    ("a good response", "W-C-21", Response, || frame(&mixed_responses())),
    ("a malformed response", "W-C-21", Response, || with(42, &[0x79, 0])),
    ("magic 0x00", "W-C-21", Magic, || with(42, &[0])),
    ("magic 0x77", "W-C-21", Magic, || with(42, &[0x77])),
    ("magic 0x7a", "W-C-21", Magic, || with(42, &[0x7a])),
    ("magic 0xff", "W-C-21", Magic, || with(42, &[0xff])),
    ("a count of 0", "W-C-22", Malformed, || with(43, &[0])),
    ("256 requests, counted modulo 256", "W-C-22", Malformed, || frame(&payload(0x78, &vec![get(b"k"); 256]))),
    ("a count of 2 with one request", "W-C-23", Malformed, || with(43, &[2])),
    ("a count of 255 with one request", "W-C-23", Malformed, || with(43, &[255])),
    ("a count of 6 with 5 requests", "W-C-23", Malformed, || frame(&patched(mixed_requests(), 1, &[6]))),
    ("a second header cut by one byte", "W-C-23", Malformed, || cut(&payload(0x78, &[get(b"k"), get(b"")]), 61)),
    ("a key without a byte", "W-C-23", Malformed, || requests(&[get(b"")], 13, &[1])),
    ("a key one byte too long", "W-C-23", Malformed, || requests(&[get(b"12345678")], 13, &[9])),
    ("the longest key in a short payload", "W-C-23", Malformed, || requests(&[get(b"k")], 13, &[255])),
    ("a key without its pad", "W-C-23", Malformed, || cut(&payload(0x78, &[get(b"k")]), 31)),
    ("a key without the last byte of its pad", "W-C-23", Malformed, || cut(&payload(0x78, &[get(b"k")]), 37)),
    ("a value without a byte", "W-C-23", Malformed, || requests(&[set(b"k", b"")], 10, &[1])),
    ("a value one byte too long", "W-C-23", Malformed, || requests(&[set(b"k", b"abcdefgh")], 10, &[9])),
    ("a value of 16 MiB", "W-C-23", Malformed, || requests(&[set(b"k", b"v")], 10, &[0xff, 0xff, 0xff])),
    ("a value of 64 KiB", "W-C-23", Malformed, || requests(&[set(b"k", b"v")], 10, &[0, 0, 1])),
    ("a value without its pad", "W-C-23", Malformed, || cut(&payload(0x78, &[set(b"k", b"v")]), 39)),
    ("a value without the last byte of its pad", "W-C-23", Malformed, || cut(&payload(0x78, &[set(b"k", b"v")]), 45)),
    ("a first value that swallows the second request", "W-C-23", Malformed, || {
        requests(&[set(b"k", b"v"), get(b"k")], 10, &[33])
    }),
    ("a last value that ends behind the payload", "W-C-23", Malformed, || {
        requests(&[get(b"k"), set(b"k", b"v")], 42, &[9])
    }),
    ("a count of 1 with 2 requests", "W-C-24", Malformed, || requests(&[get(b"k"), get(b"k")], 1, &[1])),
    ("a count of 4 with 5 requests", "W-C-24", Malformed, || frame(&patched(mixed_requests(), 1, &[4]))),
    ("257 requests, counted modulo 256", "W-C-24", Malformed, || frame(&payload(0x78, &vec![get(b"k"); 257]))),
    ("one byte behind the last request", "W-C-24", Malformed, || frame(&[mixed_requests(), vec![0]].concat())),
    ("a word behind the last request", "W-C-24", Malformed, || frame(&[mixed_requests(), vec![0; 8]].concat())),
    ("most of a header behind the last request", "W-C-24", Malformed, || {
        frame(&[mixed_requests(), vec![0; 23]].concat())
    }),
    ("a value shorter than what is there", "W-C-24", Malformed, || requests(&[set(b"k", b"abcdefghi")], 10, &[8])),
];

/// The payload holds a good GET and then the request in question.
fn second(request: Vec<u8>) -> Vec<u8> {
    frame(&payload(0x78, &[get(b"first"), request]))
}

/// An INCREMENT by a delta of this many bytes.
fn increment_by(delta_len: usize) -> Vec<u8> {
    second(entry(8, 0, 1, 2, b"k", &[1; 16][..delta_len]))
}

const ANSWERED: &[Row<ResultCode>] = &[
    ("COMPARE_AND_SET", "W-C-27", ResultCode::NotSupported, || second(entry(9, 0, 1, 2, b"k", b"\x01\x00ab"))),
    ("APPEND", "W-C-27", ResultCode::NotSupported, || second(entry(10, 0, 1, 2, b"k", b"tail"))),
    ("TOUCH", "W-C-27", ResultCode::NotSupported, || second(entry(11, 0, 1, 2, b"k", &[1; 8]))),
    ("TTL", "W-C-27", ResultCode::NotSupported, || second(entry(12, 0, 1, 2, b"k", b""))),
    ("the first operation that nobody knows", "W-C-27", ResultCode::NotSupported, || {
        second(entry(13, 0, 1, 2, b"k", b""))
    }),
    ("operation 0x7f", "W-C-27", ResultCode::NotSupported, || second(entry(0x7f, 0, 1, 2, b"k", b""))),
    ("a SET with a time to live", "W-C-27", ResultCode::NotSupported, || second(entry(0x84, 0, 1, 2, b"k", &[1; 9]))),
    ("a flagged GET", "W-C-27", ResultCode::NotSupported, || second(entry(0x85, 0, 1, 2, b"k", b""))),
    ("operation 0xff", "W-C-27", ResultCode::NotSupported, || second(entry(0xff, 0, 1, 2, b"", b""))),
    ("an ADD without a key", "W-C-28", ResultCode::Error, || second(entry(3, 0, 1, 2, b"", b"v"))),
    ("a SET without a key", "W-C-28", ResultCode::Error, || second(entry(4, 0, 1, 2, b"", b"v"))),
    ("a GET without a key", "W-C-28", ResultCode::Error, || second(entry(5, 0, 1, 2, b"", b""))),
    ("a TEST without a key", "W-C-28", ResultCode::Error, || second(entry(6, 0, 1, 2, b"", b""))),
    ("a DELETE without a key", "W-C-28", ResultCode::Error, || second(entry(7, 0, 1, 2, b"", b""))),
    ("an INCREMENT without a key", "W-C-28", ResultCode::Error, || second(entry(8, 0, 1, 2, b"", &[1; 8]))),
    ("a bare INCREMENT", "W-C-28", ResultCode::Error, || second(entry(8, 0, 1, 2, b"", b""))),
    ("an INCREMENT by nothing", "W-C-30", ResultCode::Error, || increment_by(0)),
    ("an INCREMENT by 7 bytes", "W-C-30", ResultCode::Error, || increment_by(7)),
    ("an INCREMENT by 9 bytes", "W-C-30", ResultCode::Error, || increment_by(9)),
    ("an INCREMENT by 16 bytes", "W-C-30", ResultCode::Error, || increment_by(16)),
    ("a SET of a value beyond the limit", "W-C-30", ResultCode::TooLarge, || second(set(b"k", &[7; 8686]))),
    ("an ADD of a value beyond the limit", "W-C-30", ResultCode::TooLarge, || {
        second(entry(3, 0, 1, 2, b"k", &[7; 8686]))
    }),
];

const RESPONSES: &[Row<DropReason>] = &[
    ("an empty payload", "W-C-20", Short, Vec::new),
    ("a batch header alone", "W-C-20", Short, || payload(0x79, &[])),
    ("a request", "W-C-36", Magic, mixed_requests),
    ("magic 0x7a", "W-C-36", Magic, || patched(mixed_responses(), 0, &[0x7a])),
    ("a count of 0", "W-C-22", Malformed, || patched(mixed_responses(), 1, &[0])),
    ("a count of 6 with 5 responses", "W-C-23", Malformed, || patched(mixed_responses(), 1, &[6])),
    ("a count of 4 with 5 responses", "W-C-24", Malformed, || patched(mixed_responses(), 1, &[4])),
    ("a value longer than the payload", "W-C-23", Malformed, || patched(mixed_responses(), 10, &[0, 0, 1])),
    ("one byte behind the last response", "W-C-24", Malformed, || [mixed_responses(), vec![0]].concat()),
    ("a key", "W-C-37", Malformed, || payload(0x79, &[entry(5, 0, 1, 2, b"k", b"v")])),
    ("a key in the last response", "W-C-37", Malformed, || {
        payload(0x79, &[entry(5, 0, 1, 2, b"", b"v"), entry(4, 0, 1, 2, b"k", b"")])
    }),
    ("TimedOut, which is the client's own", "W-C-38", Malformed, || payload(0x79, &[entry(5, 8, 1, 2, b"", b"")])),
    ("TooLarge, which MICA2 does not know", "W-C-38", Malformed, || payload(0x79, &[entry(5, 10, 1, 2, b"", b"")])),
    ("Mismatch, which MICA2 does not know", "W-C-38", Malformed, || payload(0x79, &[entry(5, 11, 1, 2, b"", b"")])),
    ("result 12", "W-C-38", Malformed, || payload(0x79, &[entry(5, 12, 1, 2, b"", b"")])),
    ("result 255", "W-C-38", Malformed, || payload(0x79, &[entry(5, 255, 1, 2, b"", b"")])),
];

/// What is odd but no error.
const ACCEPTED: &[Row<()>] = &[
    ("the good frame itself", "W-C-1", (), good),
    ("the longest frame", "W-C-1", (), || frame(&payload(0x78, &[set(b"12345678", &[7; 8685]), set(b"k", &[7; 208])]))),
    ("don't fragment", "W-C-5", (), || with(20, &[0x40, 0])),
    ("the reserved bit of the flags", "W-C-5", (), || with(20, &[0x80, 0])),
    ("a correct IPv4 checksum", "W-C-9", (), || with_ipv4_checksum(good())),
    ("a correct UDP checksum", "W-C-10", (), || with_udp_checksum(good())),
    ("both checksums", "W-C-10", (), || with_ipv4_checksum(with_udp_checksum(good()))),
    ("source 126.255.255.255", "W-C-14", (), || with(26, &[126, 255, 255, 255])),
    ("source 223.255.255.255", "W-C-12", (), || with(26, &[223, 255, 255, 255])),
    ("source 240.0.0.0", "W-C-12", (), || with(26, &[240, 0, 0, 0])),
    ("any type of service", "W-C-15", (), || with(15, &[0xff])),
    ("any identification", "W-C-15", (), || with(18, &[0xab, 0xcd])),
    ("any time to live", "W-C-15", (), || with(22, &[0])),
    ("source port 0", "W-C-15", (), || with(34, &[0, 0])),
    ("the longest key", "W-C-23", (), || frame(&payload(0x78, &[set(&[7; 255], b"v")]))),
    ("garbage in the reserved bytes", "W-C-26", (), || requests(&[get(b"k")], 2, &[1, 2, 3, 4])),
    ("garbage in reserved0, and a result", "W-C-26", (), || requests(&[get(b"k")], 7, &[9, 2, 3])),
    ("garbage in reserved1", "W-C-26", (), || requests(&[get(b"k")], 26, &[1, 2, 3, 4])),
    ("garbage in the pad of a key", "W-C-26", (), || requests(&[get(b"k")], 31, &[1, 2, 3, 4, 5, 6, 7])),
    ("garbage in the pad of a value", "W-C-26", (), || requests(&[set(b"k", b"v")], 39, &[1, 2, 3, 4, 5, 6, 7])),
    ("a NOOP_READ without a key", "W-C-28", (), || second(entry(1, 0, 1, 2, b"", b""))),
    ("a NOOP_WRITE without a key", "W-C-28", (), || second(entry(2, 0, 1, 2, b"", b"v"))),
    ("a RESET without a key", "W-C-28", (), || second(entry(0, 0, 1, 2, b"", b""))),
    ("a GET with a value", "W-C-29", (), || second(entry(5, 0, 1, 2, b"k", b"v"))),
    ("a TEST with a value", "W-C-29", (), || second(entry(6, 0, 1, 2, b"k", b"v"))),
    ("a DELETE with a value", "W-C-29", (), || second(entry(7, 0, 1, 2, b"k", &[7; 8700]))),
    ("a probe with its endpoint's id", "W-C-31", (), || second(entry(1, 0, 0, 0xffff_0007, b"", b""))),
    ("255 requests in a jumbo frame", "W-C-22", (), || frame(&payload(0x78, &vec![get(b"k"); 255]))),
    ("61 requests in 1512 bytes", "W-C-22", (), || frame(&payload(0x78, &vec![entry(1, 0, 1, 2, b"", b""); 61]))),
];

/// What becomes of a frame on its way to the server.
fn receive(frame: &[u8]) -> Result<RequestFrame<'_>, DropReason> {
    let datagram = Datagram::decode(frame)?;
    SERVER.accepts(&datagram)?;
    RequestFrame::decode(datagram.payload())
}

#[test]
fn each_malformed_frame_is_dropped_for_its_reason() {
    for &(name, rule, reason, bytes) in NETWORK.iter().chain(MICA) {
        let bytes = bytes();
        assert_eq!(receive(&bytes).map(|_| ()), Err(reason), "{rule}: {name}");
        check_frame(&bytes);
    }
}

#[test]
fn a_request_that_cannot_be_executed_is_answered_and_the_others_are_executed() {
    for &(name, rule, result, bytes) in ANSWERED {
        let bytes = bytes();
        let mut requests = receive(&bytes).unwrap_or_else(|reason| panic!("{rule}: {name}: {reason:?}")).requests();
        let first = requests.next().expect("a GET");
        assert_eq!(first.decode().map(|request| request.operation), Ok(Operation::Get), "{rule}: {name}");
        let second = requests.next().expect("the request in question");
        assert_eq!(second.decode().map(|_| ()), Err(result), "{rule}: {name}");
        check_frame(&bytes);
        check_every_request_can_be_answered(&bytes[42..], bytes.len() - 42);
    }
}

#[test]
fn what_is_merely_odd_is_accepted() {
    for &(name, rule, (), bytes) in ACCEPTED {
        let bytes = bytes();
        let frame = receive(&bytes).unwrap_or_else(|reason| panic!("{rule}: {name}: {reason:?}"));
        assert!(frame.requests().all(|request| request.decode().is_ok()), "{rule}: {name}");
        check_frame(&bytes);
    }
}

#[test]
fn each_malformed_response_is_dropped_for_its_reason() {
    for &(name, rule, reason, bytes) in RESPONSES {
        let bytes = bytes();
        assert_eq!(ResponseFrame::decode(&bytes).map(|_| ()), Err(reason), "{rule}: {name}");
        check_response_payload(&bytes);
    }
    assert!(ResponseFrame::decode(&mixed_responses()).is_ok());
}

#[test]
fn w_c_20_a_payload_that_no_frame_holds_is_too_long() {
    let bytes = payload(0x78, &[set(b"12345678", &[7; 8685]), set(b"k", &[7; 216])]);
    assert_eq!(bytes.len(), 8974);
    assert_eq!(RequestFrame::decode(&bytes).map(|_| ()), Err(Long));
    assert_eq!(ResponseFrame::decode(&bytes).map(|_| ()), Err(Long));
}

#[test]
fn no_two_malformed_frames_have_one_name() {
    let dropped = NETWORK.iter().chain(MICA).map(|row| row.0);
    let names: Vec<_> = dropped.chain(ANSWERED.iter().map(|row| row.0)).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    assert!(names.len() >= 60);
}
