//! The batch body that the native protocol and the queue pair share: requests, or responses, as columns.
//!
//! A batch keeps equal things together: operations, key lengths, value lengths, keys, values. A column whose entries are
//! all the same is folded into the header. So 32 GETs of 8-byte keys take 8 + 256 bytes, and a DPU can check such a body
//! without looking at a single request and pass it on as it is.
//!
//! # Requests
//!
//! ```text
//! 0       2       3       4         5         6           8
//! +-------+-------+-------+---------+---------+-----------+------------+----------+------------+------+--------+
//! | count | flags | opera | key_len | reserve | value_len | operations | key_lens | value_lens | keys | values |
//! +-------+-------+-------+---------+---------+-----------+------------+----------+------------+------+--------+
//! ```
//!
//! | offset | size | field | unit | rule |
//! |---|---|---|---|---|
//! | 0 | 2 | count | requests | 1 to [`REQUEST_COUNT_MAX`](crate::limits::REQUEST_COUNT_MAX) (W-B-1) |
//! | 2 | 1 | flags | | bit 0 operations, bit 1 key lengths, bit 2 value lengths are folded; the others 0 (W-B-2) |
//! | 3 | 1 | operation | | of every request when folded, else 0 (W-B-2) |
//! | 4 | 1 | key_len | bytes | of every request when folded, else 0 (W-B-2) |
//! | 5 | 1 | reserved | | 0 (W-B-2) |
//! | 6 | 2 | value_len | bytes | of every request with a value field when folded, else 0 (W-B-2) |
//! | 8 | count | operations | | absent when folded (W-B-3) |
//! | | count | key_lens | bytes | absent when folded (W-B-3) |
//! | | 2 each | value_lens | bytes | absent when folded; only of requests with a value field (W-B-3, W-B-4) |
//! | | | keys | | back to back |
//! | | | values | | back to back; the body ends with them (W-B-6) |
//!
//! # Responses
//!
//! ```text
//! 0       2       3        4           6          8
//! +-------+-------+--------+-----------+----------+---------+------------+--------+
//! | count | flags | result | value_len | reserved | results | value_lens | values |
//! +-------+-------+--------+-----------+----------+---------+------------+--------+
//! ```
//!
//! | offset | size | field | unit | rule |
//! |---|---|---|---|---|
//! | 0 | 2 | count | responses | 1 to [`REQUEST_COUNT_MAX`](crate::limits::REQUEST_COUNT_MAX) (W-B-1) |
//! | 2 | 1 | flags | | bit 0 results, bit 1 value lengths are folded; the others 0 (W-B-2) |
//! | 3 | 1 | result | | of every response when folded, else 0 (W-B-2) |
//! | 4 | 2 | value_len | bytes | of every response with a value when folded, else 0 (W-B-2) |
//! | 6 | 2 | reserved | | 0 (W-B-2) |
//! | 8 | count | results | | absent when folded; result code, with bit 7 when a value follows (W-B-8) |
//! | | 2 each | value_lens | bytes | absent when folded; only of responses with a value |
//! | | | values | | back to back; the body ends with them (W-B-6) |
//!
//! Numbers are little-endian. Nothing is padded or aligned.

mod column;
mod error;
mod fold;
mod reader;
mod request;
mod request_writer;
mod response;
mod response_writer;

pub use error::{BatchError, BatchFull};
pub use request::{RequestBatch, RequestIter};
pub use request_writer::RequestWriter;
pub use response::{Response, ResponseBatch, ResponseIter};
pub use response_writer::{ResponseColumns, ResponseWriter, response_len_min};

use zerocopy::little_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::operation::{Opcode, TTL_FLAG};

/// Length of the fixed part of a body, in bytes, in both directions.
pub const HEADER_LEN: usize = 8;

/// Bit 7 of a result byte: the response carries a value (W-B-8).
pub const VALUE_FLAG: u8 = 0x80;

/// Bits of a request body's flags.
const OPERATIONS_FOLDED: u8 = 1 << 0;
const KEY_LENS_FOLDED: u8 = 1 << 1;
const VALUE_LENS_FOLDED: u8 = 1 << 2;

/// Bits of a response body's flags.
const RESULTS_FOLDED: u8 = 1 << 0;
const RESULT_LENS_FOLDED: u8 = 1 << 1;

/// The fixed part of a request body.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RequestHeader {
    count: U16,
    flags: u8,
    operation: u8,
    key_len: u8,
    reserved: u8,
    value_len: U16,
}
const _: () = assert!(size_of::<RequestHeader>() == HEADER_LEN);

/// The fixed part of a response body.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct ResponseHeader {
    count: U16,
    flags: u8,
    result: u8,
    value_len: U16,
    reserved: U16,
}
const _: () = assert!(size_of::<ResponseHeader>() == HEADER_LEN);

/// Bit n: opcode n has no value field. A mask, because every request of a mixed batch is looked up.
const OPCODES_WITHOUT_VALUE: u64 = {
    let mut mask = 0;
    let mut index = 0;
    while index < Opcode::ALL.len() {
        if !Opcode::ALL[index].has_value() {
            mask |= 1 << Opcode::ALL[index].to_wire();
        }
        index += 1;
    }
    mask
};

/// The opcodes without a value field.
const WITHOUT_VALUE: [u8; OPCODES_WITHOUT_VALUE.count_ones() as usize] = {
    let mut opcodes = [0; OPCODES_WITHOUT_VALUE.count_ones() as usize];
    let (mut index, mut mask) = (0, OPCODES_WITHOUT_VALUE);
    while mask != 0 {
        opcodes[index] = mask.trailing_zeros() as u8;
        mask &= mask - 1;
        index += 1;
    }
    opcodes
};

/// Whether a request with this operation byte has a value field. An unknown operation has one (W-B-4).
const fn has_value(operation: u8) -> bool {
    let opcode = operation & !TTL_FLAG;
    opcode as u32 >= u64::BITS || (OPCODES_WITHOUT_VALUE >> opcode) & 1 == 0
}

/// How many requests with these operation bytes have a value field.
fn count_values(operations: &[u8]) -> usize {
    count_bytes(operations, |operation| {
        WITHOUT_VALUE.iter().fold(true, |all, &other| all & (operation & !TTL_FLAG != other))
    })
}

/// How many bytes are as asked for. The loop compiles to vector instructions, which add up bytes as long as the sum is
/// one, too.
fn count_bytes(bytes: &[u8], is_counted: impl Fn(u8) -> bool) -> usize {
    let count_of = |chunk: &[u8]| chunk.iter().map(|&byte| u8::from(is_counted(byte))).sum::<u8>();
    bytes.chunks(u8::MAX.into()).map(|chunk| usize::from(count_of(chunk))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_says_what_the_opcodes_say() {
        for operation in 0..=u8::MAX {
            let expected = Opcode::from_wire(operation & !TTL_FLAG).is_none_or(Opcode::has_value);
            assert_eq!(has_value(operation), expected, "operation {operation}");
            // More than a byte counts.
            assert_eq!(count_values(&[operation; 300]), 300 * usize::from(expected), "operation {operation}");
        }
    }
}
