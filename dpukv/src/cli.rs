//! What can be typed.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use client::{Config, Source};

use crate::command::{bench, counters, delete, demo, doctor, exists, get, incr, manual, profile, set, side};
use crate::duration;
use crate::exit::Exit;

/// DPU-KV: a key-value store whose communication engine can move to a DPU.
#[derive(Debug, Parser)]
#[command(name = "dpukv", version, about, after_help = Exit::table())]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) shared: Shared,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command that talks to servers takes, before or after the command's name.
#[derive(Clone, Debug, Args)]
pub(crate) struct Shared {
    /// Address of each server as IP:PORT; the order decides which server holds a key
    #[arg(
        long = "server",
        value_name = "ADDRESS[,ADDRESS..]",
        env = "DPUKV_SERVER",
        value_delimiter = ',',
        default_value = "127.0.0.1:7600",
        global = true
    )]
    pub(crate) servers: Vec<SocketAddr>,

    /// Directory that lists the servers, in place of --server: http://HOST:PORT (an embedded one, or an etcd by its v2
    /// API), etcd://HOST:PORT (an etcd by its v3 API), either with a prefix such as /mica behind it, or file:PATH
    #[arg(long, value_name = "URL", env = "DPUKV_DIRECTORY", conflicts_with = "servers", global = true)]
    pub(crate) directory: Option<Source>,

    /// How long to wait for an answer, all attempts together, such as 500ms or 2s
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "5s", global = true)]
    pub(crate) timeout: Duration,
}

impl Shared {
    /// A client's choices, for the servers that were named.
    pub(crate) fn config(&self) -> Config {
        let config = Config { timeout: self.timeout, ..Config::new(&self.servers) };
        match &self.directory {
            Some(source) => Config { servers: Vec::new(), directory: Some(source.clone()), ..config },
            None => config,
        }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the value of a key
    Get(get::Args),
    /// Store a value
    Set(set::Args),
    /// Store a value if the key has none
    Add(set::Args),
    /// Remove a key
    Delete(delete::Args),
    /// Add to a counter
    Incr(incr::Args),
    /// Say by the exit code whether a key is there
    Exists(exists::Args),
    /// Measure servers with YCSB workloads
    Bench(Box<bench::Args>),
    /// Say what each role spends on a request, stage by stage
    Profile(Box<profile::Args>),
    /// Run every design on this machine and compare them
    Demo(demo::Args),
    /// Say what this machine has and lacks
    Doctor(doctor::Args),
    /// Print what a side counts, in OpenMetrics' format
    Counters(counters::Args),
    /// Write the manual pages and the shells' completions of all programs
    #[command(hide = true)]
    Manual(manual::Args),
    /// Run the host side of a server
    #[command(hide = true)]
    Host(side::Args),
    /// Run the DPU side of a server
    #[command(hide = true)]
    Dpu(side::Args),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
