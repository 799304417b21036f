//! What comes in several pieces. No device without hardware splits what would fit one buffer, so the pieces are chained
//! here.

use std::env;
use std::process::Command;

use dpdk_sys::dpukv_mbuf_view;

use super::*;
use crate::port::dpdk::{DpdkConfig, open};

/// Says to a process that it is there for one test: DPDK starts once in a process.
const APART: &str = "DPUKV_TEST_DPDK_APART";

/// Runs a test with a port in a process of its own. `name` is the test's.
fn apart(name: &str, test: impl FnOnce(DpdkPort)) {
    if env::var_os(APART).is_some() {
        let config = DpdkConfig {
            device: "net_ring0".to_owned(),
            eal: Vec::new(),
            core_count: 1,
            queue_count_max: 1,
            first_udp_port: 0,
            buffers: 64,
            payload_len_max: 1472,
            huge_pages: false,
            interrupts: false,
        };
        return test(open(&config).expect("a ring").ports.pop().expect("a port"));
    }
    let name = format!("port::dpdk::queue::tests::{name}");
    let mut command = Command::new(env::current_exe().expect("this test"));
    let status = command.args(["--exact", &name, "--nocapture"]).env(APART, "1").status().expect("this test again");
    assert!(status.success(), "{name}: {status}");
}

/// A frame in as many mbufs as there are parts, with what is known of it.
fn chained(port: &DpdkPort, parts: &[&[u8]]) -> (NonNull<rte_mbuf>, dpukv_mbuf_view) {
    let pieces = parts.iter().map(|bytes| {
        let mut piece = port.part.pool.take_one(false).expect("a free frame");
        piece.buf()[..bytes.len()].copy_from_slice(bytes);
        let mbuf = piece.as_ptr();
        mem::forget(piece);
        // SAFETY: the mbuf is ours alone, since its frame is forgotten, and in one piece.
        unsafe { dpdk_sys::dpukv_mbuf_set_len(mbuf, bytes.len() as u16) };
        mbuf
    });
    let chain = |head, tail| {
        // SAFETY: both are live mbufs and ours alone.
        assert_eq!(unsafe { dpdk_sys::dpukv_mbuf_chain(head, tail) }, 0);
        head
    };
    let mbuf = pieces.reduce(chain).and_then(NonNull::new).expect("a part");
    let [mut view, ..] = NO_VIEWS;
    // SAFETY: the mbuf is a live one, and the view is ours for the call.
    unsafe { dpukv_mbuf_view(mbuf.as_ptr(), &raw mut view) };
    (mbuf, view)
}

#[test]
fn pieces_become_one_frame() {
    apart("pieces_become_one_frame", |mut port| {
        let free = port.free_count();
        let parts = [&[1; 700][..], &[2; 1], &[3; 813]];
        let (mbuf, view) = chained(&port, &parts);
        assert_eq!((view.segment_count, view.len, port.free_count()), (3, 1514, free - 3));
        let frame = port.frame_of(mbuf, &view).expect("room");
        assert_eq!(frame.bytes(), parts.concat());
        assert_eq!((port.gathered, port.free_count()), (1, free - 1));
        drop(frame);
        assert_eq!(port.free_count(), free);
    });
}

#[test]
fn pieces_that_are_too_long_together_are_given_back() {
    apart("pieces_that_are_too_long_together_are_given_back", |mut port| {
        let free = port.free_count();
        let (mbuf, view) = chained(&port, &[&[1; 2048], &[2; 1]]);
        assert!(matches!(port.frame_of(mbuf, &view), Err(DropReason::Long)));
        assert_eq!((port.gathered, port.free_count()), (1, free));
    });
}

#[test]
fn pieces_without_a_free_frame_to_go_to_are_given_back() {
    apart("pieces_without_a_free_frame_to_go_to_are_given_back", |mut port| {
        let (mbuf, view) = chained(&port, &[&[1; 30], &[2; 30]]);
        let all: Vec<DpdkFrame> = std::iter::from_fn(|| port.part.pool.take_one(false)).collect();
        assert!(matches!(port.frame_of(mbuf, &view), Err(DropReason::Backpressure)));
        assert_eq!(port.free_count(), 2);
        drop(all);
        assert_eq!(port.free_count(), port.pool_size());
    });
}
