use super::*;
use kv_core::dma::Window;

use crate::fault::{CopyFaults, FaultPlan};
use crate::seed::Chance;

const GEOMETRY: DmaGeometry = DmaGeometry { buf_len: 1024, buf_count: 4, job_count_max: 3 };
const ALWAYS: Chance = Chance::percent(100);

struct Bench {
    physics: Physics,
    window: SimWindow,
    dma: SimDma,
}

fn bench(seed: u64, change: impl FnOnce(&mut CopyFaults)) -> Bench {
    let mut plan = FaultPlan::NONE;
    change(&mut plan.copy);
    let physics = Physics::new(seed, plan);
    let window = SimWindow::new(4096);
    let dma = SimDma::new(&physics, 0, window.clone(), GEOMETRY);
    Bench { physics, window, dma }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index % 251) as u8 + 1).collect()
}

impl Bench {
    fn submit(&mut self, direction: Direction, offset: usize, len: usize) {
        let mut buf = self.dma.alloc().expect("a free buffer");
        if direction == Direction::Push {
            buf.as_mut()[..len].copy_from_slice(&pattern(len));
        }
        self.dma.submit(Job { direction, offset, len, buf, tag: 7 }).expect("room");
        self.dma.flush();
    }

    fn wait(&mut self, ns: u64) {
        self.physics.advance(self.physics.now().after(ns));
    }

    /// The window's content after each nanosecond, until nothing is under way, without repetitions.
    fn states(&mut self, offset: usize, len: usize) -> Vec<Vec<u8>> {
        let mut states = vec![self.window.read(offset, len)];
        while !self.physics.is_settled() {
            self.wait(1);
            states.push(self.window.read(offset, len));
        }
        states.dedup();
        states
    }
}

#[test]
fn a_copy_without_faults_arrives_whole_and_then_completes() {
    let mut bench = bench(1, |_| {});
    bench.submit(Direction::Push, 128, 192);
    bench.wait(1_499);
    assert!(bench.dma.poll().is_none());
    assert_eq!(bench.window.read(128, 192), vec![0; 192]);
    bench.wait(1);
    assert_eq!(bench.window.read(128, 192), pattern(192));
    assert_eq!(bench.window.read(0, 128), vec![0; 128]);
    assert_eq!(bench.window.read(320, 64), vec![0; 64]);
    let completion = bench.dma.poll().expect("the copy has ended");
    assert_eq!((completion.outcome, completion.job.tag), (CopyOutcome::Copied, 7));
    assert_eq!(bench.dma.pool().used_count(), 1);
    drop(completion);
    assert_eq!(bench.dma.pool().used_count(), 0);
}

#[test]
fn a_pull_fills_its_buffer_with_the_window() {
    let mut bench = bench(1, |_| {});
    bench.submit(Direction::Push, 64, 256);
    bench.wait(1_500);
    bench.submit(Direction::Pull, 128, 64);
    bench.wait(1_500);
    assert!(bench.dma.poll().is_some());
    let completion = bench.dma.poll().expect("the pull has ended");
    assert_eq!(completion.job.buf.as_ref()[..64], pattern(256)[64..128]);
}

#[test]
fn a_copy_that_was_not_flushed_does_not_start() {
    let mut bench = bench(1, |_| {});
    let buf = bench.dma.alloc().expect("a free buffer");
    bench.dma.submit(Job { direction: Direction::Push, offset: 0, len: 64, buf, tag: 0 }).expect("room");
    bench.wait(1_000_000);
    assert!(bench.dma.poll().is_none());
    bench.dma.flush();
    bench.wait(1_500);
    assert!(bench.dma.poll().is_some());
}

#[test]
fn a_full_engine_and_a_range_outside_the_window_hand_the_job_back() {
    let mut bench = bench(1, |_| {});
    for (offset, len) in [(4096, 64), (4032, 128), (32, 64), (0, 63), (0, 2048), (usize::MAX - 63, 64)] {
        let buf = bench.dma.alloc().expect("a free buffer");
        let job = Job { direction: Direction::Push, offset, len, buf, tag: 0 };
        assert_eq!(bench.dma.submit(job).expect_err("out of range").offset, offset);
    }
    (0..3).for_each(|_| bench.submit(Direction::Push, 0, 64));
    assert_eq!(bench.dma.room(), 0);
    let buf = bench.dma.alloc().expect("a free buffer");
    assert!(bench.dma.submit(Job { direction: Direction::Push, offset: 0, len: 64, buf, tag: 0 }).is_err());
    assert_eq!(bench.dma.pool().used_count(), 3);
}

#[test]
fn a_torn_copy_becomes_visible_piece_by_piece() {
    let mut bench = bench(2, |plan| plan.tear = ALWAYS);
    bench.submit(Direction::Push, 0, 512);
    let states = bench.states(0, 512);
    assert!(states.len() > 4, "{} states", states.len());
    assert_eq!(states.last(), Some(&pattern(512)));
    let in_order = states.iter().all(|state| state.iter().skip_while(|byte| **byte != 0).all(|byte| *byte == 0));
    assert!(!in_order, "pieces arrived in the order of their addresses");
}

#[test]
fn a_late_copy_completes_before_it_is_visible() {
    let mut bench = bench(3, |plan| {
        plan.lateness = ALWAYS;
        plan.lateness_ns_max = 10_000;
    });
    bench.submit(Direction::Push, 0, 64);
    bench.wait(1_500);
    assert!(bench.dma.poll().is_some());
    assert_eq!(bench.window.read(0, 64), vec![0; 64]);
    bench.wait(10_000);
    assert_eq!(bench.window.read(0, 64), pattern(64));
}

#[test]
fn a_failed_copy_may_leave_a_part_of_its_bytes() {
    let written: Vec<_> = (0..50)
        .map(|seed| {
            let mut bench = bench(seed, |plan| plan.failure = ALWAYS);
            bench.submit(Direction::Push, 0, 512);
            bench.wait(1_500);
            assert_eq!(bench.dma.poll().map(|completion| completion.outcome), Some(CopyOutcome::Failed));
            bench.window.read(0, 512).into_iter().filter(|byte| *byte != 0).count()
        })
        .collect();
    assert!(written.contains(&0) && written.contains(&512) && written.iter().any(|count| (1..512).contains(count)));
}

#[test]
fn a_duplicated_copy_is_written_again_even_when_its_engine_is_gone() {
    let Bench { physics, window, mut dma } = bench(4, |plan| {
        plan.duplication = ALWAYS;
        plan.duplication_ns_max = 50_000;
    });
    let mut buf = dma.alloc().expect("a free buffer");
    buf.as_mut()[..64].copy_from_slice(&pattern(64));
    dma.submit(Job { direction: Direction::Push, offset: 0, len: 64, buf, tag: 0 }).expect("room");
    dma.flush();
    physics.advance(Tick(1_500));
    assert_eq!(window.read(0, 64), pattern(64));
    drop(dma);
    window.words()[0].store(0, kv_core::sync::Ordering::Relaxed);
    physics.advance(Tick(60_000));
    assert_eq!(window.read(0, 64), pattern(64));
    assert!(physics.is_settled());
    assert_eq!(physics.faults().counts().get(FaultClass::CopyOutlived), 1);
}

#[test]
fn reordered_copies_end_in_another_order_than_they_began() {
    let mut bench = bench(5, |plan| {
        plan.reordering = ALWAYS;
        plan.reordering_ns_max = 100_000;
    });
    let mut orders = Vec::new();
    for _ in 0..20 {
        for tag in 0..3 {
            let buf = bench.dma.alloc().expect("a free buffer");
            bench.dma.submit(Job { direction: Direction::Push, offset: 0, len: 64, buf, tag }).expect("room");
        }
        bench.dma.flush();
        bench.wait(100_000);
        orders.push(std::array::from_fn(|_| bench.dma.poll().map(|completion| completion.job.tag)));
    }
    assert!(orders.iter().any(|order| *order != [Some(0), Some(1), Some(2)]));
    assert!(orders.iter().all(|order| (0..3).all(|tag| order.contains(&Some(tag)))));
}

#[test]
fn a_stalled_engine_starts_nothing_for_a_while() {
    let mut bench = bench(6, |plan| {
        plan.stall = ALWAYS;
        plan.stall_ns_max = 1_000_000;
    });
    bench.submit(Direction::Push, 0, 64);
    bench.wait(1_500);
    assert!(bench.dma.poll().is_none());
    bench.wait(1_000_000);
    assert!(bench.dma.poll().is_some());
}

#[test]
fn a_seed_always_tears_in_the_same_way() {
    let trace = |seed| {
        let mut bench = bench(seed, |plan| plan.tear = ALWAYS);
        bench.submit(Direction::Push, 0, 1024);
        bench.wait(2_000);
        bench.physics.trace().hash()
    };
    assert_eq!(trace(8), trace(8));
    assert_ne!(trace(8), trace(9));
}
