//! A port that replays frames: what comes once, what comes again, and files that are none.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use arch::{Tick, TickRate};
use client::frames::{FrameWriter, Wire};
use kv_core::counters::Counter;
use kv_core::engine::{Engine, Policy, Prefix, Serve};
use kv_core::framed::Framed;
use kv_core::hash::Secret;
use kv_core::partition::{Partition, Store};
use kv_core::port::{Burst, DropCounts, RawFrame, RawPort};
use kv_core::table::{Mode, Table, TableConfig};
use pcap_file::DataLink;
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};
use qp_wire::Opcode;
use qp_wire::net::{Datagram, Local, MacAddr, Remote};
use shell_io::memory::{HugePages, TableMemory};
use shell_io::port::{Replay, ReplayPort};

const SERVER: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const UDP_PORT: u16 = 40;
const KEY_COUNT: u64 = 100;
const PAYLOAD_LEN_MAX: usize = 1472;

fn frames(udp_port: u16, requests: impl Iterator<Item = (Opcode, u64)>) -> Vec<Vec<u8>> {
    let local = Local { mac: MacAddr([2, 0, 0, 0, 1, 1]), ipv4: Ipv4Addr::new(10, 0, 1, 1), port: 0 };
    let remote = Remote { mac: SERVER, ipv4: ADDRESS, port: udp_port };
    let mut writer = FrameWriter::new(Wire::Native, 7, local, remote);
    let mut frames = Vec::new();
    for (opcode, key) in requests {
        let value: &[u8] = if opcode == Opcode::Set { b"a value" } else { b"" };
        frames.extend(writer.push(opcode, &key.to_le_bytes(), value).expect("requests are short"));
    }
    frames.extend(writer.finish());
    frames
}

fn write(path: &Path, datalink: DataLink, frames: &[Vec<u8>]) -> io::Result<()> {
    let header = PcapHeader { datalink, ..PcapHeader::default() };
    let mut writer = PcapWriter::with_header(fs::File::create(path)?, header).map_err(io::Error::other)?;
    for frame in frames {
        writer.write_packet(&PcapPacket::new(Duration::ZERO, frame.len() as u32, frame)).map_err(io::Error::other)?;
    }
    Ok(())
}

#[test]
fn a_store_is_filled_once_and_asked_for_ever() {
    let scratch = tempfile::tempdir().expect("a directory");
    let path = scratch.path().join("frames.pcap");
    let mut all = frames(UDP_PORT, (0..KEY_COUNT).map(|key| (Opcode::Set, key)));
    let once = all.len();
    all.extend(frames(UDP_PORT, (0..KEY_COUNT).map(|key| (Opcode::Get, key))));
    write(&path, DataLink::ETHERNET, &all).expect("a file");
    let replay = Replay::read(&path, once as u64, 1, UDP_PORT).expect("frames");
    assert_eq!(replay.mac, SERVER);

    let port = ReplayPort::new(replay.of_cores[0].clone(), 64, PAYLOAD_LEN_MAX);
    let local = Local { mac: SERVER, ipv4: ADDRESS, port: UDP_PORT };
    let rate = TickRate::from_hz(1_000_000).expect("a rate");
    let memory = TableMemory::allocate(1 << 20, HugePages::Off).expect("a megabyte");
    let secret = Secret { k0: 1, k1: 2 };
    let config = TableConfig { mode: Mode::Store, concurrent_read: false, secret, item_len_hint: 16 };
    let mut store = Store::new(secret);
    store.push(Partition::Owned(Table::format(memory.words(), &config).expect("a table"))).expect("room");
    let mut policy = Policy { reply_len_max: PAYLOAD_LEN_MAX, ..Policy::default() };
    policy.listed.push(Prefix::new([10, 0, 0, 0].into(), 8).expect("a prefix")).expect("room for one");
    let mut engine = Serve::new(Framed::new(port, local, rate), store, policy, rate);
    for turn in 0..100 {
        assert_ne!(engine.turn(Tick(turn)).work, 0, "frames never end");
    }
    let counters = engine.counters();
    assert_eq!(counters.get(Counter::Writes), KEY_COUNT, "each SET came once");
    assert_eq!(counters.get(Counter::Misses), 0);
    assert!(counters.get(Counter::Hits) > 10 * KEY_COUNT, "GETs come again");
    assert_eq!(counters.drops.total(), 0);
}

#[test]
fn what_fills_a_store_comes_again_until_all_of_it_is_answered() {
    let scratch = tempfile::tempdir().expect("a directory");
    let path = scratch.path().join("frames.pcap");
    let all: Vec<_> = (0..5).flat_map(|key| frames(UDP_PORT, [(Opcode::Get, key)].into_iter())).collect();
    write(&path, DataLink::ETHERNET, &all).expect("a file");
    let replay = Replay::read(&path, 4, 1, UDP_PORT).expect("frames");
    let mut port = ReplayPort::new(replay.of_cores[0].clone(), 64, PAYLOAD_LEN_MAX);
    let mut drops = DropCounts::default();
    let mut receive = |port: &mut ReplayPort| {
        let mut burst = Burst::new();
        port.receive(&mut burst, &mut drops);
        burst
    };
    let mut burst = receive(&mut port);
    assert_eq!(burst.count(), 4);
    drop(burst.pop());
    port.transmit(&mut burst, &mut DropCounts::default());
    let mut burst = receive(&mut port);
    assert_eq!(burst.count(), 4, "one of four was not answered");
    assert!(receive(&mut port).is_empty(), "the answers are awaited");
    port.transmit(&mut burst, &mut DropCounts::default());
    let burst = receive(&mut port);
    assert!(burst.iter().all(|frame| frame.bytes() == all[4]), "the last frame comes for ever");
    assert_eq!(burst.room(), 0);
}

#[test]
fn each_core_gets_what_is_for_its_udp_port() {
    let scratch = tempfile::tempdir().expect("a directory");
    let path = scratch.path().join("frames.pcap");
    let mut all = Vec::new();
    for udp_port in [UDP_PORT + 1, UDP_PORT, UDP_PORT + 2] {
        all.extend(frames(udp_port, [(Opcode::Get, udp_port.into())].into_iter()));
    }
    all.push(b"no datagram".to_vec());
    write(&path, DataLink::ETHERNET, &all).expect("a file");
    let replay = Replay::read(&path, 0, 2, UDP_PORT).expect("frames");
    for (frames, udp_port) in replay.of_cores.into_iter().zip(UDP_PORT..) {
        let mut port = ReplayPort::new(frames, 3, PAYLOAD_LEN_MAX);
        let (mut burst, mut drops) = (Burst::new(), DropCounts::default());
        port.receive(&mut burst, &mut drops);
        assert_eq!(burst.count(), 3, "as many as there are buffers");
        for frame in burst.iter() {
            assert_eq!(Datagram::decode(frame.bytes()).map(|datagram| datagram.destination_port()), Ok(udp_port));
        }
        port.transmit(&mut burst, &mut drops);
        assert!(burst.is_empty());
    }
}

#[test]
fn a_file_that_cannot_be_replayed_is_named() {
    let scratch = tempfile::tempdir().expect("a directory");
    let path = scratch.path().join("frames.pcap");
    let error_of = |once| Replay::read(&path, once, 1, UDP_PORT).expect_err("no frames").to_string();
    assert!(error_of(0).contains("No such file"), "{}", error_of(0));
    fs::write(&path, b"no capture, but longer than its header is").expect("a file");
    assert!(error_of(0).contains("expected a capture file (pcap) of Ethernet frames"), "{}", error_of(0));
    write(&path, DataLink::IPV4, &[]).expect("a file");
    assert!(error_of(0).contains("its frames are IPV4"), "{}", error_of(0));
    write(&path, DataLink::ETHERNET, &frames(UDP_PORT, [(Opcode::Get, 1)].into_iter())).expect("a file");
    assert!(error_of(1).contains("after the 1 frames of port.once"), "{}", error_of(1));
}
