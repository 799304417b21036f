//! The slots of a queue pair, and their rules once more, as naively as they can be written.

use qp_wire::batch::response_len_min;
use qp_wire::limits::REQUEST_COUNT_MAX;
use qp_wire::qp::{
    RUN_HEADER_LEN, SLOT_HEADER_LEN, SlotError, SlotStamp, open, put_run_header, request_runs, response_runs, seal,
};

use crate::batches::{check_requests, check_responses};

/// The direction bit of a ring's number (W-Q-1).
const RESPONSES: u32 = 1 << 31;

/// Which slot of which ring a reader waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) queue_pair: u32,
    pub(crate) epoch: u32,
    pub(crate) index: u32,
    pub(crate) sequence: u32,
}

/// What a slot's bytes are to a reader who waits for a certain one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Another slot, or none.
    Other,
    /// The slot, not all of it.
    Torn,
    /// The slot.
    Whole { credit: u32, runs: Vec<u8> },
}

/// Reads a slot's bytes, all `slot` of which belong to it (W-Q-1 to W-Q-3).
pub(crate) fn content(slot: &[u8], place: Place) -> Content {
    let number = |at: usize| u32::from_le_bytes(std::array::from_fn(|byte| slot[at + byte]));
    if number(8) != place.sequence {
        return Content::Other;
    }
    let len = number(4) as usize;
    if len < SLOT_HEADER_LEN || len > slot.len() || crc(place, &slot[4..len]) != number(0) {
        return Content::Torn;
    }
    Content::Whole { credit: number(12), runs: slot[SLOT_HEADER_LEN..len].to_vec() }
}

/// CRC32C bit by bit (RFC 3720, appendix B.4), over the place and the bytes.
fn crc(place: Place, bytes: &[u8]) -> u32 {
    let seed = [place.queue_pair, place.epoch, place.index].map(u32::to_le_bytes);
    let mut crc = u32::MAX;
    for byte in seed.as_flattened().iter().chain(bytes) {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
        }
    }
    !crc
}

/// A slot with these runs, sealed for a place.
pub(crate) fn sealed(runs: &[u8], place: Place, credit: u32) -> Vec<u8> {
    let mut slot = [&[0; SLOT_HEADER_LEN], runs].concat();
    let Place { queue_pair, epoch, index, sequence } = place;
    let len = slot.len();
    seal(&mut slot, len, &SlotStamp { queue_pair, epoch, index, sequence, credit }).expect("room for the header");
    slot
}

/// Any bytes as a request slot: as they are, and as runs that were sealed properly. What is accepted is what was sealed,
/// and its runs are encoded again to the same bytes.
///
/// Returns how many requests there were.
pub fn check_request_slot(data: &[u8]) -> usize {
    check_request_runs(data) + check_request_runs(&check_slot(data, 0))
}

/// As [`check_request_slot`], for the way back.
pub fn check_response_slot(data: &[u8]) -> usize {
    check_response_runs(data) + check_response_runs(&check_slot(data, RESPONSES))
}

/// Seals the bytes, and looks at them unsealed; the runs in them if they are a slot already.
fn check_slot(data: &[u8], direction: u32) -> Vec<u8> {
    let header = [&data[..data.len().min(SLOT_HEADER_LEN)], &[0; SLOT_HEADER_LEN]].concat();
    let number = |at: usize| u32::from_le_bytes(std::array::from_fn(|byte| header[at + byte]));
    // The place is the one that the header claims, so that the bytes can be the slot that is waited for.
    let (sequence, credit) = (number(8), number(12));
    let place = Place { queue_pair: direction | 5, epoch: 7, index: sequence & 3, sequence };
    let read = |slot: &[u8], place: Place| {
        let Place { queue_pair, epoch, index, sequence } = place;
        open(slot, queue_pair, epoch, index, sequence).map(|slot| (slot.credit, slot.runs().to_vec()))
    };

    let unsealed = match read(data, place) {
        Ok((credit, runs)) => {
            assert_eq!(content(data, place), Content::Whole { credit, runs: runs.clone() });
            runs
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!(data.len() < SLOT_HEADER_LEN || content(data, place) == Content::Torn);
            Vec::new()
        }
    };

    let mut slot = sealed(data, place, credit);
    assert_eq!(content(&slot, place), Content::Whole { credit, runs: data.to_vec() });
    assert_eq!(read(&slot, place), Ok((credit, data.to_vec())));
    for other in [
        Place { queue_pair: place.queue_pair ^ RESPONSES, ..place },
        Place { queue_pair: place.queue_pair ^ 1, ..place },
        Place { epoch: 8, ..place },
        Place { index: place.index ^ 1, ..place },
    ] {
        assert_eq!(read(&slot, other), Err(SlotError::Checksum), "{other:?}");
    }
    let next = Place { sequence: sequence.wrapping_add(1), ..place };
    assert!(matches!(read(&slot, next), Err(SlotError::Sequence { .. })));

    // One bit, but not of the length: another length is another checksum's business, and equal by chance in 2^-32.
    let bit = (number(0) ^ credit) as usize % (slot.len() * 8);
    if !(4..8).contains(&(bit / 8)) {
        slot[bit / 8] ^= 1 << (bit % 8);
        assert!(read(&slot, place).is_err(), "bit {bit} is not covered");
    }
    unsealed
}

/// The requests in a slot's runs (W-Q-5, W-Q-6); 0 when they are refused.
fn check_request_runs(data: &[u8]) -> usize {
    let runs = match request_runs(data) {
        Ok(runs) => runs,
        Err(error) => return refused(&error),
    };
    let (mut count, mut encoded) = (0, Vec::new());
    for run in runs {
        check_requests(&run.batch);
        assert!(run.response_len_max >= response_len_min(run.batch.count()), "an answer without room");
        put_run(&mut encoded, run.batch.bytes(), run.response_len_max);
        count += run.batch.count();
    }
    assert_eq!(encoded, data, "a run was changed by its encoding");
    assert_eq!(runs.is_empty(), data.is_empty());
    assert!(count <= REQUEST_COUNT_MAX);
    count
}

/// The responses in a slot's runs (W-Q-5, W-Q-7); 0 when they are refused.
fn check_response_runs(data: &[u8]) -> usize {
    let runs = match response_runs(data) {
        Ok(runs) => runs,
        Err(error) => return refused(&error),
    };
    let (mut count, mut encoded) = (0, Vec::new());
    for run in runs {
        check_responses(&run.batch);
        // The one flag that has a meaning (W-Q-7).
        put_run(&mut encoded, run.batch.bytes(), run.may_expire.into());
        count += run.batch.count();
    }
    assert_eq!(encoded, data, "a run was changed by its encoding");
    assert_eq!(runs.is_empty(), data.is_empty());
    assert!(count <= REQUEST_COUNT_MAX);
    count
}

fn refused(error: &SlotError) -> usize {
    assert!(!error.to_string().is_empty());
    let of_runs =
        [SlotError::Checksum, SlotError::Sequence { expected: 0, got: 0 }, SlotError::Len { len: 0, len_max: 0 }];
    assert!(of_runs.iter().all(|other| std::mem::discriminant(error) != std::mem::discriminant(other)));
    0
}

/// Adds a run.
pub(crate) fn put_run(runs: &mut Vec<u8>, body: &[u8], response_len_max: usize) {
    let start = runs.len();
    runs.resize(start + RUN_HEADER_LEN, 0);
    put_run_header(&mut runs[start..], body.len(), response_len_max).expect("lengths of 16 bits");
    runs.extend(body);
}
