//! Which CPU a thread runs on, and what that CPU can do.
//!
//! A core of the store is a thread that never leaves its CPU: its caches stay warm, and no two cores meet on one CPU
//! while another is free. Where a machine does not allow it the store works, only slower, so failing here is for the
//! caller to report, not a reason to stop.

#![expect(unsafe_code, reason = "arch believes what it is told about the CPU")]

use std::ffi::CString;
use std::io;
use std::num::NonZero;
use std::thread;

use rustix::io::Errno;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity, set_name};

/// Longest name of a thread that the kernel keeps, in bytes (prctl(2), PR_SET_NAME).
const NAME_LEN_MAX: usize = 15;

/// A thread could not be bound to a CPU.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// The process may not use that CPU, or there is none of that number.
    #[error("CPU {cpu} is not there for this process; it may use {usable:?}")]
    NotUsable {
        /// The CPU asked for.
        cpu: usize,
        /// The CPUs that the thread could run on.
        usable: Vec<usize>,
    },
    /// The kernel refuses.
    #[error("cannot bind a thread to CPU {cpu}: {cause}")]
    Refused {
        /// The CPU asked for.
        cpu: usize,
        /// What the kernel says.
        cause: io::Error,
    },
}

/// Binds the calling thread to one CPU, and threads that it starts later too.
///
/// # Errors
/// [`PinError`]; the thread then runs where it ran.
pub fn pin(cpu: usize) -> Result<(), PinError> {
    let not_usable = || PinError::NotUsable { cpu, usable: usable_cpus() };
    if cpu >= CpuSet::MAX_CPU {
        return Err(not_usable());
    }
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    sched_setaffinity(None, &cpus).map_err(|errno| match errno {
        Errno::INVAL => not_usable(),
        errno => PinError::Refused { cpu, cause: errno.into() },
    })
}

/// The CPUs on which the calling thread may run, in ascending order. After [`pin`] that is one, so ask before.
///
/// Empty where the kernel does not say, on machines with more CPUs than it can be asked about.
pub fn usable_cpus() -> Vec<usize> {
    let Ok(cpus) = sched_getaffinity(None) else { return Vec::new() };
    (0..CpuSet::MAX_CPU).filter(|cpu| cpus.is_set(*cpu)).collect()
}

/// How many threads can run at the same time: the usable CPUs, or fewer where a control group limits the CPU time. At
/// least 1. After [`pin`] that is 1, so ask before.
pub fn usable_cpu_count() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Gives the calling thread a name, for those who look at the process from outside. Best effort: at most 15 bytes are
/// kept, up to the first NUL.
pub fn name_thread(name: &str) {
    let name = name.split('\0').next().unwrap_or_default();
    let name = &name[..name.floor_char_boundary(NAME_LEN_MAX)];
    if let Ok(name) = CString::new(name) {
        // A thread without its name works as well.
        let _ = set_name(&name);
    }
}

/// Tells [`arch`] what the kernel says about the CPU. Call it once, before any core starts: until then an AArch64 CPU
/// is used as if it had nothing beyond what the compiler was told.
pub fn learn_cpu() {
    let (hwcap, _) = rustix::param::linux_hwcap();
    // SAFETY: this is the word that the kernel gave to this process under AT_HWCAP, unchanged.
    unsafe { arch::learn_from_hwcap(hwcap) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs in a thread of its own, which may be bound without harm to other tests.
    fn apart<R: Send>(test: impl FnOnce() -> R + Send) -> R {
        thread::scope(|scope| scope.spawn(test).join().expect("the test's own thread"))
    }

    #[test]
    fn a_thread_can_be_bound_to_each_cpu_that_it_may_use() {
        for cpu in usable_cpus() {
            let runs_on = apart(|| {
                pin(cpu).expect("a usable CPU");
                (usable_cpus(), rustix::thread::sched_getcpu())
            });
            assert_eq!(runs_on, (vec![cpu], cpu));
        }
    }

    #[test]
    fn a_cpu_that_is_not_there_is_an_error_with_those_that_are() {
        let usable = usable_cpus();
        assert!(!usable.is_empty());
        for cpu in [CpuSet::MAX_CPU - 1, CpuSet::MAX_CPU, usize::MAX] {
            let error = apart(|| pin(cpu)).expect_err("no such CPU");
            assert!(matches!(&error, PinError::NotUsable { cpu: got, usable: list } if *got == cpu && *list == usable));
            assert!(error.to_string().contains(&format!("{usable:?}")));
        }
    }

    #[test]
    fn there_are_never_more_cpus_at_a_time_than_usable_ones() {
        assert!((1..=usable_cpus().len()).contains(&usable_cpu_count()));
    }

    #[test]
    fn a_name_is_cut_to_whole_characters_that_the_kernel_keeps() {
        for (given, kept) in
            [("dpu-0", "dpu-0"), ("a-name-of-20-letters", "a-name-of-20-le"), ("äöüäöüäö", "äöüäöüä"), ("a\0b", "a")]
        {
            let name = apart(|| {
                name_thread(given);
                rustix::thread::name()
            });
            assert_eq!(name.expect("a name").to_str(), Ok(kept));
        }
    }

    #[test]
    fn checksums_are_the_same_before_and_after_the_cpu_is_known() {
        let before = arch::crc32c(0, b"123456789");
        learn_cpu();
        assert_eq!((before, arch::crc32c(0, b"123456789")), (0xE306_9283, 0xE306_9283));
    }
}
