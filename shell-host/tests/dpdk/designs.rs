//! All six designs over devices, and with every kind of memory.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use arch::{Tick, TickRate};
use client::frames::{FrameClient, FrameClientConfig, FrameDirectory, FrameEndpoint, Wire};
use directory::Directory;
use kv_core::design::Design;
use qp_wire::net::{MacAddr, Remote};
use qp_wire::{Opcode, ResultCode, mica};
use shell_io::port::dpdk::DpdkPort;

use crate::client::{Client, PATIENCE, Told};
use crate::frames::{CLIENT, config, mica_frame, only_port, receive, send};
use crate::network::{apart, mac_told, veth};
use crate::process::{Side, free_control_address};

/// The sections of one side, whose device is the server's end of a pair.
fn side_config(design: Design, number: u8, huge_pages: bool, control: &str) -> String {
    format!(
        "[plan]\ndesign = \"{}\"\n[log]\nlevel = \"error\"\n\
         [network]\naddress = \"10.77.{number}.1\"\nallow = [\"10.0.0.0/8\"]\n\
         [port]\nkind = \"dpdk\"\ndevice = \"net_af_packet0,iface=kv{number}\"\nudp_port = 7600\n\
         [table]\nmemory = \"8MiB\"\nhuge_pages = {huge_pages}\n[control]\n{control}\n",
        design.name()
    )
}

/// Keys that reach every partition of every owner.
fn keys() -> impl Iterator<Item = Vec<u8>> {
    (0..64u32).map(|index| format!("key {index}").into_bytes())
}

/// SETs and GETs by kernel sockets and the native wire. What the server says of itself.
fn ask_natively(first: SocketAddr) -> Told {
    let mut client = Client::new();
    let told = client.complete_identity(first);
    for key in keys() {
        assert_eq!(client.set(told.endpoint_of(&key), &key, &[&key[..], b"'s value"].concat()), ResultCode::Success);
    }
    for key in keys() {
        let answer = client.get(told.endpoint_of(&key), &key);
        assert_eq!((answer.result, answer.value), (ResultCode::Success, Some([&key[..], b"'s value"].concat())));
    }
    told
}

/// One MICA2 request in a raw frame; its result and its value. Sent again until it is answered; what was asked before may
/// be answered twice.
fn ask_mica(port: &mut DpdkPort, server: &Remote, opcode: Opcode, key: &[u8], value: &[u8]) -> (ResultCode, Vec<u8>) {
    static COOKIE: AtomicU32 = AtomicU32::new(0);
    let cookie = COOKIE.fetch_add(1, Ordering::Relaxed);
    let frame = mica_frame(server, opcode, key, value, cookie);
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        send(port, &frame);
        let sent = Instant::now();
        while sent.elapsed().as_millis() < 50 {
            for answer in receive(port) {
                let payload = answer.get(qp_wire::net::HEADERS_LEN..).unwrap_or_default();
                if let Ok(responses) = mica::ResponseFrame::decode(payload) {
                    let response = responses.responses().next().expect("a response");
                    if response.opaque == cookie {
                        return (response.result, response.value.to_vec());
                    }
                }
            }
        }
    }
    panic!("no answer");
}

/// MICA2's requests to every endpoint of a side: whoever does not own a key says so, and one endpoint does.
fn ask_in_raw_frames(port: &mut DpdkPort, mac: MacAddr, endpoints: &[SocketAddr]) -> usize {
    let mut found = 0;
    for key in keys() {
        for endpoint in endpoints {
            let SocketAddr::V4(address) = endpoint else { continue };
            let server = Remote { mac, ipv4: *address.ip(), port: address.port() };
            let (result, _) = ask_mica(port, &server, Opcode::Set, &key, b"by a frame");
            let (got, value) = ask_mica(port, &server, Opcode::Get, &key, b"");
            if result == ResultCode::Success {
                found += 1;
                assert_eq!((got, value), (ResultCode::Success, b"by a frame".to_vec()));
            } else {
                assert_eq!(result, ResultCode::Rejected);
            }
        }
    }
    found
}

/// The endpoints among those that a server has told which can be reached by this MAC address.
fn directory_of(told: &Told, mac: MacAddr, reached: &[SocketAddr]) -> FrameDirectory {
    let endpoints = told.endpoints.iter().zip(0..).filter(|(address, _)| reached.contains(address));
    let endpoint = |(address, owner): (&SocketAddr, u16)| match address {
        SocketAddr::V4(address) => {
            Some(FrameEndpoint { owner, remote: Remote { mac, ipv4: *address.ip(), port: address.port() } })
        }
        SocketAddr::V6(_) => None,
    };
    FrameDirectory {
        concurrent_read: false,
        concurrent_write: false,
        owners: told.owners.iter().copied().map(u16::from).collect(),
        endpoints: endpoints.filter_map(endpoint).collect(),
    }
}

/// What the server's entry in its directory says of those endpoints.
fn directory_at(listen: SocketAddr, mac: MacAddr, reached: &[SocketAddr]) -> FrameDirectory {
    let source = format!("http://{listen}").parse().expect("a directory's place");
    let start = Instant::now();
    loop {
        let servers = Directory::new(&source).servers();
        if let Some(entry) = servers.as_ref().ok().and_then(|servers| servers.values().next()) {
            let mut directory = FrameDirectory::from(entry);
            let is_reached = |remote: &Remote| reached.contains(&SocketAddr::from((remote.ipv4, remote.port)));
            directory.endpoints.retain(|endpoint| is_reached(&endpoint.remote));
            assert!(directory.endpoints.iter().all(|endpoint| endpoint.remote.mac == mac), "{directory:?}");
            return directory;
        }
        assert!(start.elapsed() < PATIENCE, "no server is listed: {servers:?}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// Frames without a kernel, several requests in each, to whom the directory names: a SET of every key that these endpoints
/// own, then a GET.
fn ask_in_frames_of(wire: Wire, port: DpdkPort, told: &Told, directory: FrameDirectory, reached: &[SocketAddr]) {
    let config = FrameClientConfig { timeout_us: 100_000, ..FrameClientConfig::new(wire, 8) };
    let rate = TickRate::from_hz(1_000_000).expect("not zero");
    let start = Instant::now();
    let now = || Tick(start.elapsed().as_micros() as u64);
    let mut client = FrameClient::new([(port, CLIENT)], directory, config, rate);
    while !client.is_connected() {
        client.probe();
        for _ in 0..1000 {
            client.poll(now(), &mut |_| {});
        }
        assert!(start.elapsed() < PATIENCE, "an endpoint gives no identity");
    }
    let mut waiting: Vec<Vec<u8>> = keys().filter(|key| reached.contains(&told.endpoint_of(key))).collect();
    assert!(!waiting.is_empty(), "these endpoints own no key");
    for opcode in [Opcode::Set, Opcode::Get] {
        let asked = std::mem::take(&mut waiting);
        let mut left: Vec<usize> = (0..asked.len()).collect();
        while !left.is_empty() {
            for index in left.drain(..) {
                let value = if opcode == Opcode::Set { &b"natively"[..] } else { b"" };
                client.submit(now(), opcode, &asked[index], value, index as u64).expect("room");
            }
            client.flush(now());
            while client.outstanding() > 0 {
                client.poll(now(), &mut |answer| match answer.result {
                    ResultCode::TimedOut => left.push(answer.tag as usize),
                    result => {
                        assert_eq!(result, ResultCode::Success);
                        assert!(opcode == Opcode::Set || answer.value == b"natively");
                    }
                });
            }
            assert!(start.elapsed() < PATIENCE, "{} requests are never answered", left.len());
        }
        waiting = asked;
    }
}

fn answers_in(design: Design, huge_pages: bool) -> Result<(), String> {
    // The host's device has number 0, the DPU's number 1.
    veth(0)?;
    veth(1)?;
    let control = free_control_address();
    let dpu = Side::dpu(&side_config(design, 1, huge_pages, &format!("listen = \"{control}\"")));
    let host = Side::host(&side_config(design, 0, huge_pages, &format!("connect = \"{control}\"\nretry_ms = 20")));
    let endpoints = if dpu.ready.endpoints.is_empty() { &host.ready.endpoints } else { &dpu.ready.endpoints };
    let told = ask_natively(endpoints[0]);
    let number = u8::from(!dpu.ready.endpoints.is_empty());
    let (mut port, mac) = only_port(&config(&format!("net_af_packet0,iface=cl{number}"), 1));
    let server = mac_told(&mut port, mac, [10, 77, number, 1].into());
    let found = ask_in_raw_frames(&mut port, server, endpoints);
    assert!(found > 0, "{design:?}");
    ask_in_frames_of(Wire::Native, port, &told, directory_of(&told, server, endpoints), endpoints);
    assert_eq!((host.terminate().code(), dpu.terminate().code()), (Some(0), Some(0)), "{design:?}");
    Ok(())
}

/// Asks in MICA2's frames for what the directory of the side with endpoints says, as MICA2's clients do.
fn is_found(design: Design) -> Result<(), String> {
    veth(0)?;
    veth(1)?;
    let [control, of_dpu, of_host] = [(); 3].map(|()| free_control_address());
    let directory = |listen| format!("[directory]\nkind = \"embedded\"\nlisten = \"{listen}\"\nrefresh_ms = 200\n");
    let config_of = |number, control: &str, listen| side_config(design, number, false, control) + &directory(listen);
    let dpu = Side::dpu(&config_of(1, &format!("listen = \"{control}\""), of_dpu));
    let host = Side::host(&config_of(0, &format!("connect = \"{control}\"\nretry_ms = 20"), of_host));
    let is_dpu = !dpu.ready.endpoints.is_empty();
    let (endpoints, listen) = if is_dpu { (&dpu.ready.endpoints, of_dpu) } else { (&host.ready.endpoints, of_host) };
    let told = Client::new().complete_identity(endpoints[0]);
    let number = u8::from(is_dpu);
    let (mut port, mac) = only_port(&config(&format!("net_af_packet0,iface=cl{number}"), 1));
    let server = mac_told(&mut port, mac, [10, 77, number, 1].into());
    ask_in_frames_of(Wire::Mica, port, &told, directory_at(listen, server, endpoints), endpoints);
    assert_eq!((host.terminate().code(), dpu.terminate().code()), (Some(0), Some(0)), "{design:?}");
    Ok(())
}

#[test]
fn cpu_only_is_found() {
    apart("designs::cpu_only_is_found", || is_found(Design::CpuOnly));
}

#[test]
fn dpu_only_is_found() {
    apart("designs::dpu_only_is_found", || is_found(Design::DpuOnly));
}

#[test]
fn lat_is_found() {
    apart("designs::lat_is_found", || is_found(Design::Lat));
}

#[test]
fn sav_is_found() {
    apart("designs::sav_is_found", || is_found(Design::Sav));
}

#[test]
fn dual_is_found() {
    apart("designs::dual_is_found", || is_found(Design::Dual));
}

#[test]
fn shrd_is_found() {
    apart("designs::shrd_is_found", || is_found(Design::Shrd));
}

#[test]
fn cpu_only_answers() {
    apart("designs::cpu_only_answers", || answers_in(Design::CpuOnly, false));
}

#[test]
fn dpu_only_answers() {
    apart("designs::dpu_only_answers", || answers_in(Design::DpuOnly, false));
}

#[test]
fn lat_answers() {
    apart("designs::lat_answers", || answers_in(Design::Lat, false));
}

#[test]
fn lat_answers_with_huge_pages() {
    apart("designs::lat_answers_with_huge_pages", || {
        let text = std::fs::read_to_string("/proc/meminfo").map_err(|error| error.to_string())?;
        let free = text.lines().find_map(|line| line.strip_prefix("HugePages_Free:")?.trim().parse::<u32>().ok());
        if free < Some(100) {
            return Err(format!("{} free huge pages, and 100 are needed", free.unwrap_or(0)));
        }
        answers_in(Design::Lat, true)
    });
}

#[test]
fn sav_answers() {
    apart("designs::sav_answers", || answers_in(Design::Sav, false));
}

#[test]
fn dual_answers() {
    apart("designs::dual_answers", || answers_in(Design::Dual, false));
}

#[test]
fn shrd_answers() {
    apart("designs::shrd_answers", || answers_in(Design::Shrd, false));
}
