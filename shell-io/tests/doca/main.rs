//! Copies through DOCA's interface, both generations, by libraries that stand in for DOCA's.

#![allow(unsafe_code, reason = "functions of a library that is loaded here")]

mod control;
#[path = "../counting/mod.rs"]
mod counting;
mod engine;
mod faults;
mod server;
mod stand_in;
