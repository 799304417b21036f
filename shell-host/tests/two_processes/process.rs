//! The two sides as processes of their own.
//!
//! The host is this crate's program. The DPU's program belongs to another crate, whose binary is not at hand here, so
//! its library runs in a second process of this very test. The environment can name other programs for both: those of
//! another CPU, with what emulates it.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kv_core::counters::Counter;
use rustix::process::{Pid, Signal, kill_process};
use shell_io::announce::Ready;
use shell_io::counters_file::{CountersReader, CountersSnapshot};

use crate::client::PATIENCE;

/// In the environment, if the host or the DPU is another program: its command line, in words.
const PROGRAMS: [&str; 2] = ["DPUKV_TEST_HOST", "DPUKV_TEST_DPU"];

/// Tells the DPU's process what to read.
const DPU_CONFIG: &str = "DPUKV_TEST_DPU_CONFIG";

/// The name of the test that becomes the DPU's process.
const DPU_TEST: &str = "process::the_dpu_side";

/// One side, killed when it goes out of scope.
pub(crate) struct Side {
    child: Child,
    pub(crate) ready: Ready,
    counters: CountersReader,
    /// Kept open, so that the process can go on writing to it.
    _stdout: BufReader<ChildStdout>,
}

impl Side {
    pub(crate) fn host(config: &str) -> Self {
        let child = host_command(config).stdout(Stdio::piped()).spawn().expect("the host's program");
        Self::when_ready(child).expect("a host that does not end before it is ready")
    }

    pub(crate) fn dpu(config: &str) -> Self {
        Self::dpu_in(config, &[])
    }

    /// The host with these environment variables.
    pub(crate) fn host_in(config: &str, variables: &[(&str, &str)]) -> Self {
        let mut command = host_command(config);
        let child = command.envs(variables.iter().copied()).stdout(Stdio::piped()).spawn().expect("the host's program");
        Self::when_ready(child).expect("a host that does not end before it is ready")
    }

    /// The DPU with these environment variables.
    pub(crate) fn dpu_in(config: &str, variables: &[(&str, &str)]) -> Self {
        let mut command = dpu_command(config);
        let child = command.envs(variables.iter().copied()).stdout(Stdio::piped()).spawn().expect("the DPU's program");
        Self::when_ready(child).expect("a DPU that does not end before it is ready")
    }

    fn when_ready(mut child: Child) -> Option<Self> {
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        let ready: Ready = loop {
            line.clear();
            let len = stdout.read_line(&mut line).expect("a line");
            if len == 0 {
                println!("a side ended before it was ready: {:?}", child.wait());
                return None;
            }
            if let Ok(ready) = line.trim_end().parse() {
                break ready;
            }
        };
        assert_eq!(ready.pid, child.id());
        let counters = CountersReader::open(&ready.counters).expect("its counters");
        Some(Self { child, ready, counters, _stdout: stdout })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().expect("a process to kill");
        self.child.wait().expect("its end");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid() as i32).expect("a process id");
        kill_process(pid, signal).expect("a process of ours");
    }

    /// Asks it to stop and waits until it has.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.child.wait().expect("its end")
    }

    pub(crate) fn counters(&self) -> CountersSnapshot {
        self.counters.read().expect("counters")
    }

    /// Waits until its counters say so.
    pub(crate) fn wait_for(&self, what: &str, is_so: impl Fn(&CountersSnapshot) -> bool) -> CountersSnapshot {
        let start = Instant::now();
        loop {
            let counters = self.counters();
            if is_so(&counters) {
                return counters;
            }
            assert!(start.elapsed() < PATIENCE, "never: {what}");
            // The CPU is for those that are waited for.
            thread::yield_now();
        }
    }

    /// Waits until its counters have reached this much.
    pub(crate) fn wait_for_count(&self, counter: Counter, least: u64) {
        self.wait_for(counter.name(), |counters| counters.total(counter) >= least);
    }

    /// How many UDP sockets the process has open.
    pub(crate) fn udp_socket_count(&self) -> usize {
        let table = fs::read_to_string(format!("/proc/{}/net/udp", self.pid())).expect("the table of sockets");
        let inodes: Vec<_> = table.lines().skip(1).filter_map(|line| line.split_whitespace().nth(9)).collect();
        let files = fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("its files");
        let targets = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
        // A socket may have several file numbers.
        let sockets: HashSet<_> = targets.filter_map(|target| socket_inode(&target)).collect();
        sockets.iter().filter(|inode| inodes.contains(&inode.as_str())).count()
    }

    /// The CPU time that the kernel has counted so far, to its tick of 10 ms.
    pub(crate) fn cpu_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("its times");
        // Behind the name, which may have blanks: the state, and so on to the times in user and in kernel mode (proc(5)).
        let fields: Vec<_> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
        let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().expect("a number")).sum();
        Duration::from_millis(10 * ticks)
    }

    /// The most memory that it has ever had mapped, in bytes.
    pub(crate) fn mapped_bytes_max(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("its status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:")).expect("its peak");
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().expect("a number");
        kib * 1024
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The inode in the target of a file's link below `/proc`, if the file is a socket.
fn socket_inode(target: &Path) -> Option<String> {
    Some(target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
}

/// The host's program with this configuration, for those who want its exit code.
pub(crate) fn host_command(config: &str) -> Command {
    let [variable, _] = PROGRAMS;
    let mut command = named_program(variable).unwrap_or_else(|| Command::new(env!("CARGO_BIN_EXE_dpukv-host")));
    command.arg("--config").arg(config_file(config));
    command
}

fn dpu_command(config: &str) -> Command {
    let [_, variable] = PROGRAMS;
    if let Some(mut command) = named_program(variable) {
        command.arg("--config").arg(config_file(config));
        return command;
    }
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command.args(["--exact", DPU_TEST, "--ignored", "--nocapture"]).env(DPU_CONFIG, config);
    command
}

/// Whether the DPU's program is one that the environment names.
pub(crate) fn is_dpu_named() -> bool {
    let [_, dpu] = PROGRAMS;
    named_program(dpu).is_some()
}

fn named_program(variable: &str) -> Option<Command> {
    let line = std::env::var(variable).ok()?;
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next()?);
    command.args(words);
    Some(command)
}

fn config_file(config: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("{}-{}.toml", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, config).expect("a file");
    path
}

/// Runs the host's program to its end: its exit code and what it says.
pub(crate) fn run_host(config: &str) -> (Option<i32>, String) {
    let mut child = host_command(config).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("the program");
    let mut said = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut said).expect("text");
    (child.wait().expect("its end").code(), said)
}

/// A TCP address that was free a moment ago.
pub(crate) fn free_control_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

/// The first of so many UDP ports that were free a moment ago.
pub(crate) fn free_base_port(count: u16) -> u16 {
    let is_free = |port| UdpSocket::bind(("127.0.0.1", port)).is_ok();
    loop {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let first = socket.local_addr().expect("an address").port();
        drop(socket);
        if first < 65_000 && (first..first + count).all(is_free) {
            return first;
        }
    }
}

#[test]
#[ignore = "the process of the DPU side, which other tests start"]
fn the_dpu_side() {
    let Ok(text) = std::env::var(DPU_CONFIG) else { return };
    let config = shell_dpu::Config::parse("dpu.toml", &text).expect("a valid configuration");
    shell_io::program::log_to_stderr(config.log.level);
    let stop = shell_io::program::stop_on_signals().expect("signals");
    shell_dpu::run(&config, &stop, shell_io::boot::announce).expect("a clean end");
}
