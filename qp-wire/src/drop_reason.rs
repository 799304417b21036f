//! Why a frame was dropped. Each dropped frame is counted under exactly one reason.

/// The reason for which a frame got no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DropReason {
    /// Shorter than its headers say, or than any valid frame.
    Short,
    /// Longer than its headers say, or than [`DATAGRAM_LEN_MAX`](crate::limits::DATAGRAM_LEN_MAX).
    Long,
    /// Not Ethernet II with IPv4, header without options, and UDP.
    NotUdp,
    /// An IPv4 fragment.
    Fragment,
    /// A wrong IPv4 header or UDP checksum.
    Checksum,
    /// Not sent to this endpoint: another MAC, IP or UDP port, broadcast or multicast.
    Destination,
    /// A source that cannot be answered: multicast, broadcast, unspecified, loopback from outside, or ourselves.
    Source,
    /// A magic byte of no protocol.
    Magic,
    /// A response. Answering one could start an endless exchange, so nothing ever does.
    Response,
    /// A version of the native protocol that this server does not speak (it says once which one it does).
    Version,
    /// The announced count or lengths and the bytes do not agree.
    Malformed,
    /// No free buffer or slot: the peer or the wire is slower than the clients.
    Backpressure,
    /// The other side of the queue pair is not there.
    PeerDown,
    /// The frame was in flight when its queue pair was given up.
    Epoch,
    /// The wire did not take the response.
    Transmit,
    /// An ARP or echo request beyond the rate at which they are answered.
    Limited,
}

impl DropReason {
    /// Every reason, in the order of its index.
    pub const ALL: [Self; 16] = [
        Self::Short,
        Self::Long,
        Self::NotUdp,
        Self::Fragment,
        Self::Checksum,
        Self::Destination,
        Self::Source,
        Self::Magic,
        Self::Response,
        Self::Version,
        Self::Malformed,
        Self::Backpressure,
        Self::PeerDown,
        Self::Epoch,
        Self::Transmit,
        Self::Limited,
    ];

    /// The name under which it is counted.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Long => "long",
            Self::NotUdp => "not_udp",
            Self::Fragment => "fragment",
            Self::Checksum => "checksum",
            Self::Destination => "destination",
            Self::Source => "source",
            Self::Magic => "magic",
            Self::Response => "response",
            Self::Version => "version",
            Self::Malformed => "malformed",
            Self::Backpressure => "backpressure",
            Self::PeerDown => "peer_down",
            Self::Epoch => "epoch",
            Self::Transmit => "transmit",
            Self::Limited => "limited",
        }
    }
}
