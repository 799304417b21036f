//! The doorbell under every interleaving that loom can find: `src/dma/doorbell.rs` as it is, on a futex made of a lock
//! and a condition.
//!
//! What must hold: a sleeper that nobody wakes again has seen everything that was written before the last ring. Loom
//! reports a sleeper that waits for ever as a deadlock. Covered: one sleeper, up to two wakers, sleeping twice. Not
//! covered: time-outs, which only hide a lost wake-up, and a peer that writes false values.
//!
//! Run: `ci/loom.sh`. A doorbell without fences is part of it and shows that these models see what is lost.

#![cfg(loom)]

use std::cell::Cell;
use std::time::Duration;

use loom::sync::atomic::{AtomicU64, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use self::doorbell::Doorbell;

/// A word with the queue that the kernel keeps for those who sleep on it.
struct Word {
    value: loom::sync::atomic::AtomicU32,
    lock: Mutex<()>,
    queue: Condvar,
}

impl std::fmt::Debug for Word {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Word")
    }
}

impl Word {
    fn new() -> Self {
        Self { value: loom::sync::atomic::AtomicU32::new(0), lock: Mutex::new(()), queue: Condvar::new() }
    }

    fn load(&self, ordering: Ordering) -> u32 {
        self.value.load(ordering)
    }

    fn store(&self, value: u32, ordering: Ordering) {
        self.value.store(value, ordering);
    }

    fn swap(&self, value: u32, ordering: Ordering) -> u32 {
        self.value.swap(value, ordering)
    }
}

/// Compares under the kernel's lock, then sleeps.
fn wait(word: &Word, expected: u32, _timeout: Duration) -> bool {
    let guard = word.lock.lock().expect("a lock");
    if word.value.load(Ordering::Relaxed) == expected {
        drop(word.queue.wait(guard).expect("a lock"));
    }
    true
}

fn wake(word: &Word) {
    let _guard = word.lock.lock().expect("a lock");
    word.queue.notify_one();
}

/// What `doorbell.rs` finds beside it: the model in place of the real thing.
mod sleep_word {
    pub(super) use super::{Word as AtomicU32, wait, wake};
    pub(super) use loom::sync::atomic::Ordering;

    pub(super) fn fence(ordering: Ordering) {
        if super::HAS_FENCES.get() {
            loom::sync::atomic::fence(ordering);
        }
    }
}

#[path = "../src/dma/doorbell.rs"]
#[expect(dead_code, unreachable_pub, reason = "the models need a part of what others use")]
mod doorbell;

thread_local! {
    /// Whether fences do anything. Loom runs all threads of a model on the thread of its test.
    static HAS_FENCES: Cell<bool> = const { Cell::new(true) };
}

/// Lets some threads write and ring while one sleeps until it has seen all that they write.
fn check(waker_count: usize) {
    loom::model(move || {
        let word = Arc::new(Word::new());
        let data: Arc<Vec<AtomicU64>> = Arc::new((0..waker_count).map(|_| AtomicU64::new(0)).collect());
        let wakers: Vec<_> = (0..waker_count)
            .map(|waker| {
                let (word, data) = (Arc::clone(&word), Arc::clone(&data));
                thread::spawn(move || {
                    data[waker].store(1, Ordering::Relaxed);
                    Doorbell::new(&word).ring();
                })
            })
            .collect();
        let has_all = || data.iter().all(|datum| datum.load(Ordering::Relaxed) == 1);
        while !has_all() {
            Doorbell::new(&word).wait(Duration::MAX, has_all);
        }
        for waker in wakers {
            waker.join().expect("a waker");
        }
    });
}

#[test]
fn a_sleeper_is_woken_for_what_was_written() {
    check(1);
}

#[test]
fn a_sleeper_is_woken_for_what_each_of_two_wakers_has_written() {
    check(2);
}

#[test]
#[should_panic(expected = "deadlock")]
fn without_fences_a_wake_up_is_lost() {
    HAS_FENCES.set(false);
    check(1);
}
