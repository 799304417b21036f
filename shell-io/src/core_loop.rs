//! The loop of a core: turn the engine, take the time, and give way when there is nothing to do.
//!
//! The loop is the same for all roles and both sides. It neither allocates nor locks, unless there is an order.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use arch::{Tick, TickRate};
use kv_core::counters::{Counter, Counters};
use kv_core::design::QueuePairId;
use kv_core::engine::{Engine, Fault, Turn, Waiting};

use crate::clock::{MonotonicClock, thread_cpu_ns};
use crate::counters_file::CoreCounters;
use crate::dma::Wake;
use crate::idle::{Idle, IdlePolicy, Pause, Sleeper};
use crate::mailbox::{Mailbox, Order};

/// Microseconds after which a turn cannot have been the core's alone. The longest turn of an engine is a burst of 32
/// frames or a slot of each queue pair, far below this; a scheduler's slice is a few milliseconds.
const INTERRUPTED_US: u64 = 500;

/// Microseconds between two times that others are shown the counters.
const PUBLISH_US: u64 = 1000;

/// Milliseconds between two questions for the thread's CPU time, which is a system call.
const CPU_TIME_MS: u64 = 10;

/// An engine that takes orders from outside its core.
pub trait Member {
    /// Its engine.
    type Engine: Engine;

    /// The engine, to turn it.
    fn engine(&mut self) -> &mut Self::Engine;

    /// Does what it is told. An order that is not for its role does nothing.
    fn obey(&mut self, order: Order);

    /// The queue pair that it has given up, if any.
    fn fault(&self) -> Option<(QueuePairId, Fault)>;
}

/// What a core's loop needs beside its member.
#[derive(Debug)]
pub struct Surroundings<'a> {
    /// Its orders.
    pub mailbox: &'a Mailbox,
    /// Where it shows its counters.
    pub counters: CoreCounters<'a>,
    /// What it waits on.
    pub sleeper: Sleeper,
    /// Whether a copy that it waits for wakes it. One that it has to fetch by itself does not.
    pub is_called_for_copies: bool,
    /// When it gives way.
    pub idle: IdlePolicy,
    /// The machine's clock.
    pub clock: MonotonicClock,
    /// Ends the loop.
    pub stop: &'a AtomicBool,
}

/// Runs until it is told to stop. Whatever ends it, nobody waits for its mailbox afterwards.
pub fn run(member: &mut impl Member, surroundings: &Surroundings<'_>) {
    let _closing = Closing(surroundings.mailbox);
    let rate = surroundings.clock.rate();
    let idle = Idle::new(surroundings.idle, rate);
    CoreLoop { member, surroundings, idle, tally: Tally::new(rate), due: Due::new(rate), fault: None }.run();
}

/// Closes the mailbox on the way out, a panic included.
struct Closing<'a>(&'a Mailbox);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

struct CoreLoop<'l, M> {
    member: &'l mut M,
    surroundings: &'l Surroundings<'l>,
    idle: Idle,
    tally: Tally,
    due: Due,
    fault: Option<(QueuePairId, Fault)>,
}

impl<M: Member> CoreLoop<'_, M> {
    fn run(mut self) {
        while !self.surroundings.stop.load(Ordering::Relaxed) {
            if self.surroundings.mailbox.is_waiting() {
                self.obey_all();
            }
            let (turn, now) = self.turn();
            if turn.work > 0 {
                self.idle.worked();
            } else {
                self.pause(turn.waiting, now);
            }
            if self.due.is_publishing(now) {
                self.publish(now);
            }
        }
        self.publish(self.surroundings.clock.now());
    }

    /// One turn with its time; `now` is a reading of the clock from its begin or its end.
    fn turn(&mut self) -> (Turn, Tick) {
        let begin = self.surroundings.clock.now();
        let turn = self.member.engine().turn(begin);
        if turn.work == 0 {
            self.tally.idled();
            return (turn, begin);
        }
        let end = self.surroundings.clock.now();
        self.tally.worked(end.since(begin));
        (turn, end)
    }

    fn pause(&mut self, waiting: Waiting, now: Tick) {
        if waiting == Waiting::Copies && !self.surroundings.is_called_for_copies {
            // Nothing calls when a copy can be fetched, and that is soon.
            return thread::yield_now();
        }
        let mut idle = self.idle;
        let pause = idle.idle(now, |timeout| self.sleep(waiting, timeout));
        if pause == Pause::Slept {
            self.tally.sleeps += 1;
        }
        self.idle = idle;
    }

    fn sleep(&mut self, waiting: Waiting, timeout: Duration) -> Wake {
        self.publish(self.surroundings.clock.now());
        let surroundings = self.surroundings;
        // An order that came since the last look waits no longer than one sleep.
        surroundings.sleeper.sleep(waiting, timeout, || self.turn().0.work > 0)
    }

    fn obey_all(&mut self) {
        self.surroundings.mailbox.obey_all(|order| self.member.obey(order));
        self.report_fault();
    }

    fn report_fault(&mut self) {
        let fault = self.member.fault();
        if fault != self.fault {
            self.fault = fault;
            self.surroundings.mailbox.report(fault);
        }
    }

    fn publish(&mut self, now: Tick) {
        self.report_fault();
        let counters = self.member.engine().counters();
        self.tally.write(counters);
        if self.due.is_cpu_time(now) {
            counters.set(Counter::ThreadCpuNs, thread_cpu_ns());
        }
        self.surroundings.counters.publish(counters);
        self.due.published(now);
    }
}

/// What the loop itself counts, apart from the engine, whose counters are not for each turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tally {
    interrupted_ticks: u64,
    turns: u64,
    working_turns: u64,
    busy_ticks: u64,
    interrupted_turns: u64,
    sleeps: u64,
}

impl Tally {
    fn new(rate: TickRate) -> Self {
        let interrupted_ticks = rate.ticks_in_us(INTERRUPTED_US);
        Self { interrupted_ticks, turns: 0, working_turns: 0, busy_ticks: 0, interrupted_turns: 0, sleeps: 0 }
    }

    fn idled(&mut self) {
        self.turns += 1;
    }

    fn worked(&mut self, ticks: u64) {
        self.turns += 1;
        self.working_turns += 1;
        if ticks > self.interrupted_ticks {
            self.interrupted_turns += 1;
        } else {
            self.busy_ticks += ticks;
        }
    }

    fn write(&self, counters: &mut Counters) {
        counters.set(Counter::Turns, self.turns);
        counters.set(Counter::WorkingTurns, self.working_turns);
        counters.set(Counter::BusyTicks, self.busy_ticks);
        counters.set(Counter::InterruptedTurns, self.interrupted_turns);
        counters.set(Counter::Sleeps, self.sleeps);
    }
}

/// When what is not for each turn is done again.
#[derive(Clone, Copy, Debug)]
struct Due {
    publish_ticks: u64,
    cpu_time_ticks: u64,
    published: Option<Tick>,
    cpu_time: Option<Tick>,
}

impl Due {
    fn new(rate: TickRate) -> Self {
        Self {
            publish_ticks: rate.ticks_in_us(PUBLISH_US),
            cpu_time_ticks: rate.ticks_in_ms(CPU_TIME_MS),
            published: None,
            cpu_time: None,
        }
    }

    fn is_publishing(&self, now: Tick) -> bool {
        self.published.is_none_or(|last| now.since(last) >= self.publish_ticks)
    }

    fn published(&mut self, now: Tick) {
        self.published = Some(now);
    }

    /// Whether it is time to ask for the CPU time, which is then taken for done.
    fn is_cpu_time(&mut self, now: Tick) -> bool {
        let is_due = self.cpu_time.is_none_or(|last| now.since(last) >= self.cpu_time_ticks);
        if is_due {
            self.cpu_time = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests;
