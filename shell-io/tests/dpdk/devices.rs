//! What goes in and out of single devices.

use std::path::PathBuf;

use kv_core::counters::{Counter, Counters};
use kv_core::port::{Burst, DropCounts, RawFrame, RawPort};
use qp_wire::net::MacAddr;
use qp_wire::{DropReason, Opcode};
use shell_io::port::dpdk::{DpdkConfig, DpdkOpenError, Steering, open};

use crate::apart;
use crate::frames::{config, mica_frame, only_port, opened, receive, send, server};

const OTHER: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);

#[test]
fn a_ring_gives_back_what_was_sent() {
    apart("devices::a_ring_gives_back_what_was_sent", || {
        let (mut port, _) = only_port(&config("net_ring0", 1));
        let frames: Vec<Vec<u8>> = (0..20u8).map(|index| vec![index; 60 + 70 * usize::from(index)]).collect();
        assert!(frames.iter().all(|frame| send(&mut port, frame)));
        assert_eq!(receive(&mut port), frames);
        assert_eq!(receive(&mut port), Vec::<Vec<u8>>::new());
        assert_eq!(port.device_counts().transmitted, 20);
        let free = port.free_count_afterwards();
        let size = port.pool_size();
        drop(port);
        assert_eq!(free(), size);
    });
}

#[test]
fn a_jumbo_frame_fits_one_buffer() {
    apart("devices::a_jumbo_frame_fits_one_buffer", || {
        let jumbo = DpdkConfig { payload_len_max: 8972, ..config("net_ring0", 1) };
        let (mut port, _) = only_port(&jumbo);
        let frame: Vec<u8> = (0..9014u32).map(|index| index as u8).collect();
        assert!(send(&mut port, &frame));
        assert_eq!(receive(&mut port), [frame]);
    });
}

#[test]
fn a_null_device_is_a_flood_that_costs_no_buffer() {
    apart("devices::a_null_device_is_a_flood_that_costs_no_buffer", || {
        let (mut port, _) = only_port(&config("net_null0", 1));
        for _ in 0..10_000 {
            assert_eq!(receive(&mut port).len(), 32);
            assert!(send(&mut port, &[0; 64]));
        }
        let (free, size) = (port.free_count_afterwards(), port.pool_size());
        drop(port);
        assert_eq!(free(), size);
    });
}

#[test]
fn frames_are_handed_to_the_core_that_they_are_for() {
    apart("devices::frames_are_handed_to_the_core_that_they_are_for", || {
        let mut device = opened(&config("net_ring0", 3));
        assert_eq!(device.steering, Steering::HandOver);
        // Core 2 has no queue: what it sends leaves by core 0's, and what is for it comes by way of core 0.
        let frame = |port, opaque| mica_frame(&server(OTHER, port), Opcode::Get, b"a key", &[], opaque);
        let sent = [frame(2, 1), frame(0, 2), frame(1, 3), frame(7, 4)];
        for frame in &sent {
            assert!(send(&mut device.ports[2], frame));
        }
        assert_eq!(receive(&mut device.ports[1]).len(), 0, "nothing moves before core 0 does");
        let at_0 = receive(&mut device.ports[0]);
        assert_eq!(at_0, [sent[1].clone(), sent[3].clone()], "its own, and what is for nobody");
        assert_eq!(receive(&mut device.ports[1]), [sent[2].clone()]);
        assert_eq!(receive(&mut device.ports[2]), [sent[0].clone()]);
    });
}

#[test]
fn cores_with_queues_of_their_own_hand_over_too() {
    apart("devices::cores_with_queues_of_their_own_hand_over_too", || {
        let mut device = opened(&DpdkConfig { queue_count_max: 2, ..config("net_ring0", 2) });
        assert_eq!(device.steering, Steering::HandOver);
        let frame = mica_frame(&server(OTHER, 0), Opcode::Get, b"a key", &[], 0);
        // Each queue of a ring gives back what it was given itself.
        assert!(send(&mut device.ports[1], &frame));
        assert_eq!(receive(&mut device.ports[0]).len(), 0);
        assert_eq!(receive(&mut device.ports[1]).len(), 0);
        assert_eq!(receive(&mut device.ports[0]), [frame]);
    });
}

#[test]
fn a_full_inbox_refuses_and_the_frames_are_counted() {
    apart("devices::a_full_inbox_refuses_and_the_frames_are_counted", || {
        let mut device = opened(&DpdkConfig { buffers: 4096, ..config("net_ring0", 2) });
        let frame = mica_frame(&server(OTHER, 1), Opcode::Get, b"a key", &[], 0);
        let mut drops = DropCounts::default();
        for _ in 0..2500 {
            assert!(send(&mut device.ports[0], &frame));
            device.ports[0].receive(&mut Burst::new(), &mut drops);
        }
        // An inbox has 2047 places.
        assert_eq!(drops.get(DropReason::Backpressure), 2500 - 2047);
        let free: Vec<_> = device.ports.iter().map(|port| (port.free_count_afterwards(), port.pool_size())).collect();
        drop(device);
        assert!(free.iter().all(|(free, size)| free() == *size), "shutdown gives back what waits in inboxes");
    });
}

#[test]
fn what_is_not_there_is_named() {
    apart("devices::what_is_not_there_is_named", || {
        let error = open(&config("net_nonsense0", 1)).expect_err("no such device").to_string();
        assert!(error.contains("net_nonsense0"), "{error}");
        assert_eq!(error.lines().count(), 1);
        let again = open(&config("net_ring0", 1)).expect_err("DPDK starts once");
        assert!(matches!(again, DpdkOpenError::Started { .. }), "{again}");
    });
}

/// A driver that takes rules for a device that it still waits for, and would hand them on. It brings no frames.
#[test]
fn a_device_that_takes_rules_has_one_for_each_port() {
    apart("devices::a_device_that_takes_rules_has_one_for_each_port", || {
        let device = "net_failsafe0,mac=02:00:00:00:00:09,exec(true)";
        let mut device = opened(&DpdkConfig { queue_count_max: 2, ..config(device, 2) });
        assert_eq!((device.steering, device.mac), (Steering::Rules, OTHER));
        let mut counters = Counters::default();
        device.ports[0].count(&mut counters);
        assert_eq!(counters.get(Counter::SteeringRules), 2);
        // Nobody hands over: what comes to a queue stays there.
        assert!(device.ports.iter_mut().all(|port| receive(port).is_empty()));
    });
}

#[test]
fn a_device_that_takes_no_rules_is_used_without() {
    apart("devices::a_device_that_takes_no_rules_is_used_without", || {
        let device = opened(&DpdkConfig { queue_count_max: 2, ..config("net_ring0", 2) });
        let mut counters = Counters::default();
        device.ports[0].count(&mut counters);
        assert_eq!((device.steering, counters.get(Counter::SteeringRules)), (Steering::HandOver, 0));
    });
}

/// A file as `net_pcap` reads it, with these frames.
fn capture(name: &str, frames: &[Vec<u8>]) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}.pcap", std::process::id()));
    // Magic, version 2.4, time zone and accuracy, longest frame, Ethernet.
    let mut file: Vec<u8> = [0xa1b2_c3d4_u32, 4 << 16 | 2, 0, 0, 65535, 1].map(u32::to_le_bytes).concat();
    for frame in frames {
        let len = frame.len() as u32;
        file.extend([0, 0, len, len].map(u32::to_le_bytes).concat());
        file.extend(frame);
    }
    std::fs::write(&path, file).expect("a file");
    path
}

fn frame_of_len(len: usize) -> Vec<u8> {
    (0..len).map(|index| index as u8).collect()
}

#[test]
fn frames_in_more_pieces_than_fit_one_buffer_are_counted_and_given_back() {
    apart("devices::frames_in_more_pieces_than_fit_one_buffer_are_counted_and_given_back", || {
        let sent = [frame_of_len(1514), frame_of_len(9014), frame_of_len(2048), frame_of_len(2049)];
        let path = capture("pieces", &sent);
        let (mut port, _) = only_port(&config(&format!("net_pcap0,rx_pcap={}", path.display()), 1));
        let (mut burst, mut drops) = (Burst::new(), DropCounts::default());
        (0..4).for_each(|_| port.receive(&mut burst, &mut drops));
        let received: Vec<&[u8]> = burst.iter().map(RawFrame::bytes).collect();
        assert_eq!(received, [&sent[0], &sent[2]]);
        assert_eq!(drops.get(DropReason::Long), 2);
        let mut counters = Counters::default();
        port.count(&mut counters);
        assert_eq!(counters.get(Counter::FramesGathered), 2);
        let (free, size) = (port.free_count_afterwards(), port.pool_size());
        drop((burst, port));
        assert_eq!(free(), size);
        std::fs::remove_file(path).expect("the file");
    });
}

#[test]
fn jumbo_frames_come_in_one_piece_where_they_are_wanted() {
    apart("devices::jumbo_frames_come_in_one_piece_where_they_are_wanted", || {
        let sent = [frame_of_len(9014), frame_of_len(1514), frame_of_len(2049)];
        let path = capture("jumbo", &sent);
        let device = format!("net_pcap0,rx_pcap={}", path.display());
        let (mut port, _) = only_port(&DpdkConfig { payload_len_max: 8972, ..config(&device, 1) });
        let received: Vec<Vec<u8>> = (0..3).flat_map(|_| receive(&mut port)).collect();
        assert_eq!(received, sent);
        let mut counters = Counters::default();
        port.count(&mut counters);
        assert_eq!(counters.get(Counter::FramesGathered), 0);
        std::fs::remove_file(path).expect("the file");
    });
}
