//! One process as both sides. Two processes meet in `tests/two_processes.rs`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::fs::ftruncate;

use super::*;
use crate::dma::Wake;

fn region(len: usize) -> Region {
    Region::create(len).expect("a region")
}

#[test]
fn both_mappings_are_the_same_memory_and_begin_with_zeros() {
    let own = region(8192);
    let peer = Region::open(&own.descriptor()).expect("the same region");
    assert_eq!(own.data().len(), 1024);
    assert_eq!(peer.data().len(), 1024);
    assert!(peer.data().iter().all(|word| word.load(Ordering::Relaxed) == 0));
    own.data()[1023].store(5, Ordering::Relaxed);
    assert_eq!(peer.data()[1023].load(Ordering::Relaxed), 5);
    peer.data()[0].store(6, Ordering::Relaxed);
    assert_eq!(own.data()[0].load(Ordering::Relaxed), 6);
}

#[test]
fn data_is_aligned_and_rounded_up_to_what_a_copy_is_rounded_to() {
    for (asked, got) in [(1, 64), (64, 64), (65, 128), (4096, 4096), (5000, 5056)] {
        let region = region(asked);
        assert_eq!((region.data_len(), region.data().len() * 8), (got, got));
        assert_eq!(region.data().as_ptr().addr() % COPY_ALIGN, 0);
    }
}

#[test]
fn a_region_of_nothing_or_of_everything_cannot_be_made() {
    for len in [0, usize::MAX, usize::MAX / 2, (1 << 40) + 1] {
        let error = Region::create(len).expect_err("no such region");
        assert_eq!(error.len, len);
    }
}

#[test]
fn the_peers_mapping_outlives_the_owners() {
    let own = region(64);
    let peer = Arc::new(Region::open(&own.descriptor()).expect("the same region"));
    own.data()[7].store(8, Ordering::Relaxed);
    drop(own);
    let user = Arc::clone(&peer);
    drop(peer);
    assert_eq!(user.data()[7].load(Ordering::Relaxed), 8);
}

#[test]
fn a_region_that_its_owner_let_go_cannot_be_opened() {
    // The number of the closed file is free for anybody in this process, so the error is one of two.
    let descriptor = region(64).descriptor();
    let error = Region::open(&descriptor).expect_err("no region");
    assert!(
        matches!(
            error,
            RegionOpenError::NoFile { .. } | RegionOpenError::NotARegion { .. } | RegionOpenError::OtherRegion { .. }
        ),
        "{error}"
    );
}

#[test]
fn a_region_is_recognised_by_its_nonce() {
    let (one, other) = (region(64), region(64));
    assert_ne!(one.descriptor().nonce, other.descriptor().nonce);
    let mixed = RegionDescriptor { nonce: other.descriptor().nonce, ..one.descriptor() };
    assert!(matches!(Region::open(&mixed), Err(RegionOpenError::OtherRegion { .. })));
}

#[test]
fn a_wrong_length_is_refused_even_where_the_file_is_long_enough() {
    let own = region(4096);
    for data_len in [64, 4096 - 64, 4096 + 64, 1 << 30] {
        let wrong = RegionDescriptor { data_len, ..own.descriptor() };
        assert!(matches!(Region::open(&wrong), Err(RegionOpenError::NotARegion { .. })), "{data_len}");
    }
}

#[test]
fn a_head_that_says_something_else_is_refused() {
    let own = region(64);
    own.head(HeadWord::Version).store(99, Ordering::Relaxed);
    assert!(matches!(Region::open(&own.descriptor()), Err(RegionOpenError::Version { got: 99, .. })));
    own.head(HeadWord::Magic).store(99, Ordering::Relaxed);
    assert!(matches!(Region::open(&own.descriptor()), Err(RegionOpenError::NotARegion { .. })));
}

#[test]
fn a_file_that_is_not_a_region_is_refused() {
    let own = region(64).descriptor();
    let (reader, writer) = io::pipe().expect("a pipe");
    let disk = tempfile();
    let unsealed = memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).expect("a file in memory");
    ftruncate(&unsealed, 8192).expect("its length");
    for fd in [reader.as_raw_fd(), writer.as_raw_fd(), disk.as_raw_fd(), unsealed.as_raw_fd()] {
        let wrong = RegionDescriptor { fd: u32::try_from(fd).expect("an open file"), ..own };
        let error = Region::open(&wrong).expect_err("no region");
        assert!(matches!(error, RegionOpenError::NotARegion { .. } | RegionOpenError::Map { .. }), "{error}");
    }
}

/// A file on disk, long enough for a region.
fn tempfile() -> OwnedFd {
    let path = std::env::temp_dir().join(format!("dpukv-region-test-{}", process::id()));
    let file = std::fs::File::create_new(&path).expect("a file");
    std::fs::remove_file(&path).expect("no name");
    file.set_len(8192).expect("its length");
    file.into()
}

#[test]
fn a_file_number_that_the_process_does_not_have_is_refused() {
    let wrong = RegionDescriptor { fd: i32::MAX as u32, ..region(64).descriptor() };
    let error = Region::open(&wrong).expect_err("no region");
    assert!(matches!(error, RegionOpenError::NoFile { .. }), "{error}");
}

#[test]
fn a_process_that_never_was_is_said_to_be_gone() {
    // One more than the largest process id that a 64-bit kernel can be told to use (proc(5), pid_max).
    let wrong = RegionDescriptor { pid: (1 << 22) + 1, ..region(64).descriptor() };
    let error = Region::open(&wrong).expect_err("no region");
    assert!(matches!(error, RegionOpenError::ProcessGone { .. }), "{error}");
    assert!(error.to_string().contains("start it again"));
}

#[test]
fn a_false_value_in_the_doorbell_neither_hangs_nor_panics() {
    let own = region(64);
    let word = own.mapping.half_word(DOORBELL_OFFSET);
    let wake = own.doorbell().wait(Duration::from_secs(60), || {
        word.store(0xDEAD_BEEF, Ordering::Relaxed);
        false
    });
    assert_eq!(wake, Wake::Called);
    word.store(0xDEAD_BEEF, Ordering::Relaxed);
    assert!(own.doorbell().ring());
    assert!(!own.doorbell().is_asleep());
}
