//! Lists of operations against a table and against a `HashMap`, which must agree.
//!
//! The tables are tiny, so that within a few hundred operations the log wraps many times, cleaning moves items, bucket
//! chains grow, caches evict and stores refuse. [`check_operations`] is plain code over plain data: whatever makes lists
//! can call it.

#![cfg(not(loom))]

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::LazyLock;

use kv_core::hash::{Key, Secret};
use kv_core::sync::AtomicU64;
use kv_core::table::{
    AddOutcome, AppendOutcome, CompareAndSetOutcome, DeleteOutcome, GetOutcome, IncrementOutcome, Millis, Mode,
    ReadOutcome, SetOutcome, Table, TableConfig, TableStats, TouchOutcome, TtlOutcome,
};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use qp_wire::limits::VALUE_LEN_MAX;

/// The table under test.
#[derive(Clone, Copy, Debug)]
struct Setup {
    mode: Mode,
    concurrent_read: bool,
    memory_len: usize,
    item_len_hint: usize,
    secret: u64,
}

/// One step. Keys are numbers of a few keys of all lengths; a time to live of 0 is none.
#[derive(Clone, Debug)]
enum Operation {
    Get { key: u8, room: u16 },
    Test { key: u8 },
    Set { key: u8, len: u16, ttl: u8 },
    Add { key: u8, len: u16, ttl: u8 },
    Delete { key: u8 },
    Increment { key: u8, delta: u64 },
    CompareAndSet { key: u8, guess_right: bool, len: u16, ttl: u8 },
    Append { key: u8, len: u16 },
    Touch { key: u8, ttl: u8 },
    Ttl { key: u8 },
    Reset,
    Wait { ms: u8 },
}

/// Runs the operations, panics at the first difference, and returns what the table counted.
fn check_operations(setup: &Setup, operations: &[Operation]) -> TableStats {
    let memory: Vec<AtomicU64> = (0..setup.memory_len / 8).map(|_| AtomicU64::new(u64::MAX)).collect();
    let secret = Secret { k0: setup.secret, k1: !setup.secret };
    let config = TableConfig {
        mode: setup.mode,
        concurrent_read: setup.concurrent_read,
        secret,
        item_len_hint: setup.item_len_hint,
    };
    let table = Table::format(&memory, &config).expect("enough memory");
    let mut check =
        Check { table, oracle: Oracle::default(), now: 0, serial: 0, mode: setup.mode, turn: 0, aimed: [None; 256] };
    for (index, operation) in operations.iter().enumerate() {
        let before = check.table.stats();
        check.step(operation);
        check.settle(&before);
        if index % 256 == 0 {
            check.everything();
        }
    }
    check.everything();
    check.table.stats()
}

/// What a table should hold.
#[derive(Default)]
struct Oracle {
    items: HashMap<Vec<u8>, Expected>,
    /// Items that have expired since, whether or not the table has noticed.
    stale: u64,
    /// Bytes ever appended to the log, at most, without fillers.
    appended_bytes: u64,
}

#[derive(Clone)]
struct Expected {
    value: Vec<u8>,
    expiry: u64,
    has_expiry_word: bool,
}

impl Expected {
    fn log_bytes(&self, key: &[u8]) -> u64 {
        log_bytes(key.len(), self.value.len(), self.has_expiry_word)
    }

    fn log_bytes_min(&self, key: &[u8]) -> u64 {
        log_bytes_min(key.len(), self.value.len(), self.has_expiry_word)
    }
}

/// Log space of an item that does not lie in its bucket.
fn log_bytes(key_len: usize, value_len: usize, has_expiry_word: bool) -> u64 {
    let bytes = match has_expiry_word {
        // The expiry parts the first 4 bytes of the key from the rest.
        true => 16 + key_len.saturating_sub(4) + value_len,
        false => 4 + key_len + value_len,
    };
    bytes.next_multiple_of(8) as u64
}

/// Log space that an item takes in any case: what can lie in a bucket may still be in the log.
fn log_bytes_min(key_len: usize, value_len: usize, has_expiry_word: bool) -> u64 {
    let is_inline = !has_expiry_word && key_len + value_len <= 16;
    if is_inline { 0 } else { log_bytes(key_len, value_len, has_expiry_word) }
}

impl Oracle {
    /// Forgets what has expired.
    fn expire(&mut self, now: u64) {
        let before = self.items.len();
        self.items.retain(|_, item| item.expiry > now);
        self.stale += (before - self.items.len()) as u64;
    }

    /// Replaces or adds an item, in place where the table must do so.
    fn store(&mut self, key: &[u8], value: Vec<u8>, expiry: u64) {
        if let Some(old) = self.items.get_mut(key)
            && old.value.len() == value.len()
            && value.len() <= 8
            && old.expiry == expiry
        {
            old.value = value;
            return;
        }
        let item = Expected { value, expiry, has_expiry_word: expiry != u64::MAX };
        self.appended_bytes += item.log_bytes(key);
        self.items.insert(key.to_vec(), item);
    }

    fn touch(&mut self, key: &[u8], expiry: u64) {
        let Some(old) = self.items.get_mut(key) else { return };
        if old.has_expiry_word {
            old.expiry = expiry;
        } else if expiry != u64::MAX {
            let value = old.value.clone();
            self.store(key, value, expiry);
        }
    }
}

struct Check<'m> {
    table: Table<'m>,
    oracle: Oracle,
    now: u64,
    /// Makes each value different from all others.
    serial: u64,
    mode: Mode,
    turn: u64,
    /// The latest of each key that a table has been asked to fetch.
    aimed: [Option<Key<'static>>; 256],
}

/// How an operation that stores came out, whatever its name for that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stored {
    Yes,
    Full,
    TooLarge,
}

impl From<SetOutcome> for Stored {
    fn from(outcome: SetOutcome) -> Self {
        match outcome {
            SetOutcome::Stored => Self::Yes,
            SetOutcome::InsufficientSpace => Self::Full,
            SetOutcome::TooLarge => Self::TooLarge,
        }
    }
}

impl Check<'_> {
    fn step(&mut self, operation: &Operation) {
        self.oracle.expire(self.now);
        let now = Millis(self.now);
        match *operation {
            Operation::Get { key, room } => self.get(&key_bytes(key), usize::from(room)),
            Operation::Test { key } => {
                let key = key_bytes(key);
                let key_of = self.aimed(&key);
                let there = self.table.test(&key_of, now);
                assert_eq!(there, self.oracle.items.contains_key(&key));
            }
            Operation::Set { key, len, ttl } => self.set(&key_bytes(key), usize::from(len), ttl),
            Operation::Add { key, len, ttl } => self.add(&key_bytes(key), usize::from(len), ttl),
            Operation::Delete { key } => {
                let key = key_bytes(key);
                let key_of = self.aimed(&key);
                let outcome = self.table.delete(&key_of, now);
                let expected = match self.oracle.items.remove(&key) {
                    Some(_) => DeleteOutcome::Deleted,
                    None => DeleteOutcome::NotFound,
                };
                assert_eq!(outcome, expected);
            }
            Operation::Increment { key, delta } => self.increment(&key_bytes(key), delta),
            Operation::CompareAndSet { key, guess_right, len, ttl } => {
                self.compare_and_set(&key_bytes(key), guess_right, usize::from(len), ttl);
            }
            Operation::Append { key, len } => self.append(&key_bytes(key), usize::from(len)),
            Operation::Touch { key, ttl } => self.touch(&key_bytes(key), ttl),
            Operation::Ttl { key } => {
                let key = key_bytes(key);
                let expected = match self.oracle.items.get(&key) {
                    None => TtlOutcome::NotFound,
                    Some(item) if item.expiry == u64::MAX => TtlOutcome::Never,
                    Some(item) => TtlOutcome::Expires(Millis(item.expiry - self.now)),
                };
                let key_of = self.aimed(&key);
                assert_eq!(self.table.ttl(&key_of, now), expected);
            }
            Operation::Reset => {
                self.table.reset();
                self.oracle.items.clear();
                assert_eq!(self.table.stats().items, 0);
            }
            Operation::Wait { ms } => self.now += u64::from(ms),
        }
    }

    fn get(&mut self, key: &[u8], room: usize) {
        let mut into = vec![0xa5; room];
        let key_of = self.aimed(key);
        let outcome = self.table.get(&key_of, Millis(self.now), &mut into);
        let Some(expected) = self.oracle.items.get(key) else {
            assert_eq!(outcome, GetOutcome::NotFound);
            return;
        };
        let len = expected.value.len();
        if len <= room {
            assert_eq!(outcome, GetOutcome::Found { len, may_expire: expected.has_expiry_word });
            assert_eq!(into[..len], expected.value);
            assert!(into[len..].iter().all(|byte| *byte == 0xa5), "bytes behind the value were written");
        } else {
            assert_eq!(outcome, GetOutcome::TooSmall { len });
            assert_eq!(into, expected.value[..room]);
        }
    }

    fn set(&mut self, key: &[u8], len: usize, ttl: u8) {
        let (value, expiry) = (self.value(len), self.expiry(ttl));
        let key_of = self.aimed(key);
        let outcome = self.table.set(&key_of, &value, expiry, Millis(self.now));
        self.stored(outcome.into(), key, value, expiry);
    }

    fn add(&mut self, key: &[u8], len: usize, ttl: u8) {
        let (value, expiry) = (self.value(len), self.expiry(ttl));
        let key_of = self.aimed(key);
        let outcome = self.table.add(&key_of, &value, expiry, Millis(self.now));
        let stored = match outcome {
            AddOutcome::Exists => {
                assert!(self.oracle.items.contains_key(key));
                return;
            }
            AddOutcome::Stored => Stored::Yes,
            AddOutcome::InsufficientSpace => Stored::Full,
            AddOutcome::TooLarge => Stored::TooLarge,
        };
        assert!(!self.oracle.items.contains_key(key), "ADD over an item: {outcome:?}");
        self.stored(stored, key, value, expiry);
    }

    fn increment(&mut self, key: &[u8], delta: u64) {
        let key_of = self.aimed(key);
        let outcome = self.table.increment(&key_of, delta, Millis(self.now));
        let expected = match self.oracle.items.get_mut(key) {
            None => IncrementOutcome::NotFound,
            Some(item) => match item.value.first_chunk::<8>().filter(|_| item.value.len() == 8) {
                None => IncrementOutcome::NotACounter,
                Some(bytes) => {
                    let sum = u64::from_le_bytes(*bytes).wrapping_add(delta);
                    item.value = sum.to_le_bytes().to_vec();
                    IncrementOutcome::Incremented(sum)
                }
            },
        };
        assert_eq!(outcome, expected);
    }

    fn compare_and_set(&mut self, key: &[u8], guess_right: bool, len: usize, ttl: u8) {
        let (new, expiry) = (self.value(len), self.expiry(ttl));
        let present = self.oracle.items.get(key).map(|item| item.value.clone());
        let mut guess = present.clone().unwrap_or_default();
        if !guess_right {
            // Sometimes a bit differs, sometimes the length.
            match guess.last_mut() {
                Some(last) if self.serial.is_multiple_of(2) => *last ^= 1,
                _ => guess.push(0),
            }
        }
        let key_of = self.aimed(key);
        let stored = match self.table.compare_and_set(&key_of, &guess, &new, expiry, Millis(self.now)) {
            CompareAndSetOutcome::NotFound => return assert!(present.is_none()),
            CompareAndSetOutcome::Mismatch => return assert!(present.is_some() && !guess_right),
            CompareAndSetOutcome::Stored => Stored::Yes,
            CompareAndSetOutcome::InsufficientSpace => Stored::Full,
            CompareAndSetOutcome::TooLarge => Stored::TooLarge,
        };
        assert!(present.is_some() && guess_right, "stored over another value than the expected one");
        self.stored(stored, key, new, expiry);
    }

    fn append(&mut self, key: &[u8], len: usize) {
        let suffix = self.value(len);
        let key_of = self.aimed(key);
        let outcome = self.table.append(&key_of, &suffix, Millis(self.now));
        let Some(present) = self.oracle.items.get(key).cloned() else {
            return assert_eq!(outcome, AppendOutcome::NotFound);
        };
        let value = [present.value, suffix].concat();
        let stored = match outcome {
            AppendOutcome::NotFound => panic!("an item is missing"),
            AppendOutcome::Appended { len: total } if len == 0 => return assert_eq!(total, value.len()),
            AppendOutcome::Appended { len } => {
                assert_eq!(len, value.len());
                Stored::Yes
            }
            AppendOutcome::InsufficientSpace => Stored::Full,
            AppendOutcome::TooLarge => Stored::TooLarge,
        };
        let expiry = (present.expiry != u64::MAX).then_some(Millis(present.expiry));
        self.stored(stored, key, value, expiry);
    }

    fn touch(&mut self, key: &[u8], ttl: u8) {
        let expiry = self.expiry(ttl);
        let stats = self.table.stats();
        let key_of = self.aimed(key);
        let outcome = self.table.touch(&key_of, expiry, Millis(self.now));
        let word = expiry.map_or(u64::MAX, |moment| moment.0);
        match (outcome, self.oracle.items.get(key)) {
            (TouchOutcome::NotFound, None) => {}
            (TouchOutcome::Touched, Some(_)) => self.oracle.touch(key, word),
            (TouchOutcome::InsufficientSpace, Some(item)) => {
                assert!(!item.has_expiry_word && word != u64::MAX, "nothing had to be stored");
                if log_bytes(key.len(), item.value.len(), true) <= stats.item_bytes_max {
                    let value_len = item.value.len();
                    self.justify_refusal(key, value_len, true, &stats);
                }
            }
            (outcome, item) => panic!("{outcome:?}, the item is there: {}", item.is_some()),
        }
    }

    /// Takes over what was stored, and asks whether a refusal was right.
    fn stored(&mut self, outcome: Stored, key: &[u8], value: Vec<u8>, expiry: Option<Millis>) {
        let stats = self.table.stats();
        let bytes = log_bytes_min(key.len(), value.len(), expiry.is_some());
        let too_large = value.len() > VALUE_LEN_MAX || bytes > stats.item_bytes_max;
        assert_eq!(outcome == Stored::TooLarge, too_large, "{bytes} bytes");
        match outcome {
            Stored::Yes => {
                self.oracle.store(key, value, expiry.map_or(u64::MAX, |moment| moment.0));
                // An expiry in the past: acknowledged and gone.
                self.oracle.expire(self.now);
            }
            Stored::Full => self.justify_refusal(key, value.len(), expiry.is_some(), &stats),
            Stored::TooLarge => {}
        }
    }

    /// A refusal is right when live items would exceed the limit, or when the index is nearly full.
    fn justify_refusal(&self, key: &[u8], value_len: usize, has_expiry_word: bool, stats: &TableStats) {
        assert_eq!(self.mode, Mode::Store, "a cache has room");
        let now = self.table.stats();
        let present = self.oracle.items.get(key);
        let old = present.map_or(0, |item| item.log_bytes_min(key));
        let new = log_bytes(key.len(), value_len, has_expiry_word);
        let log_is_full = now.log_live_bytes - old + new > now.log_capacity_bytes;
        // Two full buckets, between which all that is in them can move, refuse; in so small an index that happens.
        let index_is_full = now.items >= 12;
        assert!(
            log_is_full || (present.is_none() && index_is_full),
            "refused {new} bytes for {old}: {now:?}, before: {stats:?}"
        );
        assert!(now.log_capacity_bytes * 100 >= now.log_bytes * 85, "{now:?}");
    }

    /// Takes the items out of the oracle that a cache has evicted, and asks whether there was a reason.
    fn settle(&mut self, before: &TableStats) {
        let after = self.table.stats();
        let by_log = after.evicted_log - before.evicted_log;
        let by_bucket = after.evicted_bucket - before.evicted_bucket;
        if self.mode == Mode::Store {
            assert_eq!((after.evicted_log, after.evicted_bucket), (0, 0), "a store dropped an item");
            return;
        }
        if by_log + by_bucket == 0 {
            return;
        }
        let reader = self.table.reader();
        let (secret, now) = (self.secret(), Millis(self.now));
        let items_before = self.oracle.items.len();
        self.oracle.items.retain(|key, item| {
            reader.test(&Key::new(&secret, key), now) == ReadOutcome::Done(true) || item.expiry <= now.0
        });
        assert_eq!(
            (items_before - self.oracle.items.len()) as u64,
            by_log + by_bucket,
            "{after:?}, before: {before:?}"
        );
        // Free space is kept for an item that moves, beside a filler and the item that needed it.
        let log_was_full = self.oracle.appended_bytes + 3 * after.item_bytes_max >= after.log_bytes;
        assert!(by_log == 0 || log_was_full, "an item was evicted although the log had room");
        // Two full buckets hold at least six items, whatever is elsewhere: it may be that nothing in them can move.
        assert!(by_bucket == 0 || before.items >= 6, "{before:?}");
    }

    /// Everything that can be compared at once.
    fn everything(&mut self) {
        self.oracle.expire(self.now);
        assert_eq!(self.table.audit(), Ok(()));
        let stats = self.table.stats();
        let gone = stats.replaced + stats.deleted + stats.expired + stats.evicted_log + stats.evicted_bucket;
        assert_eq!(stats.stored, stats.items + gone, "{stats:?}");
        let sum = |bytes: fn(&Expected, &[u8]) -> u64| -> u64 {
            self.oracle.items.iter().map(|(key, item)| bytes(item, key)).sum()
        };
        let (least, most) = (sum(Expected::log_bytes_min), sum(Expected::log_bytes));
        assert!(stats.items >= self.oracle.items.len() as u64);
        assert!(stats.log_live_bytes >= least && stats.log_live_bytes <= stats.log_capacity_bytes);
        if self.oracle.stale == 0 {
            assert_eq!(stats.items, self.oracle.items.len() as u64);
            assert!(stats.log_live_bytes <= most, "{stats:?}");
        }
        let (reader, secret, now) = (self.table.reader(), self.secret(), Millis(self.now));
        let mut into = vec![0; VALUE_LEN_MAX];
        for id in 0..=u8::MAX {
            let key = key_bytes(id);
            let outcome = reader.get(&Key::new(&secret, &key), now, &mut into);
            match self.oracle.items.get(&key) {
                Some(item) => {
                    let found = GetOutcome::Found { len: item.value.len(), may_expire: item.has_expiry_word };
                    assert_eq!(outcome, ReadOutcome::Done(found));
                    assert_eq!(into[..item.value.len()], item.value);
                }
                None => assert_eq!(outcome, ReadOutcome::Done(GetOutcome::NotFound)),
            }
        }
    }

    /// A key as a pipeline has it when it executes: fetched just now or long ago, by one stage or both, or not at all.
    fn aimed(&mut self, key: &[u8]) -> Key<'static> {
        let id = usize::from(key[0]);
        self.turn += 1;
        let mut key = match (self.turn % 4, self.aimed[id]) {
            (0, Some(earlier)) => return earlier,
            _ => Key::new(&self.secret(), &KEYS[id]),
        };
        if self.turn % 4 >= 2 {
            self.table.prefetch(&mut key);
        }
        if self.turn % 4 == 3 {
            self.table.prefetch_other(&mut key);
            self.table.prefetch_item(&key);
        }
        self.aimed[id] = Some(key);
        key
    }

    fn secret(&self) -> Secret {
        *self.table.secret()
    }

    fn value(&mut self, len: usize) -> Vec<u8> {
        self.serial += 1;
        let mut state = self.serial.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let bytes = (0..len).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        });
        bytes.collect()
    }

    fn expiry(&self, ttl: u8) -> Option<Millis> {
        (ttl != 0).then(|| Millis(self.now + u64::from(ttl) - 1))
    }
}

/// A key of 1 to 255 bytes, most of them short. The first byte tells them apart.
fn key_bytes(id: u8) -> Vec<u8> {
    const LENS: [usize; 8] = [8, 1, 8, 16, 7, 9, 33, 255];
    let mut key = vec![id.wrapping_mul(3); LENS[usize::from(id % 8)]];
    key[0] = id;
    key
}

/// All keys.
static KEYS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| (0..=u8::MAX).map(key_bytes).collect());

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    // Lists differ in how many keys they use, so that some fill the table and others only churn it.
    let lists = (1u8..=255, any::<bool>()).prop_map(|(keys, with_ttl)| (keys, if with_ttl { 40u8 } else { 0 }));
    lists.prop_flat_map(|(keys, ttl_max)| prop::collection::vec(operation(keys, ttl_max), 100..1500))
}

fn operation(keys: u8, ttl_max: u8) -> impl Strategy<Value = Operation> {
    let key = 0..keys;
    let len = prop_oneof![
        2 => Just(8u16),
        2 => 0u16..=8,
        4 => 9u16..=64,
        2 => 65u16..=400,
        1 => 401u16..=10_000,
    ];
    let ttl = prop_oneof![2 => Just(0u8), 1 => 0..=ttl_max];
    let stored = (key.clone(), len.clone(), ttl.clone());
    prop_oneof![
        3 => (key.clone(), prop_oneof![Just(1024u16), 0u16..100]).prop_map(|(key, room)| Operation::Get { key, room }),
        1 => key.clone().prop_map(|key| Operation::Test { key }),
        20 => stored.clone().prop_map(|(key, len, ttl)| Operation::Set { key, len, ttl }),
        2 => stored.clone().prop_map(|(key, len, ttl)| Operation::Add { key, len, ttl }),
        2 => key.clone().prop_map(|key| Operation::Delete { key }),
        1 => (key.clone(), any::<u64>()).prop_map(|(key, delta)| Operation::Increment { key, delta }),
        2 => (stored, any::<bool>())
            .prop_map(|((key, len, ttl), guess_right)| Operation::CompareAndSet { key, guess_right, len, ttl }),
        2 => (key.clone(), len).prop_map(|(key, len)| Operation::Append { key, len: len.min(64) }),
        1 => (key.clone(), ttl).prop_map(|(key, ttl)| Operation::Touch { key, ttl }),
        1 => key.prop_map(|key| Operation::Ttl { key }),
        1 => (0..=ttl_max).prop_map(|ms| Operation::Wait { ms }),
        // Rare enough that tables fill.
        1 => (0u8..20).prop_map(|die| if die == 0 { Operation::Reset } else { Operation::Wait { ms: 0 } }),
    ]
}

fn setup(mode: Mode) -> impl Strategy<Value = Setup> {
    let memory_len = prop_oneof![4 => 8192usize + 64..=12_000, 1 => 12_000usize..=80_000];
    let item_len_hint = prop_oneof![4 => 1usize..=64, 1 => Just(2000)];
    (any::<bool>(), memory_len, item_len_hint, any::<u64>()).prop_map(
        move |(concurrent_read, memory_len, item_len_hint, secret)| Setup {
            mode,
            concurrent_read,
            memory_len,
            item_len_hint,
            secret,
        },
    )
}

/// Runs hundreds of lists, and returns what the tables counted, all together.
fn check_many(mode: Mode) -> TableStats {
    let config = ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() };
    let total = RefCell::new(TableStats::default());
    let lists = (setup(mode), operations());
    let result = TestRunner::new(config).run(&lists, |(setup, operations)| {
        let stats = check_operations(&setup, &operations);
        let mut total = total.borrow_mut();
        total.replaced += stats.replaced;
        total.deleted += stats.deleted;
        total.expired += stats.expired;
        total.evicted_log += stats.evicted_log;
        total.evicted_bucket += stats.evicted_bucket;
        total.moved_by_cleaning += stats.moved_by_cleaning;
        total.refused_log += stats.refused_log;
        total.refused_index += stats.refused_index;
        total.moved_by_index += stats.moved_by_index;
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
    total.into_inner()
}

#[test]
fn a_store_is_a_map_that_refuses_when_it_is_full() {
    let total = check_many(Mode::Store);
    println!("{total:?}");
    let counts = [total.replaced, total.deleted, total.expired, total.moved_by_index];
    // How often the log refuses is up to chance: few lists fill it without deleting.
    let limits = [total.moved_by_cleaning, total.refused_index];
    assert!(counts.iter().chain(&limits).all(|count| *count > 0), "the lists do not reach the limits: {total:?}");
}

#[test]
fn a_cache_is_a_map_that_drops_and_counts() {
    let total = check_many(Mode::Cache);
    println!("{total:?}");
    let counts = [total.replaced, total.deleted, total.expired, total.moved_by_index];
    let limits = [total.evicted_log, total.evicted_bucket];
    assert!(counts.iter().chain(&limits).all(|count| *count > 0), "the lists do not reach the limits: {total:?}");
}
