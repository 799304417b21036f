//! Picks the file for this CPU. No other file of the project asks which CPU it is compiled for.
//!
//! Each file has the same functions with the same contracts, which are written where they are public: in `clock.rs`,
//! `cache_line.rs`, `barrier.rs`, `cpu.rs` and `crc32c.rs`. To add a CPU, add a file and two lines here;
//! `tests/each_cpu.rs` says whether it is right. Miri knows no instructions of a CPU and runs the portable file.

pub mod portable;

#[cfg(all(target_arch = "aarch64", not(miri)))]
pub(crate) mod aarch64;
#[cfg(all(target_arch = "x86_64", not(miri)))]
pub(crate) mod x86_64;

#[cfg(all(target_arch = "aarch64", not(miri)))]
pub(crate) use aarch64 as native;
#[cfg(any(miri, not(any(target_arch = "aarch64", target_arch = "x86_64"))))]
pub(crate) use portable as native;
#[cfg(all(target_arch = "x86_64", not(miri)))]
pub(crate) use x86_64 as native;
