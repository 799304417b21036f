//! What a doorbell is made of: a word that both processes see, and the kernel's way to sleep on it, futex(2).
//!
//! The models in `tests/doorbell_loom.rs` put their own in its place.

use std::time::Duration;

use rustix::io::Errno;
use rustix::thread::futex;

pub(super) use std::sync::atomic::{AtomicU32, Ordering, fence};

/// Sleeps until [`wake`], if the word still has the expected value, and for `timeout` at most. Returns whether there is
/// a reason to look: false when the time is over.
pub(super) fn wait(word: &AtomicU32, expected: u32, timeout: Duration) -> bool {
    // A time that the kernel cannot express is longer than anybody waits.
    let timeout = timeout.try_into().ok();
    // Not private: the waker is another process.
    futex::wait(word, futex::Flags::empty(), expected, timeout.as_ref()) != Err(Errno::TIMEDOUT)
}

/// Wakes the one who waits.
pub(super) fn wake(word: &AtomicU32) {
    // Nothing can be done about an error, and none is possible: the word is a word, and one waiter is one waiter.
    let _ = futex::wake(word, futex::Flags::empty(), 1);
}
