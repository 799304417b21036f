//! The engine in one process, which is both sides.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use kv_core::counters::{Counter, Counters};
use kv_core::dma::{Completion, CopyOutcome, Direction, DmaEngine, Job};
use shell_io::dma::doca::{
    CompletionMode, Device, DocaBuf, DocaEngine, DocaError, Installed, MemoryMap, Purpose, Target,
};
use shell_io::memory::Region;

use crate::control::{Control, alone};
use crate::counting::calls_during;
use crate::stand_in::{DEVICE, GENERATIONS, directory};

const REGION_LEN: usize = 64 << 10;
const WINDOW: (usize, usize) = (4096, 8192);
const BUF_LEN: usize = 4096;

/// A device, and a region that is exported and imported again.
struct Bench {
    control: Control,
    region: Arc<Region>,
    device: Arc<Device>,
    target: Target,
}

impl Bench {
    fn new(generation: &str, faults: &str) -> Self {
        Self::waiting(generation, faults, CompletionMode::Poll)
    }

    fn waiting(generation: &str, faults: &str, completion: CompletionMode) -> Self {
        let directory = directory(generation);
        let control = Control::of(&directory);
        control.faults(faults);
        let device =
            Device::open_for(Some(&directory), DEVICE, Purpose { completion, ..Purpose::ALL }).expect("a device");
        let region = Arc::new(Region::create(REGION_LEN).expect("a region"));
        let exported = MemoryMap::export(&device, &region).expect("an export");
        let described = exported.descriptor().expect("a descriptor");
        let imported = MemoryMap::import(&device, &described).expect("an import");
        // The peer's own map would live as long as its process.
        std::mem::forget(exported);
        Self { control, region, device, target: Target::Peer(Arc::new(imported)) }
    }

    fn engine(&self, buf_count: usize) -> DocaEngine {
        DocaEngine::open(&self.device, self.target.clone(), WINDOW.0, WINDOW.1, BUF_LEN, buf_count).expect("an engine")
    }

    fn window(&self) -> Vec<u8> {
        let words = self.region.data().iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes());
        words.skip(WINDOW.0).take(WINDOW.1).collect()
    }

    fn is_zero_outside(&self) -> bool {
        let words = self.region.data().iter().map(|word| word.load(Ordering::Relaxed));
        let outside = words.enumerate().filter(|(index, _)| !(WINDOW.0..WINDOW.0 + WINDOW.1).contains(&(index * 8)));
        outside.map(|(_, word)| word).all(|word| word == 0)
    }
}

fn pattern(len: usize, seed: u8) -> impl Iterator<Item = u8> {
    (0..len).map(move |index| (index as u8).wrapping_mul(31) ^ (index >> 8) as u8 ^ seed)
}

fn job(engine: &mut DocaEngine, direction: Direction, offset: usize, len: usize, seed: u8) -> Job<DocaBuf> {
    let mut buf = engine.alloc().expect("a buffer");
    for (byte, value) in buf.as_mut().iter_mut().zip(pattern(len, seed)) {
        *byte = value;
    }
    Job { direction, offset, len, buf, tag: u32::from(seed) }
}

fn wait(engine: &mut DocaEngine) -> Completion<DocaBuf> {
    for _ in 0..100_000 {
        if let Some(completion) = engine.poll() {
            return completion;
        }
    }
    panic!("a copy that does not end");
}

fn total(engine: &mut DocaEngine, counter: Counter) -> u64 {
    let mut counters = Counters::default();
    engine.count(&mut counters);
    counters.get(counter)
}

#[test]
fn what_is_pushed_is_pulled_and_nothing_else_changes() {
    let _alone = alone();
    for generation in GENERATIONS {
        let bench = Bench::new(generation, "");
        let mut engine = bench.engine(4);
        for (offset, len, seed) in [(0, 64, 1), (64, 4096, 2), (8192 - 128, 128, 3), (0, 0, 4), (4096, 192, 5)] {
            let push = job(&mut engine, Direction::Push, offset, len, seed);
            engine.submit(push).expect("room");
            let done = wait(&mut engine);
            assert_eq!((done.outcome, done.job.tag), (CopyOutcome::Copied, u32::from(seed)));
            assert!(bench.window()[offset..offset + len].iter().copied().eq(pattern(len, seed)), "{generation} {seed}");
            drop(done);
            let pull = job(&mut engine, Direction::Pull, offset, len, 99);
            engine.submit(pull).expect("room");
            let done = wait(&mut engine);
            assert!(done.job.buf.as_ref()[..len].iter().copied().eq(pattern(len, seed)), "{generation} {seed}");
        }
        assert!(bench.is_zero_outside());
        engine.close().expect("a clean end");
    }
}

#[test]
fn whoever_waits_for_copies_gets_them_even_if_the_device_does_not_call() {
    let _alone = alone();
    for generation in GENERATIONS {
        for (completion, faults, is_asked) in [
            (CompletionMode::Poll, "seed=5,late=1000,tear=500", false),
            (CompletionMode::Block, "seed=5,late=1000,tear=500", false),
            (CompletionMode::Event, "seed=5,late=1000,tear=500", true),
            (CompletionMode::Event, "seed=5,late=1000,mute=1000", true),
        ] {
            let bench = Bench::waiting(generation, faults, completion);
            let mut engine = bench.engine(4);
            let asked = bench.control.armed_count();
            assert!(engine.poll().is_none(), "nothing is in flight");
            assert_eq!(bench.control.armed_count(), asked, "nothing to be called for");
            for seed in 0..8 {
                let push = job(&mut engine, Direction::Push, 64, 1024, seed);
                engine.submit(push).expect("room");
                assert_eq!(wait(&mut engine).outcome, CopyOutcome::Copied);
                assert!(bench.window()[64..64 + 1024].iter().copied().eq(pattern(1024, seed)), "{generation} {seed}");
            }
            assert_eq!(bench.control.armed_count() > asked, is_asked, "{generation} {completion:?}");
            engine.close().expect("a clean end");
        }
    }
}

#[test]
fn all_is_taken_down_that_was_made() {
    let _alone = alone();
    for generation in GENERATIONS {
        let control = Control::of(&directory(generation));
        let at_first = control.live_count();
        let bench = Bench::new(generation, "");
        let before = control.live_count();
        for _ in 0..3 {
            let mut engine = bench.engine(4);
            let push = job(&mut engine, Direction::Push, 0, 64, 1);
            engine.submit(push).expect("room");
            // One is closed with a copy in flight.
            drop(engine);
            assert_eq!(control.live_count(), before, "{generation}");
        }
        drop(bench);
        // What `Bench` keeps alive on purpose: the device, and its exported map.
        assert_eq!(control.live_count(), at_first + 2, "{generation}");
    }
}

#[test]
fn a_copy_beyond_the_devices_limit_goes_in_pieces() {
    let _alone = alone();
    for generation in GENERATIONS {
        let bench = Bench::new(generation, "len_max=1000,tear=500");
        let mut engine = bench.engine(2);
        let push = job(&mut engine, Direction::Push, 64, 4096, 7);
        engine.submit(push).expect("room");
        assert_eq!(wait(&mut engine).outcome, CopyOutcome::Copied);
        assert!(bench.window()[64..64 + 4096].iter().copied().eq(pattern(4096, 7)));
        // 960 bytes are the whole lines that the device takes at once.
        assert_eq!(total(&mut engine, Counter::DeviceCopies), 5);
    }
}

#[test]
fn a_full_queue_makes_copies_wait_and_loses_none() {
    let _alone = alone();
    for generation in GENERATIONS {
        let bench = Bench::new(generation, "full=700,late=500");
        let mut engine = bench.engine(8);
        for round in 0..50 {
            for index in 0..8 {
                let push = job(&mut engine, Direction::Push, usize::from(index) * 64, 64, index + round);
                engine.submit(push).expect("room");
            }
            assert_eq!(engine.room(), 0);
            for _ in 0..8 {
                assert_eq!(wait(&mut engine).outcome, CopyOutcome::Copied);
            }
            for index in 0..8 {
                assert!(bench.window()[usize::from(index) * 64..][..64].iter().copied().eq(pattern(64, index + round)));
            }
        }
        assert!(total(&mut engine, Counter::CopyQueueFull) > 0);
    }
}

#[test]
fn a_failed_copy_comes_back_as_failed_and_the_next_one_may_succeed() {
    let _alone = alone();
    for generation in GENERATIONS {
        let bench = Bench::new(generation, "fail=300,seed=3");
        let mut engine = bench.engine(2);
        let outcomes: Vec<_> = (0..100)
            .map(|seed| {
                let push = job(&mut engine, Direction::Push, 0, 256, seed);
                engine.submit(push).expect("room");
                wait(&mut engine).outcome
            })
            .collect();
        let failed = outcomes.iter().filter(|outcome| **outcome == CopyOutcome::Failed).count();
        assert!((10..50).contains(&failed), "{generation}: {failed}");
        assert_eq!(total(&mut engine, Counter::CopyContextsLost), 0);
    }
}

#[test]
fn a_dead_context_fails_all_copies_and_the_next_engine_copies() {
    let _alone = alone();
    for generation in GENERATIONS {
        let bench = Bench::new(generation, "death=1000,late=1000");
        let before = bench.control.live_count();
        let mut engine = bench.engine(4);
        for round in 0..3 {
            for seed in 0..4 {
                let push = job(&mut engine, Direction::Push, 0, 64, seed + round);
                engine.submit(push).expect("a dead engine has room for what fails");
            }
            for _ in 0..4 {
                assert_eq!(wait(&mut engine).outcome, CopyOutcome::Failed);
            }
        }
        assert_eq!(total(&mut engine, Counter::CopyContextsLost), 1);
        engine.close().expect("a dead context is taken down as a living one");
        assert_eq!(bench.control.live_count(), before);
        bench.control.faults("");
        let mut engine = bench.engine(4);
        let push = job(&mut engine, Direction::Push, 0, 64, 1);
        engine.submit(push).expect("room");
        assert_eq!(wait(&mut engine).outcome, CopyOutcome::Copied);
    }
}

#[test]
fn a_copy_that_never_ends_is_given_back_at_the_end_or_its_memory_is_kept() {
    let _alone = alone();
    for generation in GENERATIONS {
        let bench = Bench::new(generation, "lose=1000");
        let before = bench.control.live_count();
        let mut engine = bench.engine(2);
        let push = job(&mut engine, Direction::Push, 0, 64, 1);
        engine.submit(push).expect("room");
        assert!((0..1000).all(|_| engine.poll().is_none()));
        let closed = engine.close();
        // Generation 2 hands everything back when it stops. Generation 1 has no way to ask for that.
        assert_eq!(closed.is_ok(), generation == "pe", "{closed:?}");
        assert_eq!(bench.control.live_count() == before, closed.is_ok());
    }
}

#[test]
fn what_cannot_be_opened_says_why_and_leaves_nothing() {
    let _alone = alone();
    for generation in GENERATIONS {
        let bench = Bench::new(generation, "");
        let before = bench.control.live_count();
        let open = |offset, len, count| {
            let opened = DocaEngine::open(&bench.device, bench.target.clone(), offset, len, BUF_LEN, count);
            opened.map(drop).expect_err("no engine").to_string()
        };
        for (offset, len) in [(0, 0), (REGION_LEN, 64), (32, 64), (0, 65), (usize::MAX - 63, 64)] {
            assert!(open(offset, len, 1).starts_with(&format!("a window of {len} bytes at offset {offset}: ")));
        }
        bench.control.faults("task_max=2");
        assert!(open(0, 64, 3).starts_with("DOCA refuses to "), "{}", open(0, 64, 3));
        bench.control.faults("refuse=1000");
        assert!(open(0, 64, 1).contains("DOCA_ERROR_NO_MEMORY"), "{}", open(0, 64, 1));
        assert_eq!(bench.control.live_count(), before, "{generation}");
    }
}

#[test]
fn copies_allocate_nothing() {
    let _alone = alone();
    for generation in GENERATIONS {
        let bench = Bench::new(generation, "len_max=1000,tear=500,full=300,fail=100,death=5,seed=9");
        let mut engine = bench.engine(8);
        let mut ended = 0;
        let calls = calls_during(|| {
            for round in 0..2000 {
                while engine.room() > 0
                    && let Some(buf) = engine.alloc()
                {
                    let direction = if round % 2 == 0 { Direction::Push } else { Direction::Pull };
                    let job = Job { direction, offset: 64, len: 4096, buf, tag: 0 };
                    engine.submit(job).expect("room");
                }
                engine.flush();
                while engine.poll().is_some() {
                    ended += 1;
                }
            }
        });
        assert_eq!(calls, 0, "{generation}");
        assert!(ended > 2000 && total(&mut engine, Counter::CopyContextsLost) == 1);
    }
}

#[test]
fn what_is_installed_is_shown_with_its_devices() {
    let _alone = alone();
    for (generation, number, release) in [("workq", 1, None), ("pe", 2, Some("2.9.9999-stand-in".to_owned()))] {
        let directory = directory(generation);
        let Installed { generation, origin, version, devices } = Installed::look(Some(&directory)).expect("a library");
        let file = std::fs::canonicalize(directory.join("libdoca_common.so")).expect("the library");
        assert_eq!((generation, origin, version), (number, file.display().to_string(), release));
        let able: Vec<_> = devices.iter().map(|(address, limits)| (address.as_str(), limits.can_copy)).collect();
        let expected =
            [("0000:03:00.0", true), ("0000:03:00.1", false), ("0000:03:00.2", false), ("0000:03:00.3", true)];
        assert_eq!(able, expected);
    }
}

#[test]
fn a_device_that_is_not_there_or_cannot_copy_is_named() {
    let _alone = alone();
    for generation in GENERATIONS {
        let directory = directory(generation);
        let live = Control::of(&directory).live_count();
        let open = |address| Device::open(Some(&directory), address).expect_err("no device").to_string();
        assert_eq!(
            open("0000:04:00.0"),
            "dma.device = \"0000:04:00.0\": no such device; DOCA has 0000:03:00.0, 0000:03:00.1, \
             0000:03:00.2, 0000:03:00.3"
        );
        assert_eq!(open("03:00.1"), "dma.device = \"03:00.1\": the device cannot copy memory; choose another one");
        assert_eq!(Control::of(&directory).live_count(), live);
    }
    let nowhere = Device::open(Some(std::path::Path::new("/nowhere")), DEVICE).expect_err("no library");
    assert!(matches!(nowhere, DocaError::Load(_)));
    assert_eq!(nowhere.to_string().lines().count(), 1);
}

#[test]
fn a_descriptor_that_was_damaged_on_the_way_is_refused() {
    let _alone = alone();
    for generation in GENERATIONS {
        let directory = directory(generation);
        let control = Control::of(&directory);
        control.faults("");
        let device = Device::open(Some(&directory), DEVICE).expect("a device");
        let region = Arc::new(Region::create(REGION_LEN).expect("a region"));
        let described = MemoryMap::export(&device, &region).expect("an export").descriptor().expect("a descriptor");
        for len in 0..described.len() {
            assert!(MemoryMap::import(&device, &described[..len]).is_err(), "{len}");
        }
        // Whatever becomes of it, it is an error or a map, and never the end of the process.
        for index in 0..described.len() {
            let mut changed = described.clone();
            changed[index] ^= 1;
            drop(MemoryMap::import(&device, &changed));
        }
    }
}
