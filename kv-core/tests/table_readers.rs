//! An owner and readers on threads of the operating system, with values that certify themselves.
//!
//! loom (`table_loom.rs`) tries everything on a table that hardly moves. Here a table churns: its log wraps hundreds of
//! times, items move, chains grow and shrink, a cache evicts. What one run shows depends on luck; what it may never show
//! does not.

#![cfg(not(loom))]

use std::sync::atomic::AtomicBool;
use std::thread;

use kv_core::hash::{Key, Secret};
use kv_core::sync::{AtomicU64, Ordering};
use kv_core::table::{
    DeleteOutcome, GetOutcome, Millis, Mode, ReadOutcome, SetOutcome, Table, TableConfig, TableReader,
};

const KEY_COUNT: usize = 97;
const WRITE_COUNT: u64 = 300_000;
const READER_COUNT: usize = 2;
const NOW: Millis = Millis(0);
const SECRET: Secret = Secret { k0: 3, k1: 4 };

/// The value that is the `sequence`-th of a key: its first word says which, the others follow from it. Every third is a
/// single word, so that it may be replaced in place.
fn value(key: usize, sequence: u64) -> Vec<u8> {
    let words = if sequence.is_multiple_of(3) { 1 } else { 1 + mixed(key, sequence, 0) as usize % 30 };
    let first = sequence << 8 | key as u64;
    let others = (1..words).map(|index| mixed(key, sequence, index));
    core::iter::once(first).chain(others).flat_map(u64::to_le_bytes).collect()
}

/// The finaliser of SplitMix64 (Steele et al., OOPSLA 2014).
fn mixed(key: usize, sequence: u64, index: usize) -> u64 {
    let mut bits = (sequence << 16 | (key as u64) << 8 | index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

/// What a table's owner has acknowledged of each key: an upper and a lower bound for what a reader may find.
struct Acknowledged {
    begun: Vec<AtomicU64>,
    done: Vec<AtomicU64>,
    finished: AtomicBool,
}

impl Acknowledged {
    fn new() -> Self {
        let zeros = || (0..KEY_COUNT).map(|_| AtomicU64::new(0)).collect();
        Self { begun: zeros(), done: zeros(), finished: AtomicBool::new(false) }
    }
}

fn name(key: usize) -> [u8; 8] {
    (key as u64).to_be_bytes()
}

fn own(table: &mut Table<'_>, mode: Mode, acknowledged: &Acknowledged) {
    for write in 0..WRITE_COUNT {
        let key = mixed(0, write, 1) as usize % KEY_COUNT;
        let sequence = acknowledged.begun[key].load(Ordering::Relaxed) + 1;
        acknowledged.begun[key].store(sequence, Ordering::Release);
        let name = name(key);
        let key_of = Key::new(&SECRET, &name);
        if mode == Mode::Cache && write % 16 == 0 {
            assert!(matches!(table.delete(&key_of, NOW), DeleteOutcome::Deleted | DeleteOutcome::NotFound));
        } else {
            assert_eq!(table.set(&key_of, &value(key, sequence), None, NOW), SetOutcome::Stored);
        }
        if mode == Mode::Cache && write % 50_000 == 25_000 {
            table.reset();
        }
        acknowledged.done[key].store(sequence, Ordering::Release);
    }
    acknowledged.finished.store(true, Ordering::Release);
}

/// Reads until the owner has finished, and once more then. Returns how many values were read and how often the owner
/// was faster.
fn observe(reader: &TableReader<'_>, mode: Mode, seed: u64, acknowledged: &Acknowledged) -> (u64, u64) {
    let (mut found, mut busy, mut reads) = (0, 0, 0);
    let mut latest = [0; KEY_COUNT];
    let mut into = [0; 256];
    loop {
        let is_last_round = acknowledged.finished.load(Ordering::Acquire);
        for _ in 0..KEY_COUNT {
            reads += 1;
            let key = mixed(1, reads, seed as usize) as usize % KEY_COUNT;
            let done = acknowledged.done[key].load(Ordering::Acquire);
            let name = name(key);
            let mut key_of = Key::new(&SECRET, &name);
            // Every other read looks into one bucket first.
            if reads % 2 == 0 {
                reader.prefetch(&mut key_of);
                reader.prefetch_other(&mut key_of);
                reader.prefetch_item(&key_of);
            }
            let outcome = reader.get(&key_of, NOW, &mut into);
            let begun = acknowledged.begun[key].load(Ordering::Acquire);
            match outcome {
                ReadOutcome::Done(GetOutcome::Found { len, .. }) => {
                    let sequence = u64::from_le_bytes(*into.first_chunk().expect("256 bytes")) >> 8;
                    assert_eq!(into[..len], value(key, sequence), "key {key} is torn");
                    assert!(sequence >= done, "key {key}: {sequence}, but {done} had been acknowledged");
                    assert!(sequence <= begun, "key {key}: {sequence} is from the future of {begun}");
                    assert!(sequence >= latest[key], "key {key} goes back from {} to {sequence}", latest[key]);
                    latest[key] = sequence;
                    found += 1;
                }
                ReadOutcome::Done(GetOutcome::NotFound) => {
                    assert!(mode == Mode::Cache || done == 0, "key {key} is lost, {done} had been acknowledged");
                }
                ReadOutcome::Done(GetOutcome::TooSmall { len }) => panic!("a value of {len} bytes"),
                ReadOutcome::Busy => busy += 1,
            }
        }
        if is_last_round {
            return (found, busy);
        }
    }
}

fn check(mode: Mode) {
    // A hundredth of what is stored fits, so that the log is cleaned or evicted from all the time.
    let memory: Vec<AtomicU64> = (0..32 * 1024 / 8).map(|_| AtomicU64::new(0)).collect();
    let config = TableConfig { mode, concurrent_read: true, secret: SECRET, item_len_hint: 100 };
    let mut table = Table::format(&memory, &config).expect("32 KiB are enough");
    let acknowledged = Acknowledged::new();
    thread::scope(|scope| {
        let readers: Vec<_> = (0..READER_COUNT as u64)
            .map(|seed| {
                let reader = TableReader::open(&memory, SECRET).expect("a table with readers");
                let acknowledged = &acknowledged;
                scope.spawn(move || observe(&reader, mode, seed, acknowledged))
            })
            .collect();
        own(&mut table, mode, &acknowledged);
        for reader in readers {
            let (found, busy) = reader.join().expect("the reader's assertions hold");
            println!("{mode:?}: {found} values read, {busy} times busy");
            assert!(found > 0, "at least the last round finds something");
        }
    });
    assert_eq!(table.audit(), Ok(()));
    let stats = table.stats();
    println!("{stats:?}");
    assert!(stats.moved_by_cleaning + stats.evicted_log > 1000, "the table did not churn: {stats:?}");
}

#[test]
fn readers_of_a_store_miss_nothing_that_was_acknowledged() {
    check(Mode::Store);
}

#[test]
fn readers_of_a_cache_see_whole_values_only() {
    check(Mode::Cache);
}
