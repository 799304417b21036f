//! Which servers there are, and which endpoint of each serves what.
//!
//! A server publishes an [`Entry`] under its name; clients read all entries. Entry and look-ups are those of MICA2, whose
//! clients ask an etcd with the v2 API.
//!
//! * [`Embedded`] answers these look-ups itself, where there is no etcd;
//! * [`Directory`] asks: such a one, an etcd with the v2 or the v3 API, or a file; a [`Source`] says which;
//! * [`Registrar`] keeps a server registered, [`Follower`] keeps a list of servers up to date, each on a thread that
//!   outlasts whatever happens to the directory.
//!
//! Servers are sorted by name, and a client finds a key's server by its position. So all clients of one directory agree,
//! and each change of the list moves keys.

#![forbid(unsafe_code)]

pub mod embedded;
pub mod entry;
mod error;
mod etcd;
mod file;
mod follower;
mod registrar;
pub mod registrations;
mod source;

use std::collections::BTreeMap;
use std::time::Duration;

pub use embedded::Embedded;
pub use entry::{Endpoint, Entry, EntryError};
pub use error::DirectoryError;
pub use etcd::Held;
pub use follower::Follower;
pub use registrar::{Registrar, RegistrarConfig};
pub use registrations::{Answer, Registrations};
pub use source::{Source, SourceError};

/// Entries by the names of their servers.
pub type Servers = BTreeMap<String, Entry>;

/// Where servers register and clients look, when nobody says anything else.
pub const PREFIX_DEFAULT: &str = "/mica";

/// A directory that can be asked.
#[derive(Debug)]
pub struct Directory {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    V2(etcd::V2),
    V3(etcd::V3),
    File(file::EntryFile),
}

impl Directory {
    /// The directory at `source`. Nothing is asked yet.
    pub fn new(source: &Source) -> Self {
        let kind = match source {
            Source::V2 { url, prefix } => Kind::V2(etcd::V2::new(url, prefix)),
            Source::V3 { url, prefix } => Kind::V3(etcd::V3::new(url, prefix)),
            Source::File { path } => Kind::File(file::EntryFile::new(path)),
        };
        Self { kind }
    }

    /// All servers. Takes a second at most.
    ///
    /// # Errors
    /// The directory is not to be had, or says something that is no list of servers. A name whose entry cannot be
    /// understood is such a case: to leave it out would move the keys of all others.
    pub fn servers(&self) -> Result<Servers, DirectoryError> {
        let entries = match &self.kind {
            Kind::V2(etcd) => etcd.list()?,
            Kind::V3(etcd) => etcd.list()?,
            Kind::File(file) => return file.servers(),
        };
        let parse = |(name, text): (String, String)| match Entry::parse(&text) {
            Ok(entry) => Ok((name, entry)),
            Err(cause) => Err(DirectoryError::Entry { name, cause }),
        };
        entries.into_iter().map(parse).collect()
    }

    /// Registers a server for a time, or registers it further. `held` is what the last call for this name has left.
    ///
    /// # Errors
    /// The directory is not to be had or refuses. A file takes no registrations and says so.
    pub fn register(&self, held: &mut Held, name: &str, value: &str, ttl: Duration) -> Result<(), DirectoryError> {
        // Whole seconds are what etcd counts in; less than one would be none.
        let ttl_s = u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX).max(1);
        match &self.kind {
            Kind::V2(etcd) => etcd.register(name, value, ttl_s),
            Kind::V3(etcd) => etcd.register(held, name, value, ttl_s),
            Kind::File(file) => Err(file.takes_nothing()),
        }
    }

    /// Removes a server at once. It is no error when it is not there.
    ///
    /// # Errors
    /// As for [`register`](Self::register).
    pub fn remove(&self, held: &mut Held, name: &str) -> Result<(), DirectoryError> {
        match &self.kind {
            Kind::V2(etcd) => etcd.remove(name),
            Kind::V3(etcd) => etcd.remove(held, name),
            Kind::File(file) => Err(file.takes_nothing()),
        }
    }
}

/// The path of all servers below a prefix.
pub(crate) fn servers_path(prefix: &str) -> String {
    format!("{}/servers", prefix.trim_end_matches('/'))
}
