//! `[directory]`: where the server is registered, so that clients find it by one address.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use directory::{PREFIX_DEFAULT, Source};
use serde::{Deserialize, Serialize};

use super::bounded::Bounded;
use super::error::{Finding, require};
use super::sections::NetworkSection;

/// The port of an etcd, which is where MICA2's clients ask.
const DIRECTORY_PORT: u16 = 2379;

/// What keeps the list of servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DirectoryKind {
    /// Nothing: clients name the servers.
    None,
    /// This server, for itself and for others.
    Embedded,
    /// An etcd, or another server's embedded directory.
    Etcd,
    /// A file that people write.
    Static,
}

/// `[directory]`: where the server is registered. The side whose endpoints clients see first does it: the DPU if it has
/// any, else the host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DirectorySection {
    /// What keeps the list.
    pub kind: DirectoryKind,
    /// Where an embedded directory listens.
    pub listen: SocketAddr,
    /// Where an etcd is asked: `http://HOST:PORT`.
    pub url: String,
    /// The version of etcd's API: 2, as MICA2 and embedded directories have it, or 3.
    pub version: Bounded<u8, 2, 3>,
    /// What the keys of all servers begin with.
    pub prefix: String,
    /// The file of a static directory.
    pub file: PathBuf,
    /// The name of this server; empty: its machine's, with its first UDP port.
    pub name: String,
    /// Seconds for which a registration holds without another one.
    pub ttl_s: Bounded<u32, 1, 3600>,
    /// Milliseconds between two registrations.
    pub refresh_ms: Bounded<u32, 10, 1_000_000>,
}

impl Default for DirectorySection {
    fn default() -> Self {
        Self {
            kind: DirectoryKind::None,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, DIRECTORY_PORT)),
            url: format!("http://127.0.0.1:{DIRECTORY_PORT}"),
            version: Bounded::default_of(2),
            prefix: PREFIX_DEFAULT.to_owned(),
            file: PathBuf::new(),
            name: String::new(),
            ttl_s: Bounded::default_of(3),
            refresh_ms: Bounded::default_of(1000),
        }
    }
}

impl DirectorySection {
    /// Where to ask and register. Of an embedded directory, what its `address` turned out to be.
    pub(crate) fn source(&self, address: SocketAddr) -> Result<Source, Finding> {
        let (key, place) = match self.kind {
            DirectoryKind::Static => return Ok(Source::File { path: self.file.clone() }),
            DirectoryKind::Embedded => ("directory.prefix", address.to_string()),
            DirectoryKind::None | DirectoryKind::Etcd => {
                let place = self.url.strip_prefix("http://").map(|url| url.trim_end_matches('/'));
                ("directory.url", place.filter(|place| !place.contains('/')).unwrap_or_default().to_owned())
            }
        };
        let scheme = if self.version.get() == 3 && self.kind == DirectoryKind::Etcd { "etcd" } else { "http" };
        let key = if format!("http://{place}").parse::<Source>().is_ok() { "directory.prefix" } else { key };
        let expected = match key {
            "directory.url" => "http://HOST:PORT, such as \"http://10.0.0.1:2379\"",
            _ => "a path of letters, digits, '-', '_' and '.', such as \"/mica\"",
        };
        let is_path = self.prefix.starts_with('/');
        let parsed = format!("{scheme}://{place}{}", self.prefix).parse().ok();
        parsed.filter(|_| is_path).ok_or_else(|| Finding::new(key, expected))
    }

    pub(super) fn check(&self, network: &NetworkSection) -> Result<(), Finding> {
        if self.kind == DirectoryKind::None {
            return Ok(());
        }
        // Whoever reads the entry would be sent to itself.
        let address = "the one IPv4 address that clients send to, since directory.kind publishes it";
        require(!network.address.is_unspecified(), "network.address", address)?;
        let is_named = self.kind != DirectoryKind::Static || !self.file.as_os_str().is_empty();
        require(is_named, "directory.file", "the file with the entries, since directory.kind is \"static\"")?;
        self.source(self.listen)?;
        let name = "at most 200 letters, digits, '-' and '_'";
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        require(self.name.len() <= 200 && self.name.bytes().all(is_plain), "directory.name", name)?;
        // One late or lost registration must not take the server out of the list.
        let least = (2 * u64::from(self.refresh_ms.get())).div_ceil(1000);
        let ttl = format!("at least two times directory.refresh_ms, {least} s");
        require(u64::from(self.ttl_s.get()) >= least, "directory.ttl_s", ttl)
    }
}
