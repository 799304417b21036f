//! One process as both sides. Two processes meet in `tests/two_processes.rs`.

use std::time::Duration;

use super::*;
use crate::dma::Wake;

const REGION_LEN: usize = 4096;

fn region() -> Arc<Region> {
    Arc::new(Region::create(REGION_LEN).expect("a region"))
}

/// An engine towards the second half of a region, with two buffers of 256 bytes.
fn engine(region: &Arc<Region>) -> SharedMemoryEngine {
    SharedMemoryEngine::open(Arc::clone(region), REGION_LEN / 2, REGION_LEN / 2, 256, 2).expect("an engine")
}

fn job(engine: &mut SharedMemoryEngine, direction: Direction, offset: usize, len: usize) -> Job<SharedBuf> {
    Job { direction, offset, len, buf: engine.alloc().expect("a buffer"), tag: 7 }
}

fn bytes(window: &impl Window) -> Vec<u8> {
    window.words().iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect()
}

#[test]
fn a_push_writes_exactly_its_bytes_into_the_window() {
    let region = region();
    let mut engine = engine(&region);
    let mut push = job(&mut engine, Direction::Push, 128, 192);
    for (byte, value) in push.buf.as_mut().iter_mut().zip(1..=255) {
        *byte = value;
    }
    engine.submit(push).expect("room");
    let done = engine.poll().expect("a completion");
    assert_eq!((done.outcome, done.job.tag, done.job.offset, done.job.len), (CopyOutcome::Copied, 7, 128, 192));
    let mut expected = vec![0; REGION_LEN];
    expected[REGION_LEN / 2 + 128..][..192].copy_from_slice(&done.job.buf.as_ref()[..192]);
    let whole = SharedWindow::open(Arc::clone(&region), 0, REGION_LEN).expect("a window");
    assert_eq!(bytes(&whole), expected);
    assert!(engine.poll().is_none());
}

#[test]
fn a_pull_reads_exactly_its_bytes_from_the_window() {
    let region = region();
    for (word, value) in region.data().iter().zip(0x0102_0304_0506_0708..) {
        word.store(value, Ordering::Relaxed);
    }
    let mut engine = engine(&region);
    let mut pull = job(&mut engine, Direction::Pull, 64, 128);
    pull.buf.as_mut().fill(0xEE);
    engine.submit(pull).expect("room");
    let done = engine.poll().expect("a completion");
    let window = SharedWindow::open(region, REGION_LEN / 2 + 64, 128).expect("a window");
    assert_eq!(done.job.buf.as_ref()[..128], bytes(&window));
    assert!(done.job.buf.as_ref()[128..].iter().all(|byte| *byte == 0xEE));
}

#[test]
fn a_job_that_leaves_the_window_or_its_buffer_comes_back() {
    let region = region();
    let mut engine = engine(&region);
    let half = REGION_LEN / 2;
    let wrong = [
        (half, 64),
        (half - 64, 128),
        (usize::MAX - 63, 64),
        (1, 64),
        (32, 64),
        (0, 1),
        (0, 65),
        (0, 320),
        (0, usize::MAX),
    ];
    for (offset, len) in wrong {
        let job = job(&mut engine, Direction::Push, offset, len);
        let back = engine.submit(job).expect_err("no such range");
        assert_eq!((back.offset, back.len), (offset, len));
    }
    assert!(engine.poll().is_none());
    for (offset, len) in [(half - 64, 64), (0, 256), (half, 0)] {
        let job = job(&mut engine, Direction::Push, offset, len);
        engine.submit(job).expect("a range at the edge");
        assert!(engine.poll().is_some());
    }
}

#[test]
fn a_full_engine_hands_the_job_back() {
    let region = region();
    let (mut one, mut other) = (engine(&region), engine(&region));
    for _ in 0..2 {
        let job = job(&mut one, Direction::Push, 0, 64);
        one.submit(job).expect("room");
    }
    assert_eq!(one.room(), 0);
    assert!(one.alloc().is_none());
    let foreign = job(&mut other, Direction::Push, 0, 64);
    assert!(one.submit(foreign).is_err());
    drop(one.poll());
    assert_eq!(one.room(), 1);
    assert!(one.alloc().is_some());
}

#[test]
fn a_copy_with_added_latency_is_done_when_its_time_has_come_and_not_before() {
    let region = region();
    let mut engine = engine(&region).with_added_latency(u64::MAX);
    let window = SharedWindow::open(Arc::clone(&region), REGION_LEN / 2, 64).expect("a window");
    let mut push = job(&mut engine, Direction::Push, 0, 64);
    push.buf.as_mut().fill(7);
    engine.submit(push).expect("room");
    engine.flush();
    assert!(engine.poll().is_none() && engine.room() == 1, "it counts as in flight");
    assert!(bytes(&window).iter().all(|byte| *byte == 0));
    engine.added_ticks = 1;
    while engine.poll().is_none() {
        assert_eq!(engine.room(), 1);
    }
    assert!(bytes(&window).iter().all(|byte| *byte == 7));
    assert_eq!(engine.room(), 2);
}

#[test]
fn buffers_are_aligned_and_come_back_when_dropped() {
    let mut engine = engine(&region());
    for _ in 0..5 {
        let bufs = [engine.alloc().expect("one"), engine.alloc().expect("two")];
        assert!(engine.alloc().is_none());
        for buf in &bufs {
            assert_eq!((buf.as_ref().as_ptr().addr() % COPY_ALIGN, buf.as_ref().len()), (0, 256));
        }
    }
}

#[test]
fn a_window_or_a_buffer_that_cannot_be_is_an_error_with_the_numbers() {
    let region = region();
    for (offset, len) in
        [(0, 0), (0, REGION_LEN + 64), (REGION_LEN, 64), (64, REGION_LEN), (8, 64), (0, 8), (usize::MAX - 63, 64)]
    {
        let expected = WindowError { offset, len, region_len: REGION_LEN };
        assert_eq!(SharedWindow::open(Arc::clone(&region), offset, len).err(), Some(expected));
        let engine = SharedMemoryEngine::open(Arc::clone(&region), offset, len, 64, 1);
        assert_eq!(engine.err(), Some(EngineOpenError::Window(expected)));
    }
    for (len, count) in [(0, 1), (63, 1), (64, 0)] {
        let engine = SharedMemoryEngine::open(Arc::clone(&region), 0, 64, len, count);
        assert_eq!(engine.err(), Some(EngineOpenError::Buffers { len, count }));
    }
}

#[test]
fn a_flush_rings_once_after_pushes_and_never_after_pulls() {
    let region = region();
    let mut engine = engine(&region);
    let forever = Duration::from_secs(60);
    let mut is_rung_by = |direction, flush_count| {
        region.doorbell().wait(Duration::ZERO, || {
            let job = job(&mut engine, direction, 0, 64);
            engine.submit(job).expect("room");
            for _ in 0..flush_count {
                engine.flush();
            }
            drop(engine.poll());
            !region.doorbell().is_asleep()
        }) == Wake::Work
    };
    assert!(!is_rung_by(Direction::Pull, 1));
    assert!(!is_rung_by(Direction::Push, 0), "nothing is promised before the flush");
    assert!(is_rung_by(Direction::Push, 1));
    let wake = region.doorbell().wait(forever, || {
        engine.flush();
        region.doorbell().is_asleep()
    });
    assert_eq!(wake, Wake::Work, "nothing new was pushed, so nobody is called");
}
