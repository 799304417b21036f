//! Collecting requests into a batch body.

use core::fmt;

use zerocopy::IntoBytes;
use zerocopy::little_endian::U16;

use super::fold::Fold;
use super::{BatchFull, HEADER_LEN, KEY_LENS_FOLDED, OPERATIONS_FOLDED, RequestHeader, VALUE_LENS_FOLDED, has_value};
use crate::limits::{DATAGRAM_LEN_MAX, REQUEST_COUNT_MAX};
use crate::operation::put;
use crate::short_copy::copy;
use crate::{RawRequest, Request};

/// The columns of a batch that is being filled: [`REQUEST_COUNT_MAX`] requests, [`DATAGRAM_LEN_MAX`] bytes of keys and as
/// many of values.
///
/// About 22 KiB, given once and used again after [`RequestWriter::clear`]. It knows its encoded length at any time, so
/// that a sender can stop before a frame or slot is full.
pub struct RequestWriter {
    folds: Folds,
    keys_len: usize,
    values_len: usize,
    operations: [u8; REQUEST_COUNT_MAX],
    key_lens: [u8; REQUEST_COUNT_MAX],
    value_lens: [U16; REQUEST_COUNT_MAX],
    keys: [u8; DATAGRAM_LEN_MAX],
    values: [u8; DATAGRAM_LEN_MAX],
}

impl RequestWriter {
    /// An empty writer.
    pub const fn new() -> Self {
        Self {
            folds: Folds::EMPTY,
            keys_len: 0,
            values_len: 0,
            operations: [0; REQUEST_COUNT_MAX],
            key_lens: [0; REQUEST_COUNT_MAX],
            value_lens: [U16::ZERO; REQUEST_COUNT_MAX],
            keys: [0; DATAGRAM_LEN_MAX],
            values: [0; DATAGRAM_LEN_MAX],
        }
    }

    /// Adds a request as another format carries it.
    ///
    /// The value of an operation that has no value field is left out: nobody would look at it, and the body has no place
    /// for it (W-B-4).
    ///
    /// # Errors
    /// [`BatchFull`] when the writer has no room for it; for a key beyond 255 bytes it never has.
    // A call costs a third of what it does.
    #[inline(always)]
    pub fn push(&mut self, request: &RawRequest<'_>) -> Result<(), BatchFull> {
        let RawRequest { operation, key, value } = *request;
        let key_len = u8::try_from(key.len()).map_err(|_| BatchFull)?;
        copy(self.keys.get_mut(self.keys_len..self.keys_len + key.len()).ok_or(BatchFull)?, key);
        let mut value_len = 0;
        if has_value(operation) {
            copy(self.values.get_mut(self.values_len..self.values_len + value.len()).ok_or(BatchFull)?, value);
            // There is room for no more than a datagram.
            value_len = value.len() as u16;
        }
        self.put_columns(operation, key_len, value_len).ok_or(BatchFull)
    }

    /// Adds a valid request; its operands are encoded where they will be sent from.
    ///
    /// # Errors
    /// [`BatchFull`] when the writer has no room for it; for a key or operand beyond the [limits](crate::limits) it
    /// never has.
    pub fn push_request(&mut self, request: &Request<'_>) -> Result<(), BatchFull> {
        let operation = &request.operation;
        self.append(operation.to_wire(), request.key, |into| operation.encode_value(into)).ok_or(BatchFull)
    }

    /// How many requests there are.
    pub const fn count(&self) -> usize {
        self.folds.operations.count()
    }

    /// Whether there are none. An empty batch cannot be encoded.
    pub const fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// The body's length in bytes, as [`RequestWriter::encode`] would write it now.
    pub const fn encoded_len(&self) -> usize {
        HEADER_LEN + self.folds.columns_len() + self.keys_len + self.values_len
    }

    /// The body's length in bytes once `request` has been pushed, exactly.
    pub const fn encoded_len_with(&self, request: &RawRequest<'_>) -> usize {
        let value = carried_value(request);
        let folds = self.folds.with(request.operation, request.key.len() as u16, value.len() as u16);
        HEADER_LEN + folds.columns_len() + self.keys_len + request.key.len() + self.values_len + value.len()
    }

    /// A length in bytes that the body will not exceed once a request with a key and a value field of these lengths has been
    /// pushed: that without any folding. To know this takes an addition or two.
    pub const fn encoded_len_bound_with(&self, key_len: usize, value_len: usize) -> usize {
        let columns_len = (self.count() + 1) * (1 + 1 + size_of::<U16>());
        HEADER_LEN + columns_len + self.keys_len + key_len + self.values_len + value_len
    }

    /// Writes the body to the start of `into` and returns its length, or `None` when it does not fit or is empty.
    ///
    /// Every column whose entries are equal is folded (W-B-9), so equal batches have equal bytes.
    pub fn encode(&self, into: &mut [u8]) -> Option<usize> {
        if self.is_empty() {
            return None;
        }
        let len = self.encoded_len();
        let Folds { operations, key_lens, value_lens } = self.folds;
        let header = RequestHeader {
            count: U16::new(self.count() as u16),
            flags: operations.flag(OPERATIONS_FOLDED)
                | key_lens.flag(KEY_LENS_FOLDED)
                | value_lens.flag(VALUE_LENS_FOLDED),
            operation: operations.field() as u8,
            key_len: key_lens.field() as u8,
            reserved: 0,
            value_len: U16::new(value_lens.field()),
        };
        let mut rest = into.get_mut(..len)?;
        put(&mut rest, header.as_bytes())?;
        put(&mut rest, self.operations.get(..operations.column_len(1))?)?;
        put(&mut rest, self.key_lens.get(..key_lens.column_len(1))?)?;
        put(&mut rest, self.value_lens.as_bytes().get(..value_lens.column_len(size_of::<U16>()))?)?;
        put(&mut rest, self.keys.get(..self.keys_len)?)?;
        put(&mut rest, self.values.get(..self.values_len)?)?;
        Some(len)
    }

    /// Forgets all requests.
    pub const fn clear(&mut self) {
        self.folds = Folds::EMPTY;
        self.keys_len = 0;
        self.values_len = 0;
    }

    /// Adds a request whose value field `write_value` puts into the bytes that it is given. Nothing counts before
    /// everything has been found to fit.
    fn append(
        &mut self,
        operation: u8,
        key: &[u8],
        write_value: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Option<()> {
        let key_len = u8::try_from(key.len()).ok()?;
        copy(self.keys.get_mut(self.keys_len..self.keys_len + key.len())?, key);
        let value_len = u16::try_from(write_value(self.values.get_mut(self.values_len..)?)?).ok()?;
        self.put_columns(operation, key_len, value_len)
    }

    /// Makes a request of the key and the value that are in their place.
    #[inline]
    fn put_columns(&mut self, operation: u8, key_len: u8, value_len: u16) -> Option<()> {
        let index = self.count();
        *self.operations.get_mut(index)? = operation;
        *self.key_lens.get_mut(index)? = key_len;
        self.folds.operations = self.folds.operations.with(u16::from(operation));
        self.folds.key_lens = self.folds.key_lens.with(u16::from(key_len));
        if has_value(operation) {
            // There are no more values than requests.
            *self.value_lens.get_mut(self.folds.value_lens.count())? = U16::new(value_len);
            self.folds.value_lens = self.folds.value_lens.with(value_len);
        }
        self.keys_len += usize::from(key_len);
        self.values_len += usize::from(value_len);
        Some(())
    }
}

impl Default for RequestWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RequestWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the columns: they are 22 KiB.
        f.debug_struct("RequestWriter")
            .field("count", &self.count())
            .field("encoded_len", &self.encoded_len())
            .finish_non_exhaustive()
    }
}

/// What the header has to say of the three columns.
#[derive(Clone, Copy, Debug)]
struct Folds {
    operations: Fold,
    key_lens: Fold,
    value_lens: Fold,
}

impl Folds {
    const EMPTY: Self = Self { operations: Fold::EMPTY, key_lens: Fold::EMPTY, value_lens: Fold::EMPTY };

    const fn with(self, operation: u8, key_len: u16, value_len: u16) -> Self {
        Self {
            operations: self.operations.with(operation as u16),
            key_lens: self.key_lens.with(key_len),
            value_lens: if has_value(operation) { self.value_lens.with(value_len) } else { self.value_lens },
        }
    }

    const fn columns_len(self) -> usize {
        self.operations.column_len(1) + self.key_lens.column_len(1) + self.value_lens.column_len(size_of::<U16>())
    }
}

/// The value field of `request` that a body has a place for.
const fn carried_value<'a>(request: &RawRequest<'a>) -> &'a [u8] {
    if has_value(request.operation) { request.value } else { &[] }
}
