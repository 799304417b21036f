//! Writes the seeds of the corpus: `cargo run -p fuzz --example seed_corpus`, from anywhere in the repository.
//!
//! A seed is a small input that reaches behind the door: a frame that was captured, a slot that is sealed, a script in which
//! things happen. They are made here rather than by hand, so that a change of a format changes the seeds with it; a test
//! compares. A corpus may hold more than its seeds.

#![forbid(unsafe_code)]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use qp_wire::batch::{RequestWriter, ResponseColumns, ResponseWriter};
use qp_wire::mica::{self, MicaRequest};
use qp_wire::native::{
    self, Endpoint, FrameHeader, FrameKind, IDENTITY_RESPONSE_LEN_MAX, Identity, encode_identity_request,
};
use qp_wire::qp::{SLOT_HEADER_LEN, SlotStamp, put_run_header, seal};
use qp_wire::{Operation, RawRequest, Request, ResultCode};

const HEADER: FrameHeader = FrameHeader { batch_id: 7, timestamp: 0x0102_0304_0506_0708 };

fn main() -> io::Result<()> {
    for (path, bytes) in seeds()?.files {
        fs::create_dir_all(path.parent().unwrap_or(&path))?;
        fs::write(path, bytes)?;
    }
    Ok(())
}

/// All seeds.
pub(crate) fn seeds() -> io::Result<Seeds> {
    let mut seeds = Seeds { files: Vec::new() };
    golden_frames(&mut seeds, &Path::new(env!("CARGO_MANIFEST_DIR")).join("../qp-wire/tests/fixtures"))?;
    mica_payloads(&mut seeds);
    native_requests(&mut seeds);
    native_responses(&mut seeds);
    slots(&mut seeds);
    ring_scripts(&mut seeds);
    process_scripts(&mut seeds);
    network_scripts(&mut seeds);
    table_scripts(&mut seeds);
    session_scripts(&mut seeds);
    directory_texts(&mut seeds);
    Ok(seeds)
}

/// Files of the corpus.
#[derive(Debug)]
pub(crate) struct Seeds {
    /// Where each belongs, and what is in it.
    pub(crate) files: Vec<(PathBuf, Vec<u8>)>,
}

impl Seeds {
    fn add(&mut self, target: &str, name: &str, bytes: impl AsRef<[u8]>) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target).join(name);
        self.files.push((path, bytes.as_ref().to_vec()));
    }
}

/// What was captured from MICA2: each frame, and its payload.
fn golden_frames(seeds: &mut Seeds, fixtures: &Path) -> io::Result<()> {
    for entry in fs::read_dir(fixtures)? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let text = fs::read_to_string(&path)?;
        let digits: String = text
            .lines()
            .map(|line| line.split('#').next().unwrap_or_default())
            .flat_map(str::chars)
            .filter(|digit| !digit.is_whitespace())
            .collect();
        let frame: Vec<u8> = digits
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(&String::from_utf8_lossy(pair), 16).expect("a fixture is hexadecimal"))
            .collect();
        seeds.add("network_frame", &name, &frame);
        let target = if name.ends_with("request") { "mica_request" } else { "mica_response" };
        seeds.add(target, &name, &frame[42..]);
        if name == "mica_probe_request" {
            let mut from_a_kernel = frame.clone();
            from_a_kernel[26] = 127;
            seeds.add("network_frame", "loopback_source", &from_a_kernel);
            let short = [&frame[..16], &[0, 28], &frame[18..38], &[0, 8, 0, 0], &[0; 18]].concat();
            seeds.add("network_frame", "padded_to_60_bytes", &short);
        }
    }
    Ok(())
}

/// Every operation, with operands that it takes.
fn requests() -> Vec<Request<'static>> {
    let operations = [
        Operation::NoopRead,
        Operation::NoopWrite,
        Operation::Add { value: b"added", ttl: None },
        Operation::Set { value: b"a value", ttl: std::num::NonZeroU64::new(60_000).map(qp_wire::TtlMs) },
        Operation::Get,
        Operation::Test,
        Operation::Delete,
        Operation::Increment { delta: 3 },
        Operation::CompareAndSet { expected: b"old", new: b"newer", ttl: None },
        Operation::Append { suffix: b"more" },
        Operation::Touch { ttl: None },
        Operation::Ttl,
        Operation::Reset,
    ];
    let key = |operation: &Operation<'_>| if operation.opcode().has_key() { &b"key"[..] } else { &[] };
    operations.into_iter().map(|operation| Request { key: key(&operation), operation }).collect()
}

fn mica_payloads(seeds: &mut Seeds) {
    let mut payload = [0; 1472];
    let mut writer = mica::RequestWriter::new(&mut payload).expect("room");
    for (operation, key, value) in
        [(5, &b"key"[..], &b""[..]), (4, b"a longer key", b"value"), (8, b"k", &[1; 8]), (9, b"k", b"")]
    {
        let raw = RawRequest { operation, key, value };
        writer.push(&MicaRequest { raw, key_hash: 9, opaque: u32::MAX }).expect("room");
    }
    let len = writer.finish();
    seeds.add("mica_request", "four_requests", &payload[..len]);
    let frame = mica::RequestFrame::decode(&payload[..len]).expect("a frame");
    let mut answer = [0; 1472];
    let mut writer = mica::ResponseWriter::new(&mut answer, frame.response_len_min()).expect("room");
    for request in frame.requests() {
        writer.push(request.head(), ResultCode::Success, Some(b"12345678")).expect("room");
    }
    let len = writer.finish();
    seeds.add("mica_response", "four_responses", &answer[..len]);
}

fn request_body(requests: &[Request<'_>]) -> Vec<u8> {
    let mut writer = RequestWriter::new();
    for request in requests {
        writer.push_request(request).expect("room");
    }
    let mut body = vec![0; writer.encoded_len()];
    writer.encode(&mut body).expect("room");
    body
}

fn response_body(responses: &[(ResultCode, Option<&[u8]>)]) -> Vec<u8> {
    let (mut body, mut columns) = (vec![0; 1000], ResponseColumns::new());
    let mut writer = ResponseWriter::new(&mut body, &mut columns, responses.len()).expect("room");
    for (result, value) in responses {
        match value {
            None => writer.push(*result),
            Some(value) => {
                writer.value_buf()[..value.len()].copy_from_slice(value);
                writer.push_value(*result, value.len());
            }
        }
    }
    let len = writer.finish();
    body.truncate(len);
    body
}

/// Bodies of requests and their names.
fn request_bodies() -> Vec<(&'static str, Vec<u8>)> {
    let get = Request { key: b"8 bytes.", operation: Operation::Get };
    let set = Request { key: b"8 bytes.", operation: Operation::Set { value: b"as long.", ttl: None } };
    vec![
        ("gets_that_fold", request_body(&[get; 4])),
        ("gets_and_sets", request_body(&[get, set, get, set])),
        ("every_operation", request_body(&requests())),
        // Two requests of an unknown operation, with columns that could have been folded (W-B-9).
        ("nothing_folded", vec![2, 0, 0, 0, 0, 0, 0, 0, 0x33, 0x33, 1, 1, 1, 0, 1, 0, b'a', b'b', b'c', b'd']),
    ]
}

fn response_bodies() -> Vec<(&'static str, Vec<u8>)> {
    let hit = (ResultCode::Success, Some(&b"as long."[..]));
    let miss = (ResultCode::NotFound, None);
    vec![
        ("hits_that_fold", response_body(&[hit; 4])),
        ("hits_and_misses", response_body(&[hit, miss, (ResultCode::Success, Some(b"")), hit])),
        ("nothing_folded", vec![2, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x80, 1, 0, 1, 0, b'a', b'b']),
    ]
}

fn framed(kind: FrameKind, body: &[u8]) -> Vec<u8> {
    let mut frame = [&[0; native::HEADER_LEN], body].concat();
    native::encode_header(&mut frame, kind, 0, HEADER).expect("room");
    frame
}

fn native_requests(seeds: &mut Seeds) {
    for (name, body) in request_bodies() {
        seeds.add("native_request", name, framed(FrameKind::BatchRequest, &body));
    }
    let mut padded = framed(FrameKind::BatchRequest, &request_body(&requests()));
    let len = padded.len();
    padded.resize(len + 40, 0);
    native::pad(&mut padded, len, len + 40).expect("room");
    seeds.add("native_request", "padded", &padded);
    let mut question = [0; IDENTITY_RESPONSE_LEN_MAX];
    let len = encode_identity_request(&mut question, HEADER, 30).expect("room");
    seeds.add("native_request", "identity", &question[..len]);
    let mut foreign = framed(FrameKind::IdentityRequest, b"");
    foreign[1] = 9;
    seeds.add("native_request", "another_version", &foreign);
}

fn identity(complete: bool) -> Vec<u8> {
    let endpoints = [Endpoint::new(0, [0; 4], 7600), Endpoint::new(1, [10, 0, 0, 2], 7601)];
    let identity = Identity {
        server_id: 1,
        epoch: 2,
        design: 3,
        concurrent_read: true,
        complete,
        frame_len_max: 1472,
        value_len_max: 1000,
        key_len_max: 255,
        owners: if complete { &[0, 1, 1, 0] } else { &[0, 9] },
        endpoints: &endpoints,
    };
    let mut body = vec![0; identity.encoded_len()];
    identity.encode(&mut body).expect("room");
    framed(FrameKind::IdentityResponse, &body)
}

fn native_responses(seeds: &mut Seeds) {
    for (name, body) in response_bodies() {
        seeds.add("native_response", name, framed(FrameKind::BatchResponse, &body));
    }
    seeds.add("native_response", "identity", identity(true));
    seeds.add("native_response", "identity_without_an_owner", identity(false));
    let mut foreign = framed(FrameKind::IdentityRequest, b"");
    foreign[1] = 9;
    let mut answer = [0; native::HEADER_LEN];
    native::version_answer(&foreign, &mut answer).expect("room");
    seeds.add("native_response", "another_version", answer);
}

fn run(body: &[u8], response_len_max: usize) -> Vec<u8> {
    let mut run = [&[0; 4], body].concat();
    put_run_header(&mut run, body.len(), response_len_max).expect("room");
    run
}

/// A slot as `check_request_slot` and `check_response_slot` wait for it.
fn sealed(runs: &[u8], direction: u32) -> Vec<u8> {
    let mut slot = [&[0; SLOT_HEADER_LEN], runs].concat();
    let stamp = SlotStamp { queue_pair: direction | 5, epoch: 7, index: 1, sequence: 9, credit: 3 };
    let len = slot.len();
    seal(&mut slot, len, &stamp).expect("room");
    slot
}

fn slots(seeds: &mut Seeds) {
    let mut all = Vec::new();
    for (name, body) in request_bodies() {
        let run = run(&body, 200);
        all.extend(&run);
        seeds.add("request_slot", &format!("runs_{name}"), &run);
    }
    seeds.add("request_slot", "sealed", sealed(&all, 0));
    seeds.add("request_slot", "sealed_without_runs", sealed(b"", 0));
    seeds.add("request_slot", "runs", &all);
    all.clear();
    for (name, body) in response_bodies() {
        let run = run(&body, 0);
        all.extend(&run);
        seeds.add("response_slot", &format!("runs_{name}"), &run);
    }
    seeds.add("response_slot", "sealed", sealed(&all, 1 << 31));
    seeds.add("response_slot", "runs", &all);
}

/// A byte string behind its length, as scripts have it.
fn string(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_le_bytes(), bytes].concat()
}

/// See `fuzz/src/ring.rs` for the steps.
fn ring_scripts(seeds: &mut Seeds) {
    let send = |arrives: u16| [&[1, 5, 0], &arrives.to_le_bytes()[..], b"hello", &[0; 4]].concat();
    let begin = [2, 3, 1, 0, 0, 0];
    let lap = [&send(0)[..], &[3, 5]].concat();
    seeds.add("ring_hostile", "laps", [&begin[..], &lap.repeat(9)].concat());
    // Words that are missing at the first look arrive with the same slot again, as a forger who knows everything sends it.
    let torn = [&send(0b10)[..], &[3, 4], &[2, 0x54, 5], b"hello", &[0; 6], &[3, 5]].concat();
    seeds.add("ring_hostile", "torn_and_repaired", [&begin[..], &torn.repeat(3)].concat());
    let forged: Vec<u8> =
        (0..8_u8).flat_map(|kind| [&[2, 0x50 | kind, 5][..], b"alien", &[0; 6], &[3]].concat()).collect();
    seeds.add("ring_hostile", "slots_of_others", [&begin[..], &forged].concat());
    let epochs = [&send(0)[..], &[9, 1, 3], &send(0), &[9, 0, 3], &send(0), &[3, 8, 3]].concat();
    seeds.add("ring_hostile", "late_writes_of_an_epoch", [&begin[..], &epochs].concat());
    let credits = [&send(0).repeat(5)[..], &[6, 9, 0, 0, 0, 6, 2, 0, 0, 0, 6, 1, 0, 0, 0]].concat();
    seeds.add("ring_hostile", "credits", [&begin[..], &credits].concat());
    seeds.add("ring_hostile", "short_memory", [&begin[..], &send(0), &[7, 9, 7, 64, 7, 255, 3]].concat());
}

/// See `fuzz/src/process.rs` for the steps.
fn process_scripts(seeds: &mut Seeds) {
    let begin = [0b10_1000, 1, 0, 0, 0];
    let send = |credit: u8, runs: &[u8]| [&[1, credit], &string(runs)[..]].concat();
    let (turn, copied) = ([8], [4, 1, 0]);
    let mut add = |name: &str, script: Vec<u8>| seeds.add("process_hostile", name, [&begin[..], &script].concat());
    for (name, body) in request_bodies() {
        let answered = [&send(1, &run(&body, 200))[..], &turn, &copied].concat();
        add(name, answered.repeat(3));
    }
    let get = run(&request_body(&[Request { key: b"honest", operation: Operation::Get }]), 100);
    add("no_room_for_the_answer", [&send(1, &run(&request_bodies()[2].1, 47)), &turn[..]].concat());
    add("more_room_than_a_slot", [&send(1, &get.repeat(12)), &turn[..]].concat());
    add("credit_for_nothing", [&send(9, &get), &turn[..], &turn].concat());
    add("only_credit", [&send(1, b""), &turn[..]].concat().repeat(3));
    add("garbage_in_a_sealed_slot", [&send(1, &[3; 40]), &turn[..], &turn].concat());
    let no_credit = [&send(0, &get)[..], &turn, &copied].concat();
    add("answers_never_taken_out", [&send(1, &get)[..], &turn, &copied, &no_credit.repeat(6)].concat());
    // The second word of the first slot: sequence 1.
    let sequence = [0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0];
    add("a_slot_that_stays_torn", [&sequence[..], &turn, &[7, 30], &turn].concat());
    let failing = [&send(1, &get)[..], &turn, &[4, 0, 0, 8].repeat(5)].concat();
    add("copies_that_fail", failing.clone());
    add("a_new_epoch_after_a_fault", [&failing[..], &[6], &send(1, &get), &turn, &copied].concat());
    add("many_requests", [&[3, 31, 4, 9][..], &[4, 5, 8, 7].repeat(8), &[0xe8, 3], &turn, &copied].concat().repeat(4));
}

/// A native frame of so many requests that take turns between two operations. See `fuzz/src/datagrams.rs`.
fn native_datagram(source: u8, operations: [u8; 2], count: u16, lens: (u8, u16), frame_len: u16) -> Vec<u8> {
    requests_datagram(source, operations, count, lens, &[&frame_len.to_le_bytes()[..], &[7, 0, 0, 0]].concat())
}

fn mica_datagram(source: u8, operations: [u8; 2], count: u16, lens: (u8, u16)) -> Vec<u8> {
    requests_datagram(source | 2 << 2, operations, count, lens, &[0x20, 0, 0, 0])
}

fn requests_datagram(kind: u8, operations: [u8; 2], count: u16, lens: (u8, u16), rest: &[u8]) -> Vec<u8> {
    let (count, value_len) = (count.to_le_bytes(), lens.1.to_le_bytes());
    [&[0, kind], &operations[..], &count, &[lens.0], &value_len, rest].concat()
}

/// See `fuzz/src/communicate.rs` and `fuzz/src/serve.rs` for the steps.
fn network_scripts(seeds: &mut Seeds) {
    const LISTED: u8 = 0;
    const ADMINISTRATOR: u8 = 1;
    const STRANGER: u8 = 2;
    let identity = [0, STRANGER | 4 << 2, 7, 0, 0, 0, 0x28, 2];
    let foreign =
        [&[0, STRANGER | 5 << 2][..], &string(&[0xD5, 9, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])].concat();
    let response = [&[0, LISTED | 5 << 2][..], &string(&[0xD6, 1, 0, 0])].concat();
    let datagrams = [
        ("gets_of_a_stranger", native_datagram(STRANGER, [5, 5], 32, (8, 0), 400)),
        ("sets_and_gets", native_datagram(LISTED, [4, 5], 32, (8, 8), 1472)),
        ("resets_of_a_stranger", native_datagram(STRANGER, [4, 0], 1000, (3, 4), 8972)),
        ("resets_of_an_administrator", native_datagram(ADMINISTRATOR, [4, 0], 20, (3, 4), 1472)),
        ("a_jumbo_frame", native_datagram(LISTED, [4, 4], 1, (255, 8600), 8972)),
        ("too_many_requests_for_a_stranger", native_datagram(STRANGER, [1, 1], 1024, (0, 0), 0)),
        ("mica_gets", mica_datagram(STRANGER, [5, 5], 16, (8, 0))),
        ("mica_increments_and_wrong_hashes", mica_datagram(LISTED, [8, 4], 40, (9, 8))),
        ("mica_operations_that_are_ours", mica_datagram(LISTED, [9, 12], 40, (9, 8))),
        ("identity_question", identity.to_vec()),
        ("another_version", foreign),
        ("a_response", response),
    ];
    let round = [13, 9];
    let mut all = Vec::new();
    for (name, datagram) in &datagrams {
        all.extend(datagram);
        for (way, shape) in [("push", 0b0100_0101_u8), ("pull", 0b0111_1010)] {
            let script = [&[shape, 3], &datagram.repeat(3)[..], &round, &round, &round].concat();
            seeds.add("communicate_hostile", &format!("{name}_{way}"), script);
        }
        seeds.add("serve_hostile", name, [&[8], &datagram.repeat(3)[..], &[7]].concat());
    }
    seeds.add("communicate_hostile", "everything", [&[0, 3], &all[..], &[13, 9].repeat(12)].concat());
    seeds.add("serve_hostile", "everything", [&[1], &all[..], &[5, 3, 1, 6, 1, 5, 0, 0, 6, 1, 7]].concat());
    let asked =
        [&native_datagram(LISTED, [5, 5], 4, (8, 0), 1472)[..], &mica_datagram(LISTED, [5, 5], 4, (8, 0)), &[14, 5, 0]]
            .concat();
    for defect in 1..8 {
        let script = [&[1, 3], &asked[..], &[9, defect, 7, 14, 13, 0]].concat();
        seeds.add("communicate_hostile", &format!("an_answer_with_defect_{defect}"), script);
    }
    let forged = [&[1, 3], &asked[..], &[8, 1], &string(&run(&response_bodies()[0].1, 0)), &[14, 14]].concat();
    seeds.add("communicate_hostile", "a_forged_answer", forged);
    let failing = [&[1, 3], &asked[..14], &[14], &[6, 0, 14].repeat(5), &[11], &asked].concat();
    seeds.add("communicate_hostile", "copies_that_fail_and_a_new_epoch", failing);
    seeds.add("communicate_hostile", "a_silent_host", [&[1, 3], &asked[..], &[12, 0xcf, 7].repeat(6), &asked].concat());
}

/// Numbers from a seed: the linear congruence of Knuth's MMIX.
fn numbers(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..count).map(next).collect()
}

fn table_scripts(seeds: &mut Seeds) {
    for (name, shape) in [("store", 0x10), ("cache", 1), ("concurrent_store", 6), ("concurrent_cache", 0xf7)] {
        seeds.add("table_operations", name, [&[shape], &numbers(u64::from(shape), 1500)[..]].concat());
        // Many keys with values of all short lengths, round and round: a full table.
        let sets: Vec<u8> = (0..=255_u8).cycle().take(400).flat_map(|id| [2, id, 100 + id % 60, 0]).collect();
        seeds.add("table_operations", &format!("full_{name}"), [&[shape, 9], &sets[..]].concat());
    }
}

/// See `fuzz/src/session.rs` for the steps.
fn session_scripts(seeds: &mut Seeds) {
    let begin = |shape: u8| [shape, 1, 2, 3, 4, 5, 6, 7, 8];
    let submit = |kind: u8, len: u16| [&[0, kind, 8], &len.to_le_bytes()[..]].concat();
    // The identity of an even seed is a plain one; each server gives its own.
    let meet = |server_count: usize| [&[13][..], &[0, 15, 3, 1].repeat(server_count)].concat();
    let some: Vec<u8> = (0..12).flat_map(|kind| submit(kind, 20)).collect();
    for (name, shape, round) in [
        ("one_server", 0b00_0100, vec![13, 2]),
        ("two_servers", 0b11_0101, vec![13, 2]),
        ("refusals", 0b01_0100, [13, 200].repeat(4)),
        ("no_answers", 0b10_1010, [3, 5, 0, 11, 255, 255].repeat(6)),
        ("lost_at_the_socket", 0b00_0100, [3, 5, 255, 11, 200, 0, 5, 85].to_vec()),
        (
            "damaged_answers",
            0b00_0100,
            [3, 5, 0, 7, 0, 9, 0, 0, 3, 7, 1, 9, 3, 9, 0, 8, 2, 9, 6, 20, 3, 1, 2, 3].to_vec(),
        ),
        ("an_identity_that_moves", 0b00_0100, [3, 5, 0, 11, 255, 9, 5, 0, 13, 33, 15, 31, 9, 100, 0, 100, 0].to_vec()),
    ] {
        let script = [&begin(shape)[..], &meet(1 + usize::from(shape & 1)), &some, &round, &some, &[13, 2]].concat();
        seeds.add("session_hostile", name, script);
    }
    seeds.add(
        "session_hostile",
        "long_values",
        [&begin(4)[..], &meet(1), &submit(3, 8000), &submit(9, 900), &[13, 2, 2]].concat(),
    );
}

/// Entries, and what servers and clients of MICA2's say to a directory. The first byte of a request is the length of the
/// pieces in which it arrives.
fn directory_texts(seeds: &mut Seeds) {
    let entry = r#"{"concurrent_read":true,"concurrent_write":false,"partitions":[[0,0],[1,1]],"endpoints":[[0,0,"02:00:00:00:00:01","10.0.0.1",0],[1,1,"02:00:00:00:00:01","10.0.0.1",1]]}"#;
    seeds.add("directory_entry", "two_endpoints", entry);
    seeds.add("directory_entry", "with_spaces", entry.replace(',', " , "));
    let put = |body: &str, more: &str| {
        let len = body.len();
        format!("PUT /v2/keys/mica/servers/srv%2D1 HTTP/1.1\r\nHost: h\r\n{more}Content-Length: {len}\r\n\r\n{body}")
    };
    let get = "GET /v2/keys/mica/servers/?sorted=true HTTP/1.1\r\nAccept: */*\r\n\r\n";
    let delete = "DELETE /v2/keys/mica/servers/srv-1 HTTP/1.1\r\nConnection: close\r\n\r\n";
    let form = put(&format!("value={}&ttl=2", entry.replace('"', "%22")), "Expect: 100-continue\r\n");
    let of_mica2 = put(&format!("ttl=2;value={entry};"), "");
    for (name, piece_len, text) in [
        ("look_up", 255, get.to_owned()),
        ("register", 7, form.clone()),
        ("register_as_mica2_does", 255, of_mica2.clone()),
        ("a_life", 31, format!("{form}{get}{of_mica2}{delete}")),
    ] {
        seeds.add("directory_request", name, [&[piece_len], text.as_bytes()].concat());
    }
}
