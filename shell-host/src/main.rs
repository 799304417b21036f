//! `dpukv-host`: see the library of this crate.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use shell_io::config::ConnectSection;

fn main() -> ExitCode {
    shell_io::program::main::<ConnectSection>(shell_host::NAME, shell_host::ABOUT)
}
