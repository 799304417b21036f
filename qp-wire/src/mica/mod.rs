//! MICA2's client protocol.
//!
//! An unmodified MICA2 client speaks it, so every byte is MICA2's: a UDP payload with a batch header and, back to back,
//! one entry per request. A response frame has the same form. This module works on the payload of a datagram; for the
//! headers around it see [`net`](crate::net).
//!
//! ```text
//! 0       1              2                   6
//! | magic | num_requests | reserved, 4 bytes | entry | entry | ...
//!
//! an entry:
//! 0           1        2           4               8          16       20          24
//! | operation | result | reserved0 | kv_length_vec | key_hash | opaque | reserved1 | key | pad | value | pad |
//! ```
//!
//! | offset | size | field | unit | rule |
//! |---|---|---|---|---|
//! | 0 | 1 | magic: 0x78 request, 0x79 response | | W-C-21, W-C-36 |
//! | 1 | 1 | num_requests, 1 to 255 | entries | W-C-22 |
//! | 2 | 4 | reserved | | W-C-26 |
//!
//! And of an entry, little-endian:
//!
//! | offset | size | field | unit | rule |
//! |---|---|---|---|---|
//! | 0 | 1 | operation, echoed in the response | | W-C-27, W-C-32 |
//! | 1 | 1 | result, 0 in a request | | W-C-26, W-C-33, W-C-38 |
//! | 2 | 2 | reserved0 | | W-C-26 |
//! | 4 | 4 | kv_length_vec: key length in the upper 8 bits, value length in the lower 24 | bytes, without pads | W-C-23 |
//! | 8 | 8 | key_hash: CityHash64 of the key, echoed | | W-C-32 |
//! | 16 | 4 | opaque: the client's cookie, echoed | | W-C-32 |
//! | 20 | 4 | reserved1 | | W-C-26 |
//! | 24 | key length, then 0 to 7 of pad | key, absent in a response | bytes | W-C-25, W-C-28, W-C-37 |
//! | .. | value length, then 0 to 7 of pad | value | bytes | W-C-25, W-C-29, W-C-30 |
//!
//! A server uses [`RequestFrame`] and [`ResponseWriter`] or [`Replier`], a client [`RequestWriter`] and [`ResponseFrame`].

mod entry;
mod reply;
mod request;
mod response;

use core::fmt;

pub use reply::{Replier, Reply};
pub use request::{MicaRequest, RequestFrame, RequestWriter, Requests};
pub use response::{MicaResponse, ResponseFrame, ResponseHead, ResponseWriter, Responses};

use crate::net::HEADERS_LEN;

/// First byte of a request's payload.
pub const MAGIC_REQUEST: u8 = 0x78;

/// First byte of a response's payload.
pub const MAGIC_RESPONSE: u8 = 0x79;

/// Length of the batch header, in bytes.
pub const BATCH_HEADER_LEN: usize = size_of::<entry::BatchHeader>();

/// Length of an entry's header, in bytes, and so of an entry without key and value.
pub const ENTRY_HEADER_LEN: usize = size_of::<entry::EntryHeader>();

/// Most entries in a payload: num_requests has 8 bits, and a count that is not the true one is refused (rule W-C-22).
pub const ENTRY_COUNT_MAX: usize = u8::MAX as usize;

/// Shortest payload, in bytes: one entry without key and value.
pub const PAYLOAD_LEN_MIN: usize = BATCH_HEADER_LEN + ENTRY_HEADER_LEN;

/// Longest payload that a MICA2 client can take, in bytes. Its frames end at 1514 bytes, in buffers of 2 KiB.
///
/// Nothing here enforces it, since jumbo frames are welcome from those who send them; who answers a request with more
/// bytes than it had keeps to this.
pub const PAYLOAD_LEN_MAX: usize = 1514 - HEADERS_LEN;

/// The opaque of a probe is this with the endpoint's id in the lower 16 bits (rule W-C-31).
pub const PROBE_OPAQUE_BASE: u32 = 0xffff_0000;

/// The payload under construction has no room for what was to be added, and is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the payload has no room left")
    }
}

impl core::error::Error for Full {}
