//! Both sides as processes with `dma.kind = "doca"`: through the loader and the bindings that hardware would use, into
//! libraries that stand in for DOCA's.

use std::path::Path;
use std::time::Instant;

use kv_core::counters::Counter;
use kv_core::design::Design;
use qp_wire::ResultCode;

use super::client::{Client, PATIENCE};
use super::process::{Side, run_host};
use super::stand_in::{DEVICE, GENERATIONS, directory};
use super::{Server, Setup, answers_all, find_keys, keys, store_keys};

/// Tells the libraries what goes wrong.
const FAULTS: &str = "DOCA_STAND_IN_FAULTS";

/// What goes wrong, at once: all that is not the end of an epoch.
const WEATHER: &str = "seed=11,tear=600,late=400,early=300,repeat=20,fail=10,full=100";

/// The same, and what ends epochs.
const STORM: &str = "seed=12,tear=600,late=400,early=300,repeat=30,fail=20,full=100,death=6,descriptor=200,refuse=20";

/// In the environment, if the host or the DPU is another CPU's program: where the libraries for it are, in a directory
/// for each generation.
const LIBRARIES: [&str; 2] = ["DPUKV_TEST_HOST_LIBRARIES", "DPUKV_TEST_DPU_LIBRARIES"];

/// What each side is told of its copies, the host first.
fn sections(generation: &str) -> [String; 2] {
    LIBRARIES.map(|variable| {
        let of_program = std::env::var_os(variable).map(|path| Path::new(&path).join(generation));
        let directory = of_program.unwrap_or_else(|| directory(generation));
        format!("[dma]\nkind = \"doca\"\ndevice = \"{DEVICE}\"\nlibrary = \"{}\"\n", directory.display())
    })
}

fn host_section(generation: &str) -> String {
    let [host, _] = sections(generation);
    host
}

fn setup(design: Design, generation: &str, more: &str) -> Setup {
    let [host_only, dpu_only] = sections(generation);
    Setup { host_only, dpu_only, ..Setup::new(design, &format!("[table]\nmemory = \"8MiB\"\n{more}")) }
}

fn start(setup: Setup, faults: &str) -> Server {
    let variables = [(FAULTS, faults)];
    let dpu = Side::dpu_in(&setup.dpu(), &variables);
    Server { dpu, host: Side::host_in(&setup.host(), &variables), setup }
}

fn answers_in(design: Design, more: &str) {
    for generation in GENERATIONS {
        let server = start(setup(design, generation, more), "");
        answers_all(&server);
        if matches!(design, Design::Lat | Design::Sav | Design::Dual) {
            server.dpu.wait_for_count(Counter::DeviceCopies, 1);
        }
        server.ends(&format!("{design:?} {generation}"));
    }
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

/// A host's device that gives access to memory and no more, and a DPU's that copies and gives none, do where responses are
/// pulled.
#[test]
fn where_responses_are_pulled_the_dpu_alone_copies() {
    const GIVES_ACCESS: &str = "0000:03:00.2";
    const COPIES: &str = "0000:03:00.3";
    for generation in GENERATIONS {
        let mut setup = setup(Design::Lat, generation, "[queue_pair]\nresponse = \"pull\"\n");
        setup.host_only = setup.host_only.replace(DEVICE, GIVES_ACCESS);
        setup.dpu_only = setup.dpu_only.replace(DEVICE, COPIES);
        let pushing = setup.host().replace("\"pull\"", "\"push\"").replace("\"error\"", "\"off\"");
        let server = start(setup, "");
        answers_all(&server);
        server.dpu.wait_for_count(Counter::DeviceCopies, 1);
        assert_eq!(server.host.counters().total(Counter::DeviceCopies), 0);
        server.ends(generation);
        let (code, said) = run_host(&pushing);
        assert_eq!((code, said.lines().count()), (Some(3), 1), "{said}");
        assert!(said.contains("dma.device = \"0000:03:00.2\": the device cannot copy memory"), "{said}");
    }
}

#[test]
fn lat_answers_however_completions_are_waited_for() {
    for generation in GENERATIONS {
        for completion in ["block", "event"] {
            for way in ["push", "pull"] {
                let mut setup = setup(Design::Lat, generation, &format!("[queue_pair]\nresponse = \"{way}\"\n"));
                for section in [&mut setup.host_only, &mut setup.dpu_only] {
                    section.push_str(&format!("completion = \"{completion}\"\n"));
                }
                let server = start(setup, WEATHER);
                answers_all(&server);
                server.ends(&format!("{generation} {completion} {way}"));
            }
        }
    }
}

#[test]
fn every_design_answers_in_bad_weather() {
    for generation in GENERATIONS {
        for (design, way) in
            [(Design::Lat, "push"), (Design::Lat, "pull"), (Design::Sav, "push"), (Design::Dual, "push")]
        {
            let more = format!("[queue_pair]\nresponse = \"{way}\"\n");
            let server = start(setup(design, generation, &more), WEATHER);
            let mut client = Client::new();
            store_keys(&mut client, &server);
            find_keys(&mut client, &server);
        }
    }
}

#[test]
fn what_was_acknowledged_is_there_after_a_storm() {
    for generation in GENERATIONS {
        let server = start(setup(Design::Lat, generation, ""), STORM);
        let mut client = Client::new();
        let begin = Instant::now();
        for round in 0..10 {
            store_keys(&mut client, &server);
            find_keys(&mut client, &server);
            assert!(begin.elapsed() < PATIENCE, "round {round} of a storm");
        }
        let dpu = server.dpu.counters();
        println!(
            "generation {generation}: {} epochs ended, {} contexts lost, {} copies failed, {} waits for a full queue, {:?}",
            dpu.total(Counter::QueuePairResets),
            dpu.total(Counter::CopyContextsLost),
            dpu.total(Counter::CopiesFailed),
            dpu.total(Counter::CopyQueueFull),
            begin.elapsed()
        );
    }
}

#[test]
fn either_side_can_be_killed_and_no_key_of_a_living_host_is_lost() {
    for generation in GENERATIONS {
        let variables = [(FAULTS, WEATHER)];
        let mut server = start(setup(Design::Lat, generation, ""), WEATHER);
        let mut client = Client::new();
        for round in 0..4 {
            store_keys(&mut client, &server);
            let Server { host, dpu, setup } = server;
            let killed = Instant::now();
            server = if round % 2 == 0 {
                dpu.kill();
                Server { dpu: Side::dpu_in(&setup.dpu(), &variables), host, setup }
            } else {
                host.kill();
                Server { host: Side::host_in(&setup.host(), &variables), dpu, setup }
            };
            let told = client.complete_identity(server.first_endpoint());
            let key = keys().next().expect("a key");
            let answer = client.get(told.endpoint_of(&key), &key);
            println!("generation {generation}, round {round}: answered {:?} after the kill", killed.elapsed());
            assert_eq!(answer.result == ResultCode::Success, round % 2 == 0, "{generation} {round}");
            if round % 2 == 0 {
                find_keys(&mut client, &server);
            }
        }
    }
}

#[test]
fn without_libraries_or_a_device_there_is_one_line_that_says_so() {
    let with = |dma: &str| {
        let (code, said) = run_host(&format!("[table]\nmemory = \"8MiB\"\n[log]\nlevel = \"off\"\n{dma}"));
        assert_eq!((code, said.lines().count()), (Some(3), 1), "{said}");
        said
    };
    let said = with(&format!("[dma]\nkind = \"doca\"\ndevice = \"{DEVICE}\"\nlibrary = \"/nowhere\"\n"));
    assert!(said.contains("DOCA is not there: libdoca_common cannot be loaded from /nowhere"), "{said}");
    for generation in GENERATIONS {
        let said = with(&host_section(generation).replace(DEVICE, "0000:07:00.0"));
        assert!(said.contains("dma.device = \"0000:07:00.0\": no such device; DOCA has 0000:03:00.0"), "{said}");
    }
}

#[test]
fn sides_that_copy_by_different_means_name_the_key() {
    let setup = Setup::small(Design::Lat);
    let _dpu = Side::dpu(&setup.dpu());
    let (code, said) = run_host(&format!("{}{}", setup.host().replace("\"error\"", "\"off\""), host_section("pe")));
    assert_eq!((code, said.lines().count()), (Some(4), 1), "{said}");
    assert!(said.contains("dma.kind differs: doca on this side, shared-memory on the other one"), "{said}");
}
