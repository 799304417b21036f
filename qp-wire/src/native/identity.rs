//! What a client has to know of a server.
//!
//! ```text
//! 0           8       12       13      14              16              18            19
//! +-----------+-------+--------+-------+---------------+---------------+-------------+----------------+
//! | server_id | epoch | design | flags | frame_len_max | value_len_max | key_len_max | endpoint_count |
//! +-----------+-------+--------+-------+---------------+---------------+-------------+----------------+
//! 20                22         24
//! +-----------------+----------+--------+-----------+
//! | partition_count | reserved | owners | endpoints |
//! +-----------------+----------+--------+-----------+
//! ```
//!
//! | offset | size | field | unit | rule (all W-C-57) |
//! |---|---|---|---|---|
//! | 0 | 8 | server_id | | chosen at random when the server starts |
//! | 8 | 4 | epoch | | counts the changes of all that follows |
//! | 12 | 1 | design | | informative |
//! | 13 | 1 | flags | | bit 0 concurrent reads, bit 1 complete; the others 0 |
//! | 14 | 2 | frame_len_max | bytes | longest request frame and longest response frame |
//! | 16 | 2 | value_len_max | bytes | longest value |
//! | 18 | 1 | key_len_max | bytes | longest key, at least 1 |
//! | 19 | 1 | endpoint_count | endpoints | 1 to [`ENDPOINT_COUNT_MAX`] |
//! | 20 | 2 | partition_count | partitions | 1 to [`PARTITION_COUNT_MAX`] |
//! | 22 | 2 | reserved | | 0 |
//! | 24 | 1 each | owners | | the label of each partition's owner |
//! | | 8 each | endpoints | | label, reserved 0, UDP port (2), IPv4 address (4); the identity ends with them |
//!
//! Numbers are little-endian; an IPv4 address has its bytes in the order in which it is written.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::error::IdentityError;
use crate::operation::put;

/// Most partitions of a server. A client finds a key's partition by its hash and the owner by the partition.
pub const PARTITION_COUNT_MAX: usize = 256;

/// Most endpoints of a server.
pub const ENDPOINT_COUNT_MAX: usize = 32;

/// Longest identity, in bytes.
pub const IDENTITY_LEN_MAX: usize =
    size_of::<IdentityHeader>() + PARTITION_COUNT_MAX + ENDPOINT_COUNT_MAX * size_of::<Endpoint>();

/// Longest frame with an identity, in bytes. Fits every network's frames, and is what a client pads its request to.
pub const IDENTITY_RESPONSE_LEN_MAX: usize = super::HEADER_LEN + IDENTITY_LEN_MAX;

const CONCURRENT_READ: u8 = 1 << 0;
const COMPLETE: u8 = 1 << 1;

/// The fixed part of an identity.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct IdentityHeader {
    server_id: U64,
    epoch: U32,
    design: u8,
    flags: u8,
    frame_len_max: U16,
    value_len_max: U16,
    key_len_max: u8,
    endpoint_count: u8,
    partition_count: U16,
    reserved: U16,
}
const _: () = assert!(size_of::<IdentityHeader>() == 24);

/// Where requests for the partitions of one owner go. Several endpoints may have the same label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Endpoint {
    label: u8,
    reserved: u8,
    udp_port: U16,
    ipv4: [u8; 4],
}
const _: () = assert!(size_of::<Endpoint>() == 8);

impl Endpoint {
    /// The endpoint of owner `label`. Address 0.0.0.0 stands for the address that the client asked.
    pub const fn new(label: u8, ipv4: [u8; 4], udp_port: u16) -> Self {
        Self { label, reserved: 0, udp_port: U16::new(udp_port), ipv4 }
    }

    /// The label of the owner whose requests it takes.
    pub const fn label(&self) -> u8 {
        self.label
    }

    /// Its UDP port.
    pub const fn udp_port(&self) -> u16 {
        self.udp_port.get()
    }

    /// Its address, most significant byte first; `None` when it is the one that the client asked.
    pub const fn ipv4(&self) -> Option<[u8; 4]> {
        match self.ipv4 {
            [0, 0, 0, 0] => None,
            address => Some(address),
        }
    }
}

/// Who a server is, what it takes, and where its partitions are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    /// Chosen at random when the server starts: two answers with different ids are of two servers or of two lives.
    pub server_id: u64,
    /// Grows with every change of what follows.
    pub epoch: u32,
    /// The number of the server's design, for people to read.
    pub design: u8,
    /// Whether reads may go to any endpoint; otherwise they go where writes go.
    pub concurrent_read: bool,
    /// Whether the owner of every partition has an endpoint in the list. It has not while one side of the server waits
    /// for the other; a client asks again.
    pub complete: bool,
    /// Longest request and longest response frame, in bytes of UDP payload.
    pub frame_len_max: u16,
    /// Longest value, in bytes.
    pub value_len_max: u16,
    /// Longest key, in bytes; at least 1.
    pub key_len_max: u8,
    /// The label of each partition's owner; 1 to [`PARTITION_COUNT_MAX`] of them.
    pub owners: &'a [u8],
    /// 1 to [`ENDPOINT_COUNT_MAX`] endpoints.
    pub endpoints: &'a [Endpoint],
}

impl<'a> Identity<'a> {
    /// The identity that `bytes` hold, all of them.
    ///
    /// # Errors
    /// Every [`IdentityError`].
    pub fn decode(bytes: &'a [u8]) -> Result<Self, IdentityError> {
        let got = bytes.len();
        let (header, rest) = IdentityHeader::read_from_prefix(bytes)
            .map_err(|_| IdentityError::Len { needed: size_of::<IdentityHeader>(), got })?;
        if header.flags & !(CONCURRENT_READ | COMPLETE) != 0 || header.reserved.get() != 0 {
            return Err(IdentityError::Reserved);
        }
        let partition_count = usize::from(header.partition_count.get());
        let endpoint_count = usize::from(header.endpoint_count);
        check_counts(partition_count, endpoint_count)?;
        let needed = encoded_len(partition_count, endpoint_count);
        let wrong_len = IdentityError::Len { needed, got };
        let (owners, endpoints) = rest.split_at_checked(partition_count).ok_or(wrong_len)?;
        let endpoints = <[Endpoint]>::ref_from_bytes_with_elems(endpoints, endpoint_count).map_err(|_| wrong_len)?;
        if endpoints.iter().any(|endpoint| endpoint.reserved != 0) {
            return Err(IdentityError::Reserved);
        }
        let identity = Self {
            server_id: header.server_id.get(),
            epoch: header.epoch.get(),
            design: header.design,
            concurrent_read: header.flags & CONCURRENT_READ != 0,
            complete: header.flags & COMPLETE != 0,
            frame_len_max: header.frame_len_max.get(),
            value_len_max: header.value_len_max.get(),
            key_len_max: header.key_len_max,
            owners,
            endpoints,
        };
        identity.check()?;
        Ok(identity)
    }

    /// Its length in bytes, without the frame header.
    pub const fn encoded_len(&self) -> usize {
        encoded_len(self.owners.len(), self.endpoints.len())
    }

    /// Writes the identity to the start of `into` and returns its length.
    ///
    /// # Errors
    /// What [`Identity::decode`] would say of it, or [`IdentityError::Len`] when it does not fit `into`.
    pub fn encode(&self, into: &mut [u8]) -> Result<usize, IdentityError> {
        check_counts(self.owners.len(), self.endpoints.len())?;
        self.check()?;
        let needed = self.encoded_len();
        let too_short = IdentityError::Len { needed, got: into.len() };
        let header = IdentityHeader {
            server_id: U64::new(self.server_id),
            epoch: U32::new(self.epoch),
            design: self.design,
            flags: if self.concurrent_read { CONCURRENT_READ } else { 0 } | if self.complete { COMPLETE } else { 0 },
            frame_len_max: U16::new(self.frame_len_max),
            value_len_max: U16::new(self.value_len_max),
            key_len_max: self.key_len_max,
            endpoint_count: self.endpoints.len() as u8,
            partition_count: U16::new(self.owners.len() as u16),
            reserved: U16::ZERO,
        };
        let mut rest = into.get_mut(..needed).ok_or(too_short)?;
        put(&mut rest, header.as_bytes()).ok_or(too_short)?;
        put(&mut rest, self.owners).ok_or(too_short)?;
        put(&mut rest, self.endpoints.as_bytes()).ok_or(too_short)?;
        Ok(needed)
    }

    /// Checks what the fields mean together.
    fn check(&self) -> Result<(), IdentityError> {
        if self.key_len_max == 0 {
            return Err(IdentityError::KeyLen);
        }
        if !self.complete {
            return Ok(());
        }
        let homeless =
            self.owners.iter().find(|&&owner| !self.endpoints.iter().any(|endpoint| endpoint.label == owner));
        homeless.map_or(Ok(()), |&label| Err(IdentityError::Owner { label }))
    }
}

const fn encoded_len(partition_count: usize, endpoint_count: usize) -> usize {
    size_of::<IdentityHeader>() + partition_count + endpoint_count * size_of::<Endpoint>()
}

const fn check_counts(partition_count: usize, endpoint_count: usize) -> Result<(), IdentityError> {
    if partition_count == 0 || partition_count > PARTITION_COUNT_MAX {
        return Err(IdentityError::PartitionCount { count: partition_count });
    }
    if endpoint_count == 0 || endpoint_count > ENDPOINT_COUNT_MAX {
        return Err(IdentityError::EndpointCount { count: endpoint_count });
    }
    Ok(())
}
