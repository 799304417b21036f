//! `dpukv bench table`, as far as a machine of any speed can promise it.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn bench(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dpukv"))
        .args(["bench", "table", "--keys", "20000"])
        .args(args)
        .output()
        .expect("the command starts")
}

fn quick_bench(args: &[&str]) -> Output {
    bench(&[&["--seconds", "0.01", "--repeat", "2"][..], args].concat())
}

fn runs(path: &Path) -> Vec<Value> {
    let report: Value = serde_json::from_slice(&std::fs::read(path).expect("a file")).expect("JSON");
    report["runs"].as_array().expect("a list").clone()
}

#[test]
fn every_subject_has_a_row_for_every_mix() {
    let place = tempfile::tempdir().expect("a directory");
    let json = place.path().join("table.json");
    let path = json.to_str().expect("text");
    for mode in [&["--mode", "erew"][..], &["--mode", "crew", "--threads", "2"]] {
        let common = ["--json", path, "--gets", "1,0.5", "--peers", "hashbrown,dashmap,papaya,scc"];
        let output = quick_bench(&[&common[..], mode].concat());
        assert!(output.status.success(), "{output:?}");
        let runs = runs(&json);
        assert_eq!(runs.len(), 2 * 2 * 5, "distributions, mixes, subjects");
        for run in runs {
            for field in ["mops_median", "mops_min", "mops_max", "bytes_per_item", "limit_mlines", "ratio_to_limit"] {
                assert!(run[field].as_f64().is_some_and(|number| number >= 0.0), "{field}: {run}");
            }
            assert_eq!(run["kept_share"], 1.0, "{run}");
            assert_eq!(run["mops"].as_array().map(Vec::len), Some(2));
            assert!(run["subject"].is_string() && run["distribution"].is_string());
        }
    }
}

#[test]
fn other_sizes_and_operations_run_too() {
    for args in [
        &["--operation", "miss"][..],
        &["--operation", "churn", "--huge-pages", "off"],
        &["--key-size", "16", "--value-size", "100"],
        &["--key-size", "3", "--value-size", "0"],
    ] {
        let output = quick_bench(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
    }
    let output = bench(&["--slowest", "1000", "--operation", "churn"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("1000 stores: median"), "{output:?}");
}

#[test]
fn wrong_arguments_are_named() {
    for (args, name) in [
        (["--gets", "1.5"], "--gets 1.5"),
        (["--threads", "0"], "--threads 0"),
        (["--repeat", "0"], "--repeat 0"),
        (["--key-size", "0"], "--key-size 0"),
        (["--memory", "100"], "--memory"),
        (["--seconds", "0"], "--seconds 0"),
    ] {
        let output = bench(&args);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && message.contains(name), "{args:?}: {message}");
    }
}
