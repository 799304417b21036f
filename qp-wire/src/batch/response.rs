//! Reading the responses of a batch body.

use zerocopy::FromBytes;
use zerocopy::little_endian::U16;

use super::reader::{Reader, nothing_behind};
use super::{BatchError, HEADER_LEN, RESULT_LENS_FOLDED, RESULTS_FOLDED, ResponseHeader, VALUE_FLAG, count_bytes};
use crate::ResultCode;
use crate::limits::REQUEST_COUNT_MAX;
use crate::short_copy::copy;

/// What became of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// The result.
    pub result: ResultCode,
    /// The value that comes with it, if the operation has one to give. An empty value is a value.
    pub value: Option<&'a [u8]>,
}

impl Response<'_> {
    /// Writes a body with this response alone to the start of `into` and returns its length: the same body that a
    /// [`ResponseWriter`](super::ResponseWriter) would write. `None` when it does not fit.
    #[inline]
    pub fn encode_alone(&self, into: &mut [u8]) -> Option<usize> {
        let value = self.value.unwrap_or_default();
        let (header, room) = ResponseHeader::mut_from_prefix(into).ok()?;
        let value_len = u16::try_from(value.len()).ok()?;
        copy(room.get_mut(..value.len())?, value);
        *header = ResponseHeader {
            count: U16::new(1),
            flags: RESULTS_FOLDED | RESULT_LENS_FOLDED,
            result: self.result.to_wire() | if self.value.is_some() { VALUE_FLAG } else { 0 },
            value_len: U16::new(value_len),
            reserved: U16::ZERO,
        };
        Some(HEADER_LEN + value.len())
    }
}

/// The responses of a body, all lengths and results of which are valid. Borrows the body.
///
/// It is moved more often than it is read, so it keeps where things are, and not the things themselves.
#[derive(Clone, Copy, Debug)]
pub struct ResponseBatch<'a> {
    bytes: &'a [u8],
    count: u16,
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
        let header = reader.header()?;
        let count = check_header(header)?;
        let columns = Columns::read(&mut reader, header, count, count_values)?;
        reader.bytes(columns.values_len())?;
        let (bytes, rest) = reader.finish();
        Ok((Self { bytes, count: header.count.get() }, rest))
    }

    /// The batch of which [`decode`](Self::decode) has found that `bytes` hold it, all of them.
    #[inline]
    pub(crate) fn decoded(bytes: &'a [u8]) -> Self {
        let count = ResponseHeader::ref_from_prefix(bytes).map_or(0, |(header, _)| header.count.get());
        Self { bytes, count }
    }

    /// How many responses there are: 1 to [`REQUEST_COUNT_MAX`].
    pub const fn count(&self) -> usize {
        self.count as usize
    }

    /// The body's bytes, which can be passed on as they are.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether one of the responses has this result.
    pub fn has(&self, result: ResultCode) -> bool {
        let results = self.iter().items.columns.results;
        if results.each.is_empty() {
            return results.same & !VALUE_FLAG == result.to_wire();
        }
        // Compiles to vector instructions, which a loop that stops at the first one does not.
        results.each.iter().fold(false, |has, &byte| has | (byte & !VALUE_FLAG == result.to_wire()))
    }

    /// The responses, in the order of the requests (W-B-7).
    pub fn iter(&self) -> ResponseIter<'a> {
        let mut reader = Reader::new(self.bytes);
        // `decode` has found all of this to be there.
        let columns = reader
            .header()
            .and_then(|header: &ResponseHeader| {
                let is_counted = header.flags & RESULT_LENS_FOLDED == 0;
                let count_values = |results: &[u8]| if is_counted { count_values(results) } else { Ok(0) };
                Columns::read(&mut reader, header, self.count(), count_values)
            })
            .unwrap_or(Columns::NONE);
        let (_, values) = reader.finish();
        ResponseIter { items: Items { remaining: self.count(), columns, values } }
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
        // `decode` has seen all results to be known, and summed the lengths, so the split succeeds.
        let (result, has_value) = decode_result(items.columns.results.next()).ok()?;
        if !has_value {
            return Some(Response { result, value: None });
        }
        let len = usize::from(items.columns.value_lens.next().get());
        let (value, values) = items.values.split_at_checked(len)?;
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
    columns: Columns<'a>,
    values: &'a [u8],
}

/// The columns of a batch.
#[derive(Clone, Copy, Debug)]
struct Columns<'a> {
    results: Column<'a, u8>,
    value_lens: Column<'a, U16>,
    value_count: usize,
}

impl<'a> Columns<'a> {
    const NONE: Self = Self {
        results: Column { each: &[], same: 0 },
        value_lens: Column { each: &[], same: U16::ZERO },
        value_count: 0,
    };

    /// Takes the columns that are not folded. `count_values` says how many of these results come with a value.
    #[inline]
    fn read(
        reader: &mut Reader<'a>,
        header: &ResponseHeader,
        count: usize,
        count_values: impl FnOnce(&[u8]) -> Result<usize, BatchError>,
    ) -> Result<Self, BatchError> {
        let (each, value_count) = if header.flags & RESULTS_FOLDED != 0 {
            let (_, has_value) = decode_result(header.result)?;
            (&[][..], if has_value { count } else { 0 })
        } else {
            let results = reader.bytes(count)?;
            (results, count_values(results)?)
        };
        let results = Column { each, same: header.result };
        let each = if header.flags & RESULT_LENS_FOLDED != 0 { &[] } else { reader.numbers(value_count)? };
        Ok(Self { results, value_lens: Column { each, same: header.value_len }, value_count })
    }

    /// Bytes of all values. At most 1024 × 65535, so nothing overflows.
    fn values_len(&self) -> usize {
        let Column { each, same } = self.value_lens;
        if each.is_empty() {
            return self.value_count * usize::from(same.get());
        }
        each.iter().map(|len| usize::from(len.get())).sum()
    }
}

/// The entries of a column that are left, or the one in the header that stands for all.
#[derive(Clone, Copy, Debug)]
struct Column<'a, T> {
    each: &'a [T],
    same: T,
}

impl<T: Copy> Column<'_, T> {
    #[inline]
    fn next(&mut self) -> T {
        let Some((first, rest)) = self.each.split_first() else { return self.same };
        self.each = rest;
        *first
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
    Ok(count_bytes(results, |byte| byte & VALUE_FLAG != 0))
}
