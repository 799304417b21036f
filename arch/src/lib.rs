//! What differs between CPUs, and nothing else: a clock, a spin hint, prefetch, DMA barriers, cache lines and CRC32C.
//!
//! The rest of DPU-KV is the same code on the host (mostly x86-64) and on the DPU (AArch64). Where the two need
//! different instructions, they come here. Each function is one line of code for the caller and works on every CPU;
//! what the CPU lacks is done the slow way. The code for one CPU is one file in `imp/`, and `imp/mod.rs` is the only
//! file that asks which CPU it is. [`portable`] is a CPU made of plain Rust: it is compiled always, passes the same
//! tests as the others, and is what Miri and CPUs without a file of their own get.
//!
//! No crate is used underneath. `core::arch` has most of the instructions; `aarch64-cpu`, the successor of `cortex-a`,
//! lacks YIELD, prefetch and CRC32C, and `x86` would bring RDTSC and CPUID only, both of which `core::arch` has.
//!
//! # Examples
//!
//! ```
//! // The core reads no clock of the operating system: the shell does, here with `Instant`, and passes numbers.
//! let os_clock = std::time::Instant::now();
//! let os_ns = || os_clock.elapsed().as_nanos() as u64;
//!
//! let measurement = arch::RateMeasurement::start(arch::now(), os_ns());
//! while os_ns() < 1_000_000 {
//!     arch::spin_hint();
//! }
//! let rate = arch::rate_from_cpu().or_else(|| measurement.finish(arch::now(), os_ns())).expect("a clock that moves");
//!
//! let start = arch::now();
//! let checksum = arch::crc32c(0, b"123456789");
//! println!("{checksum:#x} took {} ns", rate.ns(arch::now().since(start)));
//! assert_eq!(checksum, 0xE306_9283);
//! ```

#![no_std]
#![deny(unsafe_code)]

mod barrier;
mod cache_line;
mod clock;
mod cpu;
mod crc32c;
mod imp;
mod siphash;

pub use barrier::{dma_read_barrier, dma_write_barrier};
pub use cache_line::{CACHE_LINE_LEN, CACHE_PADDING_LEN, CachePadded, prefetch_read, prefetch_write};
pub use clock::{RateMeasurement, Tick, TickRate, now, rate_from_cpu};
pub use cpu::{CpuFeatures, cpu_features, learn_from_hwcap, pause_until, spin_hint};
pub use crc32c::{crc32c, crc32c_words};
pub use imp::portable;
pub use siphash::{SIPHASH_LANES, SipHashBlock, siphash13_lanes};
