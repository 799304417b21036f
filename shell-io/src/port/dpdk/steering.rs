//! How frames find the core whose UDP port they are for.

use std::ffi::CStr;
use std::fmt;
use std::ptr::{self, NonNull};

use tracing::info;

/// How frames find their core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steering {
    /// There is one core.
    Single,
    /// The device sends each UDP port to a queue of its own.
    Rules,
    /// The device spreads frames over queues by a hash of their addresses, and cores hand over what is not for them.
    Hash,
    /// Frames come to whatever queue they come to, and cores hand over what is not for them.
    HandOver,
}

impl Steering {
    /// Whether a frame may come to a core that it is not for.
    pub(super) fn hands_over(self) -> bool {
        matches!(self, Self::Hash | Self::HandOver)
    }
}

impl fmt::Display for Steering {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Single => "one core, one queue",
            Self::Rules => "the device has a rule for each UDP port",
            Self::Hash => "the device spreads by a hash, cores hand over",
            Self::HandOver => "cores hand over",
        })
    }
}

/// Rules that a device has taken.
#[derive(Debug)]
pub(super) struct Rules {
    port: u16,
    rules: Vec<NonNull<dpdk_sys::rte_flow>>,
}

// SAFETY: a rule is named by a pointer into the driver, which is used again only when the device is given up.
unsafe impl Send for Rules {}
// SAFETY: nothing can be done with a shared reference.
unsafe impl Sync for Rules {}

impl Rules {
    /// No rules.
    pub(super) const fn none(port: u16) -> Self {
        Self { port, rules: Vec::new() }
    }

    /// A rule for each of `count` UDP ports from the first one on, to the queues from 0 on. All or `None`.
    pub(super) fn create(port: u16, first_udp_port: u16, count: u16) -> Option<Self> {
        let mut made = Self::none(port);
        for queue in 0..count {
            let udp_port = first_udp_port.wrapping_add(queue);
            let mut reason = ptr::null();
            // SAFETY: the port is that of an open device that nobody sets up at the same time.
            let rule = unsafe { dpdk_sys::dpukv_flow_steer(port, udp_port, queue, &raw mut reason) };
            let Some(rule) = NonNull::new(rule) else {
                info!(udp_port, queue, "the device takes no rule: {}", text_of(reason));
                return None;
            };
            made.rules.push(rule);
        }
        Some(made)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.rules.len()
    }
}

impl Drop for Rules {
    fn drop(&mut self) {
        for rule in &self.rules {
            // SAFETY: the device is still open, and the rule was made by it and is destroyed once.
            unsafe { dpdk_sys::rte_flow_destroy(self.port, rule.as_ptr(), ptr::null_mut()) };
        }
    }
}

fn text_of(reason: *const std::ffi::c_char) -> String {
    if reason.is_null() {
        return "it does not say why".to_owned();
    }
    // SAFETY: drivers give constant texts that end with NUL.
    unsafe { CStr::from_ptr(reason) }.to_string_lossy().into_owned()
}

/// The UDP port that a frame is for, if it is an IPv4 packet without options that carries UDP. Fragments have none.
pub(super) fn udp_port_of(frame: &[u8]) -> Option<u16> {
    /// Ether type, version and header length; flags and fragment offset; protocol; destination port.
    const TYPE_OFFSET: usize = 12;
    const FRAGMENT_OFFSET: usize = 20;
    const PROTOCOL_OFFSET: usize = 23;
    const PORT_OFFSET: usize = 36;
    let headers: &[u8; 38] = frame.first_chunk()?;
    let is_udp = headers[TYPE_OFFSET..TYPE_OFFSET + 3] == [0x08, 0x00, 0x45]
        && headers[FRAGMENT_OFFSET] & 0x3f == 0
        && headers[FRAGMENT_OFFSET + 1] == 0
        && headers[PROTOCOL_OFFSET] == 17;
    is_udp.then(|| u16::from_be_bytes([headers[PORT_OFFSET], headers[PORT_OFFSET + 1]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_udp_datagrams_have_a_port() {
        let mut frame = [0; 60];
        frame[12..15].copy_from_slice(&[0x08, 0x00, 0x45]);
        frame[23] = 17;
        frame[36..38].copy_from_slice(&[0x12, 0x34]);
        assert_eq!(udp_port_of(&frame), Some(0x1234));
        assert_eq!(udp_port_of(&frame[..37]), None);
        for (offset, value) in [(12, 0x86), (13, 6), (14, 0x46), (20, 0x20), (21, 1), (23, 6)] {
            let mut other = frame;
            other[offset] = value;
            assert_eq!(udp_port_of(&other), None, "{offset}");
        }
        frame[20] = 0x40;
        assert_eq!(udp_port_of(&frame), Some(0x1234), "unfragmented on purpose");
    }
}
