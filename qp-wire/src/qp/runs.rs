//! The batches within a slot.

use zerocopy::little_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::SlotError;
use crate::batch::{RequestBatch, ResponseBatch, response_len_min};
use crate::limits::REQUEST_COUNT_MAX;

/// Length of a run's header, in bytes.
pub const RUN_HEADER_LEN: usize = 4;

/// The flag of a response run in which something may expire.
const MAY_EXPIRE: u16 = 1;

/// The header of a run.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RunHeader {
    body_len: U16,
    /// `response_len_max` of a request run, flags of a response run.
    second: U16,
}
const _: () = assert!(size_of::<RunHeader>() == RUN_HEADER_LEN);

/// Writes a request run's header to the first [`RUN_HEADER_LEN`] bytes of `into`; the body goes right behind it.
///
/// `response_len_max` is at least [`response_len_min`] of the body's count. `None` when `into` is too short or a length
/// exceeds 16 bits.
pub fn put_run_header(into: &mut [u8], body_len: usize, response_len_max: usize) -> Option<()> {
    put_header(into, body_len, u16::try_from(response_len_max).ok()?)
}

/// Writes a response run's header to the first [`RUN_HEADER_LEN`] bytes of `into`; the body goes right behind it.
///
/// `may_expire` says whether a value in the body is that of an item with a time to live. `None` when `into` is too short
/// or the length exceeds 16 bits.
pub fn put_response_run_header(into: &mut [u8], body_len: usize, may_expire: bool) -> Option<()> {
    put_header(into, body_len, if may_expire { MAY_EXPIRE } else { 0 })
}

fn put_header(into: &mut [u8], body_len: usize, second: u16) -> Option<()> {
    let header = RunHeader { body_len: U16::new(u16::try_from(body_len).ok()?), second: U16::new(second) };
    header.write_to_prefix(into).ok()
}

/// A client's batch, and the space for its response.
#[derive(Clone, Copy, Debug)]
pub struct RequestRun<'a> {
    /// The requests.
    pub batch: RequestBatch<'a>,
    /// Most bytes that the response body may have: enough to answer each request at least without a value.
    pub response_len_max: usize,
}

/// What the answer to a run is: how many responses, and the space for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunPromise {
    /// Responses, as many as requests.
    pub count: usize,
    /// See [`RequestRun::response_len_max`].
    pub response_len_max: usize,
}

/// The request runs of a slot, all of them valid.
#[derive(Clone, Copy, Debug)]
pub struct RequestRuns<'a> {
    bytes: &'a [u8],
    responses_len_max: usize,
}

/// The request runs in `payload`, an open slot's [`runs`](super::OpenSlot::runs); all of them, or an error.
///
/// # Errors
/// [`SlotError::Run`], [`SlotError::Batch`], [`SlotError::Count`] and [`SlotError::ResponseLenMax`].
pub fn request_runs(payload: &[u8]) -> Result<RequestRuns<'_>, SlotError> {
    let mut rest = payload;
    let (mut count, mut responses_len_max) = (0, 0);
    while !rest.is_empty() {
        let (run, behind) = split_request_run(rest)?;
        count = add_count(count, run.batch.count())?;
        responses_len_max += RUN_HEADER_LEN + run.response_len_max;
        rest = behind;
    }
    Ok(RequestRuns { bytes: payload, responses_len_max })
}

impl<'a> RequestRuns<'a> {
    /// Whether there are none: such a slot only brings credits.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Most bytes that all response runs together may have, their headers included.
    pub const fn responses_len_max(&self) -> usize {
        self.responses_len_max
    }

    /// What the answers to the runs are, in their order, without a second look at the requests.
    pub fn promises(&self) -> impl Iterator<Item = RunPromise> + 'a {
        let mut rest = self.bytes;
        core::iter::from_fn(move || {
            let (response_len_max, body, behind) = split_run(rest).ok()?;
            let (count, _) = U16::read_from_prefix(body).ok()?;
            rest = behind;
            Some(RunPromise { count: count.get().into(), response_len_max: response_len_max.into() })
        })
    }

    /// The runs, in the order in which they were written.
    pub const fn iter(&self) -> RequestRunIter<'a> {
        RequestRunIter { rest: self.bytes }
    }
}

impl<'a> IntoIterator for RequestRuns<'a> {
    type Item = RequestRun<'a>;
    type IntoIter = RequestRunIter<'a>;

    fn into_iter(self) -> RequestRunIter<'a> {
        self.iter()
    }
}

/// The runs of a [`RequestRuns`].
#[derive(Clone, Debug)]
pub struct RequestRunIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for RequestRunIter<'a> {
    type Item = RequestRun<'a>;

    fn next(&mut self) -> Option<RequestRun<'a>> {
        // `request_runs` has been through all of them, so the only reason to stop is the end.
        let (run, rest) = split_request_run(self.rest).ok()?;
        self.rest = rest;
        Some(run)
    }
}

/// The response runs of a slot, all of them valid.
#[derive(Clone, Copy, Debug)]
pub struct ResponseRuns<'a> {
    bytes: &'a [u8],
}

/// A client's answers.
#[derive(Clone, Copy, Debug)]
pub struct ResponseRun<'a> {
    /// The responses.
    pub batch: ResponseBatch<'a>,
    /// Whether one of their values is that of an item with a time to live (W-Q-7).
    pub may_expire: bool,
}

/// The response runs in `payload`, an open slot's [`runs`](super::OpenSlot::runs); all of them, or an error.
///
/// Whether they answer what was asked (W-Q-8) is for whoever asked to see.
///
/// # Errors
/// [`SlotError::Run`], [`SlotError::Batch`], [`SlotError::Count`] and [`SlotError::RunFlags`].
pub fn response_runs(payload: &[u8]) -> Result<ResponseRuns<'_>, SlotError> {
    let mut rest = payload;
    let mut count = 0;
    while !rest.is_empty() {
        let (run, behind) = split_response_run(rest)?;
        count = add_count(count, run.batch.count())?;
        rest = behind;
    }
    Ok(ResponseRuns { bytes: payload })
}

impl<'a> ResponseRuns<'a> {
    /// Whether there are none: such a slot only brings credits.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The runs, in the order of the request runs.
    pub const fn iter(&self) -> ResponseRunIter<'a> {
        ResponseRunIter { rest: self.bytes }
    }
}

impl<'a> IntoIterator for ResponseRuns<'a> {
    type Item = ResponseRun<'a>;
    type IntoIter = ResponseRunIter<'a>;

    fn into_iter(self) -> ResponseRunIter<'a> {
        self.iter()
    }
}

/// The runs of a [`ResponseRuns`].
#[derive(Clone, Debug)]
pub struct ResponseRunIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for ResponseRunIter<'a> {
    type Item = ResponseRun<'a>;

    fn next(&mut self) -> Option<ResponseRun<'a>> {
        // `response_runs` has been through all of them, so the only reason to stop is the end.
        let (flags, body, rest) = split_run(self.rest).ok()?;
        self.rest = rest;
        Some(ResponseRun { batch: ResponseBatch::decoded(body), may_expire: flags & MAY_EXPIRE != 0 })
    }
}

/// The first request run and the bytes behind it (W-Q-5, W-Q-6).
fn split_request_run(bytes: &[u8]) -> Result<(RequestRun<'_>, &[u8]), SlotError> {
    let (second, body, rest) = split_run(bytes)?;
    let (response_len_max, batch) = (usize::from(second), RequestBatch::decode(body)?);
    let needed = response_len_min(batch.count());
    if response_len_max < needed {
        return Err(SlotError::ResponseLenMax { needed, got: response_len_max });
    }
    Ok((RequestRun { batch, response_len_max }, rest))
}

/// The first response run and the bytes behind it (W-Q-5, W-Q-7).
fn split_response_run(bytes: &[u8]) -> Result<(ResponseRun<'_>, &[u8]), SlotError> {
    let (flags, body, rest) = split_run(bytes)?;
    if flags & !MAY_EXPIRE != 0 {
        return Err(SlotError::RunFlags { flags });
    }
    Ok((ResponseRun { batch: ResponseBatch::decode(body)?, may_expire: flags & MAY_EXPIRE != 0 }, rest))
}

/// The second field of the first run's header, the run's body, and the bytes behind it.
fn split_run(bytes: &[u8]) -> Result<(u16, &[u8], &[u8]), SlotError> {
    let got = bytes.len();
    let (header, behind) =
        RunHeader::read_from_prefix(bytes).map_err(|_| SlotError::Run { needed: RUN_HEADER_LEN, got })?;
    let body_len = usize::from(header.body_len.get());
    let needed = RUN_HEADER_LEN + body_len;
    let (body, rest) = behind.split_at_checked(body_len).ok_or(SlotError::Run { needed, got })?;
    Ok((header.second.get(), body, rest))
}

const fn add_count(sum: usize, count: usize) -> Result<usize, SlotError> {
    let count = sum + count;
    if count > REQUEST_COUNT_MAX { Err(SlotError::Count { count }) } else { Ok(count) }
}
