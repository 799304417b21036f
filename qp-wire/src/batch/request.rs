//! Reading the requests of a batch body.

use zerocopy::little_endian::U16;

use super::reader::{Reader, nothing_behind};
use super::{
    BatchError, KEY_LENS_FOLDED, OPERATIONS_FOLDED, RequestHeader, VALUE_LENS_FOLDED, count_values, has_value,
};
use crate::RawRequest;
use crate::limits::REQUEST_COUNT_MAX;

/// The requests of a body, all lengths of which agree with its bytes. Borrows the body.
///
/// It is moved more often than it is read, so it keeps where things are, and not the things themselves.
#[derive(Clone, Copy, Debug)]
pub struct RequestBatch<'a> {
    bytes: &'a [u8],
    count: u16,
    /// How many of the requests have a value.
    value_count: u16,
    keys_start: u32,
    values_start: u32,
}

impl<'a> RequestBatch<'a> {
    /// The batch that `bytes` hold, all of them.
    ///
    /// Takes constant time when everything is folded, else time proportional to the count.
    ///
    /// # Errors
    /// Every [`BatchError`] but [`BatchError::Result`]. Unknown operations are none: each is answered by itself (W-B-4).
    pub fn decode(bytes: &'a [u8]) -> Result<Self, BatchError> {
        let (batch, rest) = Self::decode_prefix(bytes)?;
        nothing_behind(rest)?;
        Ok(batch)
    }

    /// The batch that `bytes` start with, and the bytes behind it.
    ///
    /// # Errors
    /// As for [`RequestBatch::decode`], without [`BatchError::Trailing`].
    pub fn decode_prefix(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), BatchError> {
        let mut reader = Reader::new(bytes);
        let header = reader.header()?;
        let count = check_header(header)?;
        let shape = Shape::read(&mut reader, header, count, count_values)?;
        let (keys_len, values_len) = shape.lens(count);
        let keys_start = reader.taken();
        reader.bytes(keys_len)?;
        let values_start = reader.taken();
        reader.bytes(values_len)?;
        let (bytes, rest) = reader.finish();
        // A thousand requests of 64 KiB are shorter than 4 GiB.
        let batch = Self {
            bytes,
            count: header.count.get(),
            value_count: shape.value_count() as u16,
            keys_start: keys_start as u32,
            values_start: values_start as u32,
        };
        Ok((batch, rest))
    }

    /// How many requests there are: 1 to [`REQUEST_COUNT_MAX`].
    pub const fn count(&self) -> usize {
        self.count as usize
    }

    /// The body's bytes, which can be passed on as they are.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The requests, in their order.
    pub fn iter(&self) -> RequestIter<'a> {
        RequestIter { items: self.items() }
    }

    /// What `decode` has found to be there.
    #[inline]
    fn items(&self) -> Items<'a> {
        let count = self.count();
        let mut reader = Reader::new(self.bytes);
        let shape = reader
            .header()
            .and_then(|header| Shape::read(&mut reader, header, count, |_| self.value_count.into()))
            .unwrap_or(Shape::Uniform(Sizes { operation: 0, key_len: 0, value_len: 0 }));
        let keys = self.bytes.get(self.keys_start as usize..self.values_start as usize).unwrap_or_default();
        let values = self.bytes.get(self.values_start as usize..).unwrap_or_default();
        Items { remaining: count, shape, keys, values }
    }
}

impl<'a> IntoIterator for RequestBatch<'a> {
    type Item = RawRequest<'a>;
    type IntoIter = RequestIter<'a>;

    fn into_iter(self) -> RequestIter<'a> {
        self.iter()
    }
}

/// The requests of a [`RequestBatch`]; exactly as many as it counts.
#[derive(Clone, Debug)]
pub struct RequestIter<'a> {
    items: Items<'a>,
}

impl RequestIter<'_> {
    /// Whether one of the requests that are left has this operation byte. Looks at the column of operations only.
    pub fn has_operation(&self, operation: u8) -> bool {
        let is_same = |same: u8| self.items.remaining > 0 && same == operation;
        match self.items.shape {
            Shape::Uniform(sizes) => is_same(sizes.operation),
            Shape::Mixed(Columns { operations: Column::Same(same), .. }) => is_same(same),
            Shape::Mixed(Columns { operations: Column::Each(each), .. }) => each.contains(&operation),
        }
    }
}

impl<'a> RequestIter<'a> {
    /// Makes something of each of the next requests, as many as there are places or requests left, and puts it into its
    /// place. Returns how many it were.
    ///
    /// What is left lies in registers meanwhile: so a request costs less than half of what it costs in an iterator that is
    /// left and entered again for each.
    #[inline]
    pub fn take_into<T>(&mut self, places: &mut [T], make: impl Fn(RawRequest<'a>) -> T) -> usize {
        let items = &mut self.items;
        let count = places.len().min(items.remaining);
        items.remaining -= count;
        let places = places.iter_mut().take(count);
        let (mut keys, mut values) = (items.keys, items.values);
        let mut split = |sizes| split_request(sizes, &mut keys, &mut values);
        match &mut items.shape {
            Shape::Uniform(sizes) => {
                for place in places {
                    let Some(request) = split(*sizes) else { break };
                    *place = make(request);
                }
            }
            // Most batches that are mixed have requests of one size.
            Shape::Mixed(Columns {
                operations: Column::Each(operations),
                key_lens: Column::Same(key_len),
                value_lens: Column::Same(value_len),
                ..
            }) => {
                let (taken, left) = operations.split_at_checked(count).unwrap_or((operations, &[]));
                *operations = left;
                for (place, &operation) in places.zip(taken) {
                    let value_len = if has_value(operation) { value_len.get() } else { 0 };
                    let Some(request) = split(Sizes { operation, key_len: *key_len, value_len }) else { break };
                    *place = make(request);
                }
            }
            Shape::Mixed(columns) => {
                for place in places {
                    let Some(request) = columns.next().and_then(&mut split) else { break };
                    *place = make(request);
                }
            }
        }
        (items.keys, items.values) = (keys, values);
        count
    }
}

/// Takes a request of these lengths off the keys and values that are left. `decode` has summed the lengths, so that there
/// are as many bytes.
#[inline]
fn split_request<'a>(sizes: Sizes, keys: &mut &'a [u8], values: &mut &'a [u8]) -> Option<RawRequest<'a>> {
    let (key, keys_behind) = keys.split_at_checked(usize::from(sizes.key_len))?;
    let (value, values_behind) = values.split_at_checked(usize::from(sizes.value_len))?;
    (*keys, *values) = (keys_behind, values_behind);
    Some(RawRequest { operation: sizes.operation, key, value })
}

impl<'a> Iterator for RequestIter<'a> {
    type Item = RawRequest<'a>;

    #[inline]
    fn next(&mut self) -> Option<RawRequest<'a>> {
        let items = &mut self.items;
        items.remaining = items.remaining.checked_sub(1)?;
        let sizes = match &mut items.shape {
            Shape::Uniform(sizes) => *sizes,
            Shape::Mixed(columns) => columns.next()?,
        };
        split_request(sizes, &mut items.keys, &mut items.values)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.items.remaining, Some(self.items.remaining))
    }
}

impl ExactSizeIterator for RequestIter<'_> {}

/// What is left of a batch.
#[derive(Clone, Copy, Debug)]
struct Items<'a> {
    remaining: usize,
    shape: Shape<'a>,
    keys: &'a [u8],
    values: &'a [u8],
}

/// Operation and lengths of one request.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    operation: u8,
    key_len: u8,
    value_len: u16,
}

/// Whether all requests are alike. Apart from [`Columns`], so that a uniform batch costs one branch a request.
#[derive(Clone, Copy, Debug)]
enum Shape<'a> {
    Uniform(Sizes),
    Mixed(Columns<'a>),
}

impl<'a> Shape<'a> {
    /// Takes the columns that are not folded (W-B-3). `count_values` says how many of these operations have a value.
    fn read(
        reader: &mut Reader<'a>,
        header: &RequestHeader,
        count: usize,
        count_values: impl FnOnce(&[u8]) -> usize,
    ) -> Result<Self, BatchError> {
        const UNIFORM: u8 = OPERATIONS_FOLDED | KEY_LENS_FOLDED | VALUE_LENS_FOLDED;
        if header.flags & UNIFORM == UNIFORM {
            let value_len = if has_value(header.operation) { header.value_len.get() } else { 0 };
            return Ok(Self::Uniform(Sizes { operation: header.operation, key_len: header.key_len, value_len }));
        }
        Ok(Self::Mixed(read_columns(reader, header, count, count_values)?))
    }

    /// How many requests have a value; 0 where nobody asks.
    const fn value_count(&self) -> usize {
        match self {
            Self::Uniform(_) => 0,
            Self::Mixed(columns) => columns.value_count,
        }
    }

    /// Bytes of all keys and of all values. At most 1024 × 65535, so nothing overflows.
    fn lens(&self, count: usize) -> (usize, usize) {
        match self {
            Self::Uniform(sizes) => (count * usize::from(sizes.key_len), count * usize::from(sizes.value_len)),
            Self::Mixed(columns) => (columns.keys_len(count), columns.values_len()),
        }
    }
}

/// The columns of a batch of which at least one is not folded.
#[derive(Clone, Copy, Debug)]
struct Columns<'a> {
    operations: Column<'a, u8>,
    key_lens: Column<'a, u8>,
    value_lens: Column<'a, U16>,
    value_count: usize,
}

impl Columns<'_> {
    #[inline]
    fn next(&mut self) -> Option<Sizes> {
        let operation = self.operations.next()?;
        let key_len = self.key_lens.next()?;
        let value_len = if has_value(operation) { self.value_lens.next()?.get() } else { 0 };
        Some(Sizes { operation, key_len, value_len })
    }

    fn keys_len(&self, count: usize) -> usize {
        match self.key_lens {
            Column::Same(len) => count * usize::from(len),
            Column::Each(lens) => lens.iter().map(|&len| usize::from(len)).sum(),
        }
    }

    fn values_len(&self) -> usize {
        match self.value_lens {
            Column::Same(len) => self.value_count * usize::from(len.get()),
            Column::Each(lens) => lens.iter().map(|len| usize::from(len.get())).sum(),
        }
    }
}

/// The entries of a column that are left.
#[derive(Clone, Copy, Debug)]
enum Column<'a, T> {
    /// The header's entry, as often as needed.
    Same(T),
    /// An entry each.
    Each(&'a [T]),
}

impl<T: Copy> Column<'_, T> {
    #[inline]
    fn next(&mut self) -> Option<T> {
        match self {
            Self::Same(entry) => Some(*entry),
            Self::Each(entries) => {
                let (first, rest) = entries.split_first()?;
                *entries = rest;
                Some(*first)
            }
        }
    }
}

/// Checks W-B-1 and W-B-2 and returns the count.
fn check_header(header: &RequestHeader) -> Result<usize, BatchError> {
    let flags = header.flags;
    let count = usize::from(header.count.get());
    if count == 0 || count > REQUEST_COUNT_MAX {
        return Err(BatchError::Count { count: header.count.get() });
    }
    let known = OPERATIONS_FOLDED | KEY_LENS_FOLDED | VALUE_LENS_FOLDED;
    let in_use = flags & !known != 0
        || header.reserved != 0
        || (flags & OPERATIONS_FOLDED == 0 && header.operation != 0)
        || (flags & KEY_LENS_FOLDED == 0 && header.key_len != 0)
        || (flags & VALUE_LENS_FOLDED == 0 && header.value_len.get() != 0);
    if in_use { Err(BatchError::Reserved) } else { Ok(count) }
}

fn read_columns<'a>(
    reader: &mut Reader<'a>,
    header: &RequestHeader,
    count: usize,
    count_values: impl FnOnce(&[u8]) -> usize,
) -> Result<Columns<'a>, BatchError> {
    let (operations, value_count) = if header.flags & OPERATIONS_FOLDED != 0 {
        (Column::Same(header.operation), if has_value(header.operation) { count } else { 0 })
    } else {
        let operations = reader.bytes(count)?;
        (Column::Each(operations), count_values(operations))
    };
    let key_lens = if header.flags & KEY_LENS_FOLDED != 0 {
        Column::Same(header.key_len)
    } else {
        Column::Each(reader.bytes(count)?)
    };
    let value_lens = if header.flags & VALUE_LENS_FOLDED != 0 {
        Column::Same(header.value_len)
    } else {
        Column::Each(reader.numbers(value_count)?)
    };
    Ok(Columns { operations, key_lens, value_lens, value_count })
}
