//! MICA2's key hash and the keyed placement hash.
