//! One side alone over every kind of device that needs no hardware.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use kv_core::counters::Counter;
use qp_wire::net::{MacAddr, Remote};
use qp_wire::{Opcode, ResultCode, mica};
use shell_io::port::dpdk::DpdkPort;

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

/// A directory for a socket, whose path has to be short.
fn socket_directory(prefix: &str) -> Result<PathBuf, String> {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{prefix}{}", std::process::id()));
    std::fs::create_dir_all(&directory).map(|()| directory).map_err(|error| error.to_string())
}

/// SETs and GETs in turn, each of them when the one before was answered.
fn ask_by_frames(port: &mut DpdkPort, server: &Remote, count: u32) {
    for index in 0..count {
        let key = (index / 2).to_le_bytes();
        let opcode = if index % 2 == 0 { Opcode::Set } else { Opcode::Get };
        let frame = mica_frame(server, opcode, &key, if index % 2 == 0 { b"a value!" } else { b"" }, index);
        let start = Instant::now();
        assert!(send(port, &frame));
        let answer = loop {
            assert!(start.elapsed() < PATIENCE, "no answer to {index}");
            if let Some(answer) = receive(port).pop() {
                break answer;
            }
        };
        let responses = mica::ResponseFrame::decode(&answer[qp_wire::net::HEADERS_LEN..]).expect("responses");
        let response = responses.responses().next().expect("a response");
        assert_eq!((response.result, response.opaque), (ResultCode::Success, index));
    }
}

#[test]
fn memif_joins_two_processes() {
    apart("wires::memif_joins_two_processes", || {
        let directory = socket_directory("m")?;
        let socket = directory.join("s");
        let device = |role| format!("net_memif0,role={role},socket={},socket-abstract=no", socket.display());
        let host = Side::host(&host_config(&device("server"), 1));
        let (mut port, mac) = only_port(&config(&device("client"), 1));
        let server = Remote { mac: mac_told(&mut port, mac, SERVER), ipv4: SERVER, port: 7600 };
        ask_by_frames(&mut port, &server, 2000);
        let free = (port.free_count_afterwards(), port.pool_size());
        // The server's memif driver does not survive a peer that goes while it polls.
        assert_eq!(host.terminate().code(), Some(0));
        drop(port);
        assert_eq!(free.0(), free.1);
        std::fs::remove_dir_all(&directory).map_err(|error| error.to_string())
    });
}

/// Asks a host at one of virtio's drivers, from a device of the other one, and leaves it alone for a second, again and again.
fn answers_and_sleeps(host: &Side, (mut port, mac): (DpdkPort, MacAddr)) {
    let server = Remote { mac: mac_told(&mut port, mac, SERVER), ipv4: SERVER, port: 7600 };
    for _ in 0..3 {
        let start = Instant::now();
        ask_by_frames(&mut port, &server, 1);
        println!("the first answer came after {:?}", start.elapsed());
        ask_by_frames(&mut port, &server, 200);
        let after_sleeps = |count| {
            let slept = host.counters().total(Counter::Sleeps);
            host.wait_for("sleeps", |counters| counters.total(Counter::Sleeps) >= slept + count)
        };
        // The CPU time is told every 10 ms. The first sleeps are short, and the next ones last a second together.
        let (before, start) = (after_sleeps(6), Instant::now());
        let (after, elapsed) = (after_sleeps(11), start.elapsed());
        let cpu_time = Duration::from_nanos(after.total(Counter::ThreadCpuNs) - before.total(Counter::ThreadCpuNs));
        println!("{cpu_time:?} of CPU time in {elapsed:?}");
        assert!(cpu_time < elapsed / 100, "{cpu_time:?} of CPU time in {elapsed:?}");
    }
}

#[test]
fn a_core_behind_vhost_sleeps_until_a_frame_comes() {
    apart("wires::a_core_behind_vhost_sleeps_until_a_frame_comes", || {
        let directory = socket_directory("h")?;
        let socket = directory.join("s");
        let host = Side::host(&host_config(&format!("net_vhost0,iface={}", socket.display()), 1));
        answers_and_sleeps(&host, only_port(&config(&format!("net_virtio_user0,path={}", socket.display()), 1)));
        assert_eq!(host.terminate().code(), Some(0));
        std::fs::remove_dir_all(&directory).map_err(|error| error.to_string())
    });
}

#[test]
fn a_core_behind_virtio_user_sleeps_until_a_frame_comes() {
    apart("wires::a_core_behind_virtio_user_sleeps_until_a_frame_comes", || {
        let directory = socket_directory("u")?;
        let socket = directory.join("s");
        // The socket is vhost's, so its device comes first.
        let client = only_port(&config(&format!("net_vhost0,iface={}", socket.display()), 1));
        let host = Side::host(&host_config(&format!("net_virtio_user0,path={}", socket.display()), 1));
        answers_and_sleeps(&host, client);
        assert_eq!(host.terminate().code(), Some(0));
        std::fs::remove_dir_all(&directory).map_err(|error| error.to_string())
    });
}
