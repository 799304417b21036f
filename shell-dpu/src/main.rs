//! `dpukv-dpu`: see the library of this crate.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use shell_io::config::ListenSection;

fn main() -> ExitCode {
    shell_io::program::main::<ListenSection>(shell_dpu::NAME, shell_dpu::ABOUT)
}
