//! MICA2's client protocol.
