//! Load phase and measured phase of a benchmark.
//!
//! A closed loop keeps a window of requests outstanding and measures each from its submission: what a client sees that
//! waits for its answers, or, with a pause after them, one that comes now and then. An open loop submits at a rate, whether
//! or not answers come, and measures each request from the moment at which it was *due*: a server that stalls for a second
//! is charged for every request of that second (no coordinated omission; Tene, "How NOT to measure latency", 2015).

mod driver;
mod phase;
mod report;
mod spread;

pub(crate) use phase::{Loaded, Measured, Phase, Progress, load, run};
pub(crate) use report::{Cost, Report, Run};
pub(crate) use spread::{Spread, median};
