//! An etcd as a process, for tests that are run where there is one.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use directory::{Directory, Source};
use tempfile::TempDir;

/// How long to look again after a look in vain.
pub(crate) const PAUSE: Duration = Duration::from_millis(20);

/// An etcd with one member, and its data.
pub(crate) struct Etcd {
    process: Child,
    data: TempDir,
    ports: [u16; 2],
}

impl Etcd {
    /// Starts it and waits until it answers.
    pub(crate) fn start() -> Self {
        let ports = [(); 2].map(|()| free_port());
        let data = tempfile::tempdir().expect("a folder");
        let process = spawn(data.path(), ports);
        let etcd = Self { process, data, ports };
        etcd.wait();
        etcd
    }

    /// Where it is; `scheme` says by which API.
    pub(crate) fn source(&self, scheme: &str) -> Source {
        format!("{scheme}://127.0.0.1:{}", self.ports[0]).parse().expect("a source")
    }

    /// Waits until it answers for both of its APIs.
    fn wait(&self) {
        for scheme in ["http", "etcd"] {
            let directory = Directory::new(&self.source(scheme));
            until(|| directory.servers().ok());
        }
    }

    /// Ends it without a word.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("a process");
        self.process.wait().expect("a process");
    }

    /// Starts it again, with the same data and ports.
    pub(crate) fn start_again(&mut self) {
        self.process = spawn(self.data.path(), self.ports);
        self.wait();
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|taken| taken.local_addr()).expect("a port").port()
}

fn spawn(data: &Path, [clients, peers]: [u16; 2]) -> Child {
    let (clients, peers) = (format!("http://127.0.0.1:{clients}"), format!("http://127.0.0.1:{peers}"));
    let log = File::create(data.join("log")).expect("a log");
    Command::new("etcd")
        .args(["--enable-v2", "--name", "only", "--initial-cluster", &format!("only={peers}")])
        .args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients])
        .args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers])
        .arg("--data-dir")
        .arg(data.join("data"))
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("an etcd in the path")
}

/// Waits for what others do.
pub(crate) fn until<T>(mut done: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(done) = done() {
            return done;
        }
        assert!(Instant::now() < deadline, "it did not happen");
        thread::sleep(PAUSE);
    }
}
