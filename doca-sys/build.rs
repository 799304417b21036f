//! Finds the installed DOCA where a feature asks for it. Without a feature there is nothing to do.

#![forbid(unsafe_code)]

#[cfg(any(feature = "link", feature = "verify-bindgen"))]
#[path = "build/installed.rs"]
mod installed;

#[cfg(not(any(feature = "link", feature = "verify-bindgen")))]
#[path = "build/nothing.rs"]
mod installed;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rustc-check-cfg=cfg(doca_headers)");
    println!("cargo::rustc-check-cfg=cfg(doca_generation, values(\"1\", \"2\"))");
    if let Err(message) = installed::use_it() {
        println!("cargo::error={}", message.replace('\n', " "));
        std::process::exit(1);
    }
}
