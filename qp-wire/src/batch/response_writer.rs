//! Building a response body where it will be sent from.

use core::fmt;

use zerocopy::IntoBytes;
use zerocopy::little_endian::U16;

use super::column::Column;
use super::{HEADER_LEN, RESULT_LENS_FOLDED, RESULTS_FOLDED, ResponseHeader, VALUE_FLAG};
use crate::ResultCode;
use crate::limits::REQUEST_COUNT_MAX;
use crate::operation::put;

/// The space in which any `request_count` responses without value bytes can be told, in bytes (W-B-10).
///
/// A lone response needs no columns. Of several, each needs a result byte and a value length at worst.
pub const fn response_len_min(request_count: usize) -> usize {
    let columns_len = if request_count > 1 { request_count * (RESULT_LEN + VALUE_LEN_LEN) } else { 0 };
    HEADER_LEN + columns_len
}

/// Length of an entry in each of the two columns, in bytes.
const RESULT_LEN: usize = size_of::<u8>();
const VALUE_LEN_LEN: usize = size_of::<U16>();

/// Results and value lengths that turned out not to fold: 3 KiB, given once and used for one body after the other. What it
/// holds between two bodies means nothing.
pub struct ResponseColumns {
    results: [u8; REQUEST_COUNT_MAX],
    value_lens: [U16; REQUEST_COUNT_MAX],
}

impl ResponseColumns {
    /// Columns for any body.
    pub const fn new() -> Self {
        Self { results: [0; REQUEST_COUNT_MAX], value_lens: [U16::ZERO; REQUEST_COUNT_MAX] }
    }
}

impl Default for ResponseColumns {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ResponseColumns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseColumns").finish_non_exhaustive()
    }
}

/// Writes the responses to one batch, in the order of its requests.
///
/// Values are written once, straight behind the header, in the hope that the columns fold; if they do not, the values
/// move up once at the end. The space that unfolded columns would take is never given to values, so each request can
/// be answered at least with a result and an empty value, whatever the earlier ones took (W-B-10).
pub struct ResponseWriter<'b> {
    into: &'b mut [u8],
    columns: &'b mut ResponseColumns,
    request_count: usize,
    results: Column<u8>,
    value_lens: Column<U16>,
    values_len: usize,
    /// What is left for values, kept up to date because every value asks for it.
    room: usize,
}

impl<'b> ResponseWriter<'b> {
    /// A writer of `request_count` responses into at most all of `into`.
    ///
    /// `None` when the count is not in 1 to [`REQUEST_COUNT_MAX`], or `into` is shorter than
    /// [`response_len_min`]`(request_count)`.
    pub fn new(into: &'b mut [u8], columns: &'b mut ResponseColumns, request_count: usize) -> Option<Self> {
        if request_count == 0 || request_count > REQUEST_COUNT_MAX {
            return None;
        }
        let room = into.len().checked_sub(response_len_min(request_count))?;
        let (results, value_lens) = (Column::EMPTY, Column::EMPTY);
        Some(Self { into, columns, request_count, results, value_lens, values_len: 0, room })
    }

    /// How many responses there are so far.
    pub const fn count(&self) -> usize {
        self.results.count()
    }

    /// The longest value that the next response may have, in bytes: what is left when this and every later request
    /// still get their columns at worst. At most [`u16::MAX`]; 0 once every request has its response.
    #[inline]
    pub const fn room(&self) -> usize {
        if self.room > u16::MAX as usize { u16::MAX as usize } else { self.room }
    }

    /// Where the next value goes, [`ResponseWriter::room`] bytes. [`ResponseWriter::push_value`] says how many of them
    /// were used; until then nothing is.
    #[inline]
    pub fn value_buf(&mut self) -> &mut [u8] {
        let start = HEADER_LEN + self.values_len;
        let end = start + self.room();
        self.into.get_mut(start..end).unwrap_or_default()
    }

    /// Answers the next request without a value.
    ///
    /// One response more than there are requests is a bug of the caller, and is ignored.
    #[inline]
    pub fn push(&mut self, result: ResultCode) {
        let pushed = self.append(result.to_wire(), None);
        debug_assert!(pushed.is_some(), "a response to no request");
    }

    /// Answers the next request with a value of one word, which most values are. `false`, and nothing done, when there is
    /// no [`room`](ResponseWriter::room) for it.
    #[inline]
    pub fn push_word(&mut self, result: ResultCode, word: [u8; size_of::<u64>()]) -> bool {
        let start = HEADER_LEN + self.values_len;
        if self.room < word.len() {
            return false;
        }
        let Some(into) = self.into.get_mut(start..).and_then(<[u8]>::first_chunk_mut) else { return false };
        *into = word;
        self.append(result.to_wire() | VALUE_FLAG, Some(word.len() as u16)).is_some()
    }

    /// Answers the next request with the first `len` bytes of [`ResponseWriter::value_buf`].
    ///
    /// A `len` beyond [`ResponseWriter::room`] is a bug of the caller, and makes the response an
    /// [`Error`](ResultCode::Error) without a value.
    #[inline]
    pub fn push_value(&mut self, result: ResultCode, len: usize) {
        let pushed = match u16::try_from(len) {
            Ok(value_len) if len <= self.room() => self.append(result.to_wire() | VALUE_FLAG, Some(value_len)),
            _ => {
                debug_assert!(false, "a value of {len} bytes in the room of {}", self.room());
                self.append(ResultCode::Error.to_wire(), None)
            }
        };
        debug_assert!(pushed.is_some(), "a response to no request");
    }

    /// Writes header and columns and returns the body's length in bytes. Columns whose entries are equal are folded
    /// (W-B-9).
    ///
    /// A request that was not answered is a bug of the caller, and is answered with [`Error`](ResultCode::Error).
    pub fn finish(mut self) -> usize {
        debug_assert_eq!(self.count(), self.request_count, "a request without a response");
        while self.count() < self.request_count && self.append(ResultCode::Error.to_wire(), None).is_some() {}
        // `new` and `room` have kept the space for all of it, so there is no other case.
        self.write_columns().unwrap_or_default()
    }

    #[inline]
    fn append(&mut self, result: u8, value_len: Option<u16>) -> Option<()> {
        if self.count() >= self.request_count {
            return None;
        }
        let ResponseColumns { results, value_lens } = &mut *self.columns;
        if let Some(value_len) = value_len {
            self.value_lens.push(U16::new(value_len), value_lens)?;
            self.values_len += usize::from(value_len);
            self.room = self.room.saturating_sub(usize::from(value_len));
        } else if self.request_count > 1 {
            // This one will not need its value length.
            self.room += VALUE_LEN_LEN;
        }
        self.results.push(result, results)?;
        if self.count() == self.request_count {
            self.room = 0;
        }
        Some(())
    }

    fn write_columns(&mut self) -> Option<usize> {
        let results = self.columns.results.get(..self.results.written())?;
        let value_lens = self.columns.value_lens.get(..self.value_lens.written())?.as_bytes();
        let columns_len = results.len() + value_lens.len();
        let len = HEADER_LEN + columns_len + self.values_len;
        let header = ResponseHeader {
            count: U16::new(self.count() as u16),
            flags: self.results.flag(RESULTS_FOLDED) | self.value_lens.flag(RESULT_LENS_FOLDED),
            result: self.results.field().unwrap_or_default(),
            value_len: self.value_lens.field().unwrap_or_default(),
            reserved: U16::ZERO,
        };
        let mut rest = self.into.get_mut(..len)?;
        put(&mut rest, header.as_bytes())?;
        if columns_len != 0 && self.values_len <= rest.len() && columns_len <= rest.len() - self.values_len {
            rest.copy_within(..self.values_len, columns_len);
        }
        put(&mut rest, results)?;
        put(&mut rest, value_lens)?;
        Some(len)
    }
}

impl fmt::Debug for ResponseWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseWriter")
            .field("count", &self.count())
            .field("request_count", &self.request_count)
            .field("room", &self.room())
            .finish_non_exhaustive()
    }
}
