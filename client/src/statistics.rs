//! What a session counts.

/// Counts since the session began. Requests that ended are told as [`Answer`](crate::Answer)s, so only what no answer
/// shows is counted here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Frames with requests that were sent, repeated ones included.
    pub frames_sent: u64,
    /// Frames among them that had been sent before.
    pub frames_resent: u64,
    /// Requests in the frames that were sent, repeated ones included.
    pub requests_sent: u64,
    /// Bytes of the frames that were sent.
    pub bytes_sent: u64,
    /// Frames that were received and used.
    pub frames_received: u64,
    /// Bytes of these frames.
    pub bytes_received: u64,
    /// Frames that no request waited for any more: doubled by the network, or too late.
    pub duplicates: u64,
    /// Frames that are no answer to what was asked.
    pub malformed: u64,
    /// Requests that a server did not look at, or whose partition had moved, and that were sent again for it.
    pub refusals: u64,
    /// Requests that ended as timed out.
    pub timed_out: u64,
    /// Requests that ended as unknown.
    pub unknown: u64,
    /// How often a server said something new about itself, its first words included.
    pub identities: u64,
    /// Errors of this machine's sockets while sending; what they concern is sent again.
    pub socket_errors: u64,
    /// How often a directory's list of servers has changed.
    pub server_lists: u64,
}

impl Statistics {
    /// Adds what another session has counted.
    pub(crate) const fn add(&mut self, other: &Self) {
        self.frames_sent += other.frames_sent;
        self.frames_resent += other.frames_resent;
        self.requests_sent += other.requests_sent;
        self.bytes_sent += other.bytes_sent;
        self.frames_received += other.frames_received;
        self.bytes_received += other.bytes_received;
        self.duplicates += other.duplicates;
        self.malformed += other.malformed;
        self.refusals += other.refusals;
        self.timed_out += other.timed_out;
        self.unknown += other.unknown;
        self.identities += other.identities;
        self.socket_errors += other.socket_errors;
        self.server_lists += other.server_lists;
    }
}
