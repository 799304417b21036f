//! Two processes and their regions. Each test is both of them: it starts this very program again, for itself alone, with
//! its own region in the environment, and the child answers with its region on standard output.

#![cfg(not(loom))]

use std::env;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kv_core::dma::{CopyOutcome, Direction, DmaEngine, Job, Window};
use kv_core::engine::Waiting;
use shell_io::dma::{SharedMemoryEngine, SharedWindow, Wake};
use shell_io::idle::Sleeper;
use shell_io::memory::{Region, RegionDescriptor, RegionOpenError};

/// What no test waits for unless a wake-up is lost or the other process is dead.
const FOREVER: Duration = Duration::from_secs(60);

/// In the environment of a child: the parent's region.
const PARENT: &str = "DPUKV_TEST_PARENT";

/// Before the child's region on its standard output.
const MARK: &str = "region=";

const REGION_LEN: usize = 8192;
const WINDOW_OFFSET: usize = 1024;
const WINDOW_LEN: usize = 4096;
const SLOT_LEN: usize = 256;
const SLOT_COUNT: u64 = (WINDOW_LEN / SLOT_LEN) as u64;
const ROUND_COUNT: u64 = 5_000;

fn to_hex(descriptor: RegionDescriptor) -> String {
    descriptor.encode().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> RegionDescriptor {
    let byte = |index| u8::from_str_radix(&text[index..index + 2], 16).expect("two digits");
    let bytes: Vec<u8> = (0..text.trim_end().len()).step_by(2).map(byte).collect();
    RegionDescriptor::decode(&bytes).expect("a descriptor")
}

/// The parent's region, if this is a child.
fn parent() -> Option<RegionDescriptor> {
    env::var(PARENT).ok().map(|text| from_hex(&text))
}

/// Starts this program again for one test, and waits until it has told its region.
fn start(test: &str, own: &Region) -> (Child, RegionDescriptor) {
    let mut child = Command::new(env::current_exe().expect("this program"))
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(PARENT, to_hex(own.descriptor()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let lines = BufReader::new(child.stdout.as_mut().expect("its output")).lines();
    let line = lines.map_while(Result::ok).find(|line| line.contains(MARK)).expect("the child's region");
    let (_, text) = line.split_once(MARK).expect("the mark");
    (child, from_hex(text))
}

/// Tells the parent where our region is.
fn tell(own: &Region) {
    println!("{MARK}{}", to_hex(own.descriptor()));
}

/// Waits until the parent is done with us.
fn wait_for_parent() {
    let end = std::io::stdin().read(&mut [0]).expect("the end of the input");
    assert_eq!(end, 0);
}

fn create() -> Arc<Region> {
    Arc::new(Region::create(REGION_LEN).expect("a region"))
}

/// One side of the game: what arrives in its own window, and what it copies into the other's.
struct Player {
    own: Arc<Region>,
    window: SharedWindow,
    engine: SharedMemoryEngine,
    sleeper: Sleeper,
}

impl Player {
    fn new(own: Arc<Region>, peer: &RegionDescriptor) -> Self {
        let peer = Arc::new(Region::open(peer).expect("the other's region"));
        Self {
            window: SharedWindow::open(Arc::clone(&own), WINDOW_OFFSET, WINDOW_LEN).expect("a window"),
            engine: SharedMemoryEngine::open(peer, WINDOW_OFFSET, WINDOW_LEN, SLOT_LEN, 2).expect("an engine"),
            sleeper: Sleeper::for_copies(Arc::clone(&own)),
            own,
        }
    }

    /// Copies the slot of a round into the other's window and calls the other.
    fn push(&mut self, round: u64) {
        let mut buf = self.engine.alloc().expect("a buffer");
        fill_slot(buf.as_mut(), round);
        self.submit(Job { direction: Direction::Push, offset: offset(round), len: SLOT_LEN, buf, tag: 0 });
    }

    /// Reads the slot of a round back from the other's window.
    fn pull(&mut self, round: u64) -> Vec<u8> {
        let buf = self.engine.alloc().expect("a buffer");
        let job = Job { direction: Direction::Pull, offset: offset(round), len: SLOT_LEN, buf, tag: 0 };
        self.submit(job).buf.as_ref().to_vec()
    }

    fn submit(
        &mut self,
        job: Job<<SharedMemoryEngine as DmaEngine>::Buf>,
    ) -> Job<<SharedMemoryEngine as DmaEngine>::Buf> {
        self.engine.submit(job).expect("room");
        self.engine.flush();
        let completion = self.engine.poll().expect("a completion");
        assert_eq!(completion.outcome, CopyOutcome::Copied);
        completion.job
    }

    /// Sleeps until the slot of a round has arrived whole.
    fn wait(&self, round: u64) {
        let first = offset(round) / 8;
        let has_arrived = || {
            let words = &self.window.words()[first..first + SLOT_LEN / 8];
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect();
            bytes == slot(round)
        };
        while !has_arrived() {
            let wake = self.sleeper.sleep(Waiting::Copies, FOREVER, has_arrived);
            assert_ne!(wake, Wake::TimedOut, "round {round}");
        }
    }
}

fn offset(round: u64) -> usize {
    (round % SLOT_COUNT) as usize * SLOT_LEN
}

/// A slot's content: each word depends on the round and on its place, and no two rounds share one.
fn fill_slot(bytes: &mut [u8], round: u64) {
    for (place, word) in (0..).zip(bytes.chunks_exact_mut(8)) {
        word.copy_from_slice(&(round << 8 | place).to_le_bytes());
    }
}

fn slot(round: u64) -> Vec<u8> {
    let mut bytes = vec![0; SLOT_LEN];
    fill_slot(&mut bytes, round);
    bytes
}

#[test]
fn two_processes_play_ping_pong_and_no_wake_up_is_lost() {
    let own = create();
    if let Some(parent) = parent() {
        tell(&own);
        let mut player = Player::new(own, &parent);
        for round in 1..=ROUND_COUNT {
            player.wait(round);
            player.push(round);
        }
        return wait_for_parent();
    }
    let (mut child, peer) = start("two_processes_play_ping_pong_and_no_wake_up_is_lost", &own);
    let mut player = Player::new(own, &peer);
    for round in 1..=ROUND_COUNT {
        player.push(round);
        player.wait(round);
    }
    for round in ROUND_COUNT - SLOT_COUNT + 1..=ROUND_COUNT {
        assert!(player.pull(round) == slot(round), "round {round} as the child's memory has it");
    }
    let outside = player.own.data().len() - WINDOW_LEN / 8;
    let untouched = player.own.data().iter().filter(|word| word.load(Ordering::Relaxed) == 0).count();
    assert_eq!(untouched, outside, "nothing but the window was written");
    drop(child.stdin.take());
    assert!(child.wait().expect("the child's end").success());
}

#[test]
fn the_region_of_a_process_that_ended_is_said_to_be_gone() {
    let own = create();
    if parent().is_some() {
        return tell(&own);
    }
    let (mut child, peer) = start("the_region_of_a_process_that_ended_is_said_to_be_gone", &own);
    assert!(child.wait().expect("the child's end").success());
    let error = Region::open(&peer).expect_err("no such process");
    assert!(matches!(error, RegionOpenError::ProcessGone { pid } if pid == child.id()), "{error}");
    assert!(error.to_string().contains(&child.id().to_string()));
}

#[test]
fn a_region_that_a_living_process_let_go_is_said_to_be_let_go() {
    let own = create();
    if parent().is_some() {
        let descriptor = own.descriptor();
        drop(own);
        println!("{MARK}{}", to_hex(descriptor));
        return wait_for_parent();
    }
    let (mut child, peer) = start("a_region_that_a_living_process_let_go_is_said_to_be_let_go", &own);
    let error = Region::open(&peer).expect_err("no such region");
    assert!(matches!(error, RegionOpenError::NoFile { pid } if pid == child.id()), "{error}");
    drop(child.stdin.take());
    assert!(child.wait().expect("the child's end").success());
}

#[test]
fn copies_into_the_region_of_a_killed_process_harm_nobody() {
    let own = create();
    if parent().is_some() {
        tell(&own);
        // Die while asleep, as the parent will find us more often than not.
        own.doorbell().wait(FOREVER, || false);
        return wait_for_parent();
    }
    let (mut child, peer) = start("copies_into_the_region_of_a_killed_process_harm_nobody", &own);
    let mut player = Player::new(own, &peer);
    child.kill().expect("a signal");
    child.wait().expect("the child's end");
    for round in 1..=100 {
        player.push(round);
        assert!(player.pull(round) == slot(round));
    }
    assert!(matches!(Region::open(&peer), Err(RegionOpenError::ProcessGone { .. })));
}
