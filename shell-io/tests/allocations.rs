//! Nothing allocates once it is open.

#![cfg(not(loom))]

mod counting;

use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use counting::calls_during;
use kv_core::dma::{Direction, DmaEngine, Job, Window};
use kv_core::engine::Waiting;
use kv_core::port::{Burst, DropCounts, Frame, PacketPort};
use shell_io::clock::{MonotonicClock, thread_cpu_ns};
use shell_io::dma::{SharedMemoryEngine, SharedWindow};
use shell_io::idle::{Idle, IdlePolicy, Packets, Sleeper};
use shell_io::memory::Region;
use shell_io::port::{UdpConfig, UdpPort};

#[test]
fn the_allocator_is_seen_at_work() {
    assert_eq!(calls_during(|| drop(std::hint::black_box(Box::new(1)))), 2);
}

#[test]
fn a_port_receives_and_transmits_without_allocation() {
    let config = UdpConfig { bind: ([127, 0, 0, 1], 0).into(), buffers: 40, reply_len_max: 1000 };
    let mut port = UdpPort::open(config).expect("a port");
    let client = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let mut drops = DropCounts::default();
    let (mut burst, mut held) = (Burst::new(), Burst::new());
    let mut echo_count = 0;
    let calls = calls_during(|| {
        for round in 0..50 {
            for len in [0, 1, 700, 9000, 10] {
                client.send_to(&[0; 9000][..len], port.local_addr()).expect("sent");
            }
            port.receive(&mut burst, &mut drops);
            port.receive(&mut burst, &mut drops);
            while let Some(mut frame) = burst.pop() {
                frame.reply_buf()[0] = frame.source().port() as u8;
                frame.set_reply(1 + round);
                echo_count += usize::from(held.push(frame).is_ok());
            }
            port.transmit(&mut held, &mut drops);
        }
    });
    assert_eq!(calls, 0);
    assert_eq!((echo_count, drops.total()), (200, 50), "four of each five come back and one is too long");
}

#[test]
fn an_engine_copies_and_rings_without_allocation() {
    let region = Arc::new(Region::create(4096).expect("a region"));
    let window = SharedWindow::open(Arc::clone(&region), 0, 4096).expect("a window");
    let mut engine = SharedMemoryEngine::open(Arc::clone(&region), 0, 4096, 512, 4).expect("an engine");
    let mut copied = 0;
    let calls = calls_during(|| {
        for _ in 0..100 {
            for direction in [Direction::Push, Direction::Pull, Direction::Push, Direction::Push, Direction::Push] {
                let Some(mut buf) = engine.alloc() else { continue };
                buf.as_mut().fill(1);
                engine.submit(Job { direction, offset: 64, len: 512, buf, tag: 0 }).expect("room");
            }
            engine.flush();
            while let Some(completion) = engine.poll() {
                copied += completion.job.len;
            }
            assert_eq!(window.words().len(), 512);
        }
    });
    assert_eq!((calls, copied), (0, 100 * 4 * 512));
}

#[test]
fn a_core_waits_and_looks_at_clocks_without_allocation() {
    let clock = MonotonicClock::start().expect("a clock");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let region = Arc::new(Region::create(64).expect("a region"));
    let sleeper = Sleeper::for_both(Packets::from_socket(&socket).expect("a file number"), region);
    let mut idle = Idle::new(IdlePolicy { spin_us: 0, yield_us: 0, sleep_ms: 1, ..IdlePolicy::BALANCED }, clock.rate());
    let calls = calls_during(|| {
        for waiting in [Waiting::Packets, Waiting::Copies, Waiting::Wire] {
            idle.idle(clock.now(), |timeout| sleeper.sleep(waiting, timeout.min(Duration::from_micros(10)), || false));
            idle.worked();
        }
        std::hint::black_box(thread_cpu_ns());
    });
    assert_eq!(calls, 0);
}
