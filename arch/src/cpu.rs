//! What this CPU can do, and how to wait on it without waste.
//!
//! An x86-64 CPU answers questions about itself. An AArch64 CPU answers them to the operating system only, which
//! passes the answers on to each process in a word called HWCAP. The core knows no operating system, so the shell
//! hands that word in once, with [`learn_from_hwcap`]; until then only what the compiler was told is used. A binary
//! for plain Armv8.0 thus runs everywhere and is still fast where the CPU is.

#![expect(unsafe_code, reason = "a false HWCAP would make later calls execute instructions that the CPU lacks")]

use core::sync::atomic::{AtomicUsize, Ordering};

use crate::clock::Tick;
use crate::imp::native;

/// What [`learn_from_hwcap`] was told; no bit is set before.
static HWCAP: AtomicUsize = AtomicUsize::new(0);

/// Which of the things that DPU-KV uses or reports this CPU has. What is `false` may be unknown rather than missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuFeatures {
    /// SSE4.2 of x86-64, with the instruction for CRC32C.
    pub sse42: bool,
    /// The CRC32 extension of AArch64 (optional in Armv8.0, present in Cortex-A72 and later).
    pub crc: bool,
    /// The atomic instructions of Armv8.1, which a Cortex-A72 lacks. Reported only: nothing here depends on them.
    pub lse: bool,
    /// WAITPKG of x86-64: TPAUSE, with which [`pause_until`] waits.
    pub waitpkg: bool,
    /// The counter behind [`crate::now`] keeps its rate whatever the core's frequency and sleep state are.
    pub steady_counter: bool,
}

impl CpuFeatures {
    /// Whether [`crate::crc32c`] uses instructions made for it rather than tables.
    #[must_use]
    pub const fn has_crc32c_instructions(self) -> bool {
        self.sse42 || self.crc
    }
}

/// Finds out what the CPU has. Takes some hundred nanoseconds, or far longer in a virtual machine: not for the loop.
#[must_use]
pub fn cpu_features() -> CpuFeatures {
    native::cpu_features()
}

/// Tells the crate the word that the kernel put under `AT_HWCAP` (`getauxval(AT_HWCAP)` on Linux).
///
/// Call it once at start, before the loop; later calls replace the word. AArch64 takes from it whether there are
/// instructions for CRC32C; other CPUs ignore it.
///
/// # Safety
///
/// `hwcap` is what the kernel gave to this process, or a subset of its bits. With a bit that the kernel did not set,
/// [`crate::crc32c`] may execute an instruction that the CPU does not have.
pub unsafe fn learn_from_hwcap(hwcap: usize) {
    // No other memory is published with the word, and each reader uses one read of it.
    HWCAP.store(hwcap, Ordering::Relaxed);
}

/// What the kernel said about the CPU, as [`learn_from_hwcap`] got it. True by that function's contract.
#[allow(dead_code, reason = "only CPUs that cannot be asked read it")]
pub(crate) fn hwcap() -> usize {
    HWCAP.load(Ordering::Relaxed)
}

/// Lets the CPU rest until about `deadline`, and no longer: it may come back at once, and nothing has to wake it.
///
/// `deadline` is a reading of [`crate::now`] that is still to come. For a loop that has looked in vain for a while and looks
/// again at short intervals. An x86-64 CPU with WAITPKG stops in the lighter of its two states (TPAUSE, C0.1); any other gets a
/// [`spin_hint`].
///
/// What watches memory is not used: UMWAIT, and WFE with an exclusive monitor on AArch64, watch one cache line, while a core of
/// ours waits for one of several queue pairs, a socket, a device or an order. WFE without a monitor waits for Linux's event
/// stream, every 100 us, and WFET, which has a deadline (Armv8.7), is in no BlueField up to the third.
#[inline]
pub fn pause_until(deadline: Tick) {
    native::pause_until(deadline);
}

/// Says to the CPU that this is a loop which waits for another core: PAUSE on x86-64, YIELD on AArch64.
///
/// It saves power and leaves the core to its other hardware thread, and returns within some hundred cycles. It is
/// neither a barrier nor a call to the scheduler.
#[inline]
pub fn spin_hint() {
    native::spin_hint();
}
