//! Reading the frames of either direction.

use zerocopy::FromBytes;
use zerocopy::little_endian::U16;

use super::identity::Identity;
use super::{
    FLAG_PADDED, FrameHeader, HEADER_LEN, KIND_BATCH, KIND_IDENTITY, KIND_VERSION, MAGIC_REQUEST, MAGIC_RESPONSE,
    NativeError, PAD_LEN_MIN, VERSION, WireHeader,
};
use crate::batch::{RequestBatch, ResponseBatch};
use crate::limits::DATAGRAM_LEN_MAX;

/// What a server receives.
#[derive(Clone, Copy, Debug)]
pub struct RequestFrame<'a> {
    /// What the response repeats.
    pub header: FrameHeader,
    /// What is asked.
    pub body: RequestBody<'a>,
}

/// What a client asks.
#[derive(Clone, Copy, Debug)]
pub enum RequestBody<'a> {
    /// To execute these requests.
    Batch(RequestBatch<'a>),
    /// Who the server is.
    Identity,
}

impl<'a> RequestFrame<'a> {
    /// The request in a UDP payload; all of it, or nothing.
    ///
    /// # Errors
    /// Every [`NativeError`] but [`NativeError::Identity`]. [`NativeError::Version`] is answered with
    /// [`version_answer`](super::version_answer), the others are not answered at all: an error message would make the
    /// server a reflector.
    pub fn decode(payload: &'a [u8]) -> Result<Self, NativeError> {
        let (wire, bytes) = split_header(payload, MAGIC_REQUEST, MAGIC_RESPONSE)?;
        if wire.version != VERSION {
            return Err(NativeError::Version { theirs: wire.version });
        }
        let bytes = without_pad(&wire, bytes)?;
        let body = match wire.kind {
            KIND_BATCH => RequestBody::Batch(RequestBatch::decode(bytes)?),
            KIND_IDENTITY if bytes.is_empty() => RequestBody::Identity,
            KIND_IDENTITY => return Err(NativeError::Trailing { len: bytes.len() }),
            kind => return Err(NativeError::Kind { kind }),
        };
        Ok(Self { header: frame_header(&wire), body })
    }
}

/// What a client receives.
#[derive(Clone, Copy, Debug)]
pub struct ResponseFrame<'a> {
    /// What the request said.
    pub header: FrameHeader,
    /// The answer.
    pub body: ResponseBody<'a>,
}

/// What a server answers.
#[derive(Clone, Copy, Debug)]
pub enum ResponseBody<'a> {
    /// What became of the requests.
    Batch(ResponseBatch<'a>),
    /// Who it is.
    Identity(Identity<'a>),
    /// That it does not speak our version of the protocol.
    Version {
        /// The version that it speaks.
        theirs: u8,
    },
}

impl<'a> ResponseFrame<'a> {
    /// The response in a UDP payload; all of it, or nothing.
    ///
    /// # Errors
    /// Every [`NativeError`] but [`NativeError::Trailing`].
    pub fn decode(payload: &'a [u8]) -> Result<Self, NativeError> {
        let (wire, bytes) = split_header(payload, MAGIC_RESPONSE, MAGIC_REQUEST)?;
        let header = frame_header(&wire);
        // The one kind that has to be understood across versions (W-C-51). What a later version puts behind the
        // header is not for us.
        if wire.kind == KIND_VERSION {
            return Ok(Self { header, body: ResponseBody::Version { theirs: wire.version } });
        }
        if wire.version != VERSION {
            return Err(NativeError::Version { theirs: wire.version });
        }
        let bytes = without_pad(&wire, bytes)?;
        let body = match wire.kind {
            KIND_BATCH => ResponseBody::Batch(ResponseBatch::decode(bytes)?),
            KIND_IDENTITY => ResponseBody::Identity(Identity::decode(bytes)?),
            kind => return Err(NativeError::Kind { kind }),
        };
        Ok(Self { header, body })
    }
}

/// Checks magic and length (W-C-50, W-C-58) and takes the header off.
fn split_header(payload: &[u8], magic: u8, other_direction: u8) -> Result<(WireHeader, &[u8]), NativeError> {
    let got = payload.len();
    let short = NativeError::Short { needed: HEADER_LEN, got };
    match *payload.first().ok_or(short)? {
        first if first == magic => {}
        first if first == other_direction => return Err(NativeError::Direction { magic: first }),
        first => return Err(NativeError::Magic { magic: first }),
    }
    if got > DATAGRAM_LEN_MAX {
        return Err(NativeError::Long { got });
    }
    WireHeader::read_from_prefix(payload).map_err(|_| short)
}

/// The body without the pad behind it (W-C-53).
fn without_pad<'a>(wire: &WireHeader, bytes: &'a [u8]) -> Result<&'a [u8], NativeError> {
    if wire.flags & !FLAG_PADDED != 0 {
        return Err(NativeError::Flags { flags: wire.flags });
    }
    if wire.flags & FLAG_PADDED == 0 {
        return Ok(bytes);
    }
    let got = HEADER_LEN + bytes.len();
    let (_, len) =
        U16::read_from_suffix(bytes).map_err(|_| NativeError::Short { needed: HEADER_LEN + PAD_LEN_MIN, got })?;
    let len = len.get();
    let pad_len = usize::from(len);
    if pad_len < PAD_LEN_MIN {
        return Err(NativeError::Pad { len });
    }
    let body_len = bytes.len().checked_sub(pad_len).ok_or(NativeError::Pad { len })?;
    bytes.get(..body_len).ok_or(NativeError::Pad { len })
}

const fn frame_header(wire: &WireHeader) -> FrameHeader {
    FrameHeader { batch_id: wire.batch_id.get(), timestamp: wire.timestamp.get() }
}
