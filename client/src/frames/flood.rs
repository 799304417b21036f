//! Many frames that were written before, sent without a thought of what is answered: more than a server can do.
//!
//! To write a request and to check its answer costs a client as much as it costs a server to execute it, so that one core
//! cannot overload another one by [`submit`](FrameClient::submit). Here a request costs a copy, and an answer a look.

use kv_core::hash::KeyHash;
use kv_core::port::{BURST_COUNT_MAX, Burst, DropCounts, RawFrame, RawPort};
use qp_wire::{Opcode, ResultCode};

use super::answer::{Answer, answer_in};
use super::{FrameClient, FrameSubmitError, FrameWriter};

/// Full frames for all endpoints of a server, which come in turn again and again.
#[derive(Debug, Default)]
pub struct PreparedFrames {
    bytes: Vec<u8>,
    /// Where each frame ends.
    ends: Vec<usize>,
    next: usize,
}

impl PreparedFrames {
    fn add(&mut self, frame: &[u8]) {
        self.bytes.extend_from_slice(frame);
        self.ends.push(self.bytes.len());
    }

    /// The frame whose turn it is; `None` when there is none at all.
    fn next(&mut self) -> Option<&[u8]> {
        let index = if self.next < self.ends.len() { self.next } else { 0 };
        self.next = index + 1;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.ends.get(index).map(|&end| &self.bytes[start..end])
    }
}

impl<R: RawPort> FrameClient<R> {
    /// Writes the frames that these requests would leave in. What fills no frame is left out.
    ///
    /// # Errors
    /// [`FrameSubmitError::TooLarge`] when a request fits no frame.
    pub fn prepare<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        requests: impl IntoIterator<Item = (Opcode, K, V)>,
    ) -> Result<PreparedFrames, FrameSubmitError> {
        let mut frames = PreparedFrames::default();
        let Some(local) = self.ways.first().map(|way| way.local) else { return Ok(frames) };
        let (wire, count) = (self.wire, self.requests_per_frame);
        let endpoints = self.directory.endpoints.iter();
        let mut writers: Vec<_> =
            endpoints.map(|endpoint| FrameWriter::new(wire, count, local, endpoint.remote)).collect();
        for (opcode, key, value) in requests {
            let batch = self.batch_of(opcode, KeyHash::of(key.as_ref()));
            let writer = self.endpoint_for(batch).and_then(|endpoint| writers.get_mut(endpoint));
            if let Some(frame) = writer.map_or(Ok(None), |writer| writer.push(opcode, key.as_ref(), value.as_ref()))? {
                frames.add(&frame);
            }
        }
        Ok(frames)
    }

    /// Sends a burst of prepared frames at most, by the first way, and awaits no answer. Returns how many there were and how
    /// many of them the port took; the others are lost.
    pub fn flood(&mut self, frames: &mut PreparedFrames, count: usize) -> (usize, usize) {
        let Some(way) = self.ways.first_mut() else { return (0, 0) };
        let mut leaving = Burst::new();
        while leaving.count() < count.min(BURST_COUNT_MAX)
            && let Some(bytes) = frames.next()
            && let Some(mut frame) = way.port.alloc()
        {
            if let Some(buf) = frame.buf().get_mut(..bytes.len()) {
                buf.copy_from_slice(bytes);
            }
            frame.set_len(bytes.len());
            // There is room.
            drop(leaving.push(frame));
        }
        let offered = leaving.count();
        way.port.transmit(&mut leaving, &mut DropCounts::default());
        self.counts.unsent += leaving.count() as u64;
        (offered, offered - leaving.count())
    }

    /// Receives a burst of answers at most to whatever was asked, and tells each result. Returns how many frames came.
    pub fn hear(&mut self, on_result: &mut impl FnMut(ResultCode)) -> usize {
        let Some(way) = self.ways.first_mut() else { return 0 };
        let mut arrived = Burst::new();
        way.port.receive(&mut arrived, &mut DropCounts::default());
        for frame in arrived.iter() {
            match answer_in(self.wire, frame.bytes(), &way.local) {
                None => self.counts.refused += 1,
                Some(Answer::Mica(responses)) => responses.for_each(|response| on_result(response.result)),
                Some(Answer::Native(_, batch)) => batch.iter().for_each(|response| on_result(response.result)),
                Some(Answer::Bare(_)) => (0..self.requests_per_frame).for_each(|_| on_result(ResultCode::Success)),
            }
        }
        arrived.count()
    }
}
