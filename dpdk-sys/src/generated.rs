//! What the build script has made of DPDK's headers.

#![allow(
    warnings,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    clippy::multiple_unsafe_ops_per_block,
    reason = "generated code has its generator's style; DPDK documents its interface, and shim.h the shim's"
)]

include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
