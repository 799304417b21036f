//! Collecting requests into a batch body.

use core::{fmt, mem};

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
    /// Operation and key length of each request, side by side, so that one comparison does for both.
    heads: [[u8; 2]; REQUEST_COUNT_MAX],
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
            heads: [[0; 2]; REQUEST_COUNT_MAX],
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
    #[inline]
    pub fn push(&mut self, request: &RawRequest<'_>) -> Result<(), BatchFull> {
        self.extend([*request])
    }

    /// Adds requests, each as [`RequestWriter::push`] would. To add those of a frame at once takes half of what it takes to
    /// add them one after the other.
    ///
    /// # Errors
    /// [`BatchFull`] when the writer has no room for one of them; none is added then.
    #[inline]
    #[expect(single_use_lifetimes, reason = "what is elided in `impl Trait` needs a name as yet")]
    pub fn extend<'r>(&mut self, requests: impl IntoIterator<Item = RawRequest<'r>>) -> Result<(), BatchFull> {
        let Folds { count, mut value_lens, .. } = self.folds;
        let mut heads = self.heads.get_mut(count..).unwrap_or_default().iter_mut();
        let mut keys = self.keys.get_mut(self.keys_len..).unwrap_or_default();
        let mut values = self.values.get_mut(self.values_len..).unwrap_or_default();
        for RawRequest { operation, key, value } in requests {
            let key_len = u8::try_from(key.len()).map_err(|_| BatchFull)?;
            *heads.next().ok_or(BatchFull)? = [operation, key_len];
            append(&mut keys, key).ok_or(BatchFull)?;
            if has_value(operation) {
                append(&mut values, value).ok_or(BatchFull)?;
                // There is room for no more than a datagram, and there are no more values than requests.
                let value_len = value.len() as u16;
                *self.value_lens.get_mut(value_lens.count()).ok_or(BatchFull)? = U16::new(value_len);
                value_lens = value_lens.with(value_len);
            }
        }
        let (heads_left, keys_left, values_left) = (heads.len(), keys.len(), values.len());
        let added = self.heads.get(count..REQUEST_COUNT_MAX - heads_left).unwrap_or_default();
        self.folds = Folds { value_lens, ..self.folds.with_heads(added) };
        self.keys_len = self.keys.len() - keys_left;
        self.values_len = self.values.len() - values_left;
        Ok(())
    }

    /// Adds a valid request; its operands are encoded where they will be sent from.
    ///
    /// # Errors
    /// [`BatchFull`] when the writer has no room for it; for a key or operand beyond the [limits](crate::limits) it
    /// never has.
    pub fn push_request(&mut self, request: &Request<'_>) -> Result<(), BatchFull> {
        self.encode_request(request).ok_or(BatchFull)
    }

    /// How many requests there are.
    pub const fn count(&self) -> usize {
        self.folds.count
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
    pub fn encoded_len_with(&self, request: &RawRequest<'_>) -> usize {
        let value = carried_value(request);
        let folds = self.folds.with(request.operation, request.key.len() as u8, value.len() as u16);
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
        let Folds { value_lens, .. } = self.folds;
        let header = self.folds.header();
        let mut rest = into.get_mut(..len)?;
        put(&mut rest, header.as_bytes())?;
        let heads = self.heads.get(..self.count())?;
        if header.flags & OPERATIONS_FOLDED == 0 {
            put_each(&mut rest, heads, |[operation, _]| operation)?;
        }
        if header.flags & KEY_LENS_FOLDED == 0 {
            put_each(&mut rest, heads, |[_, key_len]| key_len)?;
        }
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

    /// Nothing counts before everything has been found to fit.
    fn encode_request(&mut self, request: &Request<'_>) -> Option<()> {
        let operation = request.operation.to_wire();
        let key_len = u8::try_from(request.key.len()).ok()?;
        let mut keys = self.keys.get_mut(self.keys_len..)?;
        append(&mut keys, request.key)?;
        let value_len = u16::try_from(request.operation.encode_value(self.values.get_mut(self.values_len..)?)?).ok()?;
        *self.heads.get_mut(self.folds.count)? = [operation, key_len];
        if has_value(operation) {
            *self.value_lens.get_mut(self.folds.value_lens.count())? = U16::new(value_len);
        }
        self.folds = self.folds.with(operation, key_len, value_len);
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
    count: usize,
    /// Operation and key length of the first request, and the bits in which others differ from it.
    first: u16,
    differing: u16,
    value_lens: Fold,
}

impl Folds {
    const EMPTY: Self = Self { count: 0, first: 0, differing: 0, value_lens: Fold::EMPTY };

    fn with(self, operation: u8, key_len: u8, value_len: u16) -> Self {
        let value_lens = if has_value(operation) { self.value_lens.with(value_len) } else { self.value_lens };
        Self { value_lens, ..self.with_heads(&[[operation, key_len]]) }
    }

    /// With more operations and key lengths. Not one by one, because the loop compiles to vector instructions.
    #[inline]
    fn with_heads(self, heads: &[[u8; 2]]) -> Self {
        let Some(&first) = heads.first() else { return self };
        let first = if self.count == 0 { u16::from_le_bytes(first) } else { self.first };
        let differing = heads.iter().fold(self.differing, |all, &head| all | first ^ u16::from_le_bytes(head));
        Self { count: self.count + heads.len(), first, differing, ..self }
    }

    const fn columns_len(self) -> usize {
        let [operations, key_lens] = self.differing.to_le_bytes();
        let column_count = (operations != 0) as usize + (key_lens != 0) as usize;
        column_count * self.count + self.value_lens.column_len(size_of::<U16>())
    }

    fn header(self) -> RequestHeader {
        let [operation, key_len] = self.first.to_le_bytes();
        let [operations, key_lens] = self.differing.to_le_bytes();
        let fold = |differing: u8, flag, field| if differing == 0 { (flag, field) } else { (0, 0) };
        let (operations_flag, operation) = fold(operations, OPERATIONS_FOLDED, operation);
        let (key_lens_flag, key_len) = fold(key_lens, KEY_LENS_FOLDED, key_len);
        RequestHeader {
            count: U16::new(self.count as u16),
            flags: operations_flag | key_lens_flag | self.value_lens.flag(VALUE_LENS_FOLDED),
            operation,
            key_len,
            reserved: 0,
            value_len: U16::new(self.value_lens.field()),
        }
    }
}

/// Copies `bytes` to the start of `room`, and leaves what is behind them.
#[inline]
fn append(room: &mut &mut [u8], bytes: &[u8]) -> Option<()> {
    let (place, behind) = mem::take(room).split_at_mut_checked(bytes.len())?;
    copy(place, bytes);
    *room = behind;
    Some(())
}

/// Writes a column of what `entry` takes of each head. The loop compiles to vector instructions.
fn put_each(rest: &mut &mut [u8], heads: &[[u8; 2]], entry: impl Fn([u8; 2]) -> u8) -> Option<()> {
    let (column, behind) = mem::take(rest).split_at_mut_checked(heads.len())?;
    for (place, &head) in column.iter_mut().zip(heads) {
        *place = entry(head);
    }
    *rest = behind;
    Some(())
}

/// The value field of `request` that a body has a place for.
const fn carried_value<'a>(request: &RawRequest<'a>) -> &'a [u8] {
    if has_value(request.operation) { request.value } else { &[] }
}
