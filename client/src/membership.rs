//! Which servers there are, as a directory has them.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use directory::{Directory, Entry, Follower, Servers, Source};

use crate::error::ConnectError;

/// How often a directory is asked for changes: as often as MICA2 does.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How often it is asked while it lists nobody.
const LOOK_FIRST: Duration = Duration::from_millis(50);

/// A directory's list, and whoever keeps it up to date.
#[derive(Debug)]
pub(crate) struct Membership {
    follower: Follower,
}

impl Membership {
    /// The addresses of all servers at `source`, in the order of their names. While it lists none, waits for up to
    /// `patience`.
    ///
    /// # Errors
    /// [`ConnectError::Directory`], [`ConnectError::NoServer`] and [`ConnectError::Thread`].
    pub(crate) fn join(source: &Source, patience: Duration) -> Result<(Self, Vec<SocketAddr>), ConnectError> {
        let directory = Directory::new(source);
        let began = Instant::now();
        let servers = loop {
            let servers = directory.servers()?;
            if !servers.is_empty() {
                break servers;
            }
            if began.elapsed() >= patience {
                return Err(ConnectError::NoServer { source_of: source.to_string(), waited: patience });
            }
            thread::sleep(LOOK_FIRST);
        };
        let addresses = addresses(&servers);
        let follower = Follower::start(directory, servers, LOOK_AGAIN).map_err(ConnectError::Thread)?;
        Ok((Self { follower }, addresses))
    }

    /// The addresses of all servers, if the directory's list has changed.
    pub(crate) fn changed(&mut self) -> Option<Vec<SocketAddr>> {
        self.follower.changed().map(|servers| addresses(&servers))
    }
}

fn addresses(servers: &Servers) -> Vec<SocketAddr> {
    servers.values().map(address).collect()
}

/// Where a server is asked for everything else: the first endpoint that a kernel's socket can reach.
fn address(entry: &Entry) -> SocketAddr {
    let reachable = entry.endpoints.iter().find(|endpoint| endpoint.udp_port != 0).or(entry.endpoints.first());
    reachable.map_or(([0, 0, 0, 0], 0).into(), |endpoint| (endpoint.ipv4, endpoint.udp_port).into())
}
