//! A server as users start it: two processes, sockets, shared memory.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use client::{Client, Config};
use kv_core::design::Design;
use rustix::process::{Pid, Signal, kill_process};

/// The command.
pub(crate) const DPUKV: &str = env!("CARGO_BIN_EXE_dpukv");

/// Longer than any client should need, on any machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// One side of a server; killed when dropped.
struct Side {
    child: Child,
}

impl Side {
    fn start(name: &str, config: &Path) -> Self {
        let mut child = Command::new(DPUKV)
            .arg(name)
            .arg("--config")
            .arg(config)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let stdout = child.stdout.take().expect("a pipe");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        assert!(line.starts_with("ready "), "{name}: {line}");
        Self { child }
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        // It may have been stopped already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server of a host and a DPU, and their configuration.
pub(crate) struct Server {
    place: tempfile::TempDir,
    address: SocketAddr,
    sides: [Option<Side>; 2],
}

/// The number of the host side.
pub(crate) const HOST: usize = 0;
/// The number of the DPU side.
pub(crate) const DPU: usize = 1;

impl Server {
    /// Starts both sides. `table` is what stands in `[table]`, and behind it may be further sections.
    pub(crate) fn start(design: Design, table: &str) -> Self {
        let place = tempfile::tempdir().expect("a directory");
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port").local_addr().expect("an address");
        let base = free_udp_ports(4);
        let common = format!(
            "[plan]\ndesign = \"{}\"\nhost_cores = 2\ndpu_cores = 2\nspare_cores = 1\npartitions = 4\n\
             [network]\nbase_port = {base}\n[log]\nlevel = \"error\"\n[table]\n{table}\n[control]\n",
            design.name()
        );
        fs::write(place.path().join("dpu.toml"), format!("{common}listen = \"{tcp}\"\n")).expect("written");
        fs::write(place.path().join("host.toml"), format!("{common}connect = \"{tcp}\"\n")).expect("written");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, base));
        let mut server = Self { place, address, sides: [None, None] };
        server.restart(DPU);
        server.restart(HOST);
        server
    }

    fn config(&self, side: usize) -> PathBuf {
        self.place.path().join(["host.toml", "dpu.toml"][side])
    }

    /// Kills a side as `kill -9` does.
    pub(crate) fn kill(&mut self, side: usize) {
        self.sides[side] = None;
    }

    /// Kills a side as `kill -9` does, if it runs, and starts it anew.
    pub(crate) fn restart(&mut self, side: usize) {
        self.kill(side);
        self.sides[side] = Some(Side::start(["host", "dpu"][side], &self.config(side)));
    }

    /// Where its endpoint 0 is; the others have the ports behind it.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Asks both sides to stop and waits until they have.
    pub(crate) fn stop(self) {
        for side in self.sides.iter().flatten() {
            let pid = Pid::from_raw(side.child.id() as i32).expect("a process id");
            kill_process(pid, Signal::TERM).expect("a process of ours");
        }
        for mut side in self.sides.into_iter().flatten() {
            assert!(side.child.wait().expect("its end").success(), "a clean end");
        }
    }

    /// A client with patience.
    pub(crate) fn client(&self) -> Client {
        let mut config = Config::new(&[self.address]);
        config.connect_timeout = PATIENCE;
        config.timeout = PATIENCE;
        Client::with_config(&config).expect("the server answers")
    }

    /// What the command says of this server.
    pub(crate) fn command(&self, args: &[&str]) -> Output {
        Command::new(DPUKV)
            .args(["--server", &self.address.to_string(), "--timeout", "60s"])
            .args(args)
            .output()
            .expect("the command starts")
    }
}

/// The first of some UDP ports in a row that were free a moment ago.
fn free_udp_ports(count: u16) -> u16 {
    (0..100)
        .find_map(|_| {
            let first = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
            let base = first.local_addr().ok()?.port();
            let end = base.checked_add(count)?;
            let others: Result<Vec<_>, _> =
                (base + 1..end).map(|port| UdpSocket::bind((Ipv4Addr::LOCALHOST, port))).collect();
            others.ok().map(|_| base)
        })
        .expect("some ports in a row are free")
}
