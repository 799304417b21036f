//! Why a directory did not do what it was asked for.

use std::io;

use crate::entry::EntryError;

/// What went wrong with a directory. Its display is one line that names the place.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// No answer.
    #[error("{url}: {cause}; start the directory there or check the address")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// What the connection came to.
        cause: String,
    },
    /// An answer that says no.
    #[error("{url}: status {status}: {message}")]
    Refused {
        /// What was asked for.
        url: String,
        /// The status of HTTP.
        status: u16,
        /// What the directory says.
        message: String,
    },
    /// An answer that is none.
    #[error("{url}: {found}: expected {expected}")]
    Answer {
        /// What was asked for.
        url: String,
        /// What came, or what is wrong with it.
        found: String,
        /// What was expected.
        expected: &'static str,
    },
    /// What a server published is no entry.
    #[error("server {name}: {cause}")]
    Entry {
        /// The server.
        name: String,
        /// Why.
        cause: EntryError,
    },
    /// A file cannot be read.
    #[error("{path}: cannot be read: {cause}")]
    Read {
        /// The file.
        path: String,
        /// What the operating system says.
        cause: io::Error,
    },
    /// A file is no list of servers.
    #[error("{path}: {cause}: expected a JSON object with an entry for each name of a server")]
    File {
        /// The file.
        path: String,
        /// What the parser says.
        cause: String,
    },
    /// A file was asked to register a server.
    #[error("{path}: a file takes no registrations; write the entry into it")]
    ReadOnly {
        /// The file.
        path: String,
    },
}
