//! What MICA2's client accepts as an answer.

use qp_wire::mica::{ResponseFrame, Responses};
use qp_wire::net::{HEADERS_LEN, Local};

/// The responses in a frame for `local`, if MICA2's receiver takes it: plain IPv4 and UDP without options and fragments,
/// identification 0 and no flags, and lengths that are exact, so that there is no padding. Checksums are not looked at.
pub(super) fn responses_in<'a>(frame: &'a [u8], local: &Local) -> Option<Responses<'a>> {
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
    (is_ours && is_taken).then(|| ResponseFrame::decode(payload).ok())?.map(|frame| frame.responses())
}
