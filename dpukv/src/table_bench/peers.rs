//! Maps among the public crates, as their documentation says to use them, from `u64` to `u64`.
//!
//! They have no way to fetch ahead, know no expiry, no key of another length, and no limit of memory. `hashbrown` is for
//! one thread and is split like our table; the others are shared by all threads.

use std::sync::Arc;

use clap::ValueEnum;
use dashmap::DashMap;
use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::{Operation, Stream, Worker};

/// A map to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PeerKind {
    /// hashbrown with foldhash, the fastest of its usual hashers here
    Hashbrown,
    /// dashmap with foldhash
    Dashmap,
    /// papaya with foldhash
    Papaya,
    /// scc's HashMap with foldhash
    Scc,
}

impl PeerKind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Hashbrown => "hashbrown",
            Self::Dashmap => "dashmap",
            Self::Papaya => "papaya",
            Self::Scc => "scc",
        }
    }
}

/// What every map can do.
trait Map: Send {
    fn get(&self, key: u64) -> Option<u64>;
    fn set(&mut self, key: u64, value: u64);
    fn delete(&mut self, key: u64) -> bool;
}

impl Map for HashMap<u64, u64, RandomState> {
    #[inline]
    fn get(&self, key: u64) -> Option<u64> {
        Self::get(self, &key).copied()
    }

    #[inline]
    fn set(&mut self, key: u64, value: u64) {
        self.insert(key, value);
    }

    #[inline]
    fn delete(&mut self, key: u64) -> bool {
        self.remove(&key).is_some()
    }
}

impl Map for Arc<DashMap<u64, u64, RandomState>> {
    #[inline]
    fn get(&self, key: u64) -> Option<u64> {
        DashMap::get(self, &key).map(|value| *value)
    }

    #[inline]
    fn set(&mut self, key: u64, value: u64) {
        self.insert(key, value);
    }

    #[inline]
    fn delete(&mut self, key: u64) -> bool {
        self.remove(&key).is_some()
    }
}

impl Map for Arc<papaya::HashMap<u64, u64, RandomState>> {
    #[inline]
    fn get(&self, key: u64) -> Option<u64> {
        self.pin().get(&key).copied()
    }

    #[inline]
    fn set(&mut self, key: u64, value: u64) {
        self.pin().insert(key, value);
    }

    #[inline]
    fn delete(&mut self, key: u64) -> bool {
        self.pin().remove(&key).is_some()
    }
}

impl Map for Arc<scc::HashMap<u64, u64, RandomState>> {
    #[inline]
    fn get(&self, key: u64) -> Option<u64> {
        self.read_sync(&key, |_, value| *value)
    }

    #[inline]
    fn set(&mut self, key: u64, value: u64) {
        self.upsert_sync(key, value);
    }

    #[inline]
    fn delete(&mut self, key: u64) -> bool {
        self.remove_sync(&key).is_some()
    }
}

/// Drives one map.
struct Driver<M>(M);

impl<M: Map> Worker for Driver<M> {
    fn run(&mut self, stream: &Stream, from: usize, count: usize) -> u64 {
        let mut done = 0;
        for at in from..from + count {
            let key = index_of(stream.name(at));
            let is_done = match (stream.sets()[at], stream.operation()) {
                (false, _) => std::hint::black_box(self.0.get(key)).is_some(),
                (true, Operation::Churn) => {
                    let is_deleted = self.0.delete(key);
                    self.0.set(key, key);
                    is_deleted
                }
                (true, _) => {
                    self.0.set(key, key ^ 1);
                    true
                }
            };
            done += u64::from(is_done);
        }
        done
    }
}

/// The number that is a key of 8 bytes.
#[inline]
fn index_of(name: &[u8]) -> u64 {
    name.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// A loaded map: its workers, and the memory that it took.
pub(crate) struct Peer {
    pub(crate) workers: Vec<Box<dyn Worker>>,
    pub(crate) bytes: u64,
}

impl Peer {
    /// Loads a map with so many keys, once for each thread or for all of them.
    pub(crate) fn load(kind: PeerKind, keys: u64, threads: usize) -> Self {
        let before = resident_bytes();
        let workers: Vec<Box<dyn Worker>> = match kind {
            PeerKind::Hashbrown => {
                let keys = keys / threads as u64;
                let map = || {
                    let mut map = HashMap::with_capacity_and_hasher(keys as usize, RandomState::default());
                    map.extend((0..keys).map(|key| (key, key)));
                    Box::new(Driver(map)) as Box<dyn Worker>
                };
                (0..threads).map(|_| map()).collect()
            }
            PeerKind::Dashmap => {
                shared(DashMap::with_capacity_and_hasher(keys as usize, RandomState::default()), keys, threads)
            }
            PeerKind::Papaya => {
                shared(papaya::HashMap::with_capacity_and_hasher(keys as usize, RandomState::default()), keys, threads)
            }
            PeerKind::Scc => {
                shared(scc::HashMap::with_capacity_and_hasher(keys as usize, RandomState::default()), keys, threads)
            }
        };
        Self { workers, bytes: resident_bytes().saturating_sub(before) }
    }
}

/// Loads a map that all threads share.
fn shared<M>(map: M, keys: u64, threads: usize) -> Vec<Box<dyn Worker>>
where
    Arc<M>: Map + Clone + 'static,
{
    let map = Arc::new(map);
    let mut loading = Arc::clone(&map);
    for key in 0..keys {
        loading.set(key, key);
    }
    (0..threads).map(|_| Box::new(Driver(Arc::clone(&map))) as Box<dyn Worker>).collect()
}

/// The memory of this process that is in use, from the kernel; 0 when it does not say.
fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let resident = pages.and_then(|pages| pages.split_whitespace().nth(1)?.parse::<u64>().ok());
    resident.unwrap_or(0) * rustix::param::page_size() as u64
}
