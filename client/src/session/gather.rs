//! Requests on their way into a frame.

use qp_wire::batch::{self, RequestWriter};
use qp_wire::limits::DATAGRAM_LEN_MAX;
use qp_wire::native;
use qp_wire::{Opcode, RawRequest, Request};

use super::pending::Pending;

/// What bounds a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Longest frame in either direction, in bytes.
    pub(super) frame_len_max: usize,
    /// Most requests.
    pub(super) count_max: usize,
    /// How long the value of a GET is expected to be, in bytes.
    pub(super) value_len_expected: usize,
}

/// What a frame has to show to a server that answers with no more bytes than it got.
#[derive(Clone, Copy, Debug)]
pub(super) struct RoomToShow {
    /// Longest frame, in bytes.
    pub(super) frame_len_max: usize,
    /// Whether it is known how long values are.
    pub(super) knows_values: bool,
}

/// The lengths of a request whose bytes do not matter yet.
static ZEROS: [u8; DATAGRAM_LEN_MAX] = [0; DATAGRAM_LEN_MAX];

/// Requests that will share a frame, and what is remembered of each.
#[derive(Debug)]
pub(super) struct Gather {
    writer: Box<RequestWriter>,
    pending: Vec<Pending>,
    /// Bytes that the values of the answers are expected to take.
    values_len_expected: usize,
}

impl Gather {
    pub(super) fn new() -> Self {
        Self { writer: Box::new(RequestWriter::new()), pending: Vec::new(), values_len_expected: 0 }
    }

    /// How many requests there are.
    pub(super) fn count(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// The request that came first.
    pub(super) fn first(&self) -> Option<&Pending> {
        self.pending.first()
    }

    /// Whether a request of these lengths fits as well. A lone request always has room: whether it fits any frame was
    /// found out when it was submitted.
    pub(super) fn has_room(&self, operation: u8, opcode: Opcode, lens: (usize, usize), room: &Room) -> bool {
        if self.is_empty() {
            return true;
        }
        let count = self.count() + 1;
        let values_len = self.values_len_expected + value_len_expected(opcode, room);
        count <= room.count_max
            && answer_len(count, values_len) <= room.frame_len_max
            && self.fits(operation, lens, room.frame_len_max)
    }

    /// Whether the frame is not longer than `frame_len_max` with a request of these lengths. The exact length matters, and is
    /// computed, only where the frame is nearly full.
    fn fits(&self, operation: u8, (key_len, value_len): (usize, usize), frame_len_max: usize) -> bool {
        if native::HEADER_LEN + self.writer.encoded_len_bound_with(key_len, value_len) <= frame_len_max {
            return true;
        }
        let (Some(key), Some(value)) = (ZEROS.get(..key_len), ZEROS.get(..value_len)) else { return false };
        native::HEADER_LEN + self.writer.encoded_len_with(&RawRequest { operation, key, value }) <= frame_len_max
    }

    /// Adds a request; `false` when the writer has no room for it, however empty the frame.
    #[must_use]
    pub(super) fn push(&mut self, request: &Request<'_>, pending: Pending, room: &Room) -> bool {
        let fits = self.writer.push_request(request).is_ok();
        if fits {
            self.remember(pending, room);
        }
        fits
    }

    /// Adds a request that has been in a frame before.
    #[must_use]
    pub(super) fn push_raw(&mut self, request: &RawRequest<'_>, pending: Pending, room: &Room) -> bool {
        let fits = self.writer.push(request).is_ok();
        if fits {
            self.remember(pending, room);
        }
        fits
    }

    fn remember(&mut self, pending: Pending, room: &Room) {
        self.values_len_expected += value_len_expected(pending.opcode, room);
        self.pending.push(pending);
    }

    /// How long a frame with the requests has to be so that the answer to it may be as long as it will be, in bytes.
    pub(super) fn answer_len(&self, show: Option<RoomToShow>) -> usize {
        match show {
            None => 0,
            Some(show) if !show.knows_values && self.pending.iter().any(|pending| gives_value(pending.opcode)) => {
                show.frame_len_max
            }
            Some(show) => answer_len(self.count(), self.values_len_expected).min(show.frame_len_max),
        }
    }

    /// Writes the batch behind the header of `frame`, which grows as needed, swaps what is remembered into `pending`,
    /// and leaves the gather empty. Returns the frame's length.
    pub(super) fn take_into(&mut self, frame: &mut Vec<u8>, pending: &mut Vec<Pending>) -> usize {
        let len = native::HEADER_LEN + self.writer.encoded_len();
        if frame.len() < len {
            frame.resize(len, 0);
        }
        let encoded = frame.get_mut(native::HEADER_LEN..).and_then(|body| self.writer.encode(body));
        debug_assert!(encoded.is_some(), "an empty batch");
        self.writer.clear();
        self.values_len_expected = 0;
        pending.clear();
        std::mem::swap(pending, &mut self.pending);
        len
    }
}

/// Whether a successful answer has a value that its request has no bytes for.
const fn gives_value(opcode: Opcode) -> bool {
    matches!(opcode, Opcode::Get | Opcode::Ttl)
}

const fn value_len_expected(opcode: Opcode, room: &Room) -> usize {
    match opcode {
        Opcode::Get => room.value_len_expected,
        Opcode::Ttl | Opcode::Increment => size_of::<u64>(),
        _ => 0,
    }
}

/// The longest frame with `count` answers, their values taking `values_len` bytes.
const fn answer_len(count: usize, values_len: usize) -> usize {
    native::HEADER_LEN + batch::response_len_min(count) + values_len
}
