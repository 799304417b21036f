//! One side alone over every kind of device that needs no hardware.

use std::net::Ipv4Addr;

use kv_core::counters::Counter;
use qp_wire::net::Remote;
use qp_wire::{Opcode, ResultCode, mica};

use crate::client::{Client, PATIENCE};
use crate::frames::{config, mica_frame, only_port, receive, send};
use crate::network::{apart, mac_told, run, tap_is_there, veth, xdp_is_there};
use crate::process::Side;

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// A host that does everything with `cores` cores, at a device.
fn host_config(device: &str, cores: u8) -> String {
    format!(
        "[plan]\ndesign = \"cpu-only\"\nhost_cores = {cores}\n[log]\nlevel = \"error\"\n\
         [network]\naddress = \"10.77.0.1\"\nallow = [\"10.0.0.0/8\"]\n\
         [port]\nkind = \"dpdk\"\ndevice = \"{device}\"\nudp_port = 7600\n\
         [table]\nmemory = \"8MiB\"\nhuge_pages = false\n\
         [control]\nconnect = \"127.0.0.1:9\"\nretry_ms = 1000\n"
    )
}

fn ask_by_kernel(host: &Side) {
    run("ping -c 3 -i 0.2 -W 2 10.77.0.1").expect("an echo");
    let mut client = Client::new();
    let told = client.identity(host.ready.endpoints[0]);
    for index in 0..200u32 {
        let key = index.to_le_bytes();
        assert_eq!(client.set(told.endpoint_of(&key), &key, b"a value"), ResultCode::Success);
        assert_eq!(client.get(told.endpoint_of(&key), &key).value.as_deref(), Some(&b"a value"[..]));
    }
    host.wait_for_count(Counter::EchoReplies, 3);
    host.wait_for_count(Counter::ArpReplies, 1);
    host.wait_for_count(Counter::DeviceReceived, 400);
    host.wait_for("the driver's own counts", |counters| {
        counters.device.iter().any(|(name, count)| name == "rx_good_packets" && *count >= 400)
    });
    host.wait_for("a link", |counters| counters.total(Counter::LinkMbps) > 0);
}

#[test]
fn a_tap_answers_the_kernel() {
    apart("wires::a_tap_answers_the_kernel", || {
        tap_is_there()?;
        let host = Side::host(&host_config("net_tap0,iface=kv0", 2));
        // Both ends of a tap have one address until one of them is given another.
        for step in ["link set kv0 address 02:00:00:00:00:99", "addr add 10.77.0.2/24 dev kv0", "link set kv0 up"] {
            run(&format!("ip {step}")).expect("the driver's interface");
        }
        ask_by_kernel(&host);
        assert_eq!(host.terminate().code(), Some(0));
        Ok(())
    });
}

#[test]
fn af_packet_answers_the_kernel() {
    apart("wires::af_packet_answers_the_kernel", || {
        veth(0)?;
        let host = Side::host(&host_config("net_af_packet0,iface=kv0", 2));
        ask_by_kernel(&host);
        assert!(host.counters().total(Counter::FramesHandedOver) > 0, "one queue, two cores");
        assert_eq!(host.terminate().code(), Some(0));
        Ok(())
    });
}

#[test]
fn af_xdp_answers_the_kernel() {
    apart("wires::af_xdp_answers_the_kernel", || {
        xdp_is_there()?;
        veth(0)?;
        let host = Side::host(&host_config("net_af_xdp0,iface=kv0", 1));
        ask_by_kernel(&host);
        assert_eq!(host.terminate().code(), Some(0));
        Ok(())
    });
}

#[test]
fn memif_joins_two_processes() {
    apart("wires::memif_joins_two_processes", || {
        let directory = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("m{}", std::process::id()));
        std::fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
        let socket = directory.join("s");
        let device = |role| format!("net_memif0,role={role},socket={},socket-abstract=no", socket.display());
        let host = Side::host(&host_config(&device("server"), 1));
        let (mut port, mac) = only_port(&config(&device("client"), 1));
        let server = Remote { mac: mac_told(&mut port, mac, SERVER), ipv4: SERVER, port: 7600 };
        for index in 0..2000u32 {
            let key = (index / 2).to_le_bytes();
            let opcode = if index % 2 == 0 { Opcode::Set } else { Opcode::Get };
            let frame = mica_frame(&server, opcode, &key, if index % 2 == 0 { b"a value!" } else { b"" }, index);
            let start = std::time::Instant::now();
            assert!(send(&mut port, &frame));
            let answer = loop {
                assert!(start.elapsed() < PATIENCE, "no answer to {index}");
                if let Some(answer) = receive(&mut port).pop() {
                    break answer;
                }
            };
            let responses = mica::ResponseFrame::decode(&answer[qp_wire::net::HEADERS_LEN..]).expect("responses");
            let response = responses.responses().next().expect("a response");
            assert_eq!((response.result, response.opaque), (ResultCode::Success, index));
        }
        let free = (port.free_count_afterwards(), port.pool_size());
        // The server's memif driver does not survive a peer that goes while it polls.
        assert_eq!(host.terminate().code(), Some(0));
        drop(port);
        assert_eq!(free.0(), free.1);
        std::fs::remove_dir_all(&directory).map_err(|error| error.to_string())
    });
}
