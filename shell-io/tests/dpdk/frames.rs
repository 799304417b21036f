//! Frames as clients send them, and ports as a test opens them.

use std::net::Ipv4Addr;

use kv_core::port::{Burst, DropCounts, RawFrame, RawPort};
use qp_wire::mica::{self, MicaRequest};
use qp_wire::net::{Checksums, HEADERS_LEN, Local, MacAddr, Remote, request_headers};
use qp_wire::{Opcode, RawRequest};
use shell_io::port::dpdk::{DpdkConfig, DpdkDevice, DpdkPort, open};

pub(crate) const SERVER_IP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub(crate) const CLIENT: Local = Local { mac: MacAddr([2, 0, 0, 0, 0, 2]), ipv4: Ipv4Addr::new(10, 0, 1, 1), port: 1 };

/// A configuration for `core_count` cores at a device, of which one queue is used.
pub(crate) fn config(device: &str, core_count: u16) -> DpdkConfig {
    DpdkConfig {
        device: device.to_owned(),
        eal: Vec::new(),
        core_count,
        queue_count_max: 1,
        first_udp_port: 0,
        buffers: 256,
        payload_len_max: 1472,
        huge_pages: false,
        interrupts: false,
    }
}

pub(crate) fn opened(config: &DpdkConfig) -> DpdkDevice {
    open(config).expect("the device")
}

/// The port of the only core.
pub(crate) fn only_port(config: &DpdkConfig) -> (DpdkPort, MacAddr) {
    let DpdkDevice { mut ports, mac, .. } = opened(config);
    (ports.pop().expect("a port"), mac)
}

/// Everything that is there for the port.
pub(crate) fn receive(port: &mut DpdkPort) -> Vec<Vec<u8>> {
    let mut burst = Burst::new();
    port.receive(&mut burst, &mut DropCounts::default());
    burst.iter().map(|frame| frame.bytes().to_vec()).collect()
}

/// Sends one frame; `false` when it is not taken.
pub(crate) fn send(port: &mut DpdkPort, bytes: &[u8]) -> bool {
    let Some(mut frame) = port.alloc() else { return false };
    frame.buf()[..bytes.len()].copy_from_slice(bytes);
    frame.set_len(bytes.len());
    let mut burst = Burst::new();
    burst.push(frame).expect("room");
    port.transmit(&mut burst, &mut DropCounts::default());
    burst.is_empty()
}

/// The endpoint with this UDP port of a server at [`SERVER_IP`].
pub(crate) fn server(mac: MacAddr, port: u16) -> Remote {
    Remote { mac, ipv4: SERVER_IP, port }
}

/// A frame with a MICA2 request from [`CLIENT`].
pub(crate) fn mica_frame(server: &Remote, opcode: Opcode, key: &[u8], value: &[u8], opaque: u32) -> Vec<u8> {
    let raw = RawRequest { operation: opcode.to_wire(), key, value };
    let request = MicaRequest { raw, key_hash: kv_core::hash::KeyHash::of(key).0, opaque };
    let mut frame = vec![0; 2000];
    let mut writer = mica::RequestWriter::new(&mut frame[HEADERS_LEN..]).expect("room");
    writer.push(&request).expect("room");
    let payload_len = writer.finish();
    let len = request_headers(&mut frame, &CLIENT, server, payload_len, Checksums::Zero).expect("room");
    frame.truncate(len);
    frame
}
