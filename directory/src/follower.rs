//! Keeps a list of servers up to date.

use std::fmt;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use tracing::{info, warn};

use crate::{Directory, Servers};

/// A thread that asks a directory for changes, until this is dropped.
///
/// What it has learned stays good while the directory is away, says something that is no list, or lists nobody: clients
/// that know servers are better off with them than without.
pub struct Follower {
    changes: Receiver<Servers>,
    /// Its end is what the thread stops at.
    _life: Sender<()>,
}

impl Follower {
    /// Starts the thread. `known` is what the owner has already; `every` says how often the directory is asked.
    ///
    /// # Errors
    /// There is no thread.
    pub fn start(directory: Directory, known: Servers, every: Duration) -> io::Result<Self> {
        let (sender, changes) = channel();
        let (life, ended) = channel();
        let mut watch = Watch { directory, known, trouble: Trouble::None };
        thread::Builder::new().name("follower".to_owned()).spawn(move || {
            while ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                if let Some(servers) = watch.look() {
                    // Whoever does not listen any more ends this thread next.
                    let _ = sender.send(servers);
                }
            }
        })?;
        Ok(Self { changes, _life: life })
    }

    /// The servers, if they have changed since the last call. It never waits.
    pub fn changed(&mut self) -> Option<Servers> {
        self.changes.try_iter().last()
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Follower").finish_non_exhaustive()
    }
}

/// What was said of the directory last, so that it is said once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    None,
    Away,
    Empty,
}

struct Watch {
    directory: Directory,
    known: Servers,
    trouble: Trouble,
}

impl Watch {
    /// The servers, if there are any and they are others than before.
    fn look(&mut self) -> Option<Servers> {
        let found = self.directory.servers();
        let trouble = match &found {
            Err(_) => Trouble::Away,
            Ok(servers) if servers.is_empty() => Trouble::Empty,
            Ok(_) => Trouble::None,
        };
        let is_news = std::mem::replace(&mut self.trouble, trouble) != trouble;
        match found {
            Err(error) if is_news => warn!("{error}; goes on with the {} servers known", self.known.len()),
            Ok(servers) if servers.is_empty() && is_news => {
                warn!("no server is registered; goes on with the {} known", self.known.len());
            }
            Ok(servers) if !servers.is_empty() => {
                if is_news {
                    info!("the directory answers again");
                }
                if servers != self.known {
                    self.known.clone_from(&servers);
                    return Some(servers);
                }
            }
            _ => {}
        }
        None
    }
}
