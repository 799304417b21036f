//! Frames captured from MICA2's own programs, through ports that give whole frames: what an unmodified client sends and
//! expects, byte for byte, whether or not the requests cross to the host.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use kv_core::design::{Design, Plan, Topology};
use kv_core::framed::Framed;
use kv_core::hash::KeyHash;
use qp_wire::mica::{MicaRequest, RequestWriter};
use qp_wire::net::Checksums;
use qp_wire::{Opcode, RawRequest};
use sim::dialogue::Dialogue;
use sim::medium::Medium;
use sim::raw_port::SimRawPort;
use sim::scenario::Scenario;
use sim::server::Memory;
use sim::wire::Wire;

const CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 1, 1)), 0);
const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 0);

const PROBE: [&str; 2] = [
    include_str!("../../qp-wire/tests/fixtures/mica_probe_request.hex"),
    include_str!("../../qp-wire/tests/fixtures/mica_probe_response.hex"),
];
const GET_OF_0: [&str; 2] = [
    include_str!("../../qp-wire/tests/fixtures/mica_get_request.hex"),
    include_str!("../../qp-wire/tests/fixtures/mica_get_miss_response.hex"),
];
const SET_OF_4: [&str; 2] = [
    include_str!("../../qp-wire/tests/fixtures/mica_set_request.hex"),
    include_str!("../../qp-wire/tests/fixtures/mica_set_response.hex"),
];
const HIT_OF_1: &str = include_str!("../../qp-wire/tests/fixtures/mica_get_hit_response.hex");

/// The bytes of a fixture: hexadecimal digits, with comments behind `#`.
fn bytes(fixture: &str) -> Vec<u8> {
    let digits: String =
        fixture.lines().filter_map(|line| line.split('#').next()).flat_map(str::split_whitespace).collect();
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits"))
        .collect()
}

/// A frame with one request for a key of 8 bytes, as MICA2's client would send it.
fn request(opcode: Opcode, key: u64, value: &[u8], opaque: u32) -> Vec<u8> {
    let mut payload = [0; 64];
    let mut writer = RequestWriter::new(&mut payload).expect("room for a request");
    let key = key.to_le_bytes();
    let raw = RawRequest { operation: opcode.to_wire(), key: &key, value };
    writer.push(&MicaRequest { raw, key_hash: KeyHash::of(&key).0, opaque }).expect("room for a request");
    let len = writer.finish();
    Medium::Frames(Checksums::Zero).wrap(CLIENT, SERVER, &payload[..len])
}

/// Sends each frame when the one before was answered, and returns the answers.
fn converse(design: Design, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let topology = Topology { host_cores: 1, dpu_cores: 1, spare_cores: 1, partitions: 1, concurrent_read: false };
    let mut config = Scenario::calm(design, Wire::Mica).server;
    config.plan = Plan::new(design, topology).expect("one core of each side suits these designs");
    let memory = Memory::new(&config);
    let mut dialogue = Dialogue::<Framed<SimRawPort>>::new(config, &memory, CLIENT);
    frames
        .iter()
        .map(|frame| {
            let mut answers = dialogue.ask(SERVER, frame);
            assert_eq!(answers.len(), 1, "one answer to one frame");
            answers.remove(0)
        })
        .collect()
}

#[test]
fn captured_frames_are_answered_as_mica2_answers_them() {
    let value = 16_u64.to_le_bytes();
    let frames = [
        bytes(PROBE[0]),
        bytes(GET_OF_0[0]),
        bytes(SET_OF_4[0]),
        request(Opcode::Set, 1, &value, 0x0022_0000),
        request(Opcode::Get, 1, &[], 0x0023_0000),
    ];
    for design in [Design::CpuOnly, Design::DpuOnly, Design::Lat, Design::Sav] {
        let answers = converse(design, &frames);
        for (answer, expected) in [(0, PROBE[1]), (1, GET_OF_0[1]), (2, SET_OF_4[1]), (4, HIT_OF_1)] {
            assert_eq!(answers[answer], bytes(expected), "{} frame {answer}", design.name());
        }
    }
}
