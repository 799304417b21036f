//! Responses: encoded by servers, decoded by clients.

use super::entry::{BatchHeader, Entries, Entry, EntryHeader, Head, padded, unpadded};
use super::{BATCH_HEADER_LEN, ENTRY_HEADER_LEN, Full, MAGIC_RESPONSE};
use crate::limits::DATAGRAM_LEN_MAX;
use crate::{DropReason, ResultCode};

/// What is kept of a request until it is answered, 16 bytes. See [`MicaRequest::head`](super::MicaRequest::head).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// Echoed.
    pub key_hash: u64,
    /// Echoed.
    pub opaque: u32,
    /// Echoed, whether it was known or not.
    pub operation: u8,
    /// Bytes of value for which the response keeps room, a multiple of 8: 8 for an INCREMENT that may be executed, since
    /// an increment that was done cannot be called [`ResultCode::NotProcessed`]. Otherwise 0.
    pub value_len_min: u8,
}
const _: () = assert!(size_of::<ResponseHead>() == 16);

impl ResponseHead {
    /// The room, in bytes, that the response needs at least.
    pub fn len_min(&self) -> usize {
        ENTRY_HEADER_LEN + usize::from(self.value_len_min)
    }

    /// What is in the response's header (rules W-C-32 and W-C-33).
    #[inline]
    pub(super) fn answered(self, result: ResultCode) -> Head {
        Head {
            operation: self.operation,
            result: result.to_mica().to_wire(),
            key_hash: self.key_hash,
            opaque: self.opaque,
        }
    }
}

/// Builds the payload of a response frame in a buffer that is lent to it.
///
/// It is told at the start how much room the responses need at least ([`RequestFrame::response_len_min`]), and gives a
/// value only what the responses after it can spare. So as long as each request of the frame is answered once, in their
/// order, these always succeed: a response without a value, and that to an INCREMENT with its 8 bytes. The size of
/// the buffer is the caller's limit on how much is sent back. What has a value beyond that is answered
/// [`ResultCode::NotProcessed`], without it (rule W-C-34):
///
/// ```
/// use qp_wire::ResultCode;
/// use qp_wire::mica::{MicaRequest, RequestFrame, RequestWriter, ResponseWriter};
///
/// let mut request = [0; 64];
/// let mut writer = RequestWriter::new(&mut request).unwrap();
/// writer.push(&MicaRequest::probe(7)).unwrap();
/// let len = writer.finish();
///
/// let frame = RequestFrame::decode(&request[..len]).unwrap();
/// let mut response = vec![0; len];
/// let mut writer = ResponseWriter::new(&mut response, frame.response_len_min()).unwrap();
/// for request in frame.requests() {
///     let value = b"a value longer than its request";
///     if writer.push(request.head(), ResultCode::Success, Some(value)).is_err() {
///         writer.push(request.head(), ResultCode::NotProcessed, None).unwrap();
///     }
/// }
/// assert_eq!(writer.finish(), len);
/// ```
///
/// [`RequestFrame::response_len_min`]: super::RequestFrame::response_len_min
#[derive(Debug)]
pub struct ResponseWriter<'b> {
    into: &'b mut [u8],
    len: usize,
    /// What the responses to come need at least.
    owed_len: usize,
    count: u8,
}

impl<'b> ResponseWriter<'b> {
    /// Begins a payload at the start of `into`, of which responses will take at least `response_len_min` bytes. `None` if
    /// `into` has not as many.
    ///
    /// What `into` has beyond [`DATAGRAM_LEN_MAX`] stays unused.
    pub fn new(into: &'b mut [u8], response_len_min: usize) -> Option<Self> {
        let owed_len = response_len_min.saturating_sub(BATCH_HEADER_LEN);
        let room = into.len().min(DATAGRAM_LEN_MAX);
        if room < BATCH_HEADER_LEN + owed_len {
            return None;
        }
        Some(Self { into: into.get_mut(..room)?, len: BATCH_HEADER_LEN, owed_len, count: 0 })
    }

    /// Goes on behind `len` bytes with `count` responses, of a payload of which others still take at least `owed_len`.
    pub(super) fn resume(into: &'b mut [u8], len: usize, count: u8, owed_len: usize) -> Option<Self> {
        Some(Self { len, owed_len, count, ..Self::new(into, len + owed_len)? })
    }

    /// Where the value of the next response goes, if it is to be written in place: as long as that value can be, empty if
    /// it can have none. [`ResponseWriter::push_in_place`] makes a response of it.
    #[inline]
    pub fn value_buf(&mut self, head: ResponseHead) -> &mut [u8] {
        let len = self.value_len_max(head);
        let start = self.len.saturating_add(ENTRY_HEADER_LEN);
        self.into.get_mut(start..).and_then(|room| room.get_mut(..len)).unwrap_or_default()
    }

    /// Adds a response, with a copy of the value.
    ///
    /// # Errors
    /// [`Full`] if the value exceeds [`ResponseWriter::value_buf`]; if there are 255 responses already; or if there were
    /// others than announced and no room is left.
    #[inline]
    pub fn push(&mut self, head: ResponseHead, result: ResultCode, value: Option<&[u8]>) -> Result<(), Full> {
        let value = value.unwrap_or_default();
        self.add(head, value.len(), |place| Entry::put_response(place, &head.answered(result), value))
    }

    /// Adds a response around the first `value_len` bytes of [`ResponseWriter::value_buf`].
    ///
    /// # Errors
    /// As for [`ResponseWriter::push`].
    #[inline]
    pub fn push_in_place(&mut self, head: ResponseHead, result: ResultCode, value_len: usize) -> Result<(), Full> {
        if value_len > DATAGRAM_LEN_MAX {
            return Err(Full);
        }
        self.add(head, value_len, |place| Entry::put_around(place, &head.answered(result), value_len).map(drop))
    }

    /// Adds a response that `put` makes in its place, if that leaves to the responses after it what they need (rules
    /// W-C-34 and W-C-35).
    #[inline]
    fn add(
        &mut self,
        head: ResponseHead,
        value_len: usize,
        put: impl FnOnce(&mut [u8]) -> Option<()>,
    ) -> Result<(), Full> {
        let end = self.end_with(value_len);
        let owed_len = self.owed_len.saturating_sub(head.len_min());
        if end + owed_len > self.into.len() {
            return Err(Full);
        }
        let count = self.count.checked_add(1).ok_or(Full)?;
        put(self.into.get_mut(self.len..end).ok_or(Full)?).ok_or(Full)?;
        (self.len, self.owed_len, self.count) = (end, owed_len, count);
        Ok(())
    }

    /// Where the next response ends if it has a value of this length.
    #[inline]
    fn end_with(&self, value_len: usize) -> usize {
        self.len + ENTRY_HEADER_LEN + padded(value_len)
    }

    /// How many responses were added.
    pub fn count(&self) -> usize {
        usize::from(self.count)
    }

    /// Writes the batch header and returns the length of the payload, in bytes.
    pub fn finish(self) -> usize {
        BatchHeader::put(self.into, MAGIC_RESPONSE, self.count);
        self.len
    }

    /// The longest value that leaves to the responses after this one what they need (rules W-C-34 and W-C-35).
    #[inline]
    fn value_len_max(&self, head: ResponseHead) -> usize {
        let owed_to_others = self.owed_len.saturating_sub(head.len_min());
        unpadded(self.into.len().saturating_sub(self.end_with(0) + owed_to_others))
    }
}

/// A response of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MicaResponse<'a> {
    /// The operation byte of the request.
    pub operation: u8,
    /// What became of the request; one of MICA2's codes.
    pub result: ResultCode,
    /// The key hash of the request.
    pub key_hash: u64,
    /// The cookie of the request.
    pub opaque: u32,
    /// The value without its pad, empty where there is none.
    pub value: &'a [u8],
}

/// The result in an entry's header, or `None` if no server of this protocol writes such an entry.
fn result(header: &EntryHeader) -> Option<ResultCode> {
    // Rule W-C-37.
    if header.key_len() > 0 {
        return None;
    }
    // Rule W-C-38. A code that MICA2 does not know is not its own image, and one never crosses the wire.
    ResultCode::from_wire(header.result).filter(|&result| result == result.to_mica() && result != ResultCode::TimedOut)
}

impl<'a> MicaResponse<'a> {
    /// The response in an entry, or `None` if it is none.
    fn new(entry: &Entry<'a>) -> Option<Self> {
        Some(Self {
            operation: entry.header.operation,
            result: result(entry.header)?,
            key_hash: entry.header.key_hash.get(),
            opaque: entry.header.opaque.get(),
            value: entry.value,
        })
    }
}

/// A payload that holds responses, all of them whole and nothing else.
#[derive(Clone, Copy, Debug)]
pub struct ResponseFrame<'a> {
    entries: Entries<'a>,
}

impl<'a> ResponseFrame<'a> {
    /// Looks at a payload, all of it.
    ///
    /// Rule W-C-20 is checked first, then W-C-36, W-C-22 to W-C-24, and of each entry W-C-37 and W-C-38.
    ///
    /// # Errors
    /// [`DropReason::Short`] or [`DropReason::Long`] for an impossible length; [`DropReason::Magic`] if it does not begin
    /// like a response; [`DropReason::Malformed`] if count, lengths and bytes disagree, or if an entry is none that a
    /// server writes.
    pub fn decode(payload: &'a [u8]) -> Result<Self, DropReason> {
        // Rule W-C-36.
        let entries = Entries::split(payload, |magic| match magic {
            MAGIC_RESPONSE => Ok(()),
            _ => Err(DropReason::Magic),
        })?;
        Ok(Self { entries: entries.check(|header| result(header).is_some())? })
    }

    /// How many responses there are, 1 to 255.
    pub fn count(&self) -> usize {
        self.entries.count.into()
    }

    /// The responses, in the order of their requests.
    pub fn responses(&self) -> Responses<'a> {
        Responses(self.entries)
    }
}

/// The responses of a [`ResponseFrame`].
#[derive(Clone, Copy, Debug)]
pub struct Responses<'a>(Entries<'a>);

impl<'a> Iterator for Responses<'a> {
    type Item = MicaResponse<'a>;

    fn next(&mut self) -> Option<MicaResponse<'a>> {
        self.0.next().as_ref().and_then(MicaResponse::new)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for Responses<'_> {}
