//! `dpukv`: the one command that users of DPU-KV type.
//!
//! [`cli`] says what can be typed, [`exit`] how it ends, and each file in [`command`] does one thing. A command returns
//! an [`exit::Exit`] or a [`exit::Failure`]; only `main` prints a failure, once, in one line.

#![forbid(unsafe_code)]

mod bytes;
mod cli;
mod command;
mod demo;
mod duration;
mod exit;
mod item;
mod measure;
mod profile;
mod queue_pair_bench;
mod table_bench;
mod workload;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match command::run(&cli) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("dpukv: {}", failure.line());
            failure.exit().into()
        }
    }
}
