//! What the client accepts as an answer.

use qp_wire::batch::ResponseBatch;
use qp_wire::mica::{self, Responses};
use qp_wire::native::{self, ResponseBody};
use qp_wire::net::{HEADERS_LEN, Local};

use super::Wire;

/// What stands in a frame that was received.
#[derive(Debug)]
pub(super) enum Answer<'a> {
    /// Responses, each with a cookie of its own.
    Mica(Responses<'a>),
    /// The responses to one frame, whose cookie comes first.
    Native(u32, ResponseBatch<'a>),
    /// All of a frame with this cookie, without a word on each request.
    Bare(u32),
}

/// The answer in a frame for `local`.
pub(super) fn answer_in<'a>(wire: Wire, frame: &'a [u8], local: &Local) -> Option<Answer<'a>> {
    let payload = payload_of(frame, local)?;
    match wire {
        Wire::Mica => mica::ResponseFrame::decode(payload).ok().map(|frame| Answer::Mica(frame.responses())),
        Wire::Native => {
            let frame = native::ResponseFrame::decode(payload).ok()?;
            match frame.body {
                ResponseBody::Batch(batch) => Some(Answer::Native(frame.header.batch_id, batch)),
                ResponseBody::Identity(_) => Some(Answer::Bare(frame.header.batch_id)),
                ResponseBody::Version { .. } => None,
            }
        }
        Wire::Echo => {
            let frame = native::RequestFrame::decode(payload).ok()?;
            Some(Answer::Bare(frame.header.batch_id))
        }
    }
}

/// The payload of a frame for `local`, if MICA2's receiver takes it: plain IPv4 and UDP without options and fragments,
/// identification 0 and no flags, and lengths that are exact, so that there is no padding. Checksums are not looked at.
fn payload_of<'a>(frame: &'a [u8], local: &Local) -> Option<&'a [u8]> {
    let (headers, payload) = frame.split_first_chunk::<HEADERS_LEN>()?;
    let word = |offset: usize| u16::from_be_bytes([headers[offset], headers[offset + 1]]);
    let is_ours = headers[..6] == local.mac.0 && word(36) == local.port;
    let is_taken = word(12) == 0x0800
        && headers[14] == 0x45
        && usize::from(word(16)) == frame.len() - 14
        && word(18) == 0
        && word(20) == 0
        && headers[23] == 17
        && usize::from(word(38)) == frame.len() - 34;
    (is_ours && is_taken).then_some(payload)
}
