//! Cores that sleep are woken by the device. Both of DPDK's drivers of virtio have receive interrupts and need no hardware:
//! one process has a device of `net_vhost`, the other one has `net_virtio_user` at the same socket.

use std::env;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::{Duration, Instant};

use kv_core::counters::Counter;
use kv_core::engine::{Engine, Policy, Serve, Waiting};
use kv_core::framed::Framed;
use qp_wire::Opcode;
use qp_wire::net::{Local, MacAddr};
use shell_io::clock::{MonotonicClock, thread_cpu_ns};
use shell_io::dma::Wake;
use shell_io::idle::{Packets, Sleeper};
use shell_io::port::dpdk::{DpdkConfig, DpdkPort, register_thread};

use crate::apart;
use crate::frames::{SERVER_IP, config, mica_frame, only_port, opened, receive, send, server};
use crate::memory::{listed, store};

/// Says to a process that it is the client, and where the other one is.
const SOCKET: &str = "DPUKV_TEST_DPDK_SOCKET";

const REQUEST_COUNT: u32 = 5000;

/// Longer than any sleep should take. A wake-up that is lost costs as much, unless the client gives up before.
const FOREVER: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(20);

/// The longest pause of the client.
const PAUSE_MAX: Duration = Duration::from_micros(20);

/// Looks after which what has called ought to be there.
const LOOK_COUNT_MAX: u32 = 1000;

const SERVER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);

#[derive(Clone, Copy)]
enum Driver {
    Vhost,
    VirtioUser,
}

impl Driver {
    fn config(self, socket: &str) -> DpdkConfig {
        let device = match self {
            Self::Vhost => format!("net_vhost0,iface={socket}"),
            Self::VirtioUser => format!("net_virtio_user0,path={socket}"),
        };
        config(&device, 1)
    }

    fn peer(self) -> Self {
        match self {
            Self::Vhost => Self::VirtioUser,
            Self::VirtioUser => Self::Vhost,
        }
    }
}

/// Where this process can have a socket. The path has to be short.
fn socket() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("v{}", std::process::id()))
}

/// Runs a test in a process of its own with a server at one driver, and in another one with a client at the other.
fn joined(name: &str, driver: Driver) {
    apart(name, || {
        if let Ok(socket) = env::var(SOCKET) {
            return ask(&driver.peer().config(&socket));
        }
        let socket = socket();
        let path = socket.to_str().expect("a path that is text");
        let client = || {
            let mut command = Command::new(env::current_exe().expect("this test"));
            command.args(["--exact", name, "--nocapture"]).env(SOCKET, path).stdin(Stdio::piped());
            command.spawn().expect("this test again")
        };
        let wanted = DpdkConfig { interrupts: true, ..driver.config(path) };
        // Whoever has the device of vhost opens the socket, and is there first.
        let (port, mut client) = match driver {
            Driver::Vhost => {
                let (port, _) = only_port(&wanted);
                (port, client())
            }
            Driver::VirtioUser => {
                let client = client();
                let start = Instant::now();
                while !socket.exists() {
                    assert!(start.elapsed() < PATIENCE, "no socket");
                    thread::yield_now();
                }
                (only_port(&wanted).0, client)
            }
        };
        serve(port);
        // This tells it to go.
        let ended = client.wait().expect("its end");
        assert!(ended.success());
        // Whoever has opened it may have removed it.
        let _ = std::fs::remove_file(socket);
    });
}

/// One request after the other, with pauses that grow from one to the next by nanoseconds. Then it stays until it is told to
/// go.
fn ask(config: &DpdkConfig) {
    let (mut port, _) = only_port(config);
    for index in 0..REQUEST_COUNT {
        let frame = mica_frame(&server(SERVER_MAC, 0), Opcode::Set, &index.to_le_bytes(), b"a value!", index);
        let start = Instant::now();
        while !send(&mut port, &frame) {
            assert!(start.elapsed() < PATIENCE, "{index} cannot be sent");
        }
        while receive(&mut port).is_empty() {
            assert!(start.elapsed() < PATIENCE, "no answer to {index}");
            thread::yield_now();
        }
        let answered = Instant::now();
        while answered.elapsed() * REQUEST_COUNT < PAUSE_MAX * index {
            std::hint::spin_loop();
        }
    }
    io::stdin().read_to_end(&mut Vec::new()).expect("an end");
}

/// When a request came.
#[derive(Clone, Copy)]
enum Moment {
    BeforeSleep,
    /// The interrupt was on, and the last look found it.
    AtLastLook,
    Asleep,
}

/// A core that serves, and what it sleeps on.
struct Server<'m> {
    engine: Serve<'m, Framed<DpdkPort>>,
    sleeper: Sleeper,
    clock: MonotonicClock,
}

impl<'m> Server<'m> {
    fn new(port: DpdkPort, memory: &'m [AtomicU64]) -> Self {
        let clock = MonotonicClock::start().expect("a clock");
        let interrupt = port.interrupt().expect("a file number").expect("a driver with interrupts");
        let sleeper = Sleeper::for_packets(Packets::from_queue(interrupt));
        let local = Local { mac: SERVER_MAC, ipv4: SERVER_IP, port: 0 };
        let policy = Policy { listed: listed(), reply_len_max: 1472, ..Policy::default() };
        let port = Framed::new(port, local, clock.rate());
        Self { engine: Serve::new(port, store(memory), policy, clock.rate()), sleeper, clock }
    }

    fn works(&mut self) -> bool {
        self.engine.turn(self.clock.now()).work > 0
    }

    /// Waits for the next request and answers it; looks so many times before it sleeps. One that hesitates lets the client,
    /// which may have no CPU of its own, ask between the look and the sleep.
    fn serve_next(&mut self, looks: u32, hesitates: bool) -> Moment {
        if (0..looks).any(|_| self.works()) {
            return Moment::BeforeSleep;
        }
        if hesitates {
            thread::yield_now();
        }
        let Self { engine, sleeper, clock } = self;
        match sleeper.sleep(Waiting::Packets, FOREVER, || engine.turn(clock.now()).work > 0) {
            Wake::Work => Moment::AtLastLook,
            Wake::Called => {
                // It may also have been called for what it has found by itself.
                let _ = (0..LOOK_COUNT_MAX).any(|_| self.works());
                Moment::Asleep
            }
            Wake::TimedOut => panic!("a wake-up is lost"),
        }
    }

    fn sleep_for_a_second(&self) -> Wake {
        self.sleeper.sleep(Waiting::Packets, Duration::from_secs(1), || false)
    }
}

/// Serves until all requests are answered, then sleeps for a second. It falls asleep about when the next request comes.
fn serve(port: DpdkPort) {
    let _registration = register_thread();
    let memory: Vec<AtomicU64> = (0..1 << 18).map(|_| AtomicU64::new(0)).collect();
    let mut server = Server::new(port, &memory);
    // Nobody can call before the client is there.
    while !server.works() {}
    let (mut looks, mut moments) = (0u32, [0; 3]);
    while server.engine.counters().get(Counter::Requests) < REQUEST_COUNT.into() {
        let hesitates = moments.iter().sum::<u32>() % 2 == 0;
        let moment = server.serve_next(looks, hesitates);
        looks = match moment {
            Moment::BeforeSleep => looks.saturating_sub(1),
            Moment::AtLastLook => looks,
            Moment::Asleep => looks + 1,
        };
        moments[moment as usize] += 1;
    }
    let [before, at_last_look, asleep] = moments;
    println!("{before} requests came before it slept, {at_last_look} at the last look, {asleep} while it slept");
    assert!(asleep > REQUEST_COUNT / 10, "it has hardly slept: {moments:?}");
    let before = thread_cpu_ns();
    // What was told before it fell asleep for the last time may wake it once more.
    let calls = (0..10).take_while(|_| server.sleep_for_a_second() == Wake::Called).count();
    assert!(calls < 3, "{calls} calls, and nobody asks");
    assert!(thread_cpu_ns() - before < 10_000_000, "more than a hundredth of the CPU");
}

#[test]
fn no_wake_up_is_lost_behind_vhost() {
    joined("interrupts::no_wake_up_is_lost_behind_vhost", Driver::Vhost);
}

#[test]
fn no_wake_up_is_lost_behind_virtio_user() {
    joined("interrupts::no_wake_up_is_lost_behind_virtio_user", Driver::VirtioUser);
}

/// Whether each core at a device that is asked for interrupts is called.
fn are_called(device: &str, core_count: u16) -> Vec<bool> {
    let device = opened(&DpdkConfig { interrupts: true, queue_count_max: core_count, ..config(device, core_count) });
    device.ports.iter().map(|port| port.interrupt().expect("a file number").is_some()).collect()
}

#[test]
fn nobody_is_called_by_a_driver_without_interrupts() {
    apart("interrupts::nobody_is_called_by_a_driver_without_interrupts", || {
        assert_eq!(are_called("net_ring0", 1), [false]);
    });
}

/// Failsafe starts with interrupts only where DPDK has a CPU for services.
#[test]
fn a_device_that_does_not_start_with_interrupts_starts_without() {
    apart("interrupts::a_device_that_does_not_start_with_interrupts_starts_without", || {
        assert_eq!(are_called("net_failsafe0,mac=02:00:00:00:00:09,exec(true)", 2), [false; 2]);
    });
}

#[test]
fn nobody_is_called_where_cores_hand_over() {
    apart("interrupts::nobody_is_called_where_cores_hand_over", || {
        let socket = socket();
        assert_eq!(are_called(&format!("net_vhost0,iface={},queues=2", socket.display()), 2), [false; 2]);
    });
}

#[test]
fn nobody_is_called_who_has_not_asked() {
    apart("interrupts::nobody_is_called_who_has_not_asked", || {
        let (port, _) = only_port(&Driver::Vhost.config(socket().to_str().expect("a path that is text")));
        assert!(port.interrupt().expect("a file number").is_none());
    });
}
