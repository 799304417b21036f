//! The native client protocol: a 16-byte header around a [batch](crate::batch) body.
//!
//! It is what our own clients speak, over ordinary UDP sockets or raw frames. Its body is the queue pair's, so that a DPU
//! checks and forwards a batch rather than encoding it again.
//!
//! ```text
//! 0       1         2      3       4          8           16
//! +-------+---------+------+-------+----------+-----------+------+-----+
//! | magic | version | kind | flags | batch_id | timestamp | body | pad |
//! +-------+---------+------+-------+----------+-----------+------+-----+
//! ```
//!
//! | offset | size | field | unit | rule |
//! |---|---|---|---|---|
//! | 0 | 1 | magic | | [`MAGIC_REQUEST`] or [`MAGIC_RESPONSE`] (W-C-50) |
//! | 1 | 1 | version | | [`VERSION`] (W-C-51) |
//! | 2 | 1 | kind | | 0 batch, 1 identity, 2 version answer (W-C-52) |
//! | 3 | 1 | flags | | bit 0 padded; the others 0 (W-C-53) |
//! | 4 | 4 | batch_id | | the client's, echoed (W-C-54) |
//! | 8 | 8 | timestamp | the client's | echoed, never interpreted (W-C-54) |
//! | 16 | | body | | by kind (W-C-55 to W-C-57) |
//! | | | pad | | only when padded; its last two bytes are its length, themselves included (W-C-53) |
//!
//! Numbers are little-endian. [`RequestFrame`] is what a server reads, [`ResponseFrame`] what a client reads.

mod error;
mod frame;
mod identity;

pub use error::{IdentityError, NativeError};
pub use frame::{RequestBody, RequestFrame, ResponseBody, ResponseFrame};
pub use identity::{
    ENDPOINT_COUNT_MAX, Endpoint, IDENTITY_LEN_MAX, IDENTITY_RESPONSE_LEN_MAX, Identity, PARTITION_COUNT_MAX,
};

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::limits::DATAGRAM_LEN_MAX;

/// First byte of a request (W-C-50).
pub const MAGIC_REQUEST: u8 = 0xD5;

/// First byte of a response (W-C-50). Nothing that starts with it is ever answered.
pub const MAGIC_RESPONSE: u8 = 0xD6;

/// The version of the protocol that this crate speaks (W-C-51).
pub const VERSION: u8 = 1;

/// Length of the frame header, in bytes.
pub const HEADER_LEN: usize = 16;

/// Flag: the frame ends with a pad (W-C-53). [`pad`] sets it.
pub const FLAG_PADDED: u8 = 1 << 0;

/// Length of the number that ends a pad, in bytes: the shortest pad.
const PAD_LEN_MIN: usize = 2;

const KIND_BATCH: u8 = 0;
const KIND_IDENTITY: u8 = 1;
const KIND_VERSION: u8 = 2;

/// The frame header as it is sent.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct WireHeader {
    magic: u8,
    version: u8,
    kind: u8,
    flags: u8,
    batch_id: U32,
    timestamp: U64,
}
const _: () = assert!(size_of::<WireHeader>() == HEADER_LEN);

/// What a response repeats of its request (W-C-54).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// The client's number for the frame, by which it finds what it asked.
    pub batch_id: u32,
    /// The client's time, in its own unit. A server never looks at it.
    pub timestamp: u64,
}

/// What a frame is: its magic and its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameKind {
    /// A request with a [`RequestBatch`](crate::batch::RequestBatch).
    BatchRequest,
    /// The response to it, with a [`ResponseBatch`](crate::batch::ResponseBatch).
    BatchResponse,
    /// The question who the server is.
    IdentityRequest,
    /// The answer to it, an [`Identity`].
    IdentityResponse,
}

/// Whether these bytes claim to be a frame of this protocol, request or response.
pub fn is_native(payload: &[u8]) -> bool {
    matches!(payload.first(), Some(&(MAGIC_REQUEST | MAGIC_RESPONSE)))
}

/// Writes a frame header to the first [`HEADER_LEN`] bytes of `into`, or returns `None` when it is shorter.
///
/// `flags` is 0, or [`FLAG_PADDED`] for a caller that writes the pad itself.
pub fn encode_header(into: &mut [u8], kind: FrameKind, flags: u8, header: FrameHeader) -> Option<()> {
    let (magic, kind) = match kind {
        FrameKind::BatchRequest => (MAGIC_REQUEST, KIND_BATCH),
        FrameKind::BatchResponse => (MAGIC_RESPONSE, KIND_BATCH),
        FrameKind::IdentityRequest => (MAGIC_REQUEST, KIND_IDENTITY),
        FrameKind::IdentityResponse => (MAGIC_RESPONSE, KIND_IDENTITY),
    };
    let wire = WireHeader {
        magic,
        version: VERSION,
        kind,
        flags,
        batch_id: U32::new(header.batch_id),
        timestamp: U64::new(header.timestamp),
    };
    wire.write_to_prefix(into).ok()
}

/// Pads the frame in the first `len` bytes of `into` to `frame_len` bytes and returns its new length (W-C-53).
///
/// A client that a server does not know gets no answer longer than its request, so it makes its request as long as
/// the answer that it hopes for (W-C-59); for a batch that means the values and
/// [`response_len_min`](crate::batch::response_len_min). A frame that is long enough stays as it is. No pad is shorter than 2 bytes, so the
/// frame may become one byte longer than asked for. `None` when `into` or a datagram is too short for it, or the
/// frame is padded already.
pub fn pad(into: &mut [u8], len: usize, frame_len: usize) -> Option<usize> {
    if len >= frame_len {
        return Some(len);
    }
    let pad_len = (frame_len - len).max(PAD_LEN_MIN);
    let padded_len = len + pad_len;
    if padded_len > DATAGRAM_LEN_MAX {
        return None;
    }
    let (frame, pad) = into.get_mut(..padded_len)?.split_at_mut_checked(len)?;
    let (header, _) = WireHeader::mut_from_prefix(frame).ok()?;
    if header.flags & FLAG_PADDED != 0 {
        return None;
    }
    let (zeros, pad_len_field) = pad.split_at_mut_checked(pad_len - PAD_LEN_MIN)?;
    U16::new(u16::try_from(pad_len).ok()?).write_to(pad_len_field).ok()?;
    zeros.fill(0);
    header.flags |= FLAG_PADDED;
    Some(padded_len)
}

/// Writes the answer to a request of a version that is not [`VERSION`], and returns its length, 16 bytes (W-C-51).
///
/// The answer says which version is spoken here, once a request, and is never longer than the request. `None` when
/// there is nothing to answer: the payload is shorter, no request, or of our own version.
pub fn version_answer(request_payload: &[u8], into: &mut [u8]) -> Option<usize> {
    let (request, _) = WireHeader::read_from_prefix(request_payload).ok()?;
    if request.magic != MAGIC_REQUEST || request.version == VERSION {
        return None;
    }
    let answer = WireHeader { magic: MAGIC_RESPONSE, version: VERSION, kind: KIND_VERSION, flags: 0, ..request };
    answer.write_to_prefix(into).ok()?;
    Some(HEADER_LEN)
}

/// Writes the request for a server's identity and returns its length (W-C-56).
///
/// `frame_len` is how long the answer may be when the server does not know the source: [`IDENTITY_RESPONSE_LEN_MAX`]
/// to be sure of it. `None` when `into` is shorter than that.
pub fn encode_identity_request(into: &mut [u8], header: FrameHeader, frame_len: usize) -> Option<usize> {
    encode_header(into, FrameKind::IdentityRequest, 0, header)?;
    pad(into, HEADER_LEN, frame_len)
}
