//! Frames that are written now and sent later, by something else.

use arch::Tick;
use kv_core::hash::KeyHash;
use kv_core::port::RawFrame;
use qp_wire::limits::DATAGRAM_LEN_MAX;
use qp_wire::mica::{MicaRequest, PROBE_OPAQUE_BASE};
use qp_wire::net::{HEADERS_LEN, Local, Remote};
use qp_wire::{Opcode, RawRequest};

use super::batch::Batch;
use super::{FrameSubmitError, Wire, seal};

/// Writes the frames that a [`FrameClient`](super::FrameClient) would send to one endpoint, without asking anybody.
#[derive(Debug)]
pub struct FrameWriter {
    batch: Batch<Plain>,
    local: Local,
    remote: Remote,
    requests_per_frame: u16,
    next: u32,
}

impl FrameWriter {
    /// Frames of at most so many requests, if they fit.
    pub fn new(wire: Wire, requests_per_frame: u16, local: Local, remote: Remote) -> Self {
        Self { batch: Batch::new(wire), local, remote, requests_per_frame: requests_per_frame.max(1), next: 0 }
    }

    /// Adds a request, and gives the frame that is complete then, if one is.
    ///
    /// # Errors
    /// [`FrameSubmitError::TooLarge`] when it fits no frame.
    pub fn push(&mut self, opcode: Opcode, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>, FrameSubmitError> {
        let raw = RawRequest { operation: opcode.to_wire(), key, value };
        let request = MicaRequest { raw, key_hash: KeyHash::of(key).0, opaque: self.next };
        self.next = (self.next + 1) % PROBE_OPAQUE_BASE;
        let mut done = None;
        if !self.batch.push(&request, || Some(Plain::new()))? {
            done = self.finish();
            if !self.batch.push(&request, || Some(Plain::new()))? {
                return Err(FrameSubmitError::TooLarge);
            }
        }
        if done.is_none() && self.batch.count() >= self.requests_per_frame {
            done = self.finish();
        }
        Ok(done)
    }

    /// Completes the last frame, if there is anything in it.
    pub fn finish(&mut self) -> Option<Vec<u8>> {
        let mut filled = self.batch.finish(Tick(0))?;
        seal(&mut filled.frame, &self.local, &self.remote, filled.payload_len);
        Some(filled.frame.bytes().to_vec())
    }
}

/// A frame in ordinary memory.
#[derive(Debug)]
struct Plain {
    bytes: Vec<u8>,
    len: usize,
}

impl Plain {
    fn new() -> Self {
        Self { bytes: vec![0; HEADERS_LEN + DATAGRAM_LEN_MAX], len: 0 }
    }
}

impl RawFrame for Plain {
    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn buf(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    fn set_len(&mut self, len: usize) {
        self.len = len.min(self.bytes.len());
    }
}
