//! Every design on this machine: a host process, a DPU process and a client, one design after the other.

mod cost;
mod process;
mod server;
mod table;

pub(crate) use server::{Server, ServerError};
pub(crate) use table::Table;

use kv_core::design::Design;

/// How many cores a design gets on either side, enough to show its idea and no more: the demo has to run on two CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cores {
    pub(crate) host: u8,
    pub(crate) dpu: u8,
    /// Host cores that serve beside the processing one.
    pub(crate) spare: u8,
}

impl Cores {
    /// The cores of a design.
    pub(crate) const fn of(design: Design) -> Self {
        match design {
            Design::CpuOnly | Design::DpuOnly | Design::Lat | Design::Shrd => Self { host: 1, dpu: 1, spare: 0 },
            // Several DPU cores for one host core are the point.
            Design::Sav => Self { host: 1, dpu: 2, spare: 0 },
            Design::Dual => Self { host: 2, dpu: 2, spare: 1 },
        }
    }
}
