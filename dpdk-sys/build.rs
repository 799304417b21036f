//! Finds the installed DPDK, generates bindings for what is used of it, and compiles the shim.
//!
//! Without the feature `bindings` there is nothing to do.

#![forbid(unsafe_code)]

#[cfg(feature = "bindings")]
#[path = "build/bindings.rs"]
mod bindings;

#[cfg(not(feature = "bindings"))]
#[path = "build/nothing.rs"]
mod bindings;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    if let Err(message) = bindings::generate() {
        println!("cargo::error={}", message.replace('\n', " "));
        std::process::exit(1);
    }
}
