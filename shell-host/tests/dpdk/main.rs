//! Both sides as processes over DPDK's devices, with clients of either wire: real frames, no network card.
//!
//! Each test has a network namespace and a process of its own; devices that it makes there go with it. What a machine
//! cannot run is skipped with one line that says why.

#![forbid(unsafe_code)]

#[allow(dead_code, reason = "the client is shared with the tests over kernel sockets, which use all of it")]
#[path = "../two_processes/client.rs"]
mod client;
mod designs;
#[allow(dead_code, reason = "the frames are shared with the tests of the port, which use all of them")]
#[path = "../../../shell-io/tests/dpdk/frames.rs"]
mod frames;
mod network;
mod offloads;
#[allow(dead_code, reason = "the processes are shared with the tests over kernel sockets, which use all of it")]
#[path = "../two_processes/process.rs"]
mod process;
mod wires;
