//! Keeps a server registered.

use std::fmt;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tracing::{info, warn};

use crate::entry::Entry;
use crate::etcd::Held;
use crate::{Directory, Source};

/// How a server is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrarConfig {
    /// Where.
    pub source: Source,
    /// Under which name.
    pub name: String,
    /// For how long at a time, in whole seconds.
    pub ttl: Duration,
    /// How often it is registered further, and how often it is tried when that fails.
    pub refresh: Duration,
}

/// A thread that registers a server again and again.
///
/// While the directory is away it goes on trying, and says so once. Dropped, it removes the entry, which takes a second
/// at most; after a kill the directory does so when the time to live is over.
pub struct Registrar {
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

enum Order {
    Publish(String),
    Lapse,
}

impl Registrar {
    /// Starts the thread. Nothing is registered until there is something to [`publish`](Self::publish).
    ///
    /// # Errors
    /// There is no thread.
    pub fn start(config: RegistrarConfig) -> io::Result<Self> {
        let (orders, taken) = channel();
        let directory = Directory::new(&config.source);
        let mut clerk = Clerk { directory, config, held: Held::default(), wanted: None, state: State::Idle };
        let thread = thread::Builder::new().name("registrar".to_owned()).spawn(move || clerk.run(&taken))?;
        Ok(Self { orders: Some(orders), thread: Some(thread) })
    }

    /// Registers this entry from now on, in place of any other.
    pub fn publish(&self, entry: &Entry) {
        self.order(Order::Publish(entry.to_json()));
    }

    /// Registers nothing further. What is registered stays for the rest of its time to live: a server that is back before
    /// that has not moved anybody's keys.
    pub fn lapse(&self) {
        self.order(Order::Lapse);
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // The thread ends by itself in no other way than by a bug, which has been said then.
            let _ = orders.send(order);
        }
    }
}

impl Drop for Registrar {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Registrar {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Registrar").finish_non_exhaustive()
    }
}

/// What the last attempt came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing was attempted yet.
    Idle,
    Registered,
    /// The directory was away or refused, and that was said.
    Failing,
}

struct Clerk {
    directory: Directory,
    config: RegistrarConfig,
    held: Held,
    wanted: Option<String>,
    state: State,
}

impl Clerk {
    fn run(&mut self, orders: &Receiver<Order>) {
        loop {
            match orders.recv_timeout(self.config.refresh) {
                Ok(Order::Publish(entry)) => self.wanted = Some(entry),
                Ok(Order::Lapse) => self.wanted = None,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.register();
        }
        if self.state != State::Idle
            && let Err(error) = self.directory.remove(&mut self.held, &self.config.name)
        {
            warn!(name = self.config.name, "{error}; the entry goes when its time to live is over");
        }
    }

    fn register(&mut self) {
        let Some(value) = &self.wanted else { return };
        let RegistrarConfig { source, name, ttl, .. } = &self.config;
        match (self.directory.register(&mut self.held, name, value, *ttl), self.state) {
            (Ok(()), State::Registered) | (Err(_), State::Failing) => {}
            (Ok(()), _) => {
                info!(name, "registered in {source}");
                self.state = State::Registered;
            }
            (Err(error), _) => {
                warn!(name, "{error}; not registered, tries on");
                self.state = State::Failing;
            }
        }
    }
}
