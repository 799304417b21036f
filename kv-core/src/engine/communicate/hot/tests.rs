//! What the cache does, and a model of all that can happen around it.

use std::collections::VecDeque;
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;
use qp_wire::batch::{RequestWriter, ResponseBatch, ResponseColumns, ResponseWriter};
use qp_wire::native::{self, FrameHeader, FrameKind};
use qp_wire::operation::TTL_FLAG;
use qp_wire::{RawRequest, mica};

use super::*;

const GET: u8 = Opcode::Get as u8;
const TEST: u8 = Opcode::Test as u8;
const SET: u8 = Opcode::Set as u8;
const DELETE: u8 = Opcode::Delete as u8;
const RESET: u8 = Opcode::Reset as u8;

/// A native frame's payload.
fn frame(requests: &[RawRequest<'_>]) -> Vec<u8> {
    let mut writer = RequestWriter::new();
    for request in requests {
        writer.push(request).expect("a small frame");
    }
    let mut payload = vec![0; native::HEADER_LEN + writer.encoded_len()];
    let header = FrameHeader { batch_id: 1, timestamp: 2 };
    native::encode_header(&mut payload, FrameKind::BatchRequest, 0, header).expect("room");
    writer.encode(&mut payload[native::HEADER_LEN..]).expect("room");
    payload
}

/// A GET as MICA2 sends it.
fn mica_get(key: &[u8], key_hash: u64) -> Vec<u8> {
    let mut payload = vec![0; 128];
    let mut writer = mica::RequestWriter::new(&mut payload).expect("room");
    writer.push(&mica::MicaRequest { raw: request(GET, key), key_hash, opaque: 0 }).expect("room");
    let len = writer.finish();
    payload.truncate(len);
    payload
}

fn request(operation: u8, key: &[u8]) -> RawRequest<'_> {
    RawRequest { operation, key, value: &[] }
}

fn inbound(payload: &[u8]) -> Inbound<'_> {
    match Decoded::of(payload) {
        Decoded::Requests(inbound) => inbound,
        other => panic!("{other:?}"),
    }
}

fn value(value: &[u8]) -> Response<'_> {
    Response { result: ResultCode::Success, value: Some(value) }
}

const MISS: Response<'_> = Response { result: ResultCode::NotFound, value: None };

/// A core with a cache and without a host: whoever asks it answers.
struct Core<'m> {
    hot: HotKeys<'m>,
    counters: Counters,
}

impl<'m> Core<'m> {
    fn new(sets: &'m mut [HotSet]) -> Self {
        Self { hot: HotKeys::new(sets), counters: Counters::default() }
    }

    /// What the cache answers a frame, or what it wants to hear.
    fn see(&mut self, payload: &[u8]) -> Result<Vec<Vec<u8>>, Watch> {
        match self.hot.see(&inbound(payload), true, &mut self.counters) {
            Seen::Here(hits) => {
                Ok(self.hot.answers(&hits).filter_map(|answer| answer.value.map(<[u8]>::to_vec)).collect())
            }
            Seen::Asked(watch) => Err(watch),
        }
    }

    fn learn(&mut self, payload: &[u8], watch: Watch, may_expire: bool, responses: &[Response<'_>]) {
        let has_misses = responses.iter().any(|response| response.result == ResultCode::NotFound);
        let news = News { may_expire, has_misses };
        if self.hot.listens(watch, news) {
            self.hot.learn(payload, watch, news, responses.iter().copied(), &mut self.counters);
        }
    }

    /// Asks for a key, and the host if need be; whether the answer came from the cache.
    fn get(&mut self, key: &[u8], held: &[u8]) -> bool {
        let payload = frame(&[request(GET, key)]);
        match self.see(&payload) {
            Ok(values) => {
                assert_eq!(values, [held]);
                true
            }
            Err(watch) => {
                self.learn(&payload, watch, false, &[value(held)]);
                false
            }
        }
    }

    /// Sends a write that the host will have executed before it is asked again.
    fn write(&mut self, operation: u8, key: &[u8]) {
        assert!(self.see(&frame(&[request(operation, key)])).is_err());
    }
}

#[test]
fn the_second_answer_is_kept_and_the_third_is_given_here() {
    let mut sets = [HotSet::EMPTY];
    let mut core = Core::new(&mut sets);
    assert_eq!([(); 4].map(|()| core.get(b"key", b"value")), [false, false, true, true]);
    assert_eq!(core.counters.get(Counter::HotFills), 1);
}

#[test]
fn without_memory_everything_goes_to_the_host() {
    let mut core = Core::new(&mut []);
    assert!(core.hot.is_off());
    assert!(!(0..10).any(|_| core.get(b"key", b"value")));
    core.write(SET, b"key");
    assert_eq!(core.counters.get(Counter::HotFills) + core.counters.get(Counter::HotRemovals), 0);
}

#[test]
fn whatever_may_change_a_key_removes_it() {
    let changing = (0..=u8::MAX).filter(|operation| effect(*operation) == Effect::Write);
    assert_eq!(changing.clone().count(), 256 - 6);
    for operation in changing {
        let mut sets = [HotSet::EMPTY];
        let mut core = Core::new(&mut sets);
        core.get(b"key", b"old");
        core.get(b"key", b"old");
        core.write(operation, b"key");
        assert!(!core.get(b"key", b"new"), "operation {operation}");
        assert!(core.get(b"key", b"new"), "operation {operation}");
        assert_eq!(core.counters.get(Counter::HotRemovals), 1);
    }
}

#[test]
fn one_hit_in_many_goes_to_the_host() {
    let mut sets = [HotSet::EMPTY];
    let mut core = Core::new(&mut sets);
    core.get(b"key", b"value");
    core.get(b"key", b"value");
    let hits = (0..640).filter(|_| core.get(b"key", b"value")).count();
    assert_eq!((hits, core.counters.get(Counter::HotFills)), (630, 1 + 10));
}

#[test]
fn key_and_value_share_a_cache_line() {
    for (key_len, value_len, fits) in [(1, 61, true), (30, 32, true), (62, 0, true), (8, 55, false), (63, 0, false)] {
        let mut sets = [HotSet::EMPTY];
        let mut core = Core::new(&mut sets);
        let (key, value) = (vec![7; key_len], vec![8; value_len]);
        let is_hit = (0..3).map(|_| core.get(&key, &value)).last();
        assert_eq!(is_hit, Some(fits), "{key_len} and {value_len} bytes");
    }
}

#[test]
fn a_frame_is_answered_when_all_of_it_is_here() {
    let mut sets = [HotSet::EMPTY];
    let mut core = Core::new(&mut sets);
    for key in [b"a", b"b"] {
        core.get(key, key);
        core.get(key, key);
    }
    assert_eq!(core.see(&frame(&[request(GET, b"b"), request(GET, b"a")])), Ok(vec![b"b".to_vec(), b"a".to_vec()]));
    assert!(core.see(&frame(&[request(GET, b"b"), request(GET, b"c")])).is_err());
    assert!(core.see(&frame(&[request(GET, b"b"), request(TEST, b"a")])).is_err());
    assert!(core.see(&frame(&[request(GET, b"b"); FRAME_COUNT_MAX])).is_ok());
    assert!(core.see(&frame(&[request(GET, b"b"); FRAME_COUNT_MAX + 1])).is_err());
    // Of a long frame, too, writes are seen.
    let mut requests = vec![request(GET, b"b"); FRAME_COUNT_MAX];
    requests.push(request(DELETE, b"b"));
    assert!(core.see(&frame(&requests)).is_err());
    assert!(!core.get(b"b", b"new"));
    assert!(core.get(b"a", b"a"));
}

#[test]
fn an_administrators_reset_empties_everything_and_nobody_elses_anything() {
    let mut sets = [HotSet::EMPTY, HotSet::EMPTY];
    let mut core = Core::new(&mut sets);
    core.get(b"key", b"old");
    core.get(b"key", b"old");
    let reset = frame(&[request(RESET, b"")]);
    assert!(matches!(core.hot.see(&inbound(&reset), false, &mut core.counters), Seen::Asked(_)));
    assert!(core.get(b"key", b"old"));
    assert!(matches!(core.hot.see(&inbound(&reset), true, &mut core.counters), Seen::Asked(_)));
    assert!(!core.get(b"key", b"new"));
}

#[test]
fn popular_keys_stay_while_others_pass() {
    let mut sets = [HotSet::EMPTY];
    let mut core = Core::new(&mut sets);
    let mut hits = 0;
    for round in 0..200_u8 {
        hits += u32::from(core.get(b"popular", b"value"));
        // Twice in a row is enough to come in.
        for _ in 0..2 {
            core.get(&[round], b"value");
        }
    }
    assert!(hits > 190 && core.counters.get(Counter::HotFills) > 200, "{hits}");
}

#[test]
fn a_hash_that_is_not_the_keys_is_for_the_host_to_refuse() {
    let mut sets = [HotSet::EMPTY];
    let mut core = Core::new(&mut sets);
    core.get(b"key", b"value");
    core.get(b"key", b"value");
    let right = KeyHash::of(b"key").0;
    let mut see = |key_hash| core.see(&mica_get(b"key", key_hash));
    assert_eq!(see(right), Ok(vec![b"value".to_vec()]));
    // One that differs in what neither chooses the set nor tells keys apart at first sight.
    assert!(see(right ^ 1 << 63).is_err());
    assert!(see(!right).is_err());
}

/// W-Q-7
#[test]
fn a_run_in_which_something_may_expire_fills_nothing() {
    let (mut body, mut columns) = ([0; 64], ResponseColumns::new());
    let mut writer = ResponseWriter::new(&mut body, &mut columns, 1).expect("room");
    writer.value_buf()[..5].copy_from_slice(b"value");
    writer.push_value(ResultCode::Success, 5);
    let len = writer.finish();
    let mut sets = [HotSet::EMPTY];
    let mut core = Core::new(&mut sets);
    let payload = frame(&[request(GET, b"key")]);
    for (may_expire, is_hit) in [(true, false), (true, false), (true, false), (false, false), (false, true)] {
        let Err(watch) = core.see(&payload) else { return assert!(is_hit) };
        assert!(!is_hit);
        let run = ResponseRun { batch: ResponseBatch::decode(&body[..len]).expect("a good body"), may_expire };
        let news = core.hot.news(&run);
        if core.hot.listens(watch, news) {
            core.hot.learn(&payload, watch, news, run.batch.iter(), &mut core.counters);
        }
    }
    panic!("nothing was kept");
}

/// What a client reads that it must not, in words.
type Lie = String;

const KEY_COUNT: usize = 8;

/// One byte and up to 29, so that they lie in all sets.
fn key(index: usize) -> Vec<u8> {
    vec![index as u8 + 1; 1 + 4 * index]
}

/// A frame on its way to the host and back.
struct InFlight {
    payload: Vec<u8>,
    requests: Vec<(u8, usize, u64)>,
    watch: Watch,
    /// Its answers, once the host has executed it, and whether one of them may expire.
    answers: Option<(Vec<Option<u64>>, bool)>,
    /// The number of its first request, by the model's count.
    number: u64,
}

/// The cache, a host's table, and all that is between them.
///
/// The host executes frames in the order in which they were sent, some time; their answers come in that order, some time
/// later; items expire and are evicted; epochs end. What `held` says of a key is what a client may be told at once: the
/// value that was sent last, as long as nobody was told that it is gone. That is more than a linearizable store owes,
/// where a write that was not answered yet may as well not have happened: a client that sends a write and then a GET,
/// and waits for neither, reads what it wrote.
struct Model<'m> {
    core: Core<'m>,
    host: [Option<(u64, bool)>; KEY_COUNT],
    flight: VecDeque<InFlight>,
    held: [Option<u64>; KEY_COUNT],
    written: [u64; KEY_COUNT],
    number: u64,
    hits: u64,
}

/// Values differ in the number in front. Some are too long for the cache.
fn value_bytes(serial: u64) -> Vec<u8> {
    let mut bytes = vec![0; if serial.is_multiple_of(7) { 63 } else { 8 }];
    bytes[..8].copy_from_slice(&serial.to_le_bytes());
    bytes
}

fn serial_of(value: &[u8]) -> u64 {
    u64::from_le_bytes(*value.first_chunk().expect("8 bytes or more"))
}

impl<'m> Model<'m> {
    fn new(sets: &'m mut [HotSet], rules: HotRules) -> Self {
        let core = Core { hot: HotKeys::with_rules(sets, rules), counters: Counters::default() };
        let (held, written) = ([None; KEY_COUNT], [0; KEY_COUNT]);
        Self { core, host: [None; KEY_COUNT], flight: VecDeque::new(), held, written, number: 0, hits: 0 }
    }

    /// Does what a byte says; others say more.
    fn step(&mut self, byte: u8, rest: &mut impl Iterator<Item = u8>) -> Result<(), Lie> {
        let index = usize::from(byte) % KEY_COUNT;
        match byte {
            0..=127 => {
                let count = if byte < 96 { 1 } else { usize::from(byte) % 3 + 2 };
                let asked: Vec<_> = rest.by_ref().take(count).collect();
                return self.send(&asked);
            }
            128..=175 => self.execute(),
            176..=223 => self.deliver(),
            224..=231 => self.host[index] = None,
            232..=239 => self.host[index] = self.host[index].filter(|(_, expires)| !expires),
            240..=243 => self.end_epoch(byte == 243),
            244..=255 => {
                while !self.flight.is_empty() {
                    self.execute();
                    self.deliver();
                }
            }
        }
        Ok(())
    }

    fn send(&mut self, asked: &[u8]) -> Result<(), Lie> {
        let first = self.number + 1;
        let mut requests = Vec::new();
        for byte in asked {
            let operation = match byte / 8 {
                0..=19 => GET,
                20..=22 => TEST,
                23..=26 => SET,
                27..=28 => SET | TTL_FLAG,
                29..=30 => DELETE,
                _ if byte % 4 == 0 => RESET,
                _ => GET,
            };
            self.number += 1;
            requests.push((operation, usize::from(byte % 8), self.number));
        }
        let keys: Vec<_> = requests.iter().map(|(_, index, _)| key(*index)).collect();
        let raw: Vec<_> = requests.iter().zip(&keys).map(|((operation, ..), key)| request(*operation, key)).collect();
        if raw.is_empty() {
            return Ok(());
        }
        let payload = frame(&raw);
        match self.core.see(&payload) {
            Ok(values) => {
                assert_eq!(values.len(), requests.len());
                for ((_, key, _), value) in requests.into_iter().zip(values) {
                    let (read, held) = (serial_of(&value), self.held[key]);
                    if held != Some(read) {
                        return Err(format!("key {key}: {read} was read, {held:?} was held"));
                    }
                    self.hits += 1;
                }
            }
            Err(watch) => {
                for (operation, key, number) in &requests {
                    self.note_sent(*operation, *key, *number);
                }
                self.flight.push_back(InFlight { payload, requests, watch, answers: None, number: first });
            }
        }
        Ok(())
    }

    fn note_sent(&mut self, operation: u8, key: usize, number: u64) {
        let held = match operation {
            SET => Some(number),
            RESET => return (self.held, self.written) = ([None; KEY_COUNT], [number; KEY_COUNT]),
            GET | TEST => return,
            _ => None,
        };
        (self.held[key], self.written[key]) = (held, number);
    }

    /// The host executes the next frame.
    fn execute(&mut self) {
        let Some(frame) = self.flight.iter_mut().find(|frame| frame.answers.is_none()) else { return };
        let mut may_expire = false;
        let mut answers = Vec::new();
        for (operation, key, number) in &frame.requests {
            let item = &mut self.host[*key];
            answers.push(match *operation {
                GET => {
                    may_expire |= item.is_some_and(|(_, expires)| expires);
                    item.map(|(value, _)| value)
                }
                TEST => item.map(|(value, _)| value),
                DELETE => item.take().map(|(value, _)| value),
                RESET => {
                    self.host = [None; KEY_COUNT];
                    Some(0)
                }
                operation => {
                    *item = Some((*number, operation & TTL_FLAG != 0));
                    Some(0)
                }
            });
        }
        frame.answers = Some((answers, may_expire));
    }

    /// The oldest frame is answered, if the host has executed it.
    fn deliver(&mut self) {
        let Some((answers, may_expire)) = self.flight.front_mut().and_then(|frame| frame.answers.take()) else {
            return;
        };
        let Some(InFlight { payload, requests, watch, number, .. }) = self.flight.pop_front() else { return };
        assert!(number <= self.number);
        let values: Vec<_> = answers.iter().map(|answer| answer.map(value_bytes)).collect();
        let responses: Vec<_> = requests
            .iter()
            .zip(&values)
            .map(|((operation, ..), bytes)| match bytes {
                Some(bytes) if *operation == GET => value(bytes),
                Some(_) => Response { result: ResultCode::Success, value: None },
                None => MISS,
            })
            .collect();
        self.core.learn(&payload, watch, may_expire, &responses);
        for ((_, key, number), answer) in requests.iter().zip(answers) {
            // Whoever reads that it is gone must not be contradicted, unless it was written since.
            if answer.is_none() && self.written[*key] <= *number {
                self.held[*key] = None;
            }
        }
    }

    /// The queue pair begins anew: what was not executed never will be, what was not answered never is.
    fn end_epoch(&mut self, is_host_new: bool) {
        self.flight.clear();
        self.core.hot.end_epoch();
        if is_host_new {
            self.host = [None; KEY_COUNT];
        }
        self.held = self.host.map(|item| item.filter(|(_, expires)| !expires).map(|(value, _)| value));
    }
}

/// Plays a script; how many GETs were answered from the cache.
fn check_script(script: &[u8], set_count: usize, rules: HotRules) -> Result<u64, Lie> {
    let mut sets = vec![HotSet::EMPTY; set_count];
    let mut model = Model::new(&mut sets, rules);
    let mut bytes = script.iter().copied();
    while let Some(byte) = bytes.next() {
        model.step(byte, &mut bytes)?;
    }
    Ok(model.hits)
}

/// Scripts that are always the same.
fn scripts() -> impl Iterator<Item = Vec<u8>> {
    let mut state = 1_u64;
    let mut byte = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    core::iter::repeat_with(move || (0..2_000).map(|_| byte()).collect())
}

#[test]
fn nothing_is_read_that_was_not_held() {
    let hits: u64 = scripts().take(300).map(|script| check_script(&script, 2, HotRules::ALL).expect("true")).sum();
    assert!(hits > 4_000, "{hits}");
}

#[test]
fn each_broken_rule_is_found() {
    for rule in [
        HotRule::WritesRemove,
        HotRule::WritesRemoveFirst,
        HotRule::OlderThanWritesIsNotKept,
        HotRule::EpochsEndEmpty,
        HotRule::WhatExpiresIsNotKept,
        HotRule::WhatIsGoneIsRemoved,
    ] {
        let found = scripts().take(300).find_map(|script| check_script(&script, 2, HotRules::all_but(rule)).err());
        assert!(found.is_some(), "{rule:?}");
    }
}

proptest! {
    #[test]
    fn any_script_reads_only_what_was_held(script in proptest::collection::vec(any::<u8>(), 0..400), set_count in 1..4_usize) {
        let result = check_script(&script, set_count, HotRules::ALL);
        prop_assert!(result.is_ok(), "{:?}", result);
    }
}
