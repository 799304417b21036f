//! What can go wrong, and what to do about it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use directory::DirectoryError;
use qp_wire::ResultCode;
use thiserror::Error;

/// Which choice of a [`Config`](crate::Config) is out of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// No server, or too many.
    #[error("{count} servers; 1 to 32768 are possible")]
    ServerCount {
        /// How many there are.
        count: usize,
    },
    /// The window.
    #[error("a window of {window} requests; 1 to 65535 are possible")]
    Window {
        /// The window.
        window: usize,
    },
    /// The size of a frame.
    #[error("{count} requests per frame; 1 to 1024 are possible")]
    RequestsPerFrame {
        /// The size.
        count: usize,
    },
    /// No attempt at all.
    #[error("a request needs at least one attempt")]
    Attempts,
    /// The times after which a frame is sent again.
    #[error("frames are sent again after {min:?} to {max:?}; the first must be above 0 and not above the second")]
    ResendAfter {
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
}

/// Why there is no connection to the servers.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// A choice is out of its range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The directory does not tell which servers there are.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The directory lists nobody.
    #[error("no server is registered in {source_of} within {waited:?}; start one or check the prefix")]
    NoServer {
        /// The directory.
        source_of: String,
        /// How long it was given.
        waited: Duration,
    },
    /// This machine gave no thread to follow the directory.
    #[error("no thread to follow the directory")]
    Thread(#[source] io::Error),
    /// This machine gave no socket, or it failed.
    #[error("no UDP socket to reach {server}")]
    Socket {
        /// For which server.
        server: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The machine is there, and nothing listens at the port.
    #[error("nothing listens at {server}; start a server there or check address and port")]
    Refused {
        /// The server's address.
        server: SocketAddr,
    },
    /// Nothing came back.
    #[error(
        "no server answers at {server} within {waited:?}; check that it runs, its address, and what is between you"
    )]
    NoAnswer {
        /// The server's address.
        server: SocketAddr,
        /// How long it was given.
        waited: Duration,
    },
    /// The server speaks another version of the protocol.
    #[error("the server at {server} speaks version {theirs} of the protocol, not {ours}; update the older side")]
    Version {
        /// The server's address.
        server: SocketAddr,
        /// Its version.
        theirs: u8,
        /// Ours.
        ours: u8,
    },
    /// The server still waits for its other half.
    #[error("the server at {server} is not complete: one of its host and DPU processes is missing or still starts")]
    Incomplete {
        /// The server's address.
        server: SocketAddr,
    },
}

/// What is larger than its server takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TooLarge {
    /// The key.
    #[error("a key of {len} bytes; the server takes up to {max}")]
    Key {
        /// Its length, in bytes.
        len: usize,
        /// The longest possible.
        max: usize,
    },
    /// The value.
    #[error("a value of {len} bytes; the server takes up to {max}")]
    Value {
        /// Its length, in bytes.
        len: usize,
        /// The longest possible.
        max: usize,
    },
    /// Both together.
    #[error("a request of {len} bytes; the server takes frames of up to {max}")]
    Frame {
        /// The length of a frame with nothing else, in bytes.
        len: usize,
        /// The longest possible.
        max: usize,
    },
}

/// Why a pipeline did not take a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SubmitError {
    /// As many requests are under way as the window allows. Poll for answers, then try again.
    #[error("the window is full")]
    Full,
    /// The operation names an item, and the key is empty.
    #[error("an empty key; keys have 1 to 255 bytes")]
    NoKey,
    /// It would be refused, or does not fit a frame.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
}

/// Why a request of a [`Client`](crate::Client) has no answer, or one that is not what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// The operation names an item, and the key is empty.
    #[error("an empty key; keys have 1 to 255 bytes")]
    NoKey,
    /// Key or value exceed what the server takes.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// The server says so, though its announced limits do not: an APPEND, for example.
    #[error("the value would become larger than the server takes")]
    TooLargeForServer,
    /// The store is full, and nothing was changed.
    #[error("the store is full; delete something or give the server more memory")]
    InsufficientSpace,
    /// The server does not do this, or not for this client.
    #[error("the server does not support the operation, or not for this client")]
    NotSupported,
    /// The stored value does not fit the operation.
    #[error("the stored value does not fit the operation; a counter has exactly 8 bytes")]
    WrongValue,
    /// The server kept refusing until the time was up. Nothing was changed.
    #[error("the server kept refusing the request ({result:?}) for {waited:?}; one of its processes may be missing")]
    Refused {
        /// What it said.
        result: ResultCode,
        /// How long it was given.
        waited: Duration,
    },
    /// No answer in time. Nothing was changed.
    #[error("no answer within {waited:?}; nothing was changed, so it can be tried again")]
    TimedOut {
        /// How long it was given.
        waited: Duration,
    },
    /// No answer in time, or none that settles it.
    #[error("no certain answer within {waited:?}; the change may or may not have been made, so read before a retry")]
    Unknown {
        /// How long it was given.
        waited: Duration,
    },
    /// The server was replaced by one of another version.
    #[error("the server at {server} now speaks version {theirs} of the protocol, not {ours}; update the older side")]
    Version {
        /// The server's address.
        server: SocketAddr,
        /// Its version.
        theirs: u8,
        /// Ours.
        ours: u8,
    },
    /// An answer that this operation does not have, or one without its value.
    #[error("the server's answer ({result:?}) makes no sense for this operation; client and server may not match")]
    Unexpected {
        /// The answer.
        result: ResultCode,
    },
}

impl From<SubmitError> for RequestError {
    /// A [`SubmitError::Full`] is nothing that a [`Client`](crate::Client) can meet; it becomes a refusal.
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Full => Self::Refused { result: ResultCode::NotProcessed, waited: Duration::ZERO },
            SubmitError::NoKey => Self::NoKey,
            SubmitError::TooLarge(too_large) => Self::TooLarge(too_large),
        }
    }
}
