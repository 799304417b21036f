//! Runs a property over files: `cargo run -p fuzz --example replay TARGET FILE...`. It needs no fuzzer, and so a debugger or
//! a sanitizer can look on.

#![forbid(unsafe_code)]

use std::env;
use std::fs;
use std::process::ExitCode;

use fuzz::PROPERTIES;

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let target = arguments.next().unwrap_or_default();
    let Some(property) = PROPERTIES.iter().find(|property| property.name == target) else {
        let names = PROPERTIES.map(|property| property.name);
        eprintln!("no target {target:?}; there are {}", names.join(", "));
        return ExitCode::FAILURE;
    };
    for file in arguments {
        match fs::read(&file) {
            Ok(bytes) => println!("{file}: {} accepted", (property.check)(&bytes)),
            Err(error) => {
                eprintln!("{file}: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
