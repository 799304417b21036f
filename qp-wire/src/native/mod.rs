//! The native client protocol.
