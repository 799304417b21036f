//! A server of two processes, for as long as the demo needs it.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use kv_core::design::{Design, Side};
use shell_io::counters_file::{CountersOpenError, CountersReader};
use thiserror::Error;

use super::Cores;
use super::cost::Snapshot;
use super::process::{Process, ProcessError};

/// How long a process may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// Why the demo's server does not run.
#[derive(Debug, Error)]
pub(crate) enum ServerError {
    /// A directory, file or port of this machine.
    #[error("cannot prepare the demo's server in {}", place.display())]
    Prepare {
        /// Where.
        place: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// One of the two processes.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A counters file that makes no sense.
    #[error(transparent)]
    Counters(#[from] CountersOpenError),
}

/// A host process and a DPU process that work together. Dropping it stops both.
#[derive(Debug)]
pub(crate) struct Server {
    host: Process,
    dpu: Process,
    host_counters: CountersReader,
    dpu_counters: CountersReader,
    /// Removed last.
    _place: tempfile::TempDir,
}

impl Server {
    /// Starts a server of a design with `table_bytes` of memory for items on each side that has any.
    pub(crate) fn start(design: Design, cores: Cores, table_bytes: u64) -> Result<Self, ServerError> {
        let temporary = std::env::temp_dir();
        let prepare = |place: &Path| {
            let place = place.to_owned();
            move |source| ServerError::Prepare { place, source }
        };
        let place = tempfile::Builder::new().prefix("dpukv-demo-").tempdir().map_err(prepare(&temporary))?;
        // A port that was free a moment ago; whoever takes it first makes the DPU process say so.
        let control = free_port().map_err(prepare(place.path()))?;
        let file = |name: &str| place.path().join(name);
        let plan = plan_section(design, cores);
        let network = "[network]\nbase_port = 0\n[cores]\npin = false\n[log]\nlevel = \"error\"\n";
        let table = format!("[table]\nmemory = \"{table_bytes} B\"\n");
        let section = |side: &str, key: &str| {
            format!("{plan}{network}{table}[counters]\nfile = {:?}\n[control]\n{key} = \"{control}\"\n", file(side))
        };
        let dpu_config = file("dpu.toml");
        let host_config = file("host.toml");
        fs::write(&dpu_config, section("dpu.counters", "listen")).map_err(prepare(&dpu_config))?;
        fs::write(&host_config, section("host.counters", "connect")).map_err(prepare(&host_config))?;
        let mut dpu = Process::start(Side::Dpu, &dpu_config)?;
        let mut host = Process::start(Side::Host, &host_config)?;
        dpu.wait_ready(READY_WITHIN)?;
        host.wait_ready(READY_WITHIN)?;
        Ok(Self {
            host_counters: CountersReader::open(&file("host.counters"))?,
            dpu_counters: CountersReader::open(&file("dpu.counters"))?,
            host,
            dpu,
            _place: place,
        })
    }

    /// Where clients may ask: an endpoint of either side.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.dpu.endpoints().first().or_else(|| self.host.endpoints().first()).copied()
    }

    /// What both sides have counted until now.
    pub(crate) fn snapshot(&self) -> Result<Snapshot, ServerError> {
        Ok(Snapshot::read(&self.host_counters, &self.dpu_counters)?)
    }
}

fn free_port() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn plan_section(design: Design, Cores { host, dpu, spare }: Cores) -> String {
    format!(
        "[plan]\ndesign = \"{}\"\nhost_cores = {host}\ndpu_cores = {dpu}\nspare_cores = {spare}\npartitions = 4\n",
        design.name()
    )
}
