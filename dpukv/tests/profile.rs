//! `dpukv profile` as a user runs it, with a data set that takes no time.

use std::fs;
use std::process::Command;

use serde_json::Value;

const STAGES: [&str; 9] = ["receive", "parse", "hash", "post", "wait", "process", "respond", "transmit", "others"];

fn profile(arguments: &[&str]) -> (String, Value) {
    let directory = tempfile::tempdir().expect("a directory");
    let json = directory.path().join("profile.json");
    let output = Command::new(env!("CARGO_BIN_EXE_dpukv"))
        .args([
            "profile",
            "--keys",
            "2000",
            "--seconds",
            "0.001",
            "--requests-per-frame",
            "1",
            "--no-instructions",
            "--json",
        ])
        .arg(&json)
        .args(arguments)
        .output()
        .expect("a process");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = fs::read_to_string(&json).expect("what it wrote");
    (String::from_utf8_lossy(&output.stdout).into_owned(), serde_json::from_str(&text).expect("JSON"))
}

#[test]
fn each_role_wire_and_workload_is_a_run_with_all_stages() {
    let (lines, json) = profile(&[]);
    let runs = json["runs"].as_array().expect("runs");
    assert_eq!(runs.len(), 3 * 2 * 3);
    for run in runs {
        assert!(run["role"].is_string() && run["design"].is_string() && run["workload"].is_string());
        let stages = run["stages"].as_object().expect("stages");
        assert_eq!(stages.len(), STAGES.len());
        let share: f64 = STAGES.iter().map(|name| stages[*name]["share"].as_f64().expect("a share")).sum();
        assert!((share - 1.0).abs() < 1e-6, "{run}");
        assert!(stages["parse"]["instructions_per_op"].is_null(), "nothing has counted them");
    }
    assert!(lines.contains("the paper's"), "{lines}");
}

#[test]
fn only_the_stages_of_a_role_take_time() {
    let (_, json) = profile(&["--role", "process", "--wire", "native", "--workload", "a"]);
    let stages = &json["runs"][0]["stages"];
    for name in ["receive", "transmit"] {
        assert_eq!(stages[name]["share"], 0.0, "the host has no port");
    }
    assert!(stages["process"]["share"].as_f64().expect("a share") > 0.0);
}

#[test]
fn what_crosses_a_queue_pair_is_within_its_bounds() {
    let (_, json) = profile(&["--role", "serve", "--workload", "c"]);
    let crossings = json["crossings"].as_array().expect("crossings");
    assert_eq!(crossings.len(), 4, "two operations on two wires");
    for crossing in crossings {
        let is_get = crossing["operation"] == "GET";
        let bytes = |name: &str| crossing[name].as_f64().expect("a figure");
        assert_eq!(bytes("requests_per_batch").round(), 32.0, "{crossing}");
        assert!(bytes("request_bytes_per_op") <= if is_get { 9.5 } else { 17.5 }, "{crossing}");
        assert!(bytes("response_bytes_per_op") <= if is_get { 9.5 } else { 1.5 }, "{crossing}");
    }
}

#[test]
fn a_frame_that_cannot_hold_so_many_requests_is_refused_by_name() {
    let output = Command::new(env!("CARGO_BIN_EXE_dpukv"))
        .args(["profile", "--keys", "100", "--requests-per-frame", "200", "--no-instructions"])
        .output()
        .expect("a process");
    assert_eq!(output.status.code(), Some(2));
    let line = String::from_utf8_lossy(&output.stderr);
    assert!(line.contains("--requests-per-frame 200") && line.contains("expected 1 to"), "{line}");
}
