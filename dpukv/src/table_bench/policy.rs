//! Which items a cache keeps: the table's way beside policies from the literature, on traces of keys.
//!
//! The policies are simulated on keys alone, with as many items as the table holds. FIFO; LRU; SIEVE (Zhang et al., NSDI
//! 2024); S3-FIFO (Yang et al., SOSP 2023), with a small queue of a tenth and a ghost queue as long as the main one.

use std::collections::{HashMap, HashSet, VecDeque};

use kv_core::hash::{Key, Secret};
use kv_core::sync::AtomicU64;
use kv_core::table::{GetOutcome, Millis, Mode, Table, TableConfig};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::workload::{Distribution, KeySampler, KeySpace};

/// A cache of keys: whether a key was there, and it is afterwards.
pub(crate) trait Policy {
    fn name(&self) -> &'static str;
    fn request(&mut self, key: u64) -> bool;
}

/// The keys that are asked for: by popularity, and now and then a run of keys that nobody asks for again.
pub(crate) fn trace(keys: KeySpace, distribution: Distribution, scan_share: f64, count: usize, seed: u64) -> Vec<u64> {
    const SCAN_COUNT: u64 = 1000;
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let sampler = KeySampler::new(keys, distribution);
    let mut trace = Vec::with_capacity(count);
    let mut cold = keys.count();
    while trace.len() < count {
        // A scan is drawn as rarely as makes its share of the requests.
        if random.random::<f64>() * SCAN_COUNT as f64 * (1.0 - scan_share) < scan_share {
            trace.extend(cold..cold + SCAN_COUNT);
            cold += SCAN_COUNT;
        }
        trace.push(sampler.sample(&mut random));
    }
    trace.truncate(count);
    trace
}

/// The share of requests that hit, in the second half of a trace.
pub(crate) fn hit_share(policy: &mut dyn Policy, trace: &[u64]) -> f64 {
    let (warm_up, measured) = trace.split_at(trace.len() / 2);
    for &key in warm_up {
        policy.request(key);
    }
    measured.iter().filter(|&&key| policy.request(key)).count() as f64 / measured.len() as f64
}

/// The policies to compare with, for so many items.
pub(crate) fn literature(capacity: usize) -> Vec<Box<dyn Policy>> {
    vec![
        Box::new(Fifo { capacity, queue: VecDeque::new(), there: HashSet::new() }),
        Box::new(Lru { capacity, time: 0, last: HashMap::new(), queue: VecDeque::new() }),
        Box::new(Sieve {
            capacity,
            items: Vec::new(),
            places: HashMap::new(),
            free: Vec::new(),
            ends: [None; 2],
            hand: None,
        }),
        Box::new(S3Fifo {
            capacity,
            marks: HashMap::new(),
            small: VecDeque::new(),
            main: VecDeque::new(),
            ghost: VecDeque::new(),
            ghosts: HashSet::new(),
        }),
    ]
}

/// Our table in cache mode: a GET, and after a miss a SET.
pub(crate) struct Cache<'m> {
    table: Table<'m>,
    value: Vec<u8>,
    into: Vec<u8>,
}

impl<'m> Cache<'m> {
    /// # Errors
    /// The table's.
    pub(crate) fn new(memory: &'m [AtomicU64], value_len: usize) -> Result<Self, kv_core::table::TableError> {
        let secret = Secret { k0: 1, k1: 2 };
        let config = TableConfig { mode: Mode::Cache, concurrent_read: false, secret, item_len_hint: 8 + value_len };
        Ok(Self { table: Table::format(memory, &config)?, value: vec![1; value_len], into: vec![0; value_len] })
    }

    /// Items that it holds.
    pub(crate) fn count(&self) -> usize {
        self.table.stats().items as usize
    }
}

impl Policy for Cache<'_> {
    fn name(&self) -> &'static str {
        "dpukv"
    }

    fn request(&mut self, key: u64) -> bool {
        let name = key.to_le_bytes();
        let key = Key::new(self.table.secret(), &name);
        let is_hit = matches!(self.table.get(&key, Millis(0), &mut self.into), GetOutcome::Found { .. });
        if !is_hit {
            self.table.set(&key, &self.value, None, Millis(0));
        }
        is_hit
    }
}

struct Fifo {
    capacity: usize,
    queue: VecDeque<u64>,
    there: HashSet<u64>,
}

impl Policy for Fifo {
    fn name(&self) -> &'static str {
        "fifo"
    }

    fn request(&mut self, key: u64) -> bool {
        if !self.there.insert(key) {
            return true;
        }
        self.queue.push_back(key);
        if self.queue.len() > self.capacity
            && let Some(oldest) = self.queue.pop_front()
        {
            self.there.remove(&oldest);
        }
        false
    }
}

/// Least recently used, with a queue of uses of which only the last one of each key counts.
struct Lru {
    capacity: usize,
    time: u64,
    last: HashMap<u64, u64>,
    queue: VecDeque<(u64, u64)>,
}

impl Policy for Lru {
    fn name(&self) -> &'static str {
        "lru"
    }

    fn request(&mut self, key: u64) -> bool {
        self.time += 1;
        self.queue.push_back((key, self.time));
        let is_hit = self.last.insert(key, self.time).is_some();
        while self.last.len() > self.capacity {
            let Some((oldest, time)) = self.queue.pop_front() else { break };
            if self.last.get(&oldest) == Some(&time) {
                self.last.remove(&oldest);
            }
        }
        is_hit
    }
}

/// A list in order of arrival, and a hand that goes from the oldest to the newest.
struct Sieve {
    capacity: usize,
    items: Vec<SieveItem>,
    places: HashMap<u64, usize>,
    free: Vec<usize>,
    /// Oldest and newest.
    ends: [Option<usize>; 2],
    hand: Option<usize>,
}

#[derive(Clone, Copy)]
struct SieveItem {
    key: u64,
    is_marked: bool,
    older: Option<usize>,
    newer: Option<usize>,
}

impl Sieve {
    fn evict(&mut self) {
        let mut at = self.hand.or(self.ends[0]);
        while let Some(index) = at
            && self.items[index].is_marked
        {
            self.items[index].is_marked = false;
            at = self.items[index].newer.or(self.ends[0]);
        }
        let Some(index) = at else { return };
        let SieveItem { key, older, newer, .. } = self.items[index];
        self.hand = newer;
        match older {
            Some(older) => self.items[older].newer = newer,
            None => self.ends[0] = newer,
        }
        match newer {
            Some(newer) => self.items[newer].older = older,
            None => self.ends[1] = older,
        }
        self.places.remove(&key);
        self.free.push(index);
    }
}

impl Policy for Sieve {
    fn name(&self) -> &'static str {
        "sieve"
    }

    fn request(&mut self, key: u64) -> bool {
        if let Some(&index) = self.places.get(&key) {
            self.items[index].is_marked = true;
            return true;
        }
        if self.places.len() >= self.capacity {
            self.evict();
        }
        let item = SieveItem { key, is_marked: false, older: self.ends[1], newer: None };
        let index = self.free.pop().unwrap_or(self.items.len());
        if index == self.items.len() {
            self.items.push(item);
        } else {
            self.items[index] = item;
        }
        match item.older {
            Some(older) => self.items[older].newer = Some(index),
            None => self.ends[0] = Some(index),
        }
        self.ends[1] = Some(index);
        self.places.insert(key, index);
        false
    }
}

struct S3Fifo {
    capacity: usize,
    /// How often each item was read, up to 3.
    marks: HashMap<u64, u8>,
    small: VecDeque<u64>,
    main: VecDeque<u64>,
    ghost: VecDeque<u64>,
    ghosts: HashSet<u64>,
}

impl S3Fifo {
    fn evict(&mut self) {
        if self.small.len() > self.capacity / 10
            && let Some(key) = self.small.pop_front()
        {
            if self.marks.get(&key).is_some_and(|marks| *marks > 1) {
                self.main.push_back(key);
                self.marks.insert(key, 0);
            } else {
                self.marks.remove(&key);
                self.ghost.push_back(key);
                self.ghosts.insert(key);
                if self.ghost.len() > self.capacity * 9 / 10
                    && let Some(oldest) = self.ghost.pop_front()
                {
                    self.ghosts.remove(&oldest);
                }
            }
        } else if let Some(key) = self.main.pop_front() {
            match self.marks.get_mut(&key) {
                Some(marks) if *marks > 0 => {
                    *marks -= 1;
                    self.main.push_back(key);
                }
                _ => {
                    self.marks.remove(&key);
                }
            }
        }
    }
}

impl Policy for S3Fifo {
    fn name(&self) -> &'static str {
        "s3-fifo"
    }

    fn request(&mut self, key: u64) -> bool {
        if let Some(marks) = self.marks.get_mut(&key) {
            *marks = (*marks + 1).min(3);
            return true;
        }
        while self.marks.len() >= self.capacity {
            self.evict();
        }
        self.marks.insert(key, 0);
        let queue = if self.ghosts.remove(&key) { &mut self.main } else { &mut self.small };
        queue.push_back(key);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_that_holds_all_keys_misses_each_once() {
        for mut policy in literature(100) {
            let hits = (0..1000).filter(|request| policy.request(request % 100)).count();
            assert_eq!(hits, 900, "{}", policy.name());
        }
    }

    #[test]
    fn no_policy_keeps_more_than_its_capacity() {
        for mut policy in literature(100) {
            for key in 0..10_000 {
                policy.request(key % 700);
            }
            let hits = (0..700).rev().filter(|key| policy.request(*key)).count();
            assert!(hits <= 100, "{}: {hits}", policy.name());
        }
    }

    #[test]
    fn a_mark_saves_an_item() {
        for (mut policy, is_saved) in literature(10).into_iter().zip([false, true, true, true]) {
            policy.request(1);
            for key in 100..200 {
                policy.request(1);
                policy.request(key);
            }
            // FIFO forgets it every tenth time.
            let hits = (0..1).filter(|_| policy.request(1)).count();
            assert!(!is_saved || hits == 1, "{}", policy.name());
        }
    }
}
