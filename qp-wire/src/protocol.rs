//! Which client protocol a UDP payload speaks. Both share one port; the first byte tells them apart.

use crate::{DropReason, mica, native};

/// A client protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// MICA2's: see [`mica`].
    Mica,
    /// Our own: see [`native`].
    Native,
}

/// The protocol of a request.
///
/// # Errors
/// [`DropReason::Response`] for a response of either protocol, which is never answered (W-C-21, W-C-50), [`DropReason::Magic`] for
/// everything else, [`DropReason::Short`] for an empty payload.
pub fn protocol_of(payload: &[u8]) -> Result<Protocol, DropReason> {
    match payload.first() {
        None => Err(DropReason::Short),
        Some(&mica::MAGIC_REQUEST) => Ok(Protocol::Mica),
        Some(&native::MAGIC_REQUEST) => Ok(Protocol::Native),
        Some(&(mica::MAGIC_RESPONSE | native::MAGIC_RESPONSE)) => Err(DropReason::Response),
        Some(_) => Err(DropReason::Magic),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_tells_the_protocol() {
        for first in 0..=u8::MAX {
            let expected = match first {
                0x78 => Ok(Protocol::Mica),
                0xD5 => Ok(Protocol::Native),
                0x79 | 0xD6 => Err(DropReason::Response),
                _ => Err(DropReason::Magic),
            };
            assert_eq!(protocol_of(&[first]), expected, "{first:#04x}");
        }
        assert_eq!(protocol_of(&[]), Err(DropReason::Short));
    }
}
