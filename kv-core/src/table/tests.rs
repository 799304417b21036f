//! Each outcome of each operation, and what it leaves behind.

use std::vec::Vec;

use super::*;
use qp_wire::limits::{KEY_LEN_MAX, VALUE_LEN_MAX};

pub(super) const SECRET: Secret = Secret { k0: 0x0123_4567_89ab_cdef, k1: 0xfedc_ba98_7654_3210 };

pub(super) const NOW: Millis = Millis(1000);

/// Memory that held something else before.
pub(super) fn memory(len: usize) -> Vec<AtomicU64> {
    (0..len / 8).map(|_| AtomicU64::new(0xdead_beef_dead_beef)).collect()
}

pub(super) fn config(mode: Mode) -> TableConfig {
    TableConfig { mode, concurrent_read: false, secret: SECRET, item_len_hint: 32 }
}

pub(super) fn key(bytes: &[u8]) -> Key<'_> {
    Key::new(&SECRET, bytes)
}

fn value_of(table: &mut Table<'_>, name: &[u8], now: Millis) -> Option<Vec<u8>> {
    let mut into = [0; VALUE_LEN_MAX];
    match table.get(&key(name), now, &mut into) {
        GetOutcome::Found { len, .. } => Some(into[..len].to_vec()),
        GetOutcome::NotFound => None,
        GetOutcome::TooSmall { len } => panic!("{len} bytes are above the limit"),
    }
}

fn with_table(check: impl FnOnce(&mut Table<'_>)) {
    let memory = memory(1 << 20);
    let mut table = Table::format(&memory, &config(Mode::Store)).expect("a megabyte is enough");
    check(&mut table);
    assert_eq!(table.audit(), Ok(()));
}

#[test]
fn values_of_all_lengths_come_back() {
    with_table(|table| {
        for len in (0..100).chain([1000, 1442, 4096, VALUE_LEN_MAX]) {
            let value: Vec<u8> = (0..len).map(|index| index as u8 ^ 0x5a).collect();
            assert_eq!(table.set(&key(b"name"), &value, None, NOW), SetOutcome::Stored, "{len} bytes");
            assert_eq!(value_of(table, b"name", NOW), Some(value));
        }
    });
}

#[test]
fn the_longest_key_and_value_fit_two_megabytes() {
    let memory = memory(2 << 20);
    let mut table = Table::format(&memory, &config(Mode::Store)).expect("two megabytes are enough");
    let (name, value) = ([7; KEY_LEN_MAX], [8; VALUE_LEN_MAX]);
    assert_eq!(table.set(&key(&name), &value, Some(Millis(9999)), NOW), SetOutcome::Stored);
    assert_eq!(value_of(&mut table, &name, NOW), Some(value.to_vec()));
}

#[test]
fn keys_of_all_lengths_are_different_keys() {
    with_table(|table| {
        let names: Vec<Vec<u8>> = (1..=KEY_LEN_MAX).map(|len| std::vec![0; len]).collect();
        for name in &names {
            assert_eq!(table.set(&key(name), &name.len().to_le_bytes(), None, NOW), SetOutcome::Stored);
        }
        for name in &names {
            assert_eq!(value_of(table, name, NOW), Some(name.len().to_le_bytes().to_vec()));
        }
    });
}

#[test]
fn what_exceeds_the_limits_is_too_large() {
    with_table(|table| {
        let (long_name, long_value) = ([0; KEY_LEN_MAX + 1], [0; VALUE_LEN_MAX + 1]);
        assert_eq!(table.set(&key(&long_name), b"", None, NOW), SetOutcome::TooLarge);
        assert_eq!(table.add(&key(&long_name), b"", None, NOW), AddOutcome::TooLarge);
        assert!(!table.test(&key(&long_name), NOW));
        assert_eq!(table.set(&key(b"name"), b"old", None, NOW), SetOutcome::Stored);
        assert_eq!(table.set(&key(b"name"), &long_value, None, NOW), SetOutcome::TooLarge);
        let outcome = table.compare_and_set(&key(b"name"), b"old", &long_value, None, NOW);
        assert_eq!(outcome, CompareAndSetOutcome::TooLarge);
        assert_eq!(table.append(&key(b"name"), &long_value[3..], NOW), AppendOutcome::TooLarge);
        assert_eq!(value_of(table, b"name", NOW), Some(b"old".to_vec()));
    });
}

#[test]
fn a_small_table_says_what_it_cannot_take() {
    let memory = memory(64 * 1024);
    let mut table = Table::format(&memory, &config(Mode::Store)).expect("64 KiB are enough");
    let longest = table.stats().item_bytes_max as usize - 8;
    assert!(longest > 400);
    assert_eq!(table.set(&key(b"name"), &std::vec![0; longest], None, NOW), SetOutcome::Stored);
    assert_eq!(table.set(&key(b"name"), &std::vec![0; longest + 1], None, NOW), SetOutcome::TooLarge);
    assert_eq!(table.append(&key(b"name"), b"1", NOW), AppendOutcome::TooLarge);
    // The expiry would need a word more.
    assert_eq!(table.touch(&key(b"name"), Some(Millis(5000)), NOW), TouchOutcome::InsufficientSpace);
    assert_eq!(value_of(&mut table, b"name", NOW), Some(std::vec![0; longest]));
}

#[test]
fn a_buffer_that_is_too_small_gets_the_beginning() {
    with_table(|table| {
        table.set(&key(b"name"), b"0123456789", None, NOW);
        for room in 0..10 {
            let mut into = [0xff; 9];
            let outcome = table.get(&key(b"name"), NOW, &mut into[..room]);
            assert_eq!(outcome, GetOutcome::TooSmall { len: 10 });
            assert_eq!(into[..room], b"0123456789"[..room]);
            assert!(into[room..].iter().all(|byte| *byte == 0xff));
        }
    });
}

#[test]
fn a_value_of_one_word_is_replaced_in_place_if_the_item_keeps_its_words() {
    with_table(|table| {
        let name = b"a long name";
        table.set(&key(name), b"12345678", None, NOW);
        let used = table.log.used();
        assert_eq!(used, 3, "4 bytes of header, 11 of key, 8 of value");
        assert_eq!(table.set(&key(name), b"abcdefgh", None, NOW), SetOutcome::Stored);
        assert_eq!(table.log.used(), used, "the log grew");
        assert_eq!(value_of(table, name, NOW), Some(b"abcdefgh".to_vec()));
        assert_eq!(table.set(&key(name), b"abcdefg", None, NOW), SetOutcome::Stored);
        assert_eq!(table.log.used(), used, "a length that takes as many words");
        assert_eq!(table.set(&key(name), b"abcdefg", Some(Millis(2000)), NOW), SetOutcome::Stored);
        assert_eq!(table.log.used(), used + 4, "an expiry is one word more");
        assert_eq!(table.set(&key(name), b"ABCDEFG", Some(Millis(2000)), NOW), SetOutcome::Stored);
        assert_eq!(table.log.used(), used + 4, "the same expiry is the same item");
        assert_eq!(value_of(table, name, NOW), Some(b"ABCDEFG".to_vec()));
    });
}

#[test]
fn a_longer_value_that_takes_as_many_words_is_replaced_where_it_lies() {
    with_table(|table| {
        let name = b"a long name";
        table.set(&key(name), b"0123456789", None, NOW);
        let (at, used) = (table.look().find(&key(name)).map(|found| found.item.at), table.log.used());
        for value in [&b"abcdefghij"[..], b"abcdefghijklmnopq"] {
            table.set(&key(name), value, None, NOW);
            assert_eq!(table.look().find(&key(name)).map(|found| found.item.at), at);
            assert_eq!(value_of(table, name, NOW).as_deref(), Some(value));
            assert_eq!((table.log.used(), table.stats().items, table.audit()), (used, 1, Ok(())));
            // What a kill would need: the new item, complete elsewhere, until the note is gone.
            let complete = table.words().load(7) as usize;
            let item = Item::in_log(complete, ItemHeader::from_word(table.words().load(complete)));
            assert!(table.words().end_with(item.end(), value));
            assert_eq!(table.words().load(6), 0, "it is done");
        }
        table.set(&key(name), b"abcdefghijklmnopqr", None, NOW);
        assert_eq!(table.log.used(), 2 * used + 1, "one word more is another item");
    });
}

#[test]
fn items_of_16_bytes_lie_in_their_bucket_unless_they_expire() {
    with_table(|table| {
        for (name, value) in
            [(&b"8 bytes."[..], &b"8 bytes."[..]), (b"1", b"a value of 15 b"), (b"16 bytes, a key.", b"")]
        {
            table.set(&key(name), value, None, NOW);
            assert_eq!((table.stats().inline_items, table.stats().log_live_bytes), (1, 0));
            assert_eq!(table.lines_touched(&key(name)), 1);
            assert_eq!(value_of(table, name, NOW).as_deref(), Some(value));
            table.set(&key(name), value, Some(Millis(2000)), NOW);
            assert_eq!((table.stats().inline_items, table.stats().items), (0, 1));
            assert_eq!(value_of(table, name, NOW).as_deref(), Some(value));
            table.set(&key(name), value, None, NOW);
            assert_eq!((table.stats().inline_items, table.stats().items), (1, 1), "it comes back");
            assert_eq!(table.audit(), Ok(()));
            table.delete(&key(name), NOW);
        }
    });
}

#[test]
fn an_item_changes_between_bucket_and_log_with_its_length() {
    with_table(|table| {
        for len in [3, 12, 13, 200, 12, 0, 40, 9] {
            let value = std::vec![len as u8; len];
            assert_eq!(table.set(&key(b"name"), &value, None, NOW), SetOutcome::Stored);
            assert_eq!(value_of(table, b"name", NOW), Some(value));
            assert_eq!((table.stats().items, table.stats().inline_items), (1, u64::from(len <= 12)));
            assert_eq!(table.audit(), Ok(()));
        }
    });
}

#[test]
fn add_stores_only_what_is_not_there() {
    with_table(|table| {
        assert_eq!(table.add(&key(b"name"), b"first", Some(Millis(1500)), NOW), AddOutcome::Stored);
        assert_eq!(table.add(&key(b"name"), b"second", None, NOW), AddOutcome::Exists);
        assert_eq!(value_of(table, b"name", NOW), Some(b"first".to_vec()));
        assert_eq!(table.add(&key(b"name"), b"third", None, Millis(1500)), AddOutcome::Stored, "the first has expired");
        assert_eq!(value_of(table, b"name", Millis(1500)), Some(b"third".to_vec()));
    });
}

#[test]
fn delete_takes_out_what_is_there() {
    with_table(|table| {
        assert_eq!(table.delete(&key(b"name"), NOW), DeleteOutcome::NotFound);
        table.set(&key(b"name"), b"value", None, NOW);
        assert_eq!(table.delete(&key(b"name"), NOW), DeleteOutcome::Deleted);
        assert_eq!(table.delete(&key(b"name"), NOW), DeleteOutcome::NotFound);
        assert_eq!(value_of(table, b"name", NOW), None);
        assert_eq!((table.stats().items, table.stats().live_bytes, table.stats().deleted), (0, 0, 1));
    });
}

#[test]
fn increment_wraps_and_counts_only_counters() {
    with_table(|table| {
        assert_eq!(table.increment(&key(b"name"), 1, NOW), IncrementOutcome::NotFound);
        table.set(&key(b"name"), &(u64::MAX - 1).to_le_bytes(), Some(Millis(2000)), NOW);
        assert_eq!(table.increment(&key(b"name"), 1, NOW), IncrementOutcome::Incremented(u64::MAX));
        assert_eq!(table.increment(&key(b"name"), 3, NOW), IncrementOutcome::Incremented(2));
        assert_eq!(value_of(table, b"name", NOW), Some(2u64.to_le_bytes().to_vec()));
        assert_eq!(table.ttl(&key(b"name"), NOW), TtlOutcome::Expires(Millis(1000)));
        assert_eq!(table.increment(&key(b"name"), 1, Millis(2000)), IncrementOutcome::NotFound);
        for value in [&b"1234567"[..], b"123456789", b""] {
            table.set(&key(b"name"), value, None, NOW);
            assert_eq!(table.increment(&key(b"name"), 1, NOW), IncrementOutcome::NotACounter);
            assert_eq!(value_of(table, b"name", NOW), Some(value.to_vec()));
        }
    });
}

#[test]
fn compare_and_set_needs_the_very_value() {
    with_table(|table| {
        let mut cas = |expected: &[u8], new: &[u8]| table.compare_and_set(&key(b"name"), expected, new, None, NOW);
        assert_eq!(cas(b"", b"new"), CompareAndSetOutcome::NotFound);
        table.set(&key(b"name"), b"old value", Some(Millis(3000)), NOW);
        let mut cas = |expected: &[u8], new: &[u8]| table.compare_and_set(&key(b"name"), expected, new, None, NOW);
        for wrong in [&b"old valu"[..], b"old valuf", b"old value\0", b"", b"Old value"] {
            assert_eq!(cas(wrong, b"new"), CompareAndSetOutcome::Mismatch);
        }
        assert_eq!(cas(b"old value", b"new"), CompareAndSetOutcome::Stored);
        assert_eq!(cas(b"old value", b"newer"), CompareAndSetOutcome::Mismatch);
        assert_eq!(value_of(table, b"name", NOW), Some(b"new".to_vec()));
        assert_eq!(table.ttl(&key(b"name"), NOW), TtlOutcome::Never, "the old expiry is gone");
    });
}

#[test]
fn append_makes_values_longer_and_keeps_the_expiry() {
    with_table(|table| {
        assert_eq!(table.append(&key(b"name"), b"x", NOW), AppendOutcome::NotFound);
        table.set(&key(b"name"), b"", Some(Millis(3000)), NOW);
        let mut expected = Vec::new();
        for len in [0, 1, 6, 1, 1, 8, 3, 100, 0] {
            let suffix: Vec<u8> = (0..len).map(|index| (index + len) as u8).collect();
            expected.extend_from_slice(&suffix);
            let outcome = table.append(&key(b"name"), &suffix, NOW);
            assert_eq!(outcome, AppendOutcome::Appended { len: expected.len() });
            assert_eq!(value_of(table, b"name", NOW).as_ref(), Some(&expected));
        }
        assert_eq!(table.ttl(&key(b"name"), NOW), TtlOutcome::Expires(Millis(2000)));
    });
}

#[test]
fn touch_changes_the_expiry_and_nothing_else() {
    with_table(|table| {
        assert_eq!(table.touch(&key(b"name"), None, NOW), TouchOutcome::NotFound);
        table.set(&key(b"name"), b"some value", None, NOW);
        let used = table.log.used();
        assert_eq!(table.touch(&key(b"name"), None, NOW), TouchOutcome::Touched);
        assert_eq!(table.log.used(), used, "nothing had to change");
        assert_eq!(table.touch(&key(b"name"), Some(Millis(2000)), NOW), TouchOutcome::Touched);
        let used = table.log.used();
        for (expiry, left) in [
            (Some(Millis(1700)), TtlOutcome::Expires(Millis(700))),
            (None, TtlOutcome::Never),
            (Some(Millis(9000)), TtlOutcome::Expires(Millis(8000))),
        ] {
            assert_eq!(table.touch(&key(b"name"), expiry, NOW), TouchOutcome::Touched);
            assert_eq!(table.ttl(&key(b"name"), NOW), left);
        }
        assert_eq!(table.log.used(), used, "an expiry that is there changes in place");
        assert_eq!(value_of(table, b"name", NOW), Some(b"some value".to_vec()));
        assert_eq!(table.touch(&key(b"name"), None, Millis(9000)), TouchOutcome::NotFound, "too late");
    });
}

#[test]
fn an_item_is_gone_at_the_moment_of_its_expiry() {
    with_table(|table| {
        table.set(&key(b"name"), b"value", Some(Millis(1001)), NOW);
        assert!(table.test(&key(b"name"), NOW));
        assert_eq!(table.ttl(&key(b"name"), NOW), TtlOutcome::Expires(Millis(1)));
        let reader = table.reader();
        let later = Millis(1001);
        assert_eq!(reader.test(&key(b"name"), later), ReadOutcome::Done(false));
        assert_eq!(table.stats().items, 1, "a reader takes nothing out");
        assert_eq!(table.ttl(&key(b"name"), later), TtlOutcome::NotFound);
        assert_eq!(value_of(table, b"name", later), None);
        assert_eq!(table.delete(&key(b"name"), later), DeleteOutcome::NotFound);
        let stats = table.stats();
        assert_eq!((stats.items, stats.expired, stats.deleted, stats.live_bytes), (0, 1, 0, 0));
    });
}

#[test]
fn an_expiry_in_the_past_is_acknowledged_and_gone() {
    with_table(|table| {
        table.set(&key(b"name"), b"value", None, NOW);
        assert_eq!(table.set(&key(b"name"), b"value", Some(NOW), NOW), SetOutcome::Stored);
        assert_eq!(value_of(table, b"name", NOW), None);
    });
}

#[test]
fn reset_takes_everything_out_and_keeps_the_counters() {
    with_table(|table| {
        for number in 0..1000u64 {
            table.set(&key(&number.to_le_bytes()), &number.to_le_bytes(), None, NOW);
        }
        table.reset();
        let stats = table.stats();
        assert_eq!((stats.items, stats.live_bytes, stats.cells_used), (0, 0, 0));
        assert_eq!((stats.stored, stats.deleted), (1000, 1000));
        for number in 0..1000u64 {
            assert!(!table.test(&key(&number.to_le_bytes()), NOW));
            table.set(&key(&number.to_le_bytes()), b"again", None, NOW);
        }
        assert_eq!(table.stats().items, 1000);
    });
}

#[test]
fn a_full_store_refuses_and_keeps_everything() {
    let memory = memory(64 * 1024);
    let mut table = Table::format(&memory, &config(Mode::Store)).expect("64 KiB are enough");
    let name = |number: u32| number.to_le_bytes();
    let mut count = 0;
    while table.set(&key(&name(count)), &[count as u8; 40], None, NOW) == SetOutcome::Stored {
        count += 1;
    }
    let stats = table.stats();
    assert!(stats.log_live_bytes + 48 > stats.log_capacity_bytes, "refused at {stats:?}");
    assert!(stats.log_capacity_bytes * 100 >= stats.log_bytes * 85);
    let longer = [9; 100];
    assert_eq!(table.set(&key(&name(3)), &longer, None, NOW), SetOutcome::InsufficientSpace);
    assert_eq!(table.add(&key(b"another"), &longer, None, NOW), AddOutcome::InsufficientSpace);
    assert_eq!(table.append(&key(&name(3)), &longer, NOW), AppendOutcome::InsufficientSpace);
    // Less than an item is free; each first expiry takes 8 bytes of it.
    let mut touches = (0..count).map(|number| table.touch(&key(&name(number)), Some(Millis(5000)), NOW));
    assert_eq!(touches.find(|outcome| *outcome != TouchOutcome::Touched), Some(TouchOutcome::InsufficientSpace));
    let outcome = table.compare_and_set(&key(&name(3)), &[3; 40], &longer, None, NOW);
    assert_eq!(outcome, CompareAndSetOutcome::InsufficientSpace);
    for number in 0..count {
        assert_eq!(value_of(&mut table, &name(number), NOW), Some(std::vec![number as u8; 40]));
        assert_eq!(table.set(&key(&name(number)), &[!number as u8; 40], None, NOW), SetOutcome::Stored);
    }
    assert_eq!(table.delete(&key(&name(0)), NOW), DeleteOutcome::Deleted);
    assert_eq!(table.delete(&key(&name(1)), NOW), DeleteOutcome::Deleted);
    assert_eq!(table.set(&key(&name(0)), &[0; 40], None, NOW), SetOutcome::Stored);
    assert_eq!(table.audit(), Ok(()));
}

#[test]
fn expired_items_make_room_in_a_full_store() {
    let memory = memory(64 * 1024);
    let mut table = Table::format(&memory, &config(Mode::Store)).expect("64 KiB are enough");
    let mut count = 0u32;
    while table.set(&key(&count.to_le_bytes()), &[1; 40], Some(Millis(2000)), NOW) == SetOutcome::Stored {
        count += 1;
    }
    // Nobody asks for the old keys again; a refusal passes so many of them that one is enough.
    let mut refusals = 0;
    for number in count..2 * count {
        while table.set(&key(&number.to_le_bytes()), &[2; 40], None, Millis(2000)) != SetOutcome::Stored {
            refusals += 1;
            assert!(refusals <= 1, "{:?}", table.stats());
        }
    }
    assert!(table.stats().expired > u64::from(count) / 2);
    assert_eq!(table.audit(), Ok(()));
}

#[test]
fn a_cache_drops_the_oldest_and_counts_them() {
    let memory = memory(64 * 1024);
    let mut table = Table::format(&memory, &config(Mode::Cache)).expect("64 KiB are enough");
    let count = 10_000u32;
    for number in 0..count {
        assert_eq!(table.set(&key(&number.to_le_bytes()), &[1; 40], None, NOW), SetOutcome::Stored);
    }
    let stats = table.stats();
    assert_eq!(stats.evicted_bucket, 0, "the index is large enough");
    let first = u32::try_from(stats.evicted_log).expect("at most 10000");
    assert_eq!(u64::from(count - first), stats.items);
    for number in 0..count {
        assert_eq!(table.test(&key(&number.to_le_bytes()), NOW), number >= first, "item {number}, first {first}");
    }
    assert!(stats.log_live_bytes + 4 * stats.item_bytes_max > stats.log_bytes, "space is left: {stats:?}");
    assert_eq!(table.audit(), Ok(()));
}

#[test]
fn appending_to_the_oldest_item_of_a_full_cache_keeps_its_value() {
    let memory = memory(16 * 1024);
    let mut table = Table::format(&memory, &config(Mode::Cache)).expect("16 KiB are enough");
    table.set(&key(b"old"), b"a value of two words", None, NOW);
    let mut number = 0u32;
    // Until the next item would push the first one out.
    while table.log.free() >= table.layout().item_words_max() + table.log.need(6) {
        table.set(&key(&number.to_le_bytes()), &[1; 16], None, NOW);
        number += 1;
    }
    assert!(table.test(&key(b"old"), NOW));
    assert_eq!(table.append(&key(b"old"), b", and one more", NOW), AppendOutcome::Appended { len: 34 });
    assert_eq!(value_of(&mut table, b"old", NOW), Some(b"a value of two words, and one more".to_vec()));
    let stats = table.stats();
    assert_eq!(stats.replaced, 1);
    assert_eq!(stats.items + stats.evicted_log + stats.evicted_bucket, u64::from(number) + 1);
}

#[test]
fn memory_below_the_least_is_refused() {
    let memory = memory(TABLE_LEN_MIN + 64);
    let words = Words::aligned(&memory).count();
    assert!(Table::format(&memory, &config(Mode::Store)).is_ok());
    let less = &memory[..memory.len() - (words - TABLE_LEN_MIN / 8) - 1];
    let refused = Table::format(less, &config(Mode::Store)).map(|_| ());
    assert_eq!(refused, Err(TableError::MemoryTooSmall { needed_len: TABLE_LEN_MIN, got_len: TABLE_LEN_MIN - 8 }));
    assert!(matches!(Table::format(&[], &config(Mode::Store)), Err(TableError::MemoryTooSmall { .. })));
}

#[test]
fn every_hint_makes_a_table() {
    for item_len_hint in [0, 1, 8, 9, 64, 8940, 100_000, usize::MAX] {
        for len in [TABLE_LEN_MIN + 64, 64 * 1024, 1 << 20] {
            let memory = memory(len);
            let mut table = Table::format(&memory, &TableConfig { item_len_hint, ..config(Mode::Store) })
                .expect("the memory is enough");
            assert_eq!(table.set(&key(b"name"), b"12345678", Some(Millis(2000)), NOW), SetOutcome::Stored);
            assert!(table.layout().log_words() * 8 >= len / 3, "hint {item_len_hint}: {:?}", table.layout());
        }
    }
}

#[test]
fn a_table_of_typical_items_fills_the_log_before_the_index() {
    for item_len_hint in [24, 64, 500] {
        let memory = memory(1 << 20);
        let config = TableConfig { item_len_hint, ..config(Mode::Store) };
        let mut table = Table::format(&memory, &config).expect("a megabyte is enough");
        let value = std::vec![1; item_len_hint - 8];
        let mut number = 0u64;
        while table.set(&key(&number.to_le_bytes()), &value, None, NOW) == SetOutcome::Stored {
            number += 1;
        }
        assert_eq!((table.stats().refused_log, table.stats().refused_index), (1, 0), "hint {item_len_hint}");
    }
}
