//! Checksums that a device looks at and writes. A tap's driver does both in software.

use std::time::Instant;

use kv_core::port::{Burst, DropCounts, RawFrame, RawPort};
use qp_wire::net::{Checksums, Datagram, HEADERS_LEN, Local, MacAddr, Remote, request_headers};
use shell_io::port::dpdk::{DpdkConfig, DpdkPort};

use crate::client::PATIENCE;
use crate::frames::{config, only_port, receive, send};
use crate::network::{apart, run, tap_is_there};

const SERVER: Remote =
    Remote { mac: MacAddr([2, 0, 0, 0, 0, 1]), ipv4: std::net::Ipv4Addr::new(10, 77, 0, 1), port: 7600 };
const CLIENT: Local = Local { mac: MacAddr([2, 0, 0, 0, 0, 2]), ipv4: std::net::Ipv4Addr::new(10, 77, 0, 2), port: 9 };

/// Where the IPv4 addresses begin, and UDP's header behind them.
const IPV4_ADDRESSES: usize = 26;
const UDP: usize = 34;

/// Where the two checksums stand.
const IPV4_CHECKSUM: std::ops::Range<usize> = 24..26;
const UDP_CHECKSUM: std::ops::Range<usize> = 40..42;

/// Both ends of a tap: the port of its driver, and one at the kernel's end.
fn ends() -> Result<(DpdkPort, DpdkPort), String> {
    tap_is_there()?;
    // Made before DPDK starts, which looks for the kernel's end then.
    run("ip tuntap add dev kv0 mode tap multi_queue").expect("a tap like the one that was there");
    run("ip link set kv0 up").expect("a tap");
    let both = |device: &str| DpdkConfig {
        eal: ["--no-huge", "--no-shconf", "-m", "128", "--no-telemetry", "--log-level=error", "--lcores=0"]
            .into_iter()
            .chain(["--vdev=net_tap0,iface=kv0", "--vdev=net_af_packet0,iface=kv0"])
            .map(str::to_owned)
            .collect(),
        ..config(device, 1)
    };
    let (tap, _) = only_port(&both("net_tap0"));
    let (kernel, _) = only_port(&both("net_af_packet0"));
    Ok((tap, kernel))
}

fn datagram(checksums: Checksums) -> Vec<u8> {
    let mut frame = vec![0; HEADERS_LEN + 100];
    frame[HEADERS_LEN..].fill(0x5a);
    let len = request_headers(&mut frame, &CLIENT, &SERVER, 100, checksums).expect("room");
    assert_eq!(len, frame.len());
    frame
}

/// The datagram with both checksums, of which a server would write one only.
fn datagram_with_checksums() -> Vec<u8> {
    let mut frame = datagram(Checksums::Computed);
    // The pseudo-header: both addresses, the protocol and the length of what follows.
    let mut sum: u32 = 17 + (frame.len() - UDP) as u32;
    for pair in frame[IPV4_ADDRESSES..].chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    frame[UDP_CHECKSUM].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    frame
}

/// Sends a frame at one end until it comes out at the other, and says what the device has found of its checksums.
fn is_verified(from: &mut DpdkPort, to: &mut DpdkPort, frame: &[u8]) -> bool {
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < PATIENCE, "it does not come out");
        assert!(send(from, frame));
        let mut burst = Burst::new();
        to.receive(&mut burst, &mut DropCounts::default());
        if let Some(found) = burst.iter().find(|found| found.bytes() == frame) {
            return found.is_verified();
        }
    }
}

#[test]
fn a_tap_looks_at_checksums_and_writes_them() {
    apart("offloads::a_tap_looks_at_checksums_and_writes_them", || {
        let (mut tap, mut kernel) = ends()?;
        let good = datagram_with_checksums();
        assert!(is_verified(&mut kernel, &mut tap, &good));
        for range in [IPV4_CHECKSUM, UDP_CHECKSUM] {
            let mut bad = good.clone();
            bad[range.start] ^= 1;
            assert!(!is_verified(&mut kernel, &mut tap, &bad), "{range:?}");
        }
        let mut frame = tap.alloc().expect("a free frame");
        let bare = datagram(Checksums::Zero);
        frame.buf()[..bare.len()].copy_from_slice(&bare);
        frame.set_len(bare.len());
        assert!(frame.offload_ipv4_checksum(), "the driver writes it");
        let mut burst = Burst::new();
        burst.push(frame).expect("room");
        tap.transmit(&mut burst, &mut DropCounts::default());
        let start = Instant::now();
        let written = loop {
            assert!(start.elapsed() < PATIENCE, "it does not come out");
            if let Some(frame) = receive(&mut kernel).into_iter().find(|frame| frame.len() == bare.len()) {
                break frame;
            }
        };
        assert_eq!(written[IPV4_CHECKSUM], good[IPV4_CHECKSUM]);
        let decoded = Datagram::decode(&written).expect("a datagram whose checksum holds");
        assert_eq!(decoded.payload(), &good[HEADERS_LEN..]);
        let pools =
            [(tap.free_count_afterwards(), tap.pool_size()), (kernel.free_count_afterwards(), kernel.pool_size())];
        drop((tap, kernel));
        assert!(pools.iter().all(|(free, size)| free() == *size));
        Ok(())
    });
}
