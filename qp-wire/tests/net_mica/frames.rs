//! Frames, put together byte by byte without the crate's encoders.

use std::net::Ipv4Addr;

use qp_wire::net::{Local, MacAddr, Remote};

/// The endpoint to which [`frame`] sends.
pub(crate) const SERVER: Local =
    Local { mac: MacAddr([2, 0, 0, 0, 0, 1]), ipv4: Ipv4Addr::new(10, 0, 0, 1), port: 0x1234 };

/// The client from which [`frame`] comes.
pub(crate) const CLIENT: Remote =
    Remote { mac: MacAddr([2, 0, 0, 0, 0, 2]), ipv4: Ipv4Addr::new(10, 0, 1, 1), port: 0x5678 };

/// An entry, its fields in the order of the wire. Key and value are filled up with zeros.
pub(crate) fn entry(operation: u8, result: u8, key_hash: u64, opaque: u32, key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![operation, result, 0, 0];
    let kv_length_vec = (key.len() as u32) << 24 | value.len() as u32;
    bytes.extend(kv_length_vec.to_le_bytes());
    bytes.extend(key_hash.to_le_bytes());
    bytes.extend(opaque.to_le_bytes());
    bytes.extend([0; 4]);
    for part in [key, value] {
        bytes.extend(part);
        while bytes.len() % 8 != 0 {
            bytes.push(0);
        }
    }
    bytes
}

/// A payload that announces the number of its entries.
pub(crate) fn payload(magic: u8, entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![magic, entries.len() as u8, 0, 0, 0, 0];
    bytes.extend(entries.iter().flatten());
    bytes
}

/// A frame from [`CLIENT`] to [`SERVER`] without checksums, as MICA2 sends it.
pub(crate) fn frame(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(SERVER.mac.0);
    bytes.extend(CLIENT.mac.0);
    bytes.extend([0x08, 0x00, 0x45, 0]);
    bytes.extend((28 + payload.len() as u16).to_be_bytes());
    bytes.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    bytes.extend(CLIENT.ipv4.octets());
    bytes.extend(SERVER.ipv4.octets());
    bytes.extend(CLIENT.port.to_be_bytes());
    bytes.extend(SERVER.port.to_be_bytes());
    bytes.extend((8 + payload.len() as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(payload);
    bytes
}

/// A GET, with fields of which none is zero.
pub(crate) fn get(key: &[u8]) -> Vec<u8> {
    entry(5, 0, 0x0123_4567_89ab_cdef, 0x0042_0007, key, b"")
}

/// A SET, with fields of which none is zero.
pub(crate) fn set(key: &[u8], value: &[u8]) -> Vec<u8> {
    entry(4, 0, 0xfedc_ba98_7654_3210, 0x0043_0001, key, value)
}

/// A payload with a request of each kind that matters to lengths.
pub(crate) fn mixed_requests() -> Vec<u8> {
    payload(
        0x78,
        &[
            entry(1, 0, 0, 0xffff_0003, b"", b""),
            get(b"k"),
            set(b"a key of 18 bytes.", b"and 13 bytes."),
            set(b"12345678", b""),
            entry(8, 0, 5, 6, b"counter", &7u64.to_le_bytes()),
        ],
    )
}

/// The payload of a response to [`mixed_requests`].
pub(crate) fn mixed_responses() -> Vec<u8> {
    payload(
        0x79,
        &[
            entry(1, 0, 0, 0xffff_0003, b"", b""),
            entry(5, 0, 0x0123_4567_89ab_cdef, 0x0042_0007, b"", b"value"),
            entry(4, 0, 0xfedc_ba98_7654_3210, 0x0043_0001, b"", b""),
            entry(4, 2, 0xfedc_ba98_7654_3210, 0x0043_0001, b"", b""),
            entry(8, 0, 5, 6, b"", &9u64.to_le_bytes()),
        ],
    )
}

/// The checksum of these bytes, by the other formula: the sum modulo 65535, complemented.
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    let sum: u64 = bytes.chunks(2).map(|word| u64::from(word[0]) << 8 | u64::from(*word.get(1).unwrap_or(&0))).sum();
    !(if sum == 0 { 0 } else { ((sum - 1) % 65535 + 1) as u16 })
}

/// Fills in the IPv4 header's checksum.
pub(crate) fn with_ipv4_checksum(mut frame: Vec<u8>) -> Vec<u8> {
    frame[24..26].fill(0);
    let sum = checksum(&frame[14..34]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// Fills in the UDP checksum; one of zero is sent as its other representation (RFC 768).
pub(crate) fn with_udp_checksum(mut frame: Vec<u8>) -> Vec<u8> {
    frame[40..42].fill(0);
    let mut covered = frame[26..34].to_vec();
    covered.extend([0, 17]);
    covered.extend(&frame[38..40]);
    covered.extend(&frame[34..]);
    let sum = checksum(&covered);
    frame[40..42].copy_from_slice(&(if sum == 0 { 0xffff } else { sum }).to_be_bytes());
    frame
}
