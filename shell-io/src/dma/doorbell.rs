//! How a core that sleeps learns of a copy that has arrived.
//!
//! A core that polls needs no doorbell. One that has found nothing for a while goes to sleep on a word in the head of
//! its own region, and the peer that copies something there looks at that word: one load, when nobody sleeps.
//!
//! # Why no wake-up is lost
//!
//! ```text
//! sleeper                          waker
//! S1  word := asleep               W1  data := new
//! S2  fence                        W2  fence
//! S3  look at data                 W3  look at word
//! S4  wait while word = asleep     W4  if asleep: word := awake, wake
//! ```
//!
//! Both fences are sequentially consistent, so one comes first. If it is S2, then W3 sees what S1 wrote: W4 either
//! finds the sleeper waiting and wakes it, or changes the word first, and the kernel, which compares the word under its
//! own lock, does not let S4 wait. If it is W2, then S3 sees the data, and there is nothing to wait for. Without the
//! fences each side could look before its own store is visible to the other (on x86-64 too: a store waits in the store
//! buffer while later loads go ahead), and both would see nothing.
//!
//! `tests/doorbell_loom.rs` shows both, with the code below.
//!
//! The word is in memory that the peer can write, so a false value must do no harm: the sleeper comes back too early,
//! or sleeps until its time is over.

use std::time::Duration;

use super::sleep_word::{AtomicU32, Ordering, fence, wait, wake};

const AWAKE: u32 = 0;
const ASLEEP: u32 = 1;

/// Why a core woke up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// It did not sleep: the last look before it found work.
    Work,
    /// Somebody called, so there should be work. There need not be.
    Called,
    /// Nobody called in the time given.
    TimedOut,
}

/// The word on which one core sleeps and which others look at. There is one in each region; the core that owns the
/// region is the only one who waits.
#[derive(Clone, Copy, Debug)]
pub struct Doorbell<'a> {
    word: &'a AtomicU32,
}

impl<'a> Doorbell<'a> {
    pub(crate) fn new(word: &'a AtomicU32) -> Self {
        Self { word }
    }

    /// Wakes the owner if it sleeps, after something was written to its region. Returns whether it did sleep.
    pub fn ring(&self) -> bool {
        fence(Ordering::SeqCst);
        if self.word.load(Ordering::Relaxed) == AWAKE || self.word.swap(AWAKE, Ordering::Relaxed) == AWAKE {
            return false;
        }
        wake(self.word);
        true
    }

    /// Sleeps until somebody rings or the time is over, unless `has_work`, asked after the sleep was announced, says
    /// that something has arrived in the meantime.
    pub fn wait(&self, timeout: Duration, has_work: impl FnOnce() -> bool) -> Wake {
        self.word.store(ASLEEP, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let cause = match has_work() {
            true => Wake::Work,
            false if wait(self.word, ASLEEP, timeout) => Wake::Called,
            false => Wake::TimedOut,
        };
        self.word.store(AWAKE, Ordering::Relaxed);
        cause
    }

    /// Whether the owner has announced that it goes to sleep.
    pub fn is_asleep(&self) -> bool {
        self.word.load(Ordering::Relaxed) != AWAKE
    }
}
