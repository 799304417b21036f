//! An etcd, asked over HTTP: by its v2 API as MICA2 does, or by its v3 API through its own JSON gateway.
//!
//! A client of etcd's gRPC would need a compiler for its descriptions, which is a package of the system; the gateway is
//! part of each etcd and needs an HTTP client.

mod http;
mod v2;
mod v3;

pub(crate) use v2::V2;
pub(crate) use v3::V3;

/// What a registration has left at the directory, from one call to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The lease of the v3 API.
    lease: Option<String>,
    /// What was published under it.
    value: String,
}
