//! Requests: decoded by servers, encoded by clients.

use super::entry::{BatchHeader, Entries, Entry, EntryHeader, Head};
use super::{BATCH_HEADER_LEN, ENTRY_HEADER_LEN, Full, MAGIC_REQUEST, MAGIC_RESPONSE, PROBE_OPAQUE_BASE, ResponseHead};
use crate::limits::DATAGRAM_LEN_MAX;
use crate::{DropReason, Opcode, RawRequest, Request, ResultCode};

/// Length of the value in the response to an INCREMENT, in bytes: the new value.
const INCREMENT_VALUE_LEN: u8 = 8;

/// A request of a frame, with what its response must repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MicaRequest<'a> {
    /// The request itself. Its operation byte is not yet known to be MICA's, so use [`MicaRequest::decode`] and not
    /// [`RawRequest::decode`].
    pub raw: RawRequest<'a>,
    /// CityHash64 of the key, as the client says. Nothing has checked it.
    pub key_hash: u64,
    /// The client's cookie.
    pub opaque: u32,
}

impl<'a> MicaRequest<'a> {
    /// The probe by which a client finds out whether `endpoint_id` answers: a NOOP_READ without a key (rule W-C-31).
    pub fn probe(endpoint_id: u16) -> MicaRequest<'static> {
        MicaRequest {
            raw: RawRequest { operation: Opcode::NoopRead.to_wire(), key: &[], value: &[] },
            key_hash: 0,
            opaque: PROBE_OPAQUE_BASE | u32::from(endpoint_id),
        }
    }

    /// The request that these bytes mean on MICA2's wire.
    ///
    /// # Errors
    /// The result to answer this one request with; the others of the frame are not affected.
    /// [`ResultCode::NotSupported`] for operations above 8, bit 7 included (rule W-C-27); [`ResultCode::Error`] for a
    /// missing key (rule W-C-28) or a delta that has not 8 bytes, and [`ResultCode::TooLarge`] for a value beyond the
    /// limit (rule W-C-30). Values of operations that take none are ignored (rule W-C-29).
    pub fn decode(&self) -> Result<Request<'a>, ResultCode> {
        // Rule W-C-27. Our own operations and the flag share the byte, and MICA2 has neither.
        if self.raw.operation > Opcode::Increment.to_wire() {
            return Err(ResultCode::NotSupported);
        }
        self.raw.decode()
    }

    /// What its response needs of it, to be kept until then.
    pub fn head(&self) -> ResponseHead {
        ResponseHead {
            key_hash: self.key_hash,
            opaque: self.opaque,
            operation: self.raw.operation,
            value_len_min: value_len_min(self.raw.operation, self.raw.value.len()),
        }
    }
}

/// The value that the response to a request with a value of this length must have room for: that to an INCREMENT that may
/// be done, which only a value can tell (rule W-C-35).
///
/// With its delta such a request has at least 32 bytes, as many as its response.
fn value_len_min(operation: u8, value_len: usize) -> u8 {
    let has_delta = operation == Opcode::Increment.to_wire() && value_len == usize::from(INCREMENT_VALUE_LEN);
    if has_delta { INCREMENT_VALUE_LEN } else { 0 }
}

impl From<&EntryHeader> for ResponseHead {
    fn from(header: &EntryHeader) -> Self {
        Self {
            key_hash: header.key_hash.get(),
            opaque: header.opaque.get(),
            operation: header.operation,
            value_len_min: value_len_min(header.operation, header.value_len()),
        }
    }
}

impl<'a> From<Entry<'a>> for MicaRequest<'a> {
    fn from(entry: Entry<'a>) -> Self {
        Self {
            raw: RawRequest { operation: entry.header.operation, key: entry.key, value: entry.value },
            key_hash: entry.header.key_hash.get(),
            opaque: entry.header.opaque.get(),
        }
    }
}

/// A payload that holds requests, all of them whole and nothing else.
#[derive(Clone, Copy, Debug)]
pub struct RequestFrame<'a> {
    entries: Entries<'a>,
    response_len_min: usize,
}

impl<'a> RequestFrame<'a> {
    /// Looks at a payload, all of it: either every request in it can be answered or the frame is dropped.
    ///
    /// The rules W-C-20 to W-C-24 are checked in their order; the first one that is broken gives the reason.
    ///
    /// # Errors
    /// [`DropReason::Short`] or [`DropReason::Long`] for an impossible length; [`DropReason::Response`] for a response;
    /// [`DropReason::Magic`] if it is neither; [`DropReason::Malformed`] if count, lengths and bytes disagree.
    #[inline]
    pub fn decode(payload: &'a [u8]) -> Result<Self, DropReason> {
        let entries = Entries::split(payload, |magic| match magic {
            // Rule W-C-21.
            MAGIC_REQUEST => Ok(()),
            MAGIC_RESPONSE => Err(DropReason::Response),
            _ => Err(DropReason::Magic),
        })?;
        let mut has_increment = false;
        let entries = entries.check(|header| {
            has_increment |= header.operation == Opcode::Increment.to_wire();
            true
        })?;
        let mut response_len_min = BATCH_HEADER_LEN + ENTRY_HEADER_LEN * usize::from(entries.count);
        if has_increment {
            response_len_min += values_len_min(entries);
        }
        Ok(Self { entries, response_len_min })
    }

    /// How many requests there are, 1 to 255.
    pub fn count(&self) -> usize {
        self.entries.count.into()
    }

    /// The requests, in the order in which they are to be answered.
    pub fn requests(&self) -> Requests<'a> {
        Requests(self.entries)
    }

    /// What the responses need of the requests, in the same order.
    pub fn heads(&self) -> impl Iterator<Item = ResponseHead> + use<'a> {
        self.entries.headers().map(ResponseHead::from)
    }

    /// The room, in bytes, that the response's payload needs at least, however its requests end.
    ///
    /// It never exceeds the length of the payload, since no response needs more than its request had (rules W-C-34
    /// and W-C-35).
    pub fn response_len_min(&self) -> usize {
        self.response_len_min
    }
}

/// The values that the responses to these requests must have room for, in bytes.
#[inline(never)]
fn values_len_min(entries: Entries<'_>) -> usize {
    entries.headers().map(|header| usize::from(ResponseHead::from(header).value_len_min)).sum()
}

/// The requests of a [`RequestFrame`].
#[derive(Clone, Copy, Debug)]
pub struct Requests<'a>(Entries<'a>);

impl<'a> Iterator for Requests<'a> {
    type Item = MicaRequest<'a>;

    fn next(&mut self) -> Option<MicaRequest<'a>> {
        self.0.next().map(MicaRequest::from)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for Requests<'_> {}

/// Builds the payload of a request frame in a buffer that is lent to it.
#[derive(Debug)]
pub struct RequestWriter<'b> {
    into: &'b mut [u8],
    len: usize,
    count: u8,
}

impl<'b> RequestWriter<'b> {
    /// Begins a payload at the start of `into`. `None` if not even one request without key and value would fit.
    ///
    /// What `into` has beyond [`DATAGRAM_LEN_MAX`] stays unused.
    pub fn new(into: &'b mut [u8]) -> Option<Self> {
        let room = into.len().min(DATAGRAM_LEN_MAX);
        if room < BATCH_HEADER_LEN + ENTRY_HEADER_LEN {
            return None;
        }
        Some(Self { into: into.get_mut(..room)?, len: BATCH_HEADER_LEN, count: 0 })
    }

    /// Goes on with a payload at the start of `into`, of which a writer has written `len` bytes with `count` requests.
    /// `None` if no writer can have done so.
    ///
    /// For who keeps the buffer between two requests, and so cannot keep a writer.
    pub fn resume(into: &'b mut [u8], len: usize, count: u8) -> Option<Self> {
        let writer = Self::new(into)?;
        let is_possible = (BATCH_HEADER_LEN..=writer.into.len()).contains(&len);
        is_possible.then_some(Self { len, count, ..writer })
    }

    /// Bytes written so far, the batch header included.
    pub fn written_len(&self) -> usize {
        self.len
    }

    /// Adds a request.
    ///
    /// # Errors
    /// [`Full`] if it does not fit behind the others, if there are 255 already, or if its key exceeds 255 bytes.
    pub fn push(&mut self, request: &MicaRequest<'_>) -> Result<(), Full> {
        let count = self.count.checked_add(1).ok_or(Full)?;
        let head =
            Head { operation: request.raw.operation, result: 0, key_hash: request.key_hash, opaque: request.opaque };
        let room = self.into.get_mut(self.len..).ok_or(Full)?;
        self.len += Entry::put(room, &head, request.raw.key, request.raw.value).ok_or(Full)?;
        self.count = count;
        Ok(())
    }

    /// How many requests were added.
    pub fn count(&self) -> usize {
        usize::from(self.count)
    }

    /// Writes the batch header and returns the length of the payload, in bytes.
    pub fn finish(self) -> usize {
        BatchHeader::put(self.into, MAGIC_REQUEST, self.count);
        self.len
    }
}
