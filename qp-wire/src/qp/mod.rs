//! The slots of a queue pair: what crosses PCIe.
//!
//! A slot is the unit of one DMA copy. It holds runs of [batch](crate::batch) bodies, each as its client sent it, and a
//! header by which the reader knows that all of it has arrived, that it is the slot it waits for, and how far the writer
//! has read the ring of the other direction. A DMA engine orders nothing, so nothing less than a checksum over the
//! whole slot says that it is complete.
//!
//! ```text
//! 0       4     8          12       16
//! +-------+-----+----------+--------+-----+-----+--   +----------+---------------------------+------+
//! | crc32c| len | sequence | credit | run | run | ... | body_len | response_len_max or flags | body |
//! +-------+-----+----------+--------+-----+-----+--   +----------+---------------------------+------+
//!                                                     0          2                           4
//! ```
//!
//! | offset | size | field | unit | rule |
//! |---|---|---|---|---|
//! | 0 | 4 | crc32c | | over bytes 4 to len, seeded (W-Q-1) |
//! | 4 | 4 | len | bytes | of the slot with its header, at most the slot's size (W-Q-2) |
//! | 8 | 4 | sequence | slots | 1 for the first slot of an epoch, then one more each, wrapping (W-Q-3) |
//! | 12 | 4 | credit | slots | how many the sender has taken out of the opposite ring, wrapping (W-Q-4) |
//! | 16 | | runs | | as many as fit, or none (W-Q-5) |
//!
//! | offset in a run | size | field | unit | rule |
//! |---|---|---|---|---|
//! | 0 | 2 | body_len | bytes | of the body (W-Q-5) |
//! | 2 | 2 | response_len_max | bytes | of a request run: most that the response body may have (W-Q-6) |
//! | 2 | 2 | flags | | of a response run: bit 0 says that something in it may expire (W-Q-7) |
//! | 4 | body_len | body | | one [batch](crate::batch) |
//!
//! Numbers are little-endian. How many slots there are and how long they are is agreed when the two sides meet.

mod error;
mod runs;
mod slot;

pub use error::SlotError;
pub use runs::{
    RUN_HEADER_LEN, RequestRun, RequestRunIter, RequestRuns, ResponseRun, ResponseRunIter, ResponseRuns, RunPromise,
    put_response_run_header, put_run_header, request_runs, response_runs,
};
pub use slot::{OpenSlot, SLOT_HEADER_LEN, SLOT_LEN_MAX, SlotHeader, SlotStamp, open, seal};

/// The version of this format. Both sides must have the same one; they compare it when they meet.
pub const VERSION: u16 = 2;
