//! The network headers around a datagram.
