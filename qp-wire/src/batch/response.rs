//! Reading the responses of a batch body.

use zerocopy::FromBytes;
use zerocopy::little_endian::U16;

use super::reader::{Reader, nothing_behind};
use super::{BatchError, HEADER_LEN, RESULT_LENS_FOLDED, RESULTS_FOLDED, ResponseHeader, VALUE_FLAG};
use crate::ResultCode;
use crate::limits::REQUEST_COUNT_MAX;

/// What became of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// The result.
    pub result: ResultCode,
    /// The value that comes with it, if the operation has one to give. An empty value is a value.
    pub value: Option<&'a [u8]>,
}

/// The responses of a body, all lengths and results of which are valid. Borrows the body.
#[derive(Clone, Copy, Debug)]
pub struct ResponseBatch<'a> {
    bytes: &'a [u8],
    items: Items<'a>,
}

impl<'a> ResponseBatch<'a> {
    /// The batch that `bytes` hold, all of them.
    ///
    /// Takes constant time when everything is folded, else time proportional to the count.
    ///
    /// # Errors
    /// Every [`BatchError`].
    pub fn decode(bytes: &'a [u8]) -> Result<Self, BatchError> {
        let (batch, rest) = Self::decode_prefix(bytes)?;
        nothing_behind(rest)?;
        Ok(batch)
    }

    /// The batch that `bytes` start with, and the bytes behind it.
    ///
    /// # Errors
    /// As for [`ResponseBatch::decode`], without [`BatchError::Trailing`].
    pub fn decode_prefix(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), BatchError> {
        let mut reader = Reader::new(bytes);
        let header = ResponseHeader::read_from_bytes(reader.bytes(HEADER_LEN)?)
            .map_err(|_| BatchError::Truncated { needed: HEADER_LEN, got: bytes.len() })?;
        let count = check_header(&header)?;
        let (results, value_count) = if header.flags & RESULTS_FOLDED != 0 {
            let result = decode_result(header.result)?;
            (Results::Same(result), if result.1 { count } else { 0 })
        } else {
            let results = reader.bytes(count)?;
            (Results::Each(results), count_values(results)?)
        };
        let (value_lens, values_len) = if header.flags & RESULT_LENS_FOLDED != 0 {
            let len = usize::from(header.value_len.get());
            (ValueLens::Same(len), value_count * len)
        } else {
            let lens = reader.numbers(value_count)?;
            (ValueLens::Each(lens), lens.iter().map(|len| usize::from(len.get())).sum())
        };
        let values = reader.bytes(values_len)?;
        let (bytes, rest) = reader.finish();
        Ok((Self { bytes, items: Items { remaining: count, results, value_lens, values } }, rest))
    }

    /// How many responses there are: 1 to [`REQUEST_COUNT_MAX`].
    pub const fn count(&self) -> usize {
        self.items.remaining
    }

    /// The body's bytes, which can be passed on as they are.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether one of the responses has this result.
    pub fn has(&self, result: ResultCode) -> bool {
        match self.items.results {
            Results::Same((same, _)) => same == result,
            // Compiles to vector instructions, which a loop that stops at the first one does not.
            Results::Each(results) => {
                results.iter().fold(false, |has, &byte| has | (byte & !VALUE_FLAG == result.to_wire()))
            }
        }
    }

    /// The responses, in the order of the requests (W-B-7).
    pub const fn iter(&self) -> ResponseIter<'a> {
        ResponseIter { items: self.items }
    }
}

impl<'a> IntoIterator for ResponseBatch<'a> {
    type Item = Response<'a>;
    type IntoIter = ResponseIter<'a>;

    fn into_iter(self) -> ResponseIter<'a> {
        self.iter()
    }
}

/// The responses of a [`ResponseBatch`]; exactly as many as it counts.
#[derive(Clone, Debug)]
pub struct ResponseIter<'a> {
    items: Items<'a>,
}

impl<'a> Iterator for ResponseIter<'a> {
    type Item = Response<'a>;

    #[inline]
    fn next(&mut self) -> Option<Response<'a>> {
        let items = &mut self.items;
        items.remaining = items.remaining.checked_sub(1)?;
        let (result, has_value) = items.results.next()?;
        if !has_value {
            return Some(Response { result, value: None });
        }
        // `decode` has summed the lengths, so the split succeeds.
        let (value, values) = items.values.split_at_checked(items.value_lens.next()?)?;
        items.values = values;
        Some(Response { result, value: Some(value) })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.items.remaining, Some(self.items.remaining))
    }
}

impl ExactSizeIterator for ResponseIter<'_> {}

/// What is left of a batch.
#[derive(Clone, Copy, Debug)]
struct Items<'a> {
    remaining: usize,
    results: Results<'a>,
    value_lens: ValueLens<'a>,
    values: &'a [u8],
}

/// The results that are left, each with whether a value comes with it.
#[derive(Clone, Copy, Debug)]
enum Results<'a> {
    Same((ResultCode, bool)),
    Each(&'a [u8]),
}

impl Results<'_> {
    #[inline]
    fn next(&mut self) -> Option<(ResultCode, bool)> {
        match self {
            Self::Same(result) => Some(*result),
            Self::Each(results) => {
                let (first, rest) = results.split_first()?;
                *results = rest;
                decode_result(*first).ok()
            }
        }
    }
}

/// The value lengths that are left.
#[derive(Clone, Copy, Debug)]
enum ValueLens<'a> {
    Same(usize),
    Each(&'a [U16]),
}

impl ValueLens<'_> {
    #[inline]
    fn next(&mut self) -> Option<usize> {
        match self {
            Self::Same(len) => Some(*len),
            Self::Each(lens) => {
                let (first, rest) = lens.split_first()?;
                *lens = rest;
                Some(usize::from(first.get()))
            }
        }
    }
}

/// Checks W-B-1 and W-B-2 and returns the count.
fn check_header(header: &ResponseHeader) -> Result<usize, BatchError> {
    let flags = header.flags;
    let count = usize::from(header.count.get());
    if count == 0 || count > REQUEST_COUNT_MAX {
        return Err(BatchError::Count { count: header.count.get() });
    }
    let in_use = flags & !(RESULTS_FOLDED | RESULT_LENS_FOLDED) != 0
        || header.reserved.get() != 0
        || (flags & RESULTS_FOLDED == 0 && header.result != 0)
        || (flags & RESULT_LENS_FOLDED == 0 && header.value_len.get() != 0);
    if in_use { Err(BatchError::Reserved) } else { Ok(count) }
}

/// Whether a result byte has a code that is known.
const fn is_result(byte: u8) -> bool {
    ((byte & !VALUE_FLAG) as usize) < ResultCode::ALL.len()
}

/// Result code, and whether a value comes with it (W-B-8).
#[inline]
fn decode_result(byte: u8) -> Result<(ResultCode, bool), BatchError> {
    let code = ResultCode::from_wire(byte & !VALUE_FLAG).ok_or(BatchError::Result { value: byte })?;
    Ok((code, byte & VALUE_FLAG != 0))
}

/// How many of these results come with a value.
fn count_values(results: &[u8]) -> Result<usize, BatchError> {
    // Both loops compile to vector instructions, which one that can stop in the middle does not.
    let all_known = results.iter().fold(true, |known, &byte| known & is_result(byte));
    if !all_known && let Some(&value) = results.iter().find(|&&byte| !is_result(byte)) {
        return Err(BatchError::Result { value });
    }
    Ok(results.iter().map(|&byte| usize::from(byte & VALUE_FLAG != 0)).sum())
}
