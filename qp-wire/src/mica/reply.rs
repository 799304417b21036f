//! Responses that are built over their own requests.

use core::{fmt, iter, mem};

use zerocopy::FromBytes;

use super::entry::{BatchHeader, Entries, Entry, EntryHeader, padded};
use super::{BATCH_HEADER_LEN, ENTRY_COUNT_MAX, ENTRY_HEADER_LEN, MAGIC_RESPONSE, ResponseHead, ResponseWriter};
use crate::ResultCode;
use crate::batch::Response;

/// Turns the payloads of request frames into those of their responses, in the same memory.
///
/// A payload is one that [`RequestFrame::decode`] has accepted, and is not checked again. What a response must repeat is
/// read from its request just before it. That works as long as responses take no more bytes than their requests did, as
/// most do; before one reaches into a request that is still to be answered, the heads of all those are put aside. There is
/// room for them: 4 KiB, given once and used for one frame after the other.
///
/// What [`ResponseWriter`] says of room and of values that do not fit holds here, too:
///
/// ```
/// use qp_wire::ResultCode;
/// use qp_wire::batch::Response;
/// use qp_wire::mica::{MicaRequest, Replier, RequestWriter, ResponseFrame};
///
/// let mut frame = [0; 64];
/// let mut writer = RequestWriter::new(&mut frame).unwrap();
/// writer.push(&MicaRequest::probe(7)).unwrap();
/// let len = writer.finish();
///
/// let mut responses = [Response { result: ResultCode::Success, value: Some(b"pong") }].into_iter();
/// let reply = Replier::new().reply(&mut frame, &mut responses, |_, result| result).unwrap();
/// assert_eq!((reply.len, reply.not_processed), (len + 8, 0));
/// let response = ResponseFrame::decode(&frame[..reply.len]).unwrap().responses().next().unwrap();
/// assert_eq!((response.opaque, response.value), (0xffff_0007, &b"pong"[..]));
/// ```
///
/// [`RequestFrame::decode`]: super::RequestFrame::decode
pub struct Replier {
    aside: [ResponseHead; ENTRY_COUNT_MAX],
    /// How many heads were put aside last.
    count: u8,
}

/// A response frame that was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Length of the payload, in bytes.
    pub len: usize,
    /// How many values found no room, so that [`ResultCode::NotProcessed`] was answered (rule W-C-34).
    pub not_processed: u64,
}

impl Replier {
    /// One with nothing aside.
    pub const fn new() -> Self {
        let nobody = ResponseHead { key_hash: 0, opaque: 0, operation: 0, value_len_min: 0 };
        Self { aside: [nobody; ENTRY_COUNT_MAX], count: 0 }
    }

    /// Answers the requests in `frame`, which begins with their payload, with the next of `responses`. The response may
    /// become as long as `frame`.
    ///
    /// `result_of` says what the sender of a request with this operation byte is told of a result that is no success. `None`
    /// when there are fewer responses than requests.
    #[inline]
    #[expect(single_use_lifetimes, reason = "what is elided in `impl Trait` needs a name as yet")]
    pub fn reply<'r>(
        &mut self,
        frame: &mut [u8],
        responses: &mut (impl Iterator<Item = Response<'r>> + Clone),
        result_of: impl Fn(u8, ResultCode) -> ResultCode,
    ) -> Option<Reply> {
        let frame_len = frame.len();
        let (header, mut rest) = BatchHeader::mut_from_prefix(frame).ok()?;
        let count = header.num_requests;
        // From where the next response goes to where the next request is.
        let mut gap = 0;
        // What nobody else has a reference to can be in registers: that takes an eighth off the loop.
        let mut next = responses.clone();
        for index in 0..count {
            let requests = rest.get(gap..)?;
            let (request, _) = EntryHeader::ref_from_prefix(requests).ok()?;
            let response = next.next()?;
            let value = response.value.unwrap_or_default();
            let len = ENTRY_HEADER_LEN + padded(value.len());
            let reach = gap + request.entry_len();
            if len > reach {
                self.put_aside(Entries::last(requests, count - index));
                let written_len = frame_len - rest.len();
                let writer = ResponseWriter::resume(frame, written_len, index, self.owed_len())?;
                *responses = next;
                return self.answer_aside(writer, iter::once(response).chain(responses), result_of);
            }
            // No later response lacks room for this one: none needs more than its request takes.
            let result = match response.result {
                ResultCode::Success => ResultCode::Success,
                other => result_of(request.operation, other),
            };
            let head = ResponseHead::from(request).answered(result);
            let (place, behind) = mem::take(&mut rest).split_at_mut_checked(len)?;
            Entry::put_response(place, &head, value)?;
            (rest, gap) = (behind, reach - len);
        }
        *responses = next;
        let len = frame_len - rest.len();
        *header = BatchHeader::new(MAGIC_RESPONSE, count);
        Some(Reply { len, not_processed: 0 })
    }

    /// Puts aside what the responses to a payload must repeat, for [`reply_apart`](Self::reply_apart).
    pub fn keep(&mut self, payload: &[u8]) {
        self.put_aside(Entries::after_header(payload));
    }

    /// Answers the requests that were kept, in memory that cannot hold all of them.
    ///
    /// `None` as for [`reply`](Self::reply), or if `into` has not the room that the responses need at least.
    #[expect(single_use_lifetimes, reason = "what is elided in `impl Trait` needs a name as yet")]
    pub fn reply_apart<'r>(
        &mut self,
        into: &mut [u8],
        responses: &mut impl Iterator<Item = Response<'r>>,
        result_of: impl Fn(u8, ResultCode) -> ResultCode,
    ) -> Option<Reply> {
        let writer = ResponseWriter::new(into, BATCH_HEADER_LEN + self.owed_len())?;
        self.answer_aside(writer, responses, result_of)
    }

    #[cold]
    #[inline(never)]
    fn put_aside(&mut self, entries: Entries<'_>) {
        self.count = entries.count;
        for (place, header) in self.aside.iter_mut().zip(entries.headers()) {
            *place = header.into();
        }
    }

    fn heads(&self) -> &[ResponseHead] {
        self.aside.get(..self.count.into()).unwrap_or_default()
    }

    fn owed_len(&self) -> usize {
        self.heads().iter().map(ResponseHead::len_min).sum()
    }

    #[cold]
    #[inline(never)]
    #[expect(single_use_lifetimes, reason = "what is elided in `impl Trait` needs a name as yet")]
    fn answer_aside<'r>(
        &self,
        mut writer: ResponseWriter<'_>,
        mut responses: impl Iterator<Item = Response<'r>>,
        result_of: impl Fn(u8, ResultCode) -> ResultCode,
    ) -> Option<Reply> {
        let mut not_processed = 0;
        for &head in self.heads() {
            let response = responses.next()?;
            if writer.push(head, result_of(head.operation, response.result), response.value).is_err() {
                not_processed += 1;
                writer.push(head, ResultCode::NotProcessed, None).ok()?;
            }
        }
        Some(Reply { len: writer.finish(), not_processed })
    }
}

impl Default for Replier {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Replier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replier").finish_non_exhaustive()
    }
}
