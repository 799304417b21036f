//! The doorbell between threads of one process, on the kernel's own futex. `two_processes.rs` has two processes, and
//! `doorbell_loom.rs` every interleaving.

#![cfg(not(loom))]

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use shell_io::dma::Wake;
use shell_io::memory::Region;

/// Longer than any test should take: who waits so long has lost a wake-up.
const FOREVER: Duration = Duration::from_secs(60);

fn region() -> Region {
    Region::create(64).expect("a region")
}

#[test]
fn nobody_is_woken_who_is_awake() {
    assert!(!region().doorbell().ring());
}

#[test]
fn work_that_arrives_before_the_sleep_prevents_it() {
    let region = region();
    let wake = region.doorbell().wait(FOREVER, || {
        assert!(region.doorbell().is_asleep(), "announced before looking");
        true
    });
    assert_eq!(wake, Wake::Work);
    assert!(!region.doorbell().is_asleep());
}

#[test]
fn a_ring_between_the_look_and_the_sleep_prevents_it() {
    let region = region();
    let wake = region.doorbell().wait(FOREVER, || {
        assert!(region.doorbell().ring());
        false
    });
    assert_eq!(wake, Wake::Called);
    assert!(!region.doorbell().ring(), "nobody sleeps any more");
}

#[test]
fn a_sleeper_that_nobody_calls_wakes_by_itself() {
    let region = region();
    for timeout in [Duration::from_millis(1), Duration::ZERO] {
        assert_eq!(region.doorbell().wait(timeout, || false), Wake::TimedOut);
        assert!(!region.doorbell().is_asleep());
    }
}

#[test]
fn a_time_beyond_the_kernels_is_for_ever() {
    let region = region();
    thread::scope(|scope| {
        scope.spawn(|| {
            while !region.doorbell().ring() {
                thread::yield_now();
            }
        });
        assert_eq!(region.doorbell().wait(Duration::MAX, || false), Wake::Called);
    });
}

#[test]
fn no_wake_up_is_lost_between_two_threads() {
    const ROUND_COUNT: u64 = 20_000;
    let (regions, data) = ([region(), region()], [AtomicU64::new(0), AtomicU64::new(0)]);
    let wait = |own: usize, round| {
        let has_work = || data[own].load(Ordering::Relaxed) >= round;
        while !has_work() {
            let wake = regions[own].doorbell().wait(FOREVER, has_work);
            assert_ne!(wake, Wake::TimedOut, "round {round} of player {own}");
        }
    };
    let push = |peer: usize, round| {
        data[peer].store(round, Ordering::Relaxed);
        regions[peer].doorbell().ring();
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=ROUND_COUNT {
                wait(1, round);
                push(0, round);
            }
        });
        for round in 1..=ROUND_COUNT {
            push(1, round);
            wait(0, round);
        }
    });
}
