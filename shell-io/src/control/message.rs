//! The messages of the control channel, and their bytes.
//!
//! ```text
//!  0       4     6    7    8                16        20        24
//!  +-------+-----+----+----+----------------+---------+---------+------ ... ------+
//!  | magic | ver | kd | 0  | endianness     | len     | crc32c  | body, len bytes |
//!  +-------+-----+----+----+----------------+---------+---------+------ ... ------+
//! ```
//!
//! | offset | size | field | rule |
//! |---|---|---|---|
//! | 0 | 4 | magic | "DKVC" |
//! | 4 | 2 | version | [`CONTROL_VERSION`]; this and the magic keep their places in all versions |
//! | 6 | 1 | kind | 1 hello, 2 welcome, 3 attached, 4 heartbeat, 5 refusal, 6 farewell |
//! | 7 | 1 | reserved | 0 |
//! | 8 | 8 | endianness | 0x0102_0304_0506_0708: a side that writes another byte order shows it here |
//! | 16 | 4 | body length | at most [`BODY_LEN_MAX`] |
//! | 20 | 4 | checksum | CRC32C of the first 20 bytes and the body |
//!
//! Integers are little-endian. A body is used up exactly; anything else is refused, and refusing ends the connection.

use std::net::Ipv4Addr;

use arch::crc32c;
use kv_core::design::{CORE_COUNT_MAX, CoreId, OwnerLabel, QueuePairId};
use qp_wire::net::MacAddr;

use super::agreement::{Agreement, Field, Mismatch};

/// Version of this format.
pub const CONTROL_VERSION: u16 = 4;

/// Bytes before the body.
pub const HEADER_LEN: usize = 24;

/// Longest body: an introduction with as many windows as there can be, each with the longest region.
pub const BODY_LEN_MAX: usize = 2048 + CORE_COUNT_MAX * (WINDOW_HEADER_LEN + REGION_LEN_MAX);

/// Longest description of a region: what a DMA engine's export of memory takes, with room.
pub const REGION_LEN_MAX: usize = 4096;

/// Longest name of a software version.
pub const SOFTWARE_LEN_MAX: usize = 64;

const MAGIC: [u8; 4] = *b"DKVC";
const ENDIANNESS: u64 = 0x0102_0304_0506_0708;
const WINDOW_HEADER_LEN: usize = 20;

/// Counts the lives of queue pairs; higher than any before it, and never 0.
pub type Epoch = u32;

/// An endpoint of the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointAddress {
    /// The core that answers there.
    pub core: CoreId,
    /// The owner that it stands for.
    pub label: OwnerLabel,
    /// The station that frames are for; all zero at a kernel's socket, whose clients leave that to the kernel.
    pub mac: MacAddr,
    /// The address that clients send to.
    pub address: Ipv4Addr,
    /// The UDP port that clients send to; not 0 at a kernel's socket.
    pub port: u16,
}

/// Memory of the sender that the receiver's DMA engine reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowDescriptor {
    /// The queue pair whose end it is.
    pub queue_pair: QueuePairId,
    /// What the DMA engine needs to find the region; at most [`REGION_LEN_MAX`] bytes.
    pub region: Vec<u8>,
    /// Where in the region the window begins, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub len: u64,
}

/// What a side says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduction {
    /// Name and version of its software; may differ.
    pub software: String,
    /// What must not differ.
    pub agreement: Agreement,
    /// The number that this process was born with.
    pub server_id: u64,
    /// In a hello the last epoch that the sender has seen, in a welcome the new one.
    pub epoch: Epoch,
    /// Its endpoints.
    pub endpoints: Vec<EndpointAddress>,
    /// Its ends of the queue pairs, all zeroed.
    pub windows: Vec<WindowDescriptor>,
}

/// Why a hello or a welcome is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Another host is attached and alive.
    Busy,
    /// The sides differ; `own` is the refusing side's value.
    Mismatch(Mismatch),
}

/// Why a side ends a connection on which it was attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FarewellReason {
    /// Its process ends.
    Leaving = 1,
    /// A queue pair has broken and needs a new epoch.
    Broken = 2,
    /// It cannot reach the memory that it was offered.
    Unreachable = 3,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The host's first message.
    Hello(Introduction),
    /// The DPU's answer.
    Welcome(Introduction),
    /// The host has attached its queue pairs in this epoch; now the DPU may.
    Attached(Epoch),
    /// A sign of life.
    Heartbeat(Epoch),
    /// The introduction is not accepted.
    Refusal(Refusal),
    /// The sender ends the connection.
    Farewell(FarewellReason),
}

/// Why bytes are no message. The connection is of no further use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Not our protocol.
    #[error("it does not speak the control protocol of DPU-KV")]
    Magic,
    /// Another version of it.
    #[error("version of the control protocol differs: {CONTROL_VERSION} on this side, {got} on the other one")]
    Version {
        /// The sender's version.
        got: u16,
    },
    /// The sender writes its words in another byte order.
    #[error("endianness differs: {ENDIANNESS:#018x} on this side, {got:#018x} on the other one")]
    Endianness {
        /// How the sender writes the word.
        got: u64,
    },
    /// Longer than any message.
    #[error("a body of {got} bytes, where {BODY_LEN_MAX} is the most")]
    Long {
        /// The announced length.
        got: u32,
    },
    /// The bytes are not those that were sent.
    #[error("wrong checksum")]
    Checksum,
    /// The body does not have the form of its kind.
    #[error("malformed body of kind {kind}")]
    Malformed {
        /// The announced kind.
        kind: u8,
    },
}

impl Message {
    /// The bytes of the message, appended to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&CONTROL_VERSION.to_le_bytes());
        out.extend_from_slice(&[self.kind(), 0]);
        out.extend_from_slice(&ENDIANNESS.to_le_bytes());
        let mut body = Vec::new();
        self.encode_body(&mut body);
        debug_assert!(body.len() <= BODY_LEN_MAX, "every part of a body is bounded");
        out.extend_from_slice(&(body.len() as u32).to_le_bytes());
        let sum = crc32c(crc32c(0, &out[start..]), &body);
        out.extend_from_slice(&sum.to_le_bytes());
        out.extend_from_slice(&body);
    }

    /// The message at the beginning of `bytes` and its length there, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// These bytes are the beginning of no message.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, MessageError> {
        let prefix = &bytes[..bytes.len().min(MAGIC.len())];
        if !MAGIC.starts_with(prefix) {
            return Err(MessageError::Magic);
        }
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER_LEN>() else { return Ok(None) };
        let mut fields = Reader(&header[MAGIC.len()..]);
        let (Some(version), Some([kind, reserved]), Some(endianness), Some(len), Some(sum)) =
            (fields.u16(), fields.take(), fields.u64(), fields.u32(), fields.u32())
        else {
            return Ok(None);
        };
        if version != CONTROL_VERSION {
            return Err(MessageError::Version { got: version });
        }
        if endianness != ENDIANNESS {
            return Err(MessageError::Endianness { got: endianness });
        }
        if len as usize > BODY_LEN_MAX {
            return Err(MessageError::Long { got: len });
        }
        let Some(body) = rest.get(..len as usize) else { return Ok(None) };
        if sum != crc32c(crc32c(0, &header[..HEADER_LEN - 4]), body) {
            return Err(MessageError::Checksum);
        }
        let malformed = MessageError::Malformed { kind };
        if reserved != 0 {
            return Err(malformed);
        }
        let mut reader = Reader(body);
        let message = decode_body(kind, &mut reader).ok_or(malformed)?;
        if reader.0.is_empty() { Ok(Some((message, HEADER_LEN + body.len()))) } else { Err(malformed) }
    }

    /// The wire value of its kind.
    pub const fn kind(&self) -> u8 {
        match self {
            Self::Hello(_) => 1,
            Self::Welcome(_) => 2,
            Self::Attached(_) => 3,
            Self::Heartbeat(_) => 4,
            Self::Refusal(_) => 5,
            Self::Farewell(_) => 6,
        }
    }

    fn encode_body(&self, out: &mut Vec<u8>) {
        match self {
            Self::Hello(introduction) | Self::Welcome(introduction) => encode_introduction(introduction, out),
            Self::Attached(epoch) | Self::Heartbeat(epoch) => out.extend_from_slice(&epoch.to_le_bytes()),
            Self::Refusal(Refusal::Busy) => out.push(0),
            Self::Refusal(Refusal::Mismatch(Mismatch { field, own, peer })) => {
                out.extend_from_slice(&[1, *field as u8]);
                out.extend_from_slice(&own.to_le_bytes());
                out.extend_from_slice(&peer.to_le_bytes());
            }
            Self::Farewell(reason) => out.push(*reason as u8),
        }
    }
}

fn decode_body(kind: u8, body: &mut Reader<'_>) -> Option<Message> {
    Some(match kind {
        1 => Message::Hello(decode_introduction(body)?),
        2 => Message::Welcome(decode_introduction(body).filter(|introduction| introduction.epoch != 0)?),
        3 => Message::Attached(body.u32().filter(|epoch| *epoch != 0)?),
        4 => Message::Heartbeat(body.u32()?),
        5 => Message::Refusal(decode_refusal(body)?),
        6 => Message::Farewell(match body.u8()? {
            1 => FarewellReason::Leaving,
            2 => FarewellReason::Broken,
            3 => FarewellReason::Unreachable,
            _ => return None,
        }),
        _ => return None,
    })
}

fn decode_refusal(body: &mut Reader<'_>) -> Option<Refusal> {
    match body.u8()? {
        0 => Some(Refusal::Busy),
        1 => {
            let field = *Field::ALL.get(usize::from(body.u8()?))?;
            Some(Refusal::Mismatch(Mismatch { field, own: body.u64()?, peer: body.u64()? }))
        }
        _ => None,
    }
}

/// ```text
/// software len u8, software | agreement 15 x u64 | server id u64 | epoch u32
/// | endpoint count u8, each: core u8, label u8, MAC 6 bytes, address 4 bytes, port u16
/// | window count u8, each: queue pair u8, 0 u8, region len u16, offset u64, len u64, region
/// ```
fn encode_introduction(introduction: &Introduction, out: &mut Vec<u8>) {
    let software = clipped(&introduction.software, SOFTWARE_LEN_MAX);
    out.push(software.len() as u8);
    out.extend_from_slice(software.as_bytes());
    for value in introduction.agreement.values() {
        out.extend_from_slice(&value.to_le_bytes());
    }
    out.extend_from_slice(&introduction.server_id.to_le_bytes());
    out.extend_from_slice(&introduction.epoch.to_le_bytes());
    let endpoints = introduction.endpoints.iter().take(CORE_COUNT_MAX);
    out.push(endpoints.len() as u8);
    for endpoint in endpoints {
        out.extend_from_slice(&[endpoint.core.0, endpoint.label.0]);
        out.extend_from_slice(&endpoint.mac.0);
        out.extend_from_slice(&endpoint.address.octets());
        out.extend_from_slice(&endpoint.port.to_le_bytes());
    }
    let windows = introduction.windows.iter().take(CORE_COUNT_MAX);
    out.push(windows.len() as u8);
    for window in windows {
        let region = &window.region[..window.region.len().min(REGION_LEN_MAX)];
        out.extend_from_slice(&[window.queue_pair.0, 0]);
        out.extend_from_slice(&(region.len() as u16).to_le_bytes());
        out.extend_from_slice(&window.offset.to_le_bytes());
        out.extend_from_slice(&window.len.to_le_bytes());
        out.extend_from_slice(region);
    }
}

fn clipped(text: &str, len_max: usize) -> &str {
    &text[..text.floor_char_boundary(len_max)]
}

fn decode_introduction(body: &mut Reader<'_>) -> Option<Introduction> {
    let software_len = usize::from(body.u8()?);
    let software = str::from_utf8(body.bytes(software_len)?).ok()?;
    let printable = software_len <= SOFTWARE_LEN_MAX && !software.contains(char::is_control);
    let mut values = [0; Field::ALL.len()];
    for value in &mut values {
        *value = body.u64()?;
    }
    let server_id = body.u64()?;
    let epoch = body.u32()?;
    let endpoint_count = body.count()?;
    let endpoints = (0..endpoint_count).map(|_| decode_endpoint(body)).collect::<Option<_>>()?;
    let window_count = body.count()?;
    let windows: Vec<_> = (0..window_count).map(|_| decode_window(body)).collect::<Option<_>>()?;
    // In order and without a gap, so that a window's position is its queue pair.
    let ordered = windows.iter().zip(0..).all(|(window, index)| window.queue_pair.0 == index);
    (printable && ordered).then(|| Introduction {
        software: software.to_owned(),
        agreement: Agreement::from_values(values),
        server_id,
        epoch,
        endpoints,
        windows,
    })
}

fn decode_endpoint(body: &mut Reader<'_>) -> Option<EndpointAddress> {
    let [core, label] = body.take()?;
    let mac = MacAddr(body.take()?);
    let address = Ipv4Addr::from(body.take::<4>()?);
    // On MICA2's wire 0 is a port like any other; a kernel has no such port.
    let port = body.u16().filter(|port| *port != 0 || mac != MacAddr([0; 6]))?;
    (usize::from(core) < CORE_COUNT_MAX).then_some(EndpointAddress {
        core: CoreId(core),
        label: OwnerLabel(label),
        mac,
        address,
        port,
    })
}

fn decode_window(body: &mut Reader<'_>) -> Option<WindowDescriptor> {
    let [queue_pair, reserved] = body.take()?;
    let region_len = usize::from(body.u16()?);
    let (offset, len) = (body.u64()?, body.u64()?);
    let region = body.bytes(region_len)?.to_vec();
    let sound = reserved == 0 && region_len <= REGION_LEN_MAX && offset.checked_add(len).is_some();
    sound.then_some(WindowDescriptor { queue_pair: QueuePairId(queue_pair), region, offset, len })
}

/// What is left of the bytes; each method takes some from the front, or nothing and says so.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const LEN: usize>(&mut self) -> Option<[u8; LEN]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    /// A number of parts, of which no side has more than cores.
    fn count(&mut self) -> Option<u8> {
        self.u8().filter(|count| usize::from(*count) <= CORE_COUNT_MAX)
    }
}

#[cfg(test)]
mod tests;
