//! What a caller sleeps on until copies end: a file that becomes readable some time after it was asked for.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::io::read;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// How long after it was asked for, in nanoseconds: an interrupt is no faster.
const DELAY_NS: i64 = 20_000;

/// The event of a work queue or of a progress engine.
#[derive(Debug)]
pub struct Event {
    timer: OwnedFd,
}

impl Event {
    /// `None`: the process has no file numbers left.
    pub(crate) fn new() -> Option<Self> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK).ok()?;
        Some(Self { timer })
    }

    /// Its number, to wait on.
    pub fn handle(&self) -> i32 {
        self.timer.as_raw_fd()
    }

    pub(crate) fn arm(&self) {
        self.set(DELAY_NS);
    }

    pub(crate) fn clear(&self) {
        self.set(0);
        // Nothing is there to be read when it had not come yet.
        let _ = read(&self.timer, &mut [0; 8]);
    }

    fn set(&self, delay_ns: i64) {
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let time = Itimerspec { it_interval: never, it_value: Timespec { tv_sec: 0, tv_nsec: delay_ns } };
        let set = timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &time);
        debug_assert!(set.is_ok(), "a timer of our own");
    }
}
