//! Seeds of faults: whatever the device does, no acknowledged SET is lost, no wrong value is read, and everything is
//! answered again soon.
//!
//! Each key has one request at a time, which is sent again until it is answered. So what a GET must find is known exactly:
//! the last acknowledged value, and nothing of an older epoch.

use std::cell::RefCell;
use std::rc::Rc;

use kv_core::counters::Counter;
use kv_core::ring::ResponseWay;
use qp_wire::batch::RequestWriter;
use qp_wire::native::{FrameHeader, FrameKind, HEADER_LEN, ResponseBody, ResponseFrame, encode_header};
use qp_wire::{Operation, Request, ResultCode};

use crate::control::{Control, alone};
use crate::server::{Net, Server, memory};
use crate::stand_in::{GENERATIONS, directory};

const KEYS: u64 = 12;
/// Virtual nanoseconds of one round of both engines and the client.
const ROUND_NS: u64 = 1000;
/// Rounds with faults.
const ROUNDS: u64 = 6000;
/// Rounds without faults in which everything must be answered.
const CALM_ROUNDS: u64 = 4000;
const RETRY_NS: u64 = 300_000;
/// Longest time in which nothing was answered that a run may have: some epochs in a row that end at once.
const SILENCE_NS_MAX: u64 = 6_000_000;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (bits ^ (bits >> 31)) % bound
    }
}

/// A key and its one request.
#[derive(Default)]
struct Slot {
    /// The number of the last acknowledged value; 0: none.
    stored: u64,
    asked: Option<Asked>,
}

struct Asked {
    batch_id: u32,
    sent: u64,
    /// The number of the value to be stored; `None` for a GET.
    set: Option<u64>,
}

/// A value that says whose it is, of a length that follows from its number.
fn value_of(key: u64, number: u64) -> Vec<u8> {
    let len = 8 + (key * 31 + number * 17) as usize % 180;
    (key << 32 | number).to_le_bytes().into_iter().cycle().take(len).collect()
}

struct Client {
    net: Rc<RefCell<Net>>,
    slots: Vec<Slot>,
    next_batch: u32,
    random: Random,
    answers: u64,
    last_answer: u64,
    longest_silence: u64,
}

impl Client {
    fn new(net: Rc<RefCell<Net>>, seed: u64) -> Self {
        let slots = (0..KEYS).map(|_| Slot::default()).collect();
        let random = Random(seed);
        Self { net, slots, next_batch: 0, random, answers: 0, last_answer: 0, longest_silence: 0 }
    }

    fn send(&mut self, key: u64, set: Option<u64>, now: u64) {
        self.next_batch += 1;
        let value = set.map(|number| value_of(key, number)).unwrap_or_default();
        let operation = match set {
            Some(_) => Operation::Set { value: &value, ttl: None },
            None => Operation::Get,
        };
        let mut writer = RequestWriter::new();
        writer.push_request(&Request { key: &key.to_le_bytes(), operation }).expect("room");
        let mut frame = vec![0; HEADER_LEN + writer.encoded_len()];
        let header = FrameHeader { batch_id: self.next_batch, timestamp: key };
        encode_header(&mut frame, FrameKind::BatchRequest, 0, header).expect("room");
        writer.encode(&mut frame[HEADER_LEN..]).expect("room");
        self.net.borrow_mut().requests.push_back(frame);
        self.slots[key as usize].asked = Some(Asked { batch_id: self.next_batch, sent: now, set });
    }

    /// Takes answers, asks what is to be asked, and again what was not answered.
    fn step(&mut self, now: u64, is_asking: bool) {
        while let Some(frame) = { self.net.borrow_mut().responses.pop_front() } {
            self.take(&frame, now);
        }
        for key in 0..KEYS {
            match &self.slots[key as usize].asked {
                Some(asked) if now - asked.sent >= RETRY_NS => {
                    let set = asked.set;
                    self.send(key, set, now);
                }
                None if is_asking && self.random.below(4) == 0 => {
                    let number = self.slots[key as usize].stored + 1;
                    let set = (self.random.below(2) == 0).then_some(number);
                    self.send(key, set, now);
                }
                _ => {}
            }
        }
    }

    fn take(&mut self, frame: &[u8], now: u64) {
        let ResponseFrame { header, body } = ResponseFrame::decode(frame).expect("a response");
        let key = header.timestamp;
        let slot = &mut self.slots[key as usize];
        // An answer to an earlier try says nothing new.
        let Some(asked) = slot.asked.take_if(|asked| asked.batch_id == header.batch_id) else { return };
        let ResponseBody::Batch(batch) = body else { panic!("another body") };
        let response = batch.iter().next().expect("one response");
        match (asked.set, response.result) {
            (Some(number), ResultCode::Success) => slot.stored = number,
            (None, ResultCode::Success) => {
                let expected = value_of(key, slot.stored);
                assert!(slot.stored > 0 && response.value == Some(&expected[..]), "key {key}: a wrong value");
            }
            (None, ResultCode::NotFound) => assert_eq!(slot.stored, 0, "key {key}: an acknowledged value is lost"),
            other => panic!("key {key}: {other:?}"),
        }
        self.answers += 1;
        self.longest_silence = self.longest_silence.max(now - self.last_answer);
        self.last_answer = now;
    }

    fn is_done(&self) -> bool {
        self.slots.iter().all(|slot| slot.asked.is_none())
    }
}

/// Sums over all runs.
#[derive(Debug, Default)]
struct Sums {
    seeds: u64,
    answers: u64,
    epochs: u64,
    refused: u64,
    deaths: u64,
    failed: u64,
    full: u64,
    lost: u64,
    torn: u64,
    longest_silence_ns: u64,
}

fn run(seed: u64, sums: &mut Sums) {
    let generation = GENERATIONS[(seed % 2) as usize];
    let way = if (seed / 2).is_multiple_of(3) { ResponseWay::Pull } else { ResponseWay::Push };
    let directory = directory(generation);
    let control = Control::of(&directory);
    let limit = if seed.is_multiple_of(5) { ",len_max=300" } else { "" };
    // The limit is asked for when the device is opened.
    control.faults(limit);
    let memory = memory();
    let mut server = Server::new(&directory, &memory, way);
    control.faults(&format!("swarm={seed}{limit}"));
    let mut client = Client::new(server.net(), seed);
    let mut random = Random(!seed);
    for round in 0..ROUNDS + CALM_ROUNDS {
        let now = round * ROUND_NS;
        let is_calm = round >= ROUNDS;
        if round == ROUNDS {
            control.faults("");
        }
        if is_calm && client.is_done() {
            break;
        }
        if !is_calm && random.below(4000) == 0 {
            server.kill_dpu(now);
        }
        let is_host_first = random.below(2) == 0;
        for is_host in [is_host_first, !is_host_first] {
            server.turn(is_host, now);
        }
        server.supervise(now);
        client.step(now, !is_calm);
    }
    if !client.is_done() {
        eprintln!("{}", server.state());
    }
    assert!(client.is_done(), "seed {seed}: something is not answered {CALM_ROUNDS} us after the last fault");
    let silence = client.longest_silence;
    assert!(silence <= SILENCE_NS_MAX, "seed {seed}: nothing was answered for {silence} ns");
    sums.seeds += 1;
    sums.answers += client.answers;
    sums.epochs += server.seen.epochs;
    sums.refused += server.seen.refused;
    sums.deaths += server.seen.deaths;
    sums.failed += server.total(Counter::CopiesFailed);
    sums.full += server.total(Counter::CopyQueueFull);
    sums.lost += server.total(Counter::CopyContextsLost);
    sums.torn += server.total(Counter::SlotsTorn);
    sums.longest_silence_ns = sums.longest_silence_ns.max(silence);
}

fn run_all(seeds: std::ops::Range<u64>) -> Sums {
    let mut sums = Sums::default();
    for seed in seeds {
        // Whatever panics says for which seed.
        let is_ok = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(seed, &mut sums)));
        assert!(is_ok.is_ok(), "seed {seed}");
    }
    println!("{sums:#?}");
    sums
}

#[test]
fn some_seeds_of_faults_lose_nothing() {
    let _alone = alone();
    let sums = run_all(0..24);
    let kinds = [sums.failed, sums.full, sums.lost, sums.torn, sums.refused, sums.deaths];
    assert!(kinds.iter().all(|count| *count > 0), "a kind of fault has not happened: {sums:?}");
}

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// As `ci/doca.sh` runs it, `DOCA_SEEDS` of them; `DOCA_SEED=…` runs a single one again.
#[test]
#[ignore = "takes a minute or more"]
fn a_thousand_seeds_of_faults_lose_nothing() {
    let _alone = alone();
    let count = number("DOCA_SEEDS").unwrap_or(1000);
    run_all(number("DOCA_SEED").map_or(0..count, |seed| seed..seed + 1));
}
