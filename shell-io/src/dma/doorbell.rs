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
//! The word is in memory that the peer can write, so a false value must do no harm: the sleeper comes back too early,
//! or sleeps until its time is over.

use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::time::Duration;

use rustix::io::Errno;
use rustix::thread::futex;

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
        // Nothing can be done about an error, and none is possible: the word is a word, and one waiter is one waiter.
        let _ = futex::wake(self.word, futex::Flags::empty(), 1);
        true
    }

    /// Sleeps until somebody rings or the time is over, unless `has_work`, asked after the sleep was announced, says
    /// that something has arrived in the meantime.
    pub fn wait(&self, timeout: Duration, has_work: impl FnOnce() -> bool) -> Wake {
        self.word.store(ASLEEP, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let wake = if has_work() { Wake::Work } else { self.sleep(timeout) };
        self.word.store(AWAKE, Ordering::Relaxed);
        wake
    }

    fn sleep(&self, timeout: Duration) -> Wake {
        // A time that the kernel cannot express is longer than anybody waits.
        let timeout = timeout.try_into().ok();
        // Not private: the waker is another process. `AGAIN` means that it was faster than we.
        match futex::wait(self.word, futex::Flags::empty(), ASLEEP, timeout.as_ref()) {
            Err(Errno::TIMEDOUT) => Wake::TimedOut,
            _ => Wake::Called,
        }
    }

    /// Whether the owner has announced that it goes to sleep.
    pub fn is_asleep(&self) -> bool {
        self.word.load(Ordering::Relaxed) != AWAKE
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;
    use std::thread;

    use super::*;

    /// Longer than any test should take: who waits so long has lost a wake-up.
    const FOREVER: Duration = Duration::from_secs(60);

    #[test]
    fn nobody_is_woken_who_is_awake() {
        let word = AtomicU32::new(AWAKE);
        assert!(!Doorbell::new(&word).ring());
    }

    #[test]
    fn work_that_arrives_before_the_sleep_prevents_it() {
        let word = AtomicU32::new(AWAKE);
        let doorbell = Doorbell::new(&word);
        let wake = doorbell.wait(FOREVER, || {
            assert!(doorbell.is_asleep(), "announced before looking");
            true
        });
        assert_eq!(wake, Wake::Work);
        assert!(!doorbell.is_asleep());
    }

    #[test]
    fn a_ring_between_the_look_and_the_sleep_prevents_it() {
        let word = AtomicU32::new(AWAKE);
        let doorbell = Doorbell::new(&word);
        let wake = doorbell.wait(FOREVER, || {
            assert!(doorbell.ring());
            false
        });
        assert_eq!(wake, Wake::Called);
    }

    #[test]
    fn a_sleeper_that_nobody_calls_wakes_by_itself() {
        let word = AtomicU32::new(AWAKE);
        let doorbell = Doorbell::new(&word);
        assert_eq!(doorbell.wait(Duration::from_millis(1), || false), Wake::TimedOut);
        assert!(!doorbell.is_asleep());
        assert_eq!(doorbell.wait(Duration::ZERO, || false), Wake::TimedOut);
    }

    #[test]
    fn a_false_value_in_the_word_neither_hangs_nor_panics() {
        let word = AtomicU32::new(AWAKE);
        let doorbell = Doorbell::new(&word);
        let wake = doorbell.wait(FOREVER, || {
            word.store(0xDEAD_BEEF, Ordering::Relaxed);
            false
        });
        assert_eq!(wake, Wake::Called);
        word.store(0xDEAD_BEEF, Ordering::Relaxed);
        assert!(doorbell.ring());
        assert!(!doorbell.is_asleep());
    }

    #[test]
    fn no_wake_up_is_lost_between_two_threads() {
        const ROUND_COUNT: u64 = 20_000;
        let (bells, data) = ([AtomicU32::new(AWAKE), AtomicU32::new(AWAKE)], [AtomicU64::new(0), AtomicU64::new(0)]);
        let play = |own: usize| {
            let (mine, theirs) = (&data[own], &data[1 - own]);
            for round in 1..=ROUND_COUNT {
                if own == 0 {
                    theirs.store(round, Ordering::Relaxed);
                    Doorbell::new(&bells[1]).ring();
                }
                while mine.load(Ordering::Relaxed) < round {
                    let wake = Doorbell::new(&bells[own]).wait(FOREVER, || mine.load(Ordering::Relaxed) >= round);
                    assert_ne!(wake, Wake::TimedOut, "round {round} of player {own}");
                }
                if own == 1 {
                    theirs.store(round, Ordering::Relaxed);
                    Doorbell::new(&bells[0]).ring();
                }
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| play(1));
            play(0);
        });
    }
}
