//! Ports over DPDK's virtual devices.
//!
//! DPDK starts once in a process, so each test here runs in a process of its own, as [`apart`] has it. What a machine
//! cannot run is skipped with one line that says why.

mod allocations;
#[path = "../counting/mod.rs"]
mod counting;
mod devices;
mod frames;
mod interrupts;
mod memory;

use std::env;
use std::process::Command;

/// Says to a process that it is there for one test.
const APART: &str = "DPUKV_TEST_DPDK_APART";

/// Runs a test in a process of its own. `name` is the test's, with its module.
fn apart(name: &str, test: impl FnOnce()) {
    if env::var_os(APART).is_some() {
        return test();
    }
    let mut command = Command::new(env::current_exe().expect("this test"));
    let status = command.args(["--exact", name, "--nocapture"]).env(APART, "1").status().expect("this test again");
    assert!(status.success(), "{name}: {status}");
}
