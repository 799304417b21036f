//! The commands for one item, as a shell runs them.

#[path = "../../client/tests/fake/mod.rs"]
mod fake;

use std::io::Write;
use std::net::UdpSocket;
use std::process::{Command, Output, Stdio};

use fake::network::Faults;
use fake::udp::UdpServer;
use qp_wire::ResultCode;

/// Runs `dpukv` with these arguments and no others.
fn dpukv(arguments: &[&str]) -> Output {
    command(arguments).output().expect("the command runs")
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dpukv"));
    command.env_remove("DPUKV_SERVER").args(arguments);
    command
}

/// Runs `dpukv` against a server.
fn ask(server: &UdpServer, arguments: &[&str]) -> Output {
    let address = server.address().to_string();
    dpukv(&[&["--server", &address], arguments].concat())
}

/// Checks everything that a command leaves behind.
#[track_caller]
fn assert_ends(output: &Output, code: i32, stdout: &str, stderr: &str) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{errors}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), stdout);
    assert_eq!(errors, stderr);
}

/// Checks for a failure that says `text` in one line.
#[track_caller]
fn assert_fails(output: &Output, code: i32, text: &str) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{errors}");
    assert!(output.stdout.is_empty());
    assert!(errors.starts_with("dpukv: ") && errors.contains(text), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
}

#[test]
fn what_was_set_can_be_got() {
    let server = UdpServer::start(2);
    assert_ends(&ask(&server, &["set", "k", "a value"]), 0, "", "");
    assert_ends(&ask(&server, &["get", "k"]), 0, "a value\n", "");
    assert_ends(&ask(&server, &["get", "k", "--raw"]), 0, "a value", "");
    assert_ends(
        &ask(&server, &["get", "k", "--hex"]),
        2,
        "",
        "dpukv: \"k\" is not hexadecimal: two digits a byte, from 0 to f\n",
    );
    assert_ends(&ask(&server, &["get", "6b", "--hex"]), 0, "612076616c7565\n", "");
    assert_ends(&ask(&server, &["exists", "k"]), 0, "", "");
    assert_ends(&ask(&server, &["delete", "k"]), 0, "", "");
    assert_fails(&ask(&server, &["delete", "k"]), 1, "there is no key \"k\"");
}

#[test]
fn an_unknown_key_is_said_in_one_line() {
    let server = UdpServer::start(1);
    for command in ["get", "exists", "delete", "incr"] {
        assert_ends(&ask(&server, &[command, "none"]), 1, "", "dpukv: there is no key \"none\"\n");
    }
}

#[test]
fn add_stores_only_once() {
    let server = UdpServer::start(1);
    assert_ends(&ask(&server, &["add", "k", "one"]), 0, "", "");
    assert_ends(&ask(&server, &["add", "k", "two"]), 1, "", "dpukv: there is a key \"k\" already\n");
    assert_ends(&ask(&server, &["get", "k"]), 0, "one\n", "");
}

#[test]
fn counters_are_set_incremented_and_got() {
    let server = UdpServer::start(1);
    assert_ends(&ask(&server, &["set", "n", "40", "--u64"]), 0, "", "");
    assert_ends(&ask(&server, &["incr", "n"]), 0, "41\n", "");
    assert_ends(&ask(&server, &["incr", "n", "9"]), 0, "50\n", "");
    assert_ends(&ask(&server, &["incr", "n", "-8"]), 0, "42\n", "");
    assert_ends(&ask(&server, &["get", "n", "--u64"]), 0, "42\n", "");
    assert_ends(&ask(&server, &["incr", "new", "--create", "7"]), 0, "7\n", "");
    assert_ends(&ask(&server, &["incr", "new", "--create", "7"]), 0, "8\n", "");
    assert_ends(&ask(&server, &["set", "text", "abc"]), 0, "", "");
    assert_fails(&ask(&server, &["incr", "text"]), 5, "a counter has exactly 8 bytes");
    assert_fails(&ask(&server, &["get", "text", "--u64"]), 2, "the value has 3 bytes, so it is no counter");
}

#[test]
fn any_bytes_go_in_and_out() {
    let server = UdpServer::start(1);
    assert_ends(&ask(&server, &["set", "--hex", "ff00", "00fe80"]), 0, "", "");
    assert_ends(&ask(&server, &["get", "--hex", "ff00"]), 0, "00fe80\n", "");
    assert_ends(
        &ask(&server, &["set", "k", "", "--hex"]),
        2,
        "",
        "dpukv: \"k\" is not hexadecimal: two digits a byte, from 0 to f\n",
    );
    let address = server.address().to_string();
    let mut child = command(&["set", "--server", &address, "k", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command runs");
    child.stdin.take().expect("a pipe").write_all(&[0, 0xff, b'\n']).expect("the command reads");
    assert_ends(&child.wait_with_output().expect("the command ends"), 0, "", "");
    assert_eq!(ask(&server, &["get", "k", "--raw"]).stdout, [0, 0xff, b'\n']);
    assert_fails(&ask(&server, &["get", "k"]), 2, "the value is no text; print it with --hex or --raw");
}

#[test]
fn every_command_speaks_json() {
    let server = UdpServer::start(1);
    let says = |arguments: &[&str], code, object: &str| {
        assert_ends(&ask(&server, &[arguments, &["--json"]].concat()), code, &format!("{object}\n"), "");
    };
    says(&["get", "k"], 1, r#"{"found":false,"key":"k"}"#);
    says(&["set", "k", "a \"v\""], 0, r#"{"key":"k","stored":true}"#);
    says(&["get", "k"], 0, r#"{"found":true,"key":"k","value":"a \"v\""}"#);
    says(&["get", "6b", "--hex"], 0, r#"{"found":true,"key":"6b","value_hex":"6120227622"}"#);
    says(&["set", "--hex", "6b", "ff"], 0, r#"{"key":"6b","stored":true}"#);
    says(&["get", "k"], 0, r#"{"found":true,"key":"k","value_hex":"ff"}"#);
    says(&["add", "k", "v"], 1, r#"{"key":"k","stored":false}"#);
    says(&["exists", "k"], 0, r#"{"exists":true,"key":"k"}"#);
    says(&["delete", "k"], 0, r#"{"deleted":true,"key":"k"}"#);
    says(&["delete", "k"], 1, r#"{"deleted":false,"key":"k"}"#);
    says(&["exists", "k"], 1, r#"{"exists":false,"key":"k"}"#);
    says(&["incr", "n"], 1, r#"{"found":false,"key":"n"}"#);
    says(
        &["incr", "n", "--create", "18446744073709551615"],
        0,
        r#"{"found":true,"key":"n","value":18446744073709551615}"#,
    );
    says(&["incr", "n", "2"], 0, r#"{"found":true,"key":"n","value":1}"#);
}

#[test]
fn times_to_live_reach_the_server() {
    let server = UdpServer::start(1);
    assert_ends(&ask(&server, &["set", "k", "v", "--ttl", "10s"]), 0, "", "");
    assert_ends(&ask(&server, &["add", "a", "v", "--ttl", "1.5s"]), 0, "", "");
    assert_eq!(server.server().items[&b"k"[..]].1, 10_000);
    assert_eq!(server.server().items[&b"a"[..]].1, 1500);
    assert_eq!(ask(&server, &["set", "k", "v", "--ttl", "10"]).status.code(), Some(2));
}

#[test]
fn keys_are_shared_out_over_several_servers() {
    let servers = [UdpServer::start(1), UdpServer::start(1)];
    let addresses = format!("{},{}", servers[0].address(), servers[1].address());
    for number in 0..12 {
        assert_ends(&dpukv(&["set", "--server", &addresses, &format!("k{number}"), "v"]), 0, "", "");
    }
    let counts = servers.each_ref().map(|server| server.server().items.len());
    assert_eq!(counts.iter().sum::<usize>(), 12);
    assert!(counts[0] > 0 && counts[1] > 0, "{counts:?}");
}

#[test]
fn the_server_may_be_named_by_the_environment() {
    let server = UdpServer::start(1);
    let output = command(&["set", "k", "v"]).env("DPUKV_SERVER", server.address().to_string()).output();
    assert_ends(&output.expect("the command runs"), 0, "", "");
    assert!(server.server().items.contains_key(&b"k"[..]));
}

#[test]
fn no_server_is_exit_code_3() {
    let address = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").to_string();
    let nothing = format!("nothing listens at {address}");
    assert_fails(&dpukv(&["--server", &address, "get", "k"]), 3, &nothing);
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("a bound socket").to_string();
    let nobody = format!("no server answers at {address} within 50ms");
    assert_fails(&dpukv(&["--server", &address, "--timeout", "50ms", "get", "k"]), 3, &nobody);
}

#[test]
fn another_version_is_exit_code_4() {
    let server = UdpServer::start(1);
    server.server().version = Some(200);
    assert_fails(&ask(&server, &["get", "k"]), 4, "speaks version 200 of the protocol, not 1");
}

#[test]
fn what_is_refused_is_exit_code_5() {
    let server = UdpServer::start(1);
    let (long_key, long_value) = ("k".repeat(256), "v".repeat(1401));
    assert_fails(&ask(&server, &["set", &long_key, "v"]), 5, "a key of 256 bytes; the server takes up to 255");
    assert_fails(&ask(&server, &["set", "k", &long_value]), 5, "a value of 1401 bytes; the server takes up to 1400");
    for (result, text) in [
        (ResultCode::InsufficientSpace, "the store is full"),
        (ResultCode::NotSupported, "does not support the operation"),
        (ResultCode::TooLarge, "larger than the server takes"),
    ] {
        server.server().refuses_with = Some(result);
        assert_fails(&ask(&server, &["set", "k", "v"]), 5, text);
    }
}

#[test]
fn no_answer_in_time_is_exit_code_6() {
    let server = UdpServer::start(1);
    // It says who it is and then answers nothing.
    server.server().is_mute = true;
    assert_fails(&ask(&server, &["--timeout", "1s", "get", "k"]), 6, "nothing was changed");
    assert_fails(&ask(&server, &["--timeout", "1s", "incr", "k"]), 6, "may or may not have been made");
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let server = UdpServer::start(1);
    for arguments in
        [&["get"][..], &["set", "k"], &["incr", "k", "x"], &["frobnicate"], &["get", "k", "--raw", "--json"]]
    {
        assert_eq!(ask(&server, arguments).status.code(), Some(2), "{arguments:?}");
    }
    assert_eq!(dpukv(&["--server", "nonsense", "get", "k"]).status.code(), Some(2));
    assert_fails(&ask(&server, &["get", ""]), 2, "an empty key");
}

#[test]
fn loss_on_the_way_is_not_noticed() {
    let server = UdpServer::start(1);
    server.set_faults(Faults { loss: 20, doubling: 0, delay: 0 });
    for number in 0..10 {
        assert_ends(&ask(&server, &["set", &format!("k{number}"), "v"]), 0, "", "");
    }
    assert_eq!(server.server().items.len(), 10);
}

#[test]
fn the_help_lists_the_exit_codes() {
    let output = dpukv(&["--help"]);
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(help.contains("Exit codes:") && help.contains("3  no server answers"), "{help}");
    for command in ["get", "set", "add", "delete", "incr", "exists", "bench", "demo", "doctor"] {
        assert!(help.contains(&format!("  {command} ")), "{command}");
    }
}
