//! What the server publishes in a directory, so that clients find it there.
//!
//! One side does it for both: the DPU if it has endpoints, else the host. It publishes once each owner has an endpoint and
//! somebody behind it. While the sides are apart nothing is published further, but what was stays for its time to live:
//! a short break moves nobody's keys.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use directory::{Directory, Embedded, Entry, Registrar, RegistrarConfig, Source};
use kv_core::design::{Plan, Side};
use tracing::{info, warn};

use super::error::RunError;
use crate::config::{Config, ControlSection, DirectoryKind};
use crate::control::EndpointAddress;

/// A directory to publish in, opened before the server's ports.
#[derive(Debug)]
pub(super) struct Publisher {
    source: Source,
    /// Empty for the usual one.
    name: String,
    ttl: Duration,
    refresh: Duration,
    /// Answers for as long as the side runs.
    _embedded: Option<Embedded>,
}

impl Publisher {
    /// The directory that is configured, if there is one and this side is to publish in it.
    pub(super) fn open<C: ControlSection>(config: &Config<C>, plan: &Plan) -> Result<Option<Self>, RunError> {
        let section = &config.directory;
        let side = if plan.has_ports(Side::Dpu) { Side::Dpu } else { Side::Host };
        if section.kind == DirectoryKind::None || side != C::SIDE {
            return Ok(None);
        }
        let refresh = Duration::from_millis(section.refresh_ms.get().into());
        let embedded = match section.kind {
            DirectoryKind::Embedded => {
                // Servers that register in it are taken to refresh as often as this one.
                let failed = |cause| RunError::Directory { address: section.listen, cause };
                Some(Embedded::start(section.listen, &section.prefix, 2 * refresh).map_err(failed)?)
            }
            _ => None,
        };
        let address = embedded.as_ref().map_or(section.listen, Embedded::address);
        if embedded.is_some() {
            info!(%address, prefix = section.prefix, "answers look-ups of servers");
        }
        Ok(Some(Self {
            source: section.source(reachable(address))?,
            name: section.name.clone(),
            ttl: Duration::from_secs(section.ttl_s.get().into()),
            refresh,
            _embedded: embedded,
        }))
    }

    /// Begins to publish the server that has these endpoints on this side.
    pub(super) fn begin(&self, endpoints: &[EndpointAddress]) -> Result<Publication, RunError> {
        let name = match self.name.as_str() {
            "" => usual_name(endpoints),
            name => name.to_owned(),
        };
        if matches!(self.source, Source::File { .. }) {
            return Ok(Publication::Written { directory: Directory::new(&self.source), name });
        }
        let (source, ttl, refresh) = (self.source.clone(), self.ttl, self.refresh);
        let registrar =
            Registrar::start(RegistrarConfig { source, name, ttl, refresh }).map_err(RunError::Registrar)?;
        Ok(Publication::Registered(registrar))
    }
}

/// Where this machine reaches what listens at `address`.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, v4.port())),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, v6.port())),
        address => address,
    }
}

/// The machine's name and the first UDP port: the same after a restart, so that no key changes its server.
fn usual_name(endpoints: &[EndpointAddress]) -> String {
    let machine = rustix::system::uname();
    let machine = machine.nodename().to_string_lossy();
    // A dot or a slash would mean something in a directory.
    let plain = |sign: char| if sign.is_ascii_alphanumeric() { sign } else { '-' };
    let port = endpoints.first().map_or(0, |endpoint| endpoint.port);
    format!("{}-{port}", machine.chars().map(plain).collect::<String>())
}

/// How the server is published.
#[derive(Debug)]
pub(super) enum Publication {
    /// By registering it again and again.
    Registered(Registrar),
    /// By people.
    Written {
        /// Their file.
        directory: Directory,
        /// The server's name there.
        name: String,
    },
}

impl Publication {
    /// Publishes this entry from now on, or nothing further.
    pub(super) fn publish(&self, entry: Option<&Entry>) {
        match (self, entry) {
            (Self::Registered(registrar), Some(entry)) => registrar.publish(entry),
            (Self::Registered(registrar), None) => registrar.lapse(),
            (Self::Written { directory, name }, Some(entry)) => compare(directory, name, entry),
            (Self::Written { .. }, None) => {}
        }
    }
}

/// Says when the file sends clients elsewhere than here.
fn compare(directory: &Directory, name: &str, entry: &Entry) {
    let expected = entry.to_json();
    match directory.servers().map(|mut servers| servers.remove(name)) {
        Ok(Some(found)) if found == *entry => info!(name, "the static directory has this server"),
        Ok(Some(found)) => warn!(name, "the static directory has {}: expected {expected}", found.to_json()),
        Ok(None) => warn!(name, "the static directory lacks this server: expected {expected}"),
        Err(error) => warn!(name, "{error}; of this server it should say {expected}"),
    }
}

#[cfg(test)]
mod tests {
    use kv_core::design::{CoreId, OwnerLabel};
    use qp_wire::net::MacAddr;

    use super::*;

    #[test]
    fn the_usual_name_is_plain_and_ends_with_the_first_port() {
        let endpoint = |port| EndpointAddress {
            core: CoreId(0),
            label: OwnerLabel(0),
            mac: MacAddr([0; 6]),
            address: Ipv4Addr::LOCALHOST,
            port,
        };
        let name = usual_name(&[endpoint(7600), endpoint(7601)]);
        assert!(name.len() > "-7600".len() && name.ends_with("-7600"), "{name}");
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{name}");
    }

    #[test]
    fn a_directory_on_all_addresses_is_reached_on_this_machine() {
        for (listens, reached) in [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("10.0.0.1:1", "10.0.0.1:1")] {
            assert_eq!(reachable(listens.parse().expect("an address")).to_string(), reached);
        }
    }
}
