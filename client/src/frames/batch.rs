//! Requests that leave in one frame.

use arch::Tick;
use kv_core::port::RawFrame;
use qp_wire::batch;
use qp_wire::mica::{MicaRequest, PAYLOAD_LEN_MAX, RequestWriter};
use qp_wire::native::{self, FrameHeader, FrameKind};
use qp_wire::net::HEADERS_LEN;

use super::window::Cookie;
use super::{FrameSubmitError, Wire};

/// A frame that is being filled.
#[derive(Debug)]
pub(super) struct Batch<F> {
    frame: Option<F>,
    /// What MICA2's writer has written to the frame so far.
    len: usize,
    count: u16,
    /// The first and the last of its requests.
    ends: Option<(Cookie, Cookie)>,
    /// Where native requests wait until all of the frame's are known.
    columns: Option<Box<batch::RequestWriter>>,
}

/// A frame that is ready but for its headers.
#[derive(Debug)]
pub(super) struct Filled<F> {
    pub(super) frame: F,
    pub(super) payload_len: usize,
    pub(super) first: Cookie,
}

impl<F: RawFrame> Batch<F> {
    pub(super) fn new(wire: Wire) -> Self {
        let columns = (wire != Wire::Mica).then(Box::default);
        Self { frame: None, len: 0, count: 0, ends: None, columns }
    }

    pub(super) fn count(&self) -> u16 {
        self.count
    }

    /// The request behind which the next one of the frame is chained.
    pub(super) fn last(&self) -> Option<Cookie> {
        self.columns.as_ref().and(self.ends).map(|(_, last)| last)
    }

    /// Puts a request in; `false` when it does not fit behind the others.
    pub(super) fn push(
        &mut self,
        request: &MicaRequest<'_>,
        alloc: impl FnOnce() -> Option<F>,
    ) -> Result<bool, FrameSubmitError> {
        if self.frame.is_none() {
            self.frame = alloc();
        }
        let frame = self.frame.as_mut().ok_or(FrameSubmitError::Full)?;
        let room = frame.buf().get_mut(HEADERS_LEN..).unwrap_or_default();
        let fits = match &mut self.columns {
            Some(columns) => {
                let len = native::HEADER_LEN + columns.encoded_len_with(&request.raw);
                len <= room.len().min(PAYLOAD_LEN_MAX) && columns.push(&request.raw).is_ok()
            }
            None => push_to_mica(room, &mut self.len, self.count, request)?,
        };
        if fits {
            self.count += 1;
            let cookie = Cookie(request.opaque);
            self.ends = Some((self.ends.map_or(cookie, |(first, _)| first), cookie));
        }
        Ok(fits)
    }

    /// Takes the frame out, if there is anything in it.
    pub(super) fn finish(&mut self, now: Tick) -> Option<Filled<F>> {
        let (first, _) = self.ends.take()?;
        let (len, count) = (std::mem::take(&mut self.len), std::mem::take(&mut self.count));
        let mut frame = self.frame.take()?;
        let room = frame.buf().get_mut(HEADERS_LEN..).unwrap_or_default();
        let payload_len = match &mut self.columns {
            Some(columns) => {
                let header = FrameHeader { batch_id: first.0, timestamp: now.0 };
                native::encode_header(room, FrameKind::BatchRequest, 0, header)?;
                let len = columns.encode(room.get_mut(native::HEADER_LEN..)?)?;
                columns.clear();
                native::HEADER_LEN + len
            }
            None => RequestWriter::resume(room, len, count as u8)?.finish(),
        };
        Some(Filled { frame, payload_len, first })
    }
}

fn push_to_mica(
    room: &mut [u8],
    len: &mut usize,
    count: u16,
    request: &MicaRequest<'_>,
) -> Result<bool, FrameSubmitError> {
    let writer = match u8::try_from(count) {
        Ok(0) => RequestWriter::new(room),
        Ok(count) => RequestWriter::resume(room, *len, count),
        Err(_) => return Ok(false),
    };
    let mut writer = writer.ok_or(FrameSubmitError::TooLarge)?;
    let fits = writer.push(request).is_ok();
    *len = writer.written_len();
    Ok(fits)
}
