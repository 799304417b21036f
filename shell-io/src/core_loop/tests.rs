use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::*;
use crate::counters_file::{CountersFile, CountersHead, CountersReader};
use crate::memory::Region;

/// An engine that does what a script says, then stops its loop.
struct Scripted<'a> {
    script: VecDeque<Turn>,
    stop: &'a AtomicBool,
    counters: Counters,
}

impl Engine for Scripted<'_> {
    fn turn(&mut self, _now: Tick) -> Turn {
        self.script.pop_front().unwrap_or_else(|| {
            self.stop.store(true, Ordering::Relaxed);
            Turn { work: 0, waiting: Waiting::Packets }
        })
    }

    fn counters(&mut self) -> &mut Counters {
        &mut self.counters
    }
}

struct ScriptedMember<'a> {
    engine: Scripted<'a>,
    obeyed: Vec<u8>,
    fault: Option<(QueuePairId, Fault)>,
}

impl<'a> Member for ScriptedMember<'a> {
    type Engine = Scripted<'a>;

    fn engine(&mut self) -> &mut Scripted<'a> {
        &mut self.engine
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Detach(QueuePairId(u8::MAX)) => panic!("the order to panic"),
            Order::Detach(id) => {
                self.obeyed.push(id.0);
                self.fault = Some((id, Fault::Stalled));
            }
            order => panic!("{order:?}"),
        }
    }

    fn fault(&self) -> Option<(QueuePairId, Fault)> {
        self.fault
    }
}

/// Runs a script in a loop with these orders waiting, and returns the member and what others can read afterwards.
fn run_script(script: &[(u32, Waiting)], orders: &[u8], mailbox: &Mailbox) -> (Vec<u8>, Counters) {
    let head = CountersHead {
        side: kv_core::design::Side::Host,
        core_count: 1,
        tick_hz: 1,
        server_id: 0,
        pid: std::process::id(),
    };
    let file = CountersFile::create(&head, None).expect("counters");
    let stop = AtomicBool::new(false);
    let surroundings = Surroundings {
        mailbox,
        counters: file.core(0),
        sleeper: Sleeper::for_copies(Arc::new(Region::create(64).expect("a region"))),
        is_called_for_copies: true,
        idle: IdlePolicy { spin_us: 0, yield_us: 0, sleep_ms: 1, ..IdlePolicy::BALANCED },
        clock: MonotonicClock::start().expect("a clock"),
        stop: &stop,
    };
    for order in orders {
        mailbox.send(Order::Detach(QueuePairId(*order)));
    }
    let script = script.iter().map(|(work, waiting)| Turn { work: *work, waiting: *waiting }).collect();
    let engine = Scripted { script, stop: &stop, counters: Counters::default() };
    let mut member = ScriptedMember { engine, obeyed: vec![], fault: None };
    run(&mut member, &surroundings);
    let snapshot = CountersReader::open(&file.path()).and_then(|reader| reader.read()).expect("counters");
    (member.obeyed, snapshot.cores.into_iter().next().expect("a core"))
}

#[test]
fn turns_are_counted_and_those_with_work_apart() {
    // The third one is taken by the last look before the sleep of the second one, the fifth by that of the fourth.
    let idle = (0, Waiting::Copies);
    let (_, counters) =
        run_script(&[(3, Waiting::Copies), idle, (1, Waiting::Copies), idle, idle], &[], &Mailbox::default());
    assert_eq!(counters.get(Counter::WorkingTurns), 2);
    // One more ends the script, and its sleep has a last look too.
    assert_eq!((counters.get(Counter::Turns), counters.get(Counter::Sleeps)), (7, 3));
    assert!(counters.get(Counter::ThreadCpuNs) > 0);
    let interrupted = counters.get(Counter::InterruptedTurns);
    assert!(interrupted == 2 || counters.get(Counter::BusyTicks) > 0);
}

#[test]
fn orders_are_obeyed_before_the_next_turn_and_a_fault_is_told() {
    let mailbox = Mailbox::default();
    let (obeyed, _) = run_script(&[], &[4, 2], &mailbox);
    assert_eq!(obeyed, [4, 2]);
    assert_eq!(mailbox.fault(), Some((QueuePairId(2), Fault::Stalled)));
}

#[test]
fn nobody_waits_for_a_loop_that_has_ended() {
    let mailbox = Mailbox::default();
    run_script(&[], &[], &mailbox);
    mailbox.send(Order::Detach(QueuePairId(0)));
    mailbox.wait_until_settled();
}

#[test]
fn nobody_waits_for_a_loop_that_has_panicked() {
    let mailbox = Mailbox::default();
    let ended = catch_unwind(AssertUnwindSafe(|| run_script(&[], &[u8::MAX], &mailbox)));
    assert!(ended.is_err());
    mailbox.wait_until_settled();
}

#[test]
fn a_turn_that_takes_too_long_is_not_called_work() {
    let mut tally = Tally::new(TickRate::from_hz(1_000_000).expect("a rate"));
    tally.worked(INTERRUPTED_US);
    tally.worked(INTERRUPTED_US + 1);
    tally.idled();
    let mut counters = Counters::default();
    tally.write(&mut counters);
    let shown = [Counter::Turns, Counter::WorkingTurns, Counter::InterruptedTurns, Counter::BusyTicks];
    assert_eq!(shown.map(|counter| counters.get(counter)), [3, 2, 1, INTERRUPTED_US]);
}

#[test]
fn counters_are_shown_once_an_interval() {
    let mut due = Due::new(TickRate::from_hz(1_000_000).expect("a rate"));
    assert!(due.is_publishing(Tick(5)));
    due.published(Tick(5));
    assert!(!due.is_publishing(Tick(5 + PUBLISH_US - 1)));
    assert!(due.is_publishing(Tick(5 + PUBLISH_US)));
    assert!(due.is_cpu_time(Tick(5)));
    assert!(!due.is_cpu_time(Tick(5 + 1000 * CPU_TIME_MS - 1)));
    assert!(due.is_cpu_time(Tick(5 + 1000 * CPU_TIME_MS)));
}
