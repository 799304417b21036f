//! A table and a `HashMap`, which must agree.
//!
//! The input is a table's shape and a list of operations. The table has 8 KiB or little more, so that a list of a few
//! hundred operations wraps its log, a store refuses and a cache evicts. Whether the right items were evicted, and whether
//! a refusal was in order to the byte, is asked by the model of `kv-core` itself.

use std::collections::HashMap;

use kv_core::hash::{Key, Secret};
use kv_core::sync::AtomicU64;
use kv_core::table::{
    AddOutcome, AppendOutcome, CompareAndSetOutcome, DeleteOutcome, GetOutcome, IncrementOutcome, Millis, Mode,
    ReadOutcome, SetOutcome, Table, TableConfig, TouchOutcome, TtlOutcome,
};
use qp_wire::limits::VALUE_LEN_MAX;

use crate::script::Script;

/// How many keys there are.
const KEY_COUNT: u8 = 128;

/// A list of operations on a table, in store mode or in cache mode.
///
/// Returns how many of them changed the table.
pub fn check_table_operations(data: &[u8]) -> usize {
    let mut script = Script::new(data);
    let (shape, secret) = (script.u8(), u64::from(script.u8()));
    let config = TableConfig {
        mode: if shape & 1 == 0 { Mode::Store } else { Mode::Cache },
        concurrent_read: shape & 2 != 0,
        secret: Secret { k0: secret, k1: !secret },
        item_len_hint: if shape & 4 == 0 { 16 } else { 2000 },
    };
    let word_count = 1024 + 8 + 256 * usize::from(shape >> 4);
    let memory: Vec<AtomicU64> = (0..word_count).map(|_| AtomicU64::new(u64::MAX)).collect();
    let table = Table::format(&memory, &config).expect("enough memory");
    let mut check = Check { table, items: HashMap::new(), now: 0, serial: 0, changes: 0 };
    for count in 1_usize.. {
        if script.is_over() {
            break;
        }
        check.step(&mut script);
        if count.is_multiple_of(64) {
            check.everything();
        }
    }
    check.everything();
    check.changes
}

/// What a key should have.
#[derive(Clone, Debug)]
struct Expected {
    value: Vec<u8>,
    /// `None` for never.
    expiry: Option<u64>,
}

impl Expected {
    /// It was found, and what may expire says so.
    fn check_found(&self, outcome: GetOutcome) {
        let GetOutcome::Found { len, may_expire } = outcome else { panic!("{outcome:?}") };
        assert_eq!(len, self.value.len());
        // An item whose time to live was taken away keeps the place for it.
        assert!(may_expire || self.expiry.is_none());
    }
}

struct Check<'m> {
    table: Table<'m>,
    items: HashMap<Vec<u8>, Expected>,
    now: u64,
    /// Makes each value different from the one before.
    serial: u8,
    changes: usize,
}

/// How an operation that stores came out, whatever its name for that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stored {
    Yes,
    Full,
    TooLarge,
}

impl Check<'_> {
    fn step(&mut self, script: &mut Script<'_>) {
        let (operation, id) = (script.u8(), script.u8() % KEY_COUNT);
        let name = key_bytes(id);
        let secret = *self.table.secret();
        let mut key = Key::new(&secret, &name);
        // Half of the operations come with what a pipeline has fetched.
        if operation >= 128 {
            self.table.prefetch(&mut key);
            self.table.prefetch_other(&mut key);
            self.table.prefetch_item(&key);
        }
        let evicted_before = self.evicted();
        self.serial = self.serial.wrapping_add(1);
        match operation % 13 {
            0 => self.get(&key, usize::from(script.u8())),
            1 => assert_eq!(self.table.test(&key, Millis(self.now)), self.items.contains_key(&name)),
            2..=4 => self.set(&key, script),
            5 => self.add(&key, script),
            6 => self.delete(&key),
            7 => self.increment(&key, script.u64()),
            8 => self.compare_and_set(&key, script),
            9 => self.append(&key, script),
            10 => self.touch(&key, script.u8()),
            11 => self.ttl(&key),
            _ if id == 0 => {
                self.table.reset();
                self.items.clear();
            }
            _ => self.now += u64::from(id),
        }
        self.forget_expired();
        self.forget_evicted(evicted_before);
    }

    fn get(&mut self, key: &Key<'_>, room: usize) {
        let mut into = vec![0xa5; room];
        let outcome = self.table.get(key, Millis(self.now), &mut into);
        let Some(item) = self.items.get(key.bytes()) else {
            return assert_eq!(outcome, GetOutcome::NotFound);
        };
        let value = &item.value;
        let (len, told) = (value.len(), value.len().min(room));
        if len <= room {
            item.check_found(outcome);
        } else {
            assert_eq!(outcome, GetOutcome::TooSmall { len });
        }
        assert_eq!(into[..told], value[..told]);
        assert!(into[told..].iter().all(|byte| *byte == 0xa5), "bytes behind the value were written");
    }

    fn set(&mut self, key: &Key<'_>, script: &mut Script<'_>) {
        let new = self.new_item(script);
        let outcome = self.table.set(key, &new.value, new.expiry.map(Millis), Millis(self.now));
        let stored = match outcome {
            SetOutcome::Stored => Stored::Yes,
            SetOutcome::InsufficientSpace => Stored::Full,
            SetOutcome::TooLarge => Stored::TooLarge,
        };
        self.stored(stored, key, new);
    }

    fn add(&mut self, key: &Key<'_>, script: &mut Script<'_>) {
        let new = self.new_item(script);
        let outcome = self.table.add(key, &new.value, new.expiry.map(Millis), Millis(self.now));
        assert_eq!(outcome == AddOutcome::Exists, self.items.contains_key(key.bytes()));
        let stored = match outcome {
            AddOutcome::Exists => return,
            AddOutcome::Stored => Stored::Yes,
            AddOutcome::InsufficientSpace => Stored::Full,
            AddOutcome::TooLarge => Stored::TooLarge,
        };
        self.stored(stored, key, new);
    }

    fn delete(&mut self, key: &Key<'_>) {
        let was_there = self.items.remove(key.bytes()).is_some();
        let expected = if was_there { DeleteOutcome::Deleted } else { DeleteOutcome::NotFound };
        assert_eq!(self.table.delete(key, Millis(self.now)), expected);
        self.changes += usize::from(was_there);
    }

    fn increment(&mut self, key: &Key<'_>, delta: u64) {
        let outcome = self.table.increment(key, delta, Millis(self.now));
        let Some(item) = self.items.get_mut(key.bytes()) else {
            return assert_eq!(outcome, IncrementOutcome::NotFound);
        };
        let Ok(counter) = <[u8; 8]>::try_from(&item.value[..]) else {
            return assert_eq!(outcome, IncrementOutcome::NotACounter);
        };
        let sum = u64::from_le_bytes(counter).wrapping_add(delta);
        assert_eq!(outcome, IncrementOutcome::Incremented(sum));
        item.value = sum.to_le_bytes().to_vec();
        self.changes += 1;
    }

    fn compare_and_set(&mut self, key: &Key<'_>, script: &mut Script<'_>) {
        let (new, is_wrong) = (self.new_item(script), script.u8() & 1 == 1);
        let present = self.items.get(key.bytes()).map(|item| item.value.clone());
        let mut guess = present.clone().unwrap_or_default();
        if is_wrong {
            guess.push(0);
        }
        let outcome = self.table.compare_and_set(key, &guess, &new.value, new.expiry.map(Millis), Millis(self.now));
        let stored = match outcome {
            CompareAndSetOutcome::NotFound => return assert!(present.is_none()),
            CompareAndSetOutcome::Mismatch => return assert!(present.is_some() && is_wrong),
            CompareAndSetOutcome::Stored => Stored::Yes,
            CompareAndSetOutcome::InsufficientSpace => Stored::Full,
            CompareAndSetOutcome::TooLarge => Stored::TooLarge,
        };
        assert!(present.is_some() && !is_wrong, "stored over another value than the expected one");
        self.stored(stored, key, new);
    }

    fn append(&mut self, key: &Key<'_>, script: &mut Script<'_>) {
        let suffix = self.new_item(script).value;
        let outcome = self.table.append(key, &suffix, Millis(self.now));
        let Some(Expected { value, expiry }) = self.items.get(key.bytes()).cloned() else {
            return assert_eq!(outcome, AppendOutcome::NotFound);
        };
        let new = Expected { value: [value, suffix].concat(), expiry };
        let stored = match outcome {
            AppendOutcome::NotFound => panic!("an item is missing"),
            AppendOutcome::Appended { len } => {
                assert_eq!(len, new.value.len());
                Stored::Yes
            }
            AppendOutcome::InsufficientSpace => Stored::Full,
            AppendOutcome::TooLarge => Stored::TooLarge,
        };
        self.stored(stored, key, new);
    }

    fn touch(&mut self, key: &Key<'_>, ttl: u8) {
        let expiry = self.expiry(ttl);
        let outcome = self.table.touch(key, expiry.map(Millis), Millis(self.now));
        match (outcome, self.items.get_mut(key.bytes())) {
            (TouchOutcome::NotFound, None) => {}
            (TouchOutcome::Touched, Some(item)) => item.expiry = expiry,
            // The first expiry of an item takes room.
            (TouchOutcome::InsufficientSpace, Some(item)) => assert!(item.expiry.is_none() && expiry.is_some()),
            (outcome, item) => panic!("{outcome:?}, and the item is {item:?}"),
        }
    }

    fn ttl(&mut self, key: &Key<'_>) {
        let expected = match self.items.get(key.bytes()).map(|item| item.expiry) {
            None => TtlOutcome::NotFound,
            Some(None) => TtlOutcome::Never,
            Some(Some(expiry)) => TtlOutcome::Expires(Millis(expiry - self.now)),
        };
        assert_eq!(self.table.ttl(key, Millis(self.now)), expected);
    }

    fn stored(&mut self, outcome: Stored, key: &Key<'_>, new: Expected) {
        let stats = self.table.stats();
        let bytes = item_bytes(key.bytes(), &new);
        let is_too_large = new.value.len() > VALUE_LEN_MAX || bytes > stats.item_bytes_max;
        assert_eq!(outcome == Stored::TooLarge, is_too_large, "{bytes} bytes");
        if outcome == Stored::Full {
            assert_eq!(self.table.mode(), Mode::Store, "a cache has room");
            // Two of the longest items are more than cleaning ever keeps free.
            let is_nearly_full = stats.log_live_bytes + 2 * stats.item_bytes_max >= stats.log_capacity_bytes;
            assert!(is_nearly_full || stats.refused_index > 0, "refused {bytes} bytes: {stats:?}");
        }
        if outcome == Stored::Yes {
            self.items.insert(key.bytes().to_vec(), new);
            self.changes += 1;
        }
    }

    fn forget_expired(&mut self) {
        let now = self.now;
        self.items.retain(|_, item| item.expiry.is_none_or(|expiry| expiry > now));
    }

    fn evicted(&self) -> u64 {
        let stats = self.table.stats();
        stats.evicted_log + stats.evicted_bucket
    }

    /// As many items are gone as the table says.
    fn forget_evicted(&mut self, evicted_before: u64) {
        let evicted = self.evicted() - evicted_before;
        if evicted == 0 {
            return;
        }
        assert_eq!(self.table.mode(), Mode::Cache, "a store dropped an item");
        let (reader, secret, now) = (self.table.reader(), *self.table.secret(), Millis(self.now));
        let before = self.items.len();
        self.items.retain(|name, _| reader.test(&Key::new(&secret, name), now) == ReadOutcome::Done(true));
        assert_eq!((before - self.items.len()) as u64, evicted);
    }

    /// Index, log and counters agree, and every key has what it should have.
    fn everything(&mut self) {
        assert_eq!(self.table.audit(), Ok(()));
        let stats = self.table.stats();
        let gone = stats.replaced + stats.deleted + stats.expired + stats.evicted_log + stats.evicted_bucket;
        assert_eq!(stats.stored, stats.items + gone, "{stats:?}");
        assert!(stats.items >= self.items.len() as u64 && stats.log_live_bytes <= stats.log_capacity_bytes);
        let (reader, secret) = (self.table.reader(), *self.table.secret());
        let mut into = vec![0; VALUE_LEN_MAX];
        for id in 0..KEY_COUNT {
            let name = key_bytes(id);
            let outcome = reader.get(&Key::new(&secret, &name), Millis(self.now), &mut into);
            let ReadOutcome::Done(outcome) = outcome else { panic!("nobody writes while key {id} is read") };
            match self.items.get(&name) {
                Some(item) => {
                    item.check_found(outcome);
                    assert_eq!(into.get(..item.value.len()), Some(&item.value[..]), "key {id}");
                }
                None => assert_eq!(outcome, GetOutcome::NotFound, "key {id}"),
            }
        }
    }

    fn new_item(&self, script: &mut Script<'_>) -> Expected {
        let (len, ttl) = (script.u8(), script.u8());
        // Some values are replaced in place, most fit the smallest table, some no table of ours, some none at all.
        let len = match len {
            0..=99 => usize::from(len % 9),
            100..=219 => usize::from(len % 56),
            220..=249 => usize::from(len) * 2 - 400,
            _ => usize::from(len - 249) * 1500,
        };
        let value = (0..len).map(|index| self.serial.wrapping_mul(7).wrapping_add(index as u8)).collect();
        Expected { value, expiry: self.expiry(ttl) }
    }

    /// Half of the items never expire; one that expires at once is acknowledged and gone.
    fn expiry(&self, ttl: u8) -> Option<u64> {
        ttl.checked_sub(128).map(|ttl| self.now + u64::from(ttl))
    }
}

/// Log space of an item, in bytes, as `TableStats` counts it; 0 for one that may lie in its bucket.
fn item_bytes(key: &[u8], item: &Expected) -> u64 {
    let (key_len, value_len) = (key.len(), item.value.len());
    let bytes = match item.expiry {
        // The expiry parts the first 4 bytes of the key from the rest.
        Some(_) => 16 + key_len.saturating_sub(4) + value_len,
        None if key_len + value_len <= 16 => 0,
        None => 4 + key_len + value_len,
    };
    bytes.next_multiple_of(8) as u64
}

/// A key of 1 to 255 bytes, most of them short. The first byte tells them apart.
fn key_bytes(id: u8) -> Vec<u8> {
    const LENS: [usize; 8] = [8, 1, 8, 16, 7, 9, 33, 255];
    let mut key = vec![id.wrapping_mul(3); LENS[usize::from(id % 8)]];
    key[0] = id;
    key
}
