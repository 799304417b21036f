use std::env;

use super::*;

const HEAD: CountersHead =
    CountersHead { side: Side::Dpu, core_count: 3, tick_hz: 2_000_000_000, server_id: 0xABCD, pid: 77 };

/// A path that no other test and no other run uses.
fn fresh_path(name: &str) -> PathBuf {
    let path = env::temp_dir().join(format!("dpukv-test-{}-{name}", process::id()));
    let _ = fs::remove_file(&path);
    path
}

/// Each counter and each drop reason with a value of its own.
fn distinct(base: u64) -> Counters {
    let mut counters = Counters::default();
    for (counter, value) in Counter::ALL.iter().zip(base..) {
        counters.set(*counter, value);
    }
    for (reason, value) in DropReason::ALL.into_iter().zip(base + 500..) {
        counters.drops.add(reason, value);
    }
    counters
}

#[test]
fn what_a_core_publishes_is_read_at_its_place() {
    let file = CountersFile::create(&HEAD, None).expect("counters");
    file.set_epoch(12);
    for core in 0..3 {
        file.core(core).publish(&distinct(1000 * u64::from(core)));
    }
    let reader = CountersReader::open(&file.path()).expect("a reader");
    assert_eq!(*reader.head(), HEAD);
    let snapshot = reader.read().expect("a reading");
    assert_eq!((snapshot.epoch, snapshot.cores.len()), (12, 3));
    for (core, base) in snapshot.cores.iter().zip([0, 1000, 2000]) {
        assert!(core.words().eq(distinct(base).words()));
    }
    assert_eq!(snapshot.device, []);
    let counts = [("rx_q0_packets".to_owned(), 3), ("tx_errors".to_owned(), 0)];
    file.publish_device(&counts);
    assert_eq!(reader.read().expect("a reading").device, counts);
    let first = distinct(0).get(Counter::Hits);
    assert_eq!(snapshot.total(Counter::Hits), 3 * first + 3000);
}

#[test]
fn an_open_reader_outlives_the_counting_process() {
    let file = CountersFile::create(&HEAD, None).expect("counters");
    let path = file.path();
    let reader = CountersReader::open(&path).expect("a reader");
    file.core(1).publish(&distinct(5));
    drop(file);
    assert_eq!(reader.read().expect("a reading").cores[1].get(Counter::ALL[0]), 5);
    assert!(CountersReader::open(&path).is_err());
}

#[test]
fn a_side_without_cores_has_counters_too() {
    let head = CountersHead { core_count: 0, side: Side::Host, ..HEAD };
    let file = CountersFile::create(&head, None).expect("counters");
    let reader = CountersReader::open(&file.path()).expect("a reader");
    assert_eq!(*reader.head(), head);
    assert!(reader.read().expect("a reading").cores.is_empty());
}

#[test]
fn a_link_leads_to_the_counters_until_they_are_gone() {
    let link = fresh_path("link");
    let first = CountersFile::create(&HEAD, Some(&link)).expect("counters");
    assert_eq!(first.path(), link);
    assert!(CountersReader::open(&link).is_ok());
    let second =
        CountersFile::create(&CountersHead { pid: 78, ..HEAD }, Some(&link)).expect("a link in place of the old one");
    assert_eq!(CountersReader::open(&link).expect("a reader").head().pid, 78);
    drop(first);
    assert!(CountersReader::open(&link).is_ok(), "the first took the second's link away");
    drop(second);
    assert!(fs::symlink_metadata(&link).is_err(), "the link stayed");
}

#[test]
fn a_file_of_somebody_else_is_not_replaced_by_a_link() {
    let path = fresh_path("precious");
    fs::write(&path, "precious").expect("a file");
    assert!(matches!(CountersFile::create(&HEAD, Some(&path)), Err(CountersCreateError::Link { .. })));
    assert_eq!(fs::read_to_string(&path).expect("the file"), "precious");
    fs::remove_file(&path).expect("the file");
}

#[test]
fn another_file_is_no_counters() {
    let path = fresh_path("other");
    let original = CountersFile::create(&HEAD, None).expect("counters");
    let bytes = fs::read(original.path()).expect("the bytes");
    let open = |bytes: &[u8]| {
        fs::write(&path, bytes).expect("a file");
        CountersReader::open(&path)
    };
    assert!(open(&bytes).is_ok());
    assert!(matches!(open(b""), Err(CountersOpenError::NotCounters { .. })));
    assert!(matches!(open(&bytes[..bytes.len() - 8]), Err(CountersOpenError::NotCounters { .. })));
    assert!(matches!(open(&[bytes.as_slice(), &[0; 8]].concat()), Err(CountersOpenError::NotCounters { .. })));
    let with = |word: HeadWord, value: u64| {
        let mut changed = bytes.clone();
        changed[word as usize * 8..][..8].copy_from_slice(&value.to_ne_bytes());
        open(&changed)
    };
    for (word, value) in
        [(HeadWord::Magic, 0), (HeadWord::Side, 2), (HeadWord::CoreCount, 17), (HeadWord::Pid, 1 << 32)]
    {
        assert!(matches!(with(word, value), Err(CountersOpenError::NotCounters { .. })), "{word:?}");
    }
    for word in [HeadWord::Version, HeadWord::WordCount, HeadWord::Names] {
        assert!(matches!(with(word, 99), Err(CountersOpenError::OtherRelease { .. })), "{word:?}");
    }
    fs::remove_file(&path).expect("the file");
}
