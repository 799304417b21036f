//! What goes wrong, how often, and how often it really did.
//!
//! A [`FaultPlan`] is drawn per seed. Swarm testing (Groce et al., ISSTA 2012): each [`FaultClass`] is present in
//! about half of the seeds, so that one class does not always hide what another would show, and a fifth of the seeds
//! has no faults at all. The ranges follow TigerBeetle's simulator in spirit: wide enough that each recovery path runs.
//!
//! Whoever injects a fault counts it in the shared [`Faults`]; a test over many seeds then asserts that every class
//! has happened. A fault that is planned and never happens tests nothing.

use std::cell::Cell;
use std::rc::Rc;

use crate::seed::{Chance, Random};

macro_rules! fault_classes {
    ($($(#[$doc:meta])* $class:ident = $name:literal),* $(,)?) => {
        /// A kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(usize)]
        pub enum FaultClass { $($(#[$doc])* $class),* }

        impl FaultClass {
            /// Every class, in the order of its index.
            pub const ALL: &'static [Self] = &[$(Self::$class),*];

            /// The name under which it is counted.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$class => $name),* }
            }
        }
    };
}

fault_classes! {
    /// A packet never arrives.
    PacketLost = "packet_lost",
    /// A packet arrives twice.
    PacketDuplicated = "packet_duplicated",
    /// A packet is overtaken by some that were sent later.
    PacketReordered = "packet_reordered",
    /// A packet takes far longer than others.
    PacketDelayed = "packet_delayed",
    /// One bit to 8 bytes of a packet change, and the receiving port's checksum notices.
    PacketCorrupted = "packet_corrupted",
    /// One bit to 8 bytes of a packet change, and nobody notices.
    PacketCorruptedUnseen = "packet_corrupted_unseen",
    /// A packet arrives without its end.
    PacketTruncated = "packet_truncated",
    /// The wire takes only some of a burst.
    TransmitFull = "transmit_full",
    /// A copy takes another time than its neighbours, so that copies end in another order than they began.
    CopyReordered = "copy_reordered",
    /// A copy's bytes become visible piece by piece, in any order.
    CopyTorn = "copy_torn",
    /// A copy is reported as ended long before its last byte is visible.
    CopyLate = "copy_late",
    /// A copy is reported as failed, with any part of its bytes written.
    CopyFailed = "copy_failed",
    /// A copy's bytes are written a second time, long after the first.
    CopyDuplicated = "copy_duplicated",
    /// The copy engine starts nothing for a while.
    CopyStalled = "copy_stalled",
    /// Bytes of a copy reach a window after the copy's engine is gone: the write of an old epoch.
    CopyOutlived = "copy_outlived",
    /// The DPU's process dies with everything in its memory, and a new one starts.
    DpuCrash = "dpu_crash",
    /// The host's process dies with everything in its memory, and a new one starts.
    HostCrash = "host_crash",
    /// No core of the DPU runs for a while.
    DpuPause = "dpu_pause",
    /// No core of the host runs for a while.
    HostPause = "host_pause",
}

/// How the network misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkFaults {
    /// How long a packet travels when nothing goes wrong, in nanoseconds.
    pub latency_ns: u64,
    /// Of losing a packet.
    pub loss: Chance,
    /// Of delivering a packet twice.
    pub duplication: Chance,
    /// Of letting others overtake a packet.
    pub reordering: Chance,
    /// How much later an overtaken packet arrives at most, in nanoseconds.
    pub reordering_ns_max: u64,
    /// Of a long delay.
    pub delay: Chance,
    /// The longest one, in nanoseconds.
    pub delay_ns_max: u64,
    /// Of corrupting a packet's bytes.
    pub corruption: Chance,
    /// Whether the receiver's checksum finds corrupted packets, which it then drops. UDP's does, but for bad luck.
    pub corruption_is_seen: bool,
    /// Of cutting a packet short.
    pub truncation: Chance,
    /// Of a burst of which the wire takes only a part.
    pub transmit_full: Chance,
}

/// How a copy engine misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyFaults {
    /// How long a copy takes when nothing goes wrong, in nanoseconds.
    pub latency_ns: u64,
    /// Of another duration, up to [`reordering_ns_max`](Self::reordering_ns_max).
    pub reordering: Chance,
    /// The longest such duration, in nanoseconds.
    pub reordering_ns_max: u64,
    /// Of bytes that become visible piece by piece.
    pub tear: Chance,
    /// Of a completion that comes first and bytes that follow.
    pub lateness: Chance,
    /// How long they follow at most, in nanoseconds.
    pub lateness_ns_max: u64,
    /// Of a copy that fails.
    pub failure: Chance,
    /// Of a copy that is done a second time.
    pub duplication: Chance,
    /// How much later at most, in nanoseconds.
    pub duplication_ns_max: u64,
    /// Of the engine pausing before a copy.
    pub stall: Chance,
    /// The longest pause, in nanoseconds.
    pub stall_ns_max: u64,
}

/// How often processes die or stand still in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessFaults {
    /// Deaths of the DPU's process.
    pub dpu_crash_count: u64,
    /// Deaths of the host's process.
    pub host_crash_count: u64,
    /// Pauses of the DPU.
    pub dpu_pause_count: u64,
    /// Pauses of the host.
    pub host_pause_count: u64,
    /// The longest pause, in nanoseconds.
    pub pause_ns_max: u64,
}

/// Everything that may go wrong in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultPlan {
    /// On the network.
    pub link: LinkFaults,
    /// In the copy engines.
    pub copy: CopyFaults,
    /// With whole processes.
    pub process: ProcessFaults,
}

const US: u64 = 1_000;
const MS: u64 = 1_000_000;

impl FaultPlan {
    /// Nothing goes wrong: a packet takes 5 µs and a copy 1.5 µs.
    pub const NONE: Self = Self {
        link: LinkFaults {
            latency_ns: 5 * US,
            loss: Chance::NEVER,
            duplication: Chance::NEVER,
            reordering: Chance::NEVER,
            reordering_ns_max: 0,
            delay: Chance::NEVER,
            delay_ns_max: 0,
            corruption: Chance::NEVER,
            corruption_is_seen: true,
            truncation: Chance::NEVER,
            transmit_full: Chance::NEVER,
        },
        copy: CopyFaults {
            // A synchronous 64-byte copy between the Arm cores of a BlueField-3 and its host.
            latency_ns: 1_500,
            reordering: Chance::NEVER,
            reordering_ns_max: 0,
            tear: Chance::NEVER,
            lateness: Chance::NEVER,
            lateness_ns_max: 0,
            failure: Chance::NEVER,
            duplication: Chance::NEVER,
            duplication_ns_max: 0,
            stall: Chance::NEVER,
            stall_ns_max: 0,
        },
        process: ProcessFaults {
            dpu_crash_count: 0,
            host_crash_count: 0,
            dpu_pause_count: 0,
            host_pause_count: 0,
            pause_ns_max: 0,
        },
    };

    /// The plan of a seed: one in five has no faults, each class is in half of the others.
    pub fn draw(seed: u64) -> Self {
        let mut random = Random::from_seed(seed).fork("faults", 0);
        if random.happens(Chance::percent(20)) {
            return Self::NONE;
        }
        Self {
            link: draw_link(&mut random),
            copy: draw_copy(&mut random),
            process: ProcessFaults {
                dpu_crash_count: draw_count(&mut random, 3),
                host_crash_count: draw_count(&mut random, 2),
                dpu_pause_count: draw_count(&mut random, 5),
                host_pause_count: draw_count(&mut random, 5),
                pause_ns_max: random.within(US..=20 * MS),
            },
        }
    }

    /// This plan with everything going well from now on, at the same speed.
    pub const fn calmed(&self) -> Self {
        let mut plan = Self::NONE;
        plan.link.latency_ns = self.link.latency_ns;
        plan.copy.latency_ns = self.copy.latency_ns;
        plan
    }
}

fn draw_link(random: &mut Random) -> LinkFaults {
    LinkFaults {
        latency_ns: random.within(US..=50 * US),
        loss: draw_chance(random, 300_000),
        duplication: draw_chance(random, 500_000),
        reordering: draw_chance(random, 500_000),
        reordering_ns_max: random.within(US..=500 * US),
        delay: draw_chance(random, 10_000),
        delay_ns_max: random.within(MS..=50 * MS),
        corruption: draw_chance(random, 20_000),
        corruption_is_seen: random.happens(Chance::percent(75)),
        truncation: draw_chance(random, 20_000),
        transmit_full: draw_chance(random, 300_000),
    }
}

fn draw_copy(random: &mut Random) -> CopyFaults {
    CopyFaults {
        latency_ns: random.within(US..=50 * US),
        reordering: draw_chance(random, 1_000_000),
        reordering_ns_max: random.within(US..=200 * US),
        tear: draw_chance(random, 1_000_000),
        lateness: draw_chance(random, 500_000),
        lateness_ns_max: random.within(US..=500 * US),
        failure: draw_chance(random, 20_000),
        duplication: draw_chance(random, 20_000),
        duplication_ns_max: random.within(US..=50 * MS),
        stall: draw_chance(random, 5_000),
        stall_ns_max: random.within(100 * US..=200 * MS),
    }
}

/// Never in half of the cases, else any chance up to `per_million_max`.
fn draw_chance(random: &mut Random, per_million_max: u64) -> Chance {
    let per_million = random.within(1..=per_million_max);
    if random.happens(Chance::percent(50)) { Chance::per_million(per_million as u32) } else { Chance::NEVER }
}

/// 0 in half of the cases, else 1 to `max`.
fn draw_count(random: &mut Random, max: u64) -> u64 {
    let count = random.within(1..=max);
    if random.happens(Chance::percent(50)) { count } else { 0 }
}

/// How often each class of fault happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts {
    counts: [u64; FaultClass::ALL.len()],
}

impl FaultCounts {
    /// How often this class happened.
    pub fn get(&self, class: FaultClass) -> u64 {
        self.counts[class as usize]
    }

    /// How many faults there were in all.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Adds what happened in another run.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
    }
}

/// The plan and the counts that all parts of one world share.
#[derive(Clone, Debug)]
pub struct Faults {
    shared: Rc<Shared>,
}

#[derive(Debug)]
struct Shared {
    plan: Cell<FaultPlan>,
    counts: Cell<FaultCounts>,
}

impl Faults {
    /// The faults of a plan, none of which has happened yet.
    pub fn new(plan: FaultPlan) -> Self {
        Self { shared: Rc::new(Shared { plan: Cell::new(plan), counts: Cell::default() }) }
    }

    /// The plan that holds now.
    pub fn plan(&self) -> FaultPlan {
        self.shared.plan.get()
    }

    /// Replaces the plan; what is under way takes its course.
    pub fn set_plan(&self, plan: FaultPlan) {
        self.shared.plan.set(plan);
    }

    /// What has happened so far.
    pub fn counts(&self) -> FaultCounts {
        self.shared.counts.get()
    }

    /// Counts a fault that happened.
    pub fn count(&self, class: FaultClass) {
        let mut counts = self.shared.counts.get();
        counts.counts[class as usize] += 1;
        self.shared.counts.set(counts);
    }

    /// Draws whether a fault happens, and counts it if so.
    pub(crate) fn strikes(&self, random: &mut Random, chance: Chance, class: FaultClass) -> bool {
        let strikes = random.happens(chance);
        if strikes {
            self.count(class);
        }
        strikes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_the_seeds_has_no_faults_and_half_of_the_others_has_each() {
        let plans: Vec<_> = (0..1_000).map(FaultPlan::draw).collect();
        let calm = plans.iter().filter(|plan| **plan == FaultPlan::NONE).count();
        assert!((150..250).contains(&calm), "{calm} of 1000 seeds without faults");
        let share = |present: fn(&FaultPlan) -> bool| plans.iter().filter(|plan| present(plan)).count();
        for present in [
            share(|plan| !plan.link.loss.is_never()),
            share(|plan| !plan.link.duplication.is_never()),
            share(|plan| !plan.link.reordering.is_never()),
            share(|plan| !plan.link.delay.is_never()),
            share(|plan| !plan.link.corruption.is_never()),
            share(|plan| !plan.link.truncation.is_never()),
            share(|plan| !plan.link.transmit_full.is_never()),
            share(|plan| !plan.copy.reordering.is_never()),
            share(|plan| !plan.copy.tear.is_never()),
            share(|plan| !plan.copy.lateness.is_never()),
            share(|plan| !plan.copy.failure.is_never()),
            share(|plan| !plan.copy.duplication.is_never()),
            share(|plan| !plan.copy.stall.is_never()),
            share(|plan| plan.process.dpu_crash_count > 0),
            share(|plan| plan.process.host_crash_count > 0),
            share(|plan| plan.process.dpu_pause_count > 0),
            share(|plan| plan.process.host_pause_count > 0),
        ] {
            assert!((300..500).contains(&present), "a class in {present} of 1000 seeds");
        }
    }

    #[test]
    fn a_seed_always_draws_the_same_plan() {
        assert!((0..50).all(|seed| FaultPlan::draw(seed) == FaultPlan::draw(seed)));
    }

    #[test]
    fn clones_count_together() {
        let faults = Faults::new(FaultPlan::NONE);
        faults.clone().count(FaultClass::CopyTorn);
        assert_eq!(faults.counts().get(FaultClass::CopyTorn), 1);
        assert_eq!(faults.counts().total(), 1);
    }
}
