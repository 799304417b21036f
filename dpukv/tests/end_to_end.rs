//! The client library and the command against real servers: two processes, sockets, shared memory.

mod server;

use std::fs;
use std::process::Command;
use std::time::Instant;

use client::RequestError;
use kv_core::design::Design;

use self::server::{DPU, DPUKV, HOST, Server};

fn key(len: usize) -> Vec<u8> {
    (0..len).map(|index| index as u8).collect()
}

#[test]
fn every_design_takes_keys_and_values_of_every_size() {
    for design in Design::ALL {
        let server = Server::start(design, "memory = \"16MiB\"");
        let mut client = server.client();
        let largest = client.servers().next().expect("one server").value_len_max;
        for key_len in [1, 8, 100, 255] {
            for value_len in [0, 1, 8, 1000, largest] {
                let (key, value) = (key(key_len), vec![value_len as u8; value_len]);
                let named = format!("{}: key of {key_len}, value of {value_len} bytes", design.name());
                match client.set(&key, &value) {
                    Ok(()) => assert_eq!(client.get(&key).expect(&named), Some(value), "{named}"),
                    // The longest value fits a frame beside a short key only.
                    Err(RequestError::TooLarge(_)) => assert_eq!(value_len, largest, "{named}"),
                    Err(error) => panic!("{named}: {error}"),
                }
            }
        }
        assert!(client.delete(&key(8)).expect("an answer"));
        assert_eq!(client.get(&key(8)).expect("an answer"), None);
    }
}

#[test]
fn the_command_sets_and_gets() {
    let server = Server::start(Design::Lat, "memory = \"16MiB\"");
    assert_eq!(server.command(&["set", "greeting", "hello"]).status.code(), Some(0));
    let got = server.command(&["get", "greeting"]);
    assert_eq!((got.status.code(), String::from_utf8_lossy(&got.stdout).trim()), (Some(0), "hello"));
    assert_eq!(server.command(&["get", "nothing"]).status.code(), Some(1));
    let too_long = "x".repeat(9000);
    let refused = server.command(&["set", "greeting", &too_long]);
    assert_eq!(refused.status.code(), Some(5));
    assert_eq!(String::from_utf8_lossy(&refused.stderr).lines().count(), 1);
}

#[test]
fn a_client_goes_on_after_either_side_was_killed() {
    let mut server = Server::start(Design::Lat, "memory = \"16MiB\"");
    let mut client = server.client();
    let keys: Vec<[u8; 4]> = (0_u32..1000).map(u32::to_le_bytes).collect();
    let items: Vec<_> = keys.iter().map(|key| (key, key)).collect();
    client.set_many(&items).expect("stored");

    server.restart(DPU);
    let restarted = Instant::now();
    let found = client.get_many(&keys).expect("the same client finds the DPU again");
    println!("after the DPU's restart: {:?}", restarted.elapsed());
    assert!(found.iter().zip(&keys).all(|(value, key)| value.as_deref() == Some(&key[..])), "a key was lost");

    server.restart(HOST);
    let restarted = Instant::now();
    client.set(b"again", b"and again").expect("the same client finds the host again");
    println!("after the host's restart: {:?}", restarted.elapsed());
    assert_eq!(client.get(b"again").expect("an answer").as_deref(), Some(&b"and again"[..]));
}

#[test]
fn a_full_store_says_so_and_keeps_what_it_acknowledged() {
    let server = Server::start(Design::Sav, "memory = \"1MiB\"");
    let mut client = server.client();
    let mut kept = Vec::new();
    for index in 0_u32..100_000 {
        match client.set(&index.to_le_bytes(), &[index as u8; 100]) {
            Ok(()) => kept.push(index),
            Err(RequestError::InsufficientSpace) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!((1000..100_000).contains(&kept.len()), "{} items in a mebibyte", kept.len());
    for index in kept {
        assert_eq!(client.get(&index.to_le_bytes()).expect("an answer"), Some(vec![index as u8; 100]));
    }
}

#[test]
fn a_cache_forgets_the_oldest() {
    let server = Server::start(Design::Sav, "memory = \"1MiB\"\nmode = \"cache\"");
    let mut client = server.client();
    for index in 0_u32..20_000 {
        client.set(&index.to_le_bytes(), &[index as u8; 100]).expect("a cache takes everything");
    }
    assert_eq!(client.get(&0_u32.to_le_bytes()).expect("an answer"), None);
    let last = 19_999_u32;
    assert_eq!(client.get(&last.to_le_bytes()).expect("an answer"), Some(vec![last as u8; 100]));
}

#[test]
fn the_demo_runs_and_exports_what_it_measured() {
    let place = tempfile::tempdir().expect("a directory");
    let report = place.path().join("report.json");
    let output = Command::new(DPUKV)
        .args(["demo", "--design", "cpu-only,lat", "--workload", "a", "--keys", "1000", "--seconds", "0.1", "--json"])
        .arg(&report)
        .output()
        .expect("the command starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&fs::read(&report).expect("a report")).expect("JSON");
    let runs = report["runs"].as_array().expect("a list");
    assert_eq!(runs.len(), 2);
    for run in runs {
        assert!(run["ops"].as_u64() > Some(0), "{run}");
        assert_eq!((&run["errors"], &run["misses"]), (&0.into(), &0.into()), "{run}");
        for name in ["mops", "host_cpu_ns_per_op", "dpu_cpu_ns_per_op", "qp_request_bytes_per_op", "dma_copies_per_op"]
        {
            assert!(run[name].is_f64(), "{name}: {run}");
        }
    }
    assert!(runs[1]["qp_request_bytes_per_op"].as_f64() > Some(0.0), "lat crosses the queue pair");
}

#[test]
fn counters_are_printed_for_collectors() {
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("counters");
    // The host starts last, so the link leads to its counters.
    let server = Server::start(Design::CpuOnly, &format!("memory = \"16MiB\"\n[counters]\nfile = {file:?}"));
    let printed = server.command(&["counters", &file.display().to_string()]);
    let text = String::from_utf8(printed.stdout).expect("text");
    assert!(text.contains("\ndpukv_hits_total{side=\"host\",core=\"1\"} "), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
    let nothing = server.command(&["counters", "/nowhere"]);
    assert_eq!(nothing.status.code(), Some(7));
}
