//! A network namespace for a test, and what is made in it.

use std::env;
use std::net::Ipv4Addr;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use qp_wire::net::MacAddr;
use shell_io::port::dpdk::DpdkPort;

use crate::client::PATIENCE;
use crate::frames::{CLIENT, receive, send};

/// What stands in an ARP reply from its ether type to its operation.
const ARP_REPLY: [u8; 10] = [0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 2];

/// Says to a process that it is in a namespace of its own.
const APART: &str = "DPUKV_TEST_DPDK_APART";

/// Runs a test in a process and a network namespace of its own. `name` is the test's, with its module.
///
/// The test gives the reason if this machine cannot run it.
pub(crate) fn apart(name: &str, test: impl FnOnce() -> Result<(), String>) {
    if env::var_os(APART).is_some() {
        let ran = run("ip link set lo up").and_then(|()| test());
        return ran.unwrap_or_else(|why| println!("SKIPPED {name}: {why}"));
    }
    if let Err(why) = run("unshare --net true") {
        return println!("SKIPPED {name}: {why}");
    }
    let mut command = Command::new("unshare");
    command.args(["--net", "--"]).arg(env::current_exe().expect("this test"));
    command.args(["--exact", name, "--nocapture"]).env(APART, "1");
    let status = command.status().expect("unshare, which ran a moment ago");
    assert!(status.success(), "{name}: {status}");
}

/// Runs a program to its end; what it says when it fails.
pub(crate) fn run(command: &str) -> Result<(), String> {
    let mut words = command.split_whitespace();
    let program = words.next().unwrap_or_default();
    match Command::new(program).args(words).output() {
        Ok(Output { status, .. }) if status.success() => Ok(()),
        Ok(Output { stderr, .. }) => Err(format!("`{command}`: {}", String::from_utf8_lossy(&stderr).trim())),
        Err(error) => Err(format!("`{command}`: {error}")),
    }
}

/// Why there can be no tap here, asked of the system itself: what is in the way of DPDK's driver beyond that is a fault.
pub(crate) fn tap_is_there() -> Result<(), String> {
    run("ip tuntap add dev probe0 mode tap")?;
    run("ip tuntap del dev probe0 mode tap")
}

/// Why there can be no AF_XDP socket here, asked of the system itself.
pub(crate) fn xdp_is_there() -> Result<(), String> {
    let made = rustix::net::socket(rustix::net::AddressFamily::XDP, rustix::net::SocketType::RAW, None);
    made.map(drop).map_err(|error| format!("socket(AF_XDP): {error}"))
}

/// A pair of devices, `kv<number>` for a server and `cl<number>` for clients, the latter with the address 10.77.`number`.2.
pub(crate) fn veth(number: u8) -> Result<(), String> {
    // DPDK's af_packet driver groups its sockets under process id xor interface number, 16 bits for the whole namespace,
    // and two groups must not meet. Numbers that differ above the lowest byte keep processes apart whose ids are near.
    let [server, client] = [1, 2].map(|end| (end + 2 * u32::from(number)) << 8);
    run(&format!("ip link add kv{number} index {server} type veth peer name cl{number} index {client}"))?;
    run(&format!("ip addr add 10.77.{number}.2/24 dev cl{number}"))?;
    for end in ["kv", "cl"] {
        // A kernel that leaves checksums to a device sends none over a pair.
        run(&format!("ethtool -K {end}{number} tx off"))?;
        // The kernel shall not answer for the server, nor ask who is there.
        run(&format!("sysctl -qw net.ipv6.conf.{end}{number}.disable_ipv6=1")).ok();
        run(&format!("ip link set {end}{number} up"))?;
    }
    Ok(())
}

/// Asks by ARP which interface has an address.
pub(crate) fn mac_told(port: &mut DpdkPort, own: MacAddr, address: Ipv4Addr) -> MacAddr {
    let mut question = vec![0xff; 6];
    question.extend(own.0);
    question.extend([0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1]);
    question.extend(own.0);
    question.extend(CLIENT.ipv4.octets());
    question.extend([0; 6]);
    question.extend(address.octets());
    question.resize(60, 0);
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        send(port, &question);
        let sent = Instant::now();
        while sent.elapsed() < Duration::from_millis(50) {
            let mut replies = receive(port).into_iter().filter(|frame| frame.get(12..22) == Some(&ARP_REPLY));
            if let Some(reply) = replies.next_back() {
                return MacAddr(reply[22..28].try_into().expect("six bytes"));
            }
        }
    }
    panic!("nobody says where {address} is");
}
