//! Both sides as processes, over kernel sockets and shared memory: what they do together, and what each does when the
//! other one is gone.

#![forbid(unsafe_code)]

mod client;
mod doca;
mod process;
#[path = "../../../shell-io/tests/doca/stand_in.rs"]
mod stand_in;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kv_core::counters::Counter;
use kv_core::design::Design;
use qp_wire::{Opcode, ResultCode};
use rustix::process::Signal;

use self::client::{Client, PATIENCE};
use self::process::{Side, free_base_port, free_control_address, run_host};

/// A server of a host and a DPU, and what both are configured with.
struct Server {
    host: Side,
    dpu: Side,
    setup: Setup,
}

/// The configuration of both sides.
#[derive(Clone)]
struct Setup {
    /// The sections that both sides have in common.
    common: String,
    /// What only one of them has.
    host_only: String,
    dpu_only: String,
    control: SocketAddr,
    base_port: u16,
}

impl Setup {
    fn new(design: Design, more: &str) -> Self {
        let base_port = free_base_port(4);
        let common = format!(
            "[plan]\ndesign = \"{}\"\n[log]\nlevel = \"error\"\n[network]\nbase_port = {base_port}\n{more}",
            design.name()
        );
        let (host_only, dpu_only) = (String::new(), String::new());
        Self { common, host_only, dpu_only, control: free_control_address(), base_port }
    }

    fn small(design: Design) -> Self {
        Self::new(design, "[table]\nmemory = \"8MiB\"\n")
    }

    fn host(&self) -> String {
        format!("{}{}[control]\nconnect = \"{}\"\nretry_ms = 20\n", self.common, self.host_only, self.control)
    }

    fn dpu(&self) -> String {
        format!("{}{}[control]\nlisten = \"{}\"\n", self.common, self.dpu_only, self.control)
    }

    fn start(self) -> Server {
        Server { dpu: Side::dpu(&self.dpu()), host: Side::host(&self.host()), setup: self }
    }
}

impl Server {
    /// Ends both sides, which is no failure of either.
    fn ends(self, what: &str) {
        let Self { host, dpu, .. } = self;
        assert_eq!((host.terminate().code(), dpu.terminate().code()), (Some(0), Some(0)), "{what}");
    }

    /// Any of its endpoints.
    fn first_endpoint(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.setup.base_port))
    }
}

/// Keys that reach every partition of every owner.
fn keys() -> impl Iterator<Item = Vec<u8>> {
    (0..64u32).map(|index| format!("key {index}").into_bytes())
}

fn store_keys(client: &mut Client, server: &Server) {
    let told = client.complete_identity(server.first_endpoint());
    for key in keys() {
        assert_eq!(client.set(told.endpoint_of(&key), &key, &[&key[..], b"'s value"].concat()), ResultCode::Success);
    }
}

fn find_keys(client: &mut Client, server: &Server) {
    let told = client.complete_identity(server.first_endpoint());
    for key in keys() {
        let answer = client.get(told.endpoint_of(&key), &key);
        assert_eq!(answer.result, ResultCode::Success);
        assert_eq!(answer.value, Some([&key[..], b"'s value"].concat()));
    }
}

fn answers_in(design: Design, more: &str) {
    let server = Setup::new(design, &format!("[table]\nmemory = \"8MiB\"\n{more}")).start();
    answers_all(&server);
    server.ends(&format!("{design:?}"));
}

/// What is stored is found, and what is not is not.
fn answers_all(server: &Server) {
    let mut client = Client::new();
    store_keys(&mut client, server);
    find_keys(&mut client, server);
    let told = client.complete_identity(server.first_endpoint());
    let absent = client.get(told.endpoint_of(b"absent"), b"absent");
    assert_eq!((absent.result, absent.value), (ResultCode::NotFound, None));
}

#[test]
fn cpu_only_answers() {
    answers_in(Design::CpuOnly, "");
}

#[test]
fn dpu_only_answers() {
    answers_in(Design::DpuOnly, "");
}

#[test]
fn lat_answers() {
    answers_in(Design::Lat, "");
}

#[test]
fn lat_answers_when_responses_are_pulled() {
    answers_in(Design::Lat, "[queue_pair]\nresponse = \"pull\"\n");
}

#[test]
fn sav_answers() {
    answers_in(Design::Sav, "");
}

#[test]
fn dual_answers() {
    answers_in(Design::Dual, "");
}

#[test]
fn shrd_answers() {
    answers_in(Design::Shrd, "");
}

#[test]
fn values_of_every_length_come_back() {
    // A partition of half a mebibyte or less does not take the longest value.
    let config = "frame_len_max = 8972\n[table]\nmemory = \"64MiB\"\n";
    let server = Setup::new(Design::Lat, config).start();
    let mut client = Client::new();
    let told = client.complete_identity(server.first_endpoint());
    for len in [0, 1, 7, 8, 9, 1000, qp_wire::limits::VALUE_LEN_MAX] {
        for key_len in [1, 8, 255] {
            let key = vec![b'k'; key_len];
            let value: Vec<u8> = (0..len).map(|index| index as u8).collect();
            let endpoint = told.endpoint_of(&key);
            assert_eq!(client.set(endpoint, &key, &value), ResultCode::Success, "{len} {key_len}");
            // Not `assert_eq`, which would print the values.
            assert!(client.get(endpoint, &key).value == Some(value), "{len} {key_len}");
        }
    }
}

#[test]
fn in_an_offloaded_design_the_host_has_no_port_and_the_dpu_no_table() {
    const TABLE_BYTES: u64 = 512 << 20;
    let server = Setup::new(Design::Lat, "[table]\nmemory = \"512MiB\"\n").start();
    let mut client = Client::new();
    store_keys(&mut client, &server);
    assert!(server.host.ready.endpoints.is_empty());
    assert_eq!((server.host.udp_socket_count(), server.dpu.udp_socket_count()), (0, 2));
    assert!(server.host.mapped_bytes_max() > TABLE_BYTES);
    if process::is_dpu_named() {
        println!("SKIPPED how much the DPU maps: what emulates its CPU maps more");
    } else {
        assert!(server.dpu.mapped_bytes_max() < TABLE_BYTES, "room for a table");
    }
    server.host.wait_for_count(Counter::Items, keys().count() as u64);
    let dpu = server.dpu.counters();
    assert_eq!((dpu.total(Counter::Items), dpu.total(Counter::CapacityBytes)), (0, 0));
}

#[test]
fn both_sides_count_what_crosses_between_them() {
    let server = Setup::small(Design::Lat).start();
    let mut client = Client::new();
    store_keys(&mut client, &server);
    let count = keys().count() as u64;
    server.host.wait_for_count(Counter::Requests, count);
    server.host.wait_for_count(Counter::Writes, count);
    server.dpu.wait_for_count(Counter::FramesReceived, count);
    server.dpu.wait_for_count(Counter::FramesTransmitted, count);
    let sent = server.dpu.wait_for("batches", |dpu| dpu.total(Counter::BatchesSent) >= count);
    server.host.wait_for_count(Counter::BatchesReceived, sent.total(Counter::BatchesSent));
    assert!(sent.total(Counter::Copies) >= count && sent.total(Counter::BatchBytesSent) > 0);
    for side in [&server.host, &server.dpu] {
        let counters = side.counters();
        assert!(counters.total(Counter::BusyTicks) > 0 || counters.total(Counter::InterruptedTurns) > 0);
        assert!(counters.total(Counter::ThreadCpuNs) > 0);
        assert!(counters.epoch > 0);
        assert!(counters.cores.iter().all(|core| core.get(Counter::Epoch) == u64::from(counters.epoch)));
    }
}

#[test]
fn the_dpu_answers_hot_keys_by_itself_and_forgets_them_with_the_host() {
    let config = "[table]\nmemory = \"8MiB\"\n[hot_keys]\nmemory_per_core = \"64KiB\"\n";
    let server = Setup::new(Design::Lat, config).start();
    let mut client = Client::new();
    store_keys(&mut client, &server);
    // The first answer is not kept, the second one is.
    for _ in 0..4 {
        find_keys(&mut client, &server);
    }
    let count = keys().count() as u64;
    server.dpu.wait_for_count(Counter::HotHits, 2 * count);
    let told = client.complete_identity(server.first_endpoint());
    for key in keys() {
        assert_eq!(client.set(told.endpoint_of(&key), &key, b"another value"), ResultCode::Success);
        assert_eq!(client.get(told.endpoint_of(&key), &key).value, Some(b"another value".to_vec()));
    }
    server.dpu.wait_for_count(Counter::HotRemovals, count);

    let Server { host, dpu, setup } = server;
    host.kill();
    dpu.wait_for("the DPU notices", |counters| counters.epoch == 0);
    let server = Server { host: Side::host(&setup.host()), dpu, setup };
    let told = client.complete_identity(server.first_endpoint());
    for key in keys() {
        assert_eq!(client.get(told.endpoint_of(&key), &key).result, ResultCode::NotFound);
    }
}

/// The CPU time of both sides while their cores go to sleep so often without work, and how long that took.
fn idle_cpu_time(server: &Server, sleeps: u64) -> (Duration, Duration) {
    let cpu_time = || server.host.cpu_time() + server.dpu.cpu_time();
    let (start, before) = (Instant::now(), cpu_time());
    for side in [&server.host, &server.dpu] {
        let slept = side.counters().total(Counter::Sleeps);
        side.wait_for("sleeps", |counters| counters.total(Counter::Sleeps) >= slept + sleeps);
    }
    (cpu_time() - before, start.elapsed())
}

#[test]
fn an_idle_server_sleeps_and_wakes_up() {
    for power in ["balanced", "saving"] {
        let server =
            Setup::new(Design::Lat, &format!("[table]\nmemory = \"8MiB\"\n[idle]\npower = \"{power}\"\n")).start();
        let mut client = Client::new();
        store_keys(&mut client, &server);
        // Two cores of each side: some fifteen sleeps of each last a second.
        let (cpu_time, elapsed) = idle_cpu_time(&server, 30);
        println!("{power}: {cpu_time:?} of CPU time in {elapsed:?}");
        // It takes a hundredth of that; a core that never slept would take all of it.
        assert!(cpu_time < elapsed / 4, "{power}: {cpu_time:?} of CPU time in {elapsed:?}");
        find_keys(&mut client, &server);
        server.ends(power);
    }
}

#[test]
fn a_server_that_never_sleeps_answers() {
    let server = Setup::new(Design::Lat, "[table]\nmemory = \"8MiB\"\n[idle]\npower = \"latency\"\n").start();
    answers_all(&server);
    let slept = [&server.host, &server.dpu].map(|side| side.counters().total(Counter::Sleeps));
    assert_eq!(slept, [0, 0]);
    server.ends("latency");
}

#[test]
fn a_killed_dpu_comes_back_and_no_key_is_lost() {
    let server = Setup::small(Design::Lat).start();
    let mut client = Client::new();
    store_keys(&mut client, &server);
    let before = client.complete_identity(server.first_endpoint());
    let epoch = server.host.counters().epoch;

    let Server { host, dpu, setup } = server;
    dpu.kill();
    host.wait_for("the host notices", |counters| counters.epoch == 0);
    let killed = Instant::now();
    let dpu = Side::dpu(&setup.dpu());
    let server = Server { host, dpu, setup };
    find_keys(&mut client, &server);
    println!("answered {:?} after the start", killed.elapsed());

    let after = client.complete_identity(server.first_endpoint());
    assert_eq!(after.server_id, before.server_id, "the items are the same, so the server is");
    assert!(after.epoch > before.epoch && server.host.counters().epoch > epoch);
}

#[test]
fn what_was_acknowledged_survives_a_dpu_that_is_killed_under_load() {
    let mut server = Setup::small(Design::Lat).start();
    let told = Client::new().complete_identity(server.first_endpoint());
    for round in 0..3u32 {
        let key = |index: u32| format!("{round}/{index}").into_bytes();
        let is_over = AtomicBool::new(false);
        let (restarted, acknowledged) = thread::scope(|scope| {
            let load = scope.spawn(|| {
                let mut client = Client::new();
                let is_going_on = |_: &u32| !is_over.load(Ordering::Relaxed);
                (0..)
                    .take_while(is_going_on)
                    .inspect(|index| {
                        let key = key(*index);
                        assert_eq!(client.set(told.endpoint_of(&key), &key, &index.to_le_bytes()), ResultCode::Success);
                    })
                    .last()
            });
            let Server { host, dpu, setup } = server;
            host.wait_for_count(Counter::Writes, host.counters().total(Counter::Writes) + 100);
            dpu.kill();
            let restarted = Server { dpu: Side::dpu(&setup.dpu()), host, setup };
            let writes = restarted.host.counters().total(Counter::Writes);
            restarted.host.wait_for_count(Counter::Writes, writes + 100);
            is_over.store(true, Ordering::Relaxed);
            (restarted, load.join().expect("the load").expect("an acknowledged write"))
        });
        server = restarted;
        let mut client = Client::new();
        for index in 0..=acknowledged {
            let found = client.get(told.endpoint_of(&key(index)), &key(index)).value;
            assert_eq!(found.as_deref(), Some(&index.to_le_bytes()[..]), "{round}/{index}");
        }
    }
}

#[test]
fn a_killed_host_comes_back_as_another_server() {
    let server = Setup::small(Design::Lat).start();
    let mut client = Client::new();
    store_keys(&mut client, &server);
    let before = client.complete_identity(server.first_endpoint());

    let Server { host, dpu, setup } = server;
    host.kill();
    dpu.wait_for("the DPU notices", |counters| counters.epoch == 0);
    let without_host = client.identity(SocketAddr::from(([127, 0, 0, 1], setup.base_port)));
    assert!(!without_host.complete && without_host.epoch > before.epoch);
    let host = Side::host(&setup.host());
    let server = Server { host, dpu, setup };
    let after = client.complete_identity(server.first_endpoint());
    assert!(after.server_id != before.server_id && after.epoch > without_host.epoch);
    let key = keys().next().expect("a key");
    assert_eq!(client.get(after.endpoint_of(&key), &key).result, ResultCode::NotFound);
    store_keys(&mut client, &server);
    find_keys(&mut client, &server);
}

#[test]
fn either_side_can_be_killed_again_and_again() {
    let mut server = Setup::small(Design::Sav).start();
    let mut client = Client::new();
    for round in 0..3 {
        store_keys(&mut client, &server);
        let Server { host, dpu, setup } = server;
        server = if round % 2 == 0 {
            dpu.kill();
            Server { dpu: Side::dpu(&setup.dpu()), host, setup }
        } else {
            host.kill();
            Server { host: Side::host(&setup.host()), dpu, setup }
        };
    }
    store_keys(&mut client, &server);
    find_keys(&mut client, &server);
}

#[test]
fn a_host_that_was_stopped_for_a_while_goes_on_with_its_items() {
    let server = Setup::small(Design::Lat).start();
    let mut client = Client::new();
    store_keys(&mut client, &server);
    server.host.signal(Signal::STOP);
    server.dpu.wait_for("the DPU gives the host up", |counters| counters.epoch == 0);
    server.host.signal(Signal::CONT);
    find_keys(&mut client, &server);
}

#[test]
fn a_second_host_gets_the_dpu_when_the_first_is_gone() {
    let server = Setup::small(Design::Lat).start();
    let mut client = Client::new();
    let first = client.complete_identity(server.first_endpoint());
    let second = Side::host(&server.setup.host());
    store_keys(&mut client, &server);
    assert_eq!(client.complete_identity(server.first_endpoint()).server_id, first.server_id);
    assert_eq!(second.counters().epoch, 0);
    let Server { host, dpu, setup } = server;
    host.kill();
    second.wait_for("the second host is attached", |counters| counters.epoch > 0);
    let server = Server { host: second, dpu, setup };
    assert!(client.complete_identity(server.first_endpoint()).server_id != first.server_id);
    store_keys(&mut client, &server);
}

#[test]
fn only_administrators_reset() {
    let key = keys().next().expect("a key");
    let small = "[table]\nmemory = \"8MiB\"\n";
    for (more, result) in [("", ResultCode::NotSupported), ("administrators = [\"127.0.0.1\"]\n", ResultCode::Success)]
    {
        let server = Setup::new(Design::Lat, &format!("{more}{small}")).start();
        let mut client = Client::new();
        store_keys(&mut client, &server);
        let endpoint = client.complete_identity(server.first_endpoint()).endpoint_of(&key);
        let answer = client.ask(endpoint, Opcode::Reset, b"", b"");
        assert_eq!(answer.result == ResultCode::Success, result == ResultCode::Success, "{answer:?}");
        let is_there = client.get(endpoint, &key).result == ResultCode::Success;
        assert_eq!(is_there, result != ResultCode::Success);
    }
}

#[test]
fn a_wrong_file_ends_with_2_and_one_line() {
    let (code, said) = run_host("[plan]\ndesing = \"lat\"\n");
    assert_eq!(code, Some(2), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.ends_with("plan.desing = \"lat\": unknown key, did you mean plan.design?\n"), "{said}");
}

#[test]
fn a_port_that_is_taken_ends_with_3_and_its_name() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let config = format!(
        "[plan]\ndesign = \"cpu-only\"\nhost_cores = 1\n[network]\nbase_port = {}\n[log]\nlevel = \"off\"\n[table]\nmemory = \"8MiB\"\n",
        address.port()
    );
    let (code, said) = run_host(&config);
    assert_eq!((code, said.lines().count()), (Some(3), 1), "{said}");
    assert!(said.contains(&address.to_string()), "{said}");
}

#[test]
fn a_host_of_another_configuration_ends_with_4_and_both_values() {
    let server = Setup::small(Design::Lat).start();
    let mut client = Client::new();
    client.complete_identity(server.first_endpoint());
    let Server { host, dpu, setup } = server;
    assert_eq!(host.terminate().code(), Some(0));
    dpu.wait_for("the DPU notices", |counters| counters.epoch == 0);
    let other = setup.host().replace("[log]", "[queue_pair]\ndepth = 8\n[log]").replace("\"error\"", "\"off\"");
    let start = Instant::now();
    let (code, said) = run_host(&other);
    assert!(start.elapsed() < PATIENCE);
    assert_eq!((code, said.lines().count()), (Some(4), 1), "{said}");
    assert!(said.contains("queue_pair.depth differs: 8 on this side, 4 on the other one"), "{said}");
    let server = Server { host: Side::host(&setup.host()), dpu, setup };
    store_keys(&mut client, &server);
}
