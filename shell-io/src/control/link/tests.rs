use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use kv_core::design::QueuePairId;

use super::*;
use crate::control::agreement::{Agreement, Field, Mismatch};

/// No test waits longer for what must happen.
const PATIENCE: Duration = Duration::from_secs(20);

const TIMING: Timing = Timing { heartbeat_ms: 30, dead_after_ms: 500 };

#[derive(Debug, PartialEq)]
enum Event {
    Offered,
    Attached(Epoch, u64),
    Detached,
}

/// Ends that tell what is done with them.
struct ToldEnds {
    events: Sender<Event>,
    broken: Arc<AtomicBool>,
}

impl QueuePairEnds for ToldEnds {
    type Error = Infallible;

    fn offer(&mut self) -> Vec<WindowDescriptor> {
        let _ = self.events.send(Event::Offered);
        vec![WindowDescriptor { queue_pair: QueuePairId(0), region: vec![], offset: 0, len: 64 }]
    }

    fn attach(&mut self, epoch: Epoch, peer: &Introduction) -> Result<(), Infallible> {
        let _ = self.events.send(Event::Attached(epoch, peer.server_id));
        Ok(())
    }

    fn detach(&mut self) {
        let _ = self.events.send(Event::Detached);
    }

    fn is_broken(&mut self) -> bool {
        self.broken.swap(false, Ordering::Relaxed)
    }
}

/// A link in its thread.
struct Running {
    events: Receiver<Event>,
    broken: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<(), MismatchError>>,
}

impl Running {
    fn next(&self) -> Event {
        self.events.recv_timeout(PATIENCE).expect("an event")
    }

    /// Waits for the next attachment, over as many futile connections as it takes.
    fn attached(&self) -> (Epoch, u64) {
        loop {
            if let Event::Attached(epoch, server_id) = self.next() {
                return (epoch, server_id);
            }
        }
    }

    fn detached(&self) {
        while self.next() != Event::Detached {}
    }

    fn stop(self) -> Result<(), MismatchError> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("no panic")
    }
}

fn introduction(server_id: u64, epoch: Epoch) -> Introduction {
    Introduction {
        software: "test".to_owned(),
        agreement: Agreement::from_values([3; Field::ALL.len()]),
        server_id,
        epoch,
        endpoints: vec![],
        windows: vec![],
    }
}

fn start(way: Way, own: Introduction) -> Running {
    let (sender, events) = channel();
    let broken = Arc::new(AtomicBool::new(false));
    let stop = Arc::new(AtomicBool::new(false));
    let ends = ToldEnds { events: sender, broken: Arc::clone(&broken) };
    let link = Link::new(way, own, TIMING, ends, Arc::clone(&stop));
    Running { events, broken, stop, thread: thread::spawn(|| link.run()) }
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.set_nonblocking(true).expect("a non-blocking listener");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

fn start_dpu(own: Introduction) -> (Running, SocketAddr) {
    let (listener, address) = listener();
    (start(Way::Listen(listener), own), address)
}

fn start_host(to: SocketAddr, own: Introduction) -> Running {
    start(Way::Connect { to, retry_max: Duration::from_millis(50) }, own)
}

#[test]
fn both_sides_attach_in_one_epoch_and_know_each_other() {
    let (dpu, address) = start_dpu(introduction(1, 70));
    let host = start_host(address, introduction(2, 90));
    assert_eq!((host.attached(), dpu.attached()), ((91, 1), (91, 2)));
    assert_eq!((host.stop(), dpu.stop()), (Ok(()), Ok(())));
}

#[test]
fn windows_are_offered_before_and_detached_after_each_epoch() {
    let (dpu, address) = start_dpu(introduction(1, 0));
    let host = start_host(address, introduction(2, 0));
    for running in [&host, &dpu] {
        assert_eq!(running.next(), Event::Offered);
        assert!(matches!(running.next(), Event::Attached(1, _)));
    }
    host.broken.store(true, Ordering::Relaxed);
    for running in [&host, &dpu] {
        assert_eq!(running.next(), Event::Detached);
        assert_eq!(running.next(), Event::Offered);
        assert!(matches!(running.next(), Event::Attached(3, _)));
    }
    assert_eq!((host.stop(), dpu.stop()), (Ok(()), Ok(())));
}

#[test]
fn a_host_waits_for_its_dpu_to_come() {
    let (listener, address) = listener();
    drop(listener);
    let host = start_host(address, introduction(2, 0));
    let listener = TcpListener::bind(address).expect("the same port");
    listener.set_nonblocking(true).expect("a non-blocking listener");
    let dpu = start(Way::Listen(listener), introduction(1, 0));
    assert_eq!((host.attached(), dpu.attached()), ((1, 1), (1, 2)));
    assert_eq!((host.stop(), dpu.stop()), (Ok(()), Ok(())));
}

#[test]
fn either_side_survives_the_other_one_and_begins_a_new_epoch() {
    let (dpu, address) = start_dpu(introduction(1, 0));
    let host = start_host(address, introduction(2, 0));
    assert_eq!((host.attached(), dpu.attached()), ((1, 1), (1, 2)));

    host.stop().expect("a clean stop");
    dpu.detached();
    let host = start_host(address, introduction(3, 40));
    assert_eq!((host.attached(), dpu.attached()), ((41, 1), (41, 3)));

    dpu.stop().expect("a clean stop");
    host.detached();
    let listener = TcpListener::bind(address).expect("the same port");
    listener.set_nonblocking(true).expect("a non-blocking listener");
    let dpu = start(Way::Listen(listener), introduction(4, 0));
    assert_eq!((host.attached(), dpu.attached()), ((43, 4), (43, 3)));
    assert_eq!((host.stop(), dpu.stop()), (Ok(()), Ok(())));
}

#[test]
fn a_second_host_waits_until_the_first_is_gone() {
    let (dpu, address) = start_dpu(introduction(1, 0));
    let first = start_host(address, introduction(2, 0));
    assert_eq!((first.attached(), dpu.attached()), ((1, 1), (1, 2)));
    let second = start_host(address, introduction(3, 0));
    // Refused three times: it offers anew for each connection, and is never attached.
    for _ in 0..3 {
        assert_eq!((second.next(), second.next()), (Event::Offered, Event::Detached));
    }
    first.stop().expect("a clean stop");
    assert_eq!((second.attached(), dpu.attached()), ((3, 1), (3, 3)));
    assert_eq!((second.stop(), dpu.stop()), (Ok(()), Ok(())));
}

#[test]
fn a_host_that_differs_from_the_beginning_gives_up_and_the_dpu_goes_on() {
    let (dpu, address) = start_dpu(introduction(1, 0));
    let mut other = introduction(2, 0);
    other.agreement = other.agreement.with(Field::Depth, 8);
    let host = start_host(address, other);
    let mismatch = Mismatch { field: Field::Depth, own: 8, peer: 3 };
    let given_up = host.thread.join().expect("no panic");
    assert_eq!(given_up, Err(MismatchError(SessionEnd::Mismatch(mismatch))));
    let right = start_host(address, introduction(3, 0));
    assert_eq!((right.attached(), dpu.attached()), ((1, 1), (1, 3)));
    assert_eq!((right.stop(), dpu.stop()), (Ok(()), Ok(())));
}

#[test]
fn a_host_that_was_attached_outlives_a_dpu_that_differs() {
    let (dpu, address) = start_dpu(introduction(1, 0));
    let host = start_host(address, introduction(2, 0));
    assert_eq!(host.attached(), (1, 1));
    dpu.stop().expect("a clean stop");
    host.detached();
    let restart = |own| {
        let listener = TcpListener::bind(address).expect("the same port");
        listener.set_nonblocking(true).expect("a non-blocking listener");
        start(Way::Listen(listener), own)
    };
    let mut other = introduction(3, 0);
    other.agreement = other.agreement.with(Field::Depth, 8);
    let wrong = restart(other);
    wrong.detached();
    wrong.stop().expect("a clean stop");
    let right = restart(introduction(4, 0));
    assert_eq!(host.attached(), (3, 4));
    assert_eq!((host.stop(), right.stop()), (Ok(()), Ok(())));
}

#[test]
fn a_peer_that_falls_silent_is_given_up() {
    let (dpu, address) = start_dpu(introduction(1, 0));
    let mut silent = TcpStream::connect(address).expect("a connection");
    let mut own = introduction(2, 0);
    own.windows = vec![WindowDescriptor { queue_pair: QueuePairId(0), region: vec![], offset: 0, len: 64 }];
    let mut bytes = Vec::new();
    Message::Hello(own).encode(&mut bytes);
    Message::Attached(1).encode(&mut bytes);
    silent.write_all(&bytes).expect("a hello");
    assert_eq!(dpu.attached(), (1, 2));
    dpu.detached();
    let host = start_host(address, introduction(3, 0));
    assert_eq!(host.attached(), (3, 1));
    assert_eq!((host.stop(), dpu.stop()), (Ok(()), Ok(())));
}

#[test]
fn noise_on_the_control_port_harms_nobody() {
    let (dpu, address) = start_dpu(introduction(1, 0));
    for noise in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"DKVC\xff\xff\xff\xff", &[0; 4096], b""] {
        let mut stream = TcpStream::connect(address).expect("a connection");
        stream.write_all(noise).expect("noise");
    }
    let host = start_host(address, introduction(2, 0));
    assert_eq!((host.attached(), dpu.attached()), ((1, 1), (1, 2)));
    assert_eq!((host.stop(), dpu.stop()), (Ok(()), Ok(())));
}
