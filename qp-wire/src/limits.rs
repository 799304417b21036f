//! The bounds that every decoder enforces, so that all memory behind them can be sized at start.

/// Longest key, in bytes. MICA2's header has 8 bits for it.
pub const KEY_LEN_MAX: usize = 255;

/// Shortest key of an operation that names an item, in bytes. Only NOOP and RESET requests have none.
pub const KEY_LEN_MIN: usize = 1;

/// Most requests in one batch body, client frame or queue-pair slot.
///
/// Sizes the arrays that engines hold. A jumbo frame of one-byte keys could carry more; it is refused.
pub const REQUEST_COUNT_MAX: usize = 1024;

/// Longest UDP payload that a server accepts or sends, in bytes: a 9000-byte IP packet without its IPv4 and UDP
/// headers.
pub const DATAGRAM_LEN_MAX: usize = 9000 - 20 - 8;

/// Longest value, in bytes, over every wire. A single request with a [`KEY_LEN_MAX`] key and such a value still fits
/// one native frame of [`DATAGRAM_LEN_MAX`]: 16 bytes of frame header, 8 of body header, 8 of TTL are left for it.
pub const VALUE_LEN_MAX: usize = DATAGRAM_LEN_MAX - 16 - 8 - 8 - KEY_LEN_MAX;

const _: () = assert!(VALUE_LEN_MAX <= u16::MAX as usize);
