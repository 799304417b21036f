//! Requests on their way into a frame.

use qp_wire::batch::{self, RequestWriter};
use qp_wire::native;
use qp_wire::{Opcode, RawRequest};

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

/// Bytes of a request and of an answer, one of several, beside key and values, if no column folds.
const REQUEST_COLUMNS_LEN: usize = size_of::<u8>() + size_of::<u8>() + size_of::<u16>();
const ANSWER_COLUMNS_LEN: usize = batch::response_len_min(3) - batch::response_len_min(2);

/// Requests that will share a frame, and what is remembered of each.
#[derive(Debug)]
pub(super) struct Gather {
    writer: Box<RequestWriter>,
    pending: Vec<Pending>,
    /// Bytes that the values of the answers are expected to take.
    values_len_expected: usize,
    /// What fits as well without a closer look.
    ease: Ease,
}

/// Requests below all these take no closer look. Nothing is below none.
#[derive(Clone, Copy, Debug, Default)]
struct Ease {
    /// Of a key and a value together, and of a value that is expected in the answer, in bytes.
    request_len_end: usize,
    answer_len_end: usize,
    value_len_expected: usize,
}

impl Gather {
    pub(super) fn new() -> Self {
        Self {
            writer: Box::new(RequestWriter::new()),
            pending: Vec::new(),
            values_len_expected: 0,
            ease: Ease::default(),
        }
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

    /// Whether this request fits as well. A lone request always has room: whether it fits any frame was
    /// found out when it was submitted.
    pub(super) fn has_room(&self, request: &RawRequest<'_>, opcode: Opcode, room: &Room) -> bool {
        if self.is_empty() {
            return true;
        }
        let count = self.count() + 1;
        let values_len = self.values_len_expected + value_len_expected(opcode, room.value_len_expected);
        count <= room.count_max
            && answer_len(count, values_len) <= room.frame_len_max
            && self.fits(request, room.frame_len_max)
    }

    /// Whether the frame is not longer than `frame_len_max` with this request. The exact length matters, and is computed, only
    /// where the frame is nearly full.
    fn fits(&self, request: &RawRequest<'_>, frame_len_max: usize) -> bool {
        let bound = self.writer.encoded_len_bound_with(request.key.len(), request.value.len());
        native::HEADER_LEN + bound <= frame_len_max
            || native::HEADER_LEN + self.writer.encoded_len_with(request) <= frame_len_max
    }

    /// Adds a request to others if it is certain to fit, which most are; `false` says that this takes a closer look. Neither its key nor
    /// its value is longer than the server takes.
    #[inline(always)]
    pub(super) fn push_easily(&mut self, request: &RawRequest<'_>, pending: Pending) -> bool {
        let request_len = request.key.len() + request.value.len();
        let answer_len = value_len_expected(pending.opcode, self.ease.value_len_expected);
        let is_easy = request_len < self.ease.request_len_end && answer_len < self.ease.answer_len_end;
        if !is_easy || self.writer.push(request).is_err() {
            return false;
        }
        self.ease.request_len_end = self.ease.request_len_end.saturating_sub(request_len + REQUEST_COLUMNS_LEN);
        self.ease.answer_len_end = self.ease.answer_len_end.saturating_sub(answer_len + ANSWER_COLUMNS_LEN);
        self.values_len_expected += answer_len;
        self.pending.push(pending);
        true
    }

    /// Adds a request; `false` when the writer has no room for it, however empty the frame.
    #[must_use]
    pub(super) fn push(&mut self, request: &RawRequest<'_>, pending: Pending, room: &Room) -> bool {
        let fits = self.writer.push(request).is_ok();
        if fits {
            self.values_len_expected += value_len_expected(pending.opcode, room.value_len_expected);
            self.pending.push(pending);
            let left = |len: usize| (room.frame_len_max + 1).saturating_sub(len);
            self.ease = Ease {
                request_len_end: left(native::HEADER_LEN + self.writer.encoded_len_bound_with(0, 0)),
                answer_len_end: left(answer_len(self.count() + 1, self.values_len_expected)),
                value_len_expected: room.value_len_expected,
            };
        }
        fits
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
        self.ease = Ease::default();
        pending.clear();
        std::mem::swap(pending, &mut self.pending);
        len
    }
}

/// Whether a successful answer has a value that its request has no bytes for.
const fn gives_value(opcode: Opcode) -> bool {
    matches!(opcode, Opcode::Get | Opcode::Ttl)
}

const fn value_len_expected(opcode: Opcode, of_get: usize) -> usize {
    match opcode {
        Opcode::Get => of_get,
        Opcode::Ttl | Opcode::Increment => size_of::<u64>(),
        _ => 0,
    }
}

/// The longest frame with `count` answers, their values taking `values_len` bytes.
const fn answer_len(count: usize, values_len: usize) -> usize {
    native::HEADER_LEN + batch::response_len_min(count) + values_len
}
