//! AArch64, from plain Armv8.0 on. Whatever is optional there is used only when the compiler or the kernel promised
//! it.

#![expect(unsafe_code, reason = "instructions of this CPU")]

use core::arch::aarch64::{__crc32cb, __crc32cd};
use core::arch::asm;

use super::portable;
use crate::clock::{Tick, TickRate};
use crate::cpu::{self, CpuFeatures};
use crate::crc32c::Word;
use crate::siphash::{SipHashBlock, blocks, hash_lanes};

/// Bits of Linux's `AT_HWCAP` for AArch64 (arch/arm64/include/uapi/asm/hwcap.h): CRC32 and the atomics of Armv8.1.
const HWCAP_CRC32: usize = 1 << 7;
const HWCAP_ATOMICS: usize = 1 << 8;

/// Reads CNTVCT_EL0 without the ISB that would hold the read back until earlier instructions are done. Reads of the
/// counter are in program order among themselves (Arm Architecture Registers, CNTVCT_EL0), which is all that
/// [`crate::now`] promises, and an ISB empties the pipeline.
#[inline]
pub(crate) fn now() -> Tick {
    let ticks: u64;
    // SAFETY: the register is readable in user mode under every operating system that uses the generic timer, and
    // reading it has no effect. Where it is forbidden, the process ends by a signal, which is no undefined behaviour.
    unsafe { asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack, preserves_flags)) };
    Tick(ticks)
}

/// CNTFRQ_EL0, which the firmware writes and the hardware does not check: zero means that it forgot.
pub(crate) fn rate_from_cpu() -> Option<TickRate> {
    let hz: u64;
    // SAFETY: as for CNTVCT_EL0: reading the register has no effect.
    unsafe { asm!("mrs {}, cntfrq_el0", out(reg) hz, options(nomem, nostack, preserves_flags)) };
    TickRate::from_hz(hz)
}

/// ID_AA64ISAR0_EL1 would tell, but user mode may not read it; Linux emulates the read, others end the process.
pub(crate) fn cpu_features() -> CpuFeatures {
    CpuFeatures {
        crc: has_crc32c_instructions(),
        lse: cfg!(target_feature = "lse") || cpu::hwcap() & HWCAP_ATOMICS != 0,
        // The generic timer has one rate by architecture, whatever the cores do.
        steady_counter: true,
        ..CpuFeatures::default()
    }
}

/// YIELD by its name: `core::hint::spin_loop` is ISB on this CPU, which costs more and is no hint to a sibling thread.
#[inline]
pub(crate) fn spin_hint() {
    // SAFETY: YIELD is a hint that changes nothing.
    unsafe { asm!("yield", options(nomem, nostack, preserves_flags)) };
}

#[inline]
pub(crate) fn pause_until(_deadline: Tick) {
    spin_hint();
}

#[inline]
pub(crate) fn prefetch_read<T>(line: &T) {
    let address = core::ptr::from_ref(line).addr();
    // SAFETY: PRFM changes neither registers nor memory, and it faults on no address.
    unsafe {
        asm!("prfm pldl1keep, [{}]", in(reg) address, options(nomem, nostack, preserves_flags));
    }
}

#[inline]
pub(crate) fn prefetch_write<T>(line: &T) {
    let address = core::ptr::from_ref(line).addr();
    // SAFETY: PRFM changes neither registers nor memory, and it faults on no address.
    unsafe {
        asm!("prfm pstl1keep, [{}]", in(reg) address, options(nomem, nostack, preserves_flags));
    }
}

/// Orders writes for the outer shareable domain, as Linux's `dma_wmb` does. No `nomem`: the compiler, too, must not
/// move writes across.
#[inline]
pub(crate) fn dma_write_barrier() {
    // SAFETY: DMB orders memory accesses and does nothing else.
    unsafe { asm!("dmb oshst", options(nostack, preserves_flags)) };
}

/// Orders reads for the outer shareable domain, as Linux's `dma_rmb` does.
#[inline]
pub(crate) fn dma_read_barrier() {
    // SAFETY: DMB orders memory accesses and does nothing else.
    unsafe { asm!("dmb oshld", options(nostack, preserves_flags)) };
}

/// Every AArch64 CPU that runs Linux has vectors of two words, which the compiler uses.
#[inline]
pub(crate) fn siphash13_lanes<const BLOCKS: usize>(key: [u64; 2], word: impl Fn(usize, usize) -> u64) -> SipHashBlock {
    hash_lanes::<BLOCKS>(key, &blocks(word))
}

#[inline]
pub(crate) fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    if !has_crc32c_instructions() {
        return portable::crc32c(seed, bytes);
    }
    // SAFETY: the compiler was told that the CPU has CRC32, or the kernel said so.
    unsafe { crc32c_crc(seed, bytes) }
}

#[inline]
pub(crate) fn crc32c_words(seed: u32, words: &[u64]) -> u32 {
    if !has_crc32c_instructions() {
        return portable::crc32c_words(seed, words);
    }
    // SAFETY: the compiler was told that the CPU has CRC32, or the kernel said so.
    unsafe { crc32c_words_crc(seed, words) }
}

#[inline]
fn has_crc32c_instructions() -> bool {
    cfg!(target_feature = "crc") || cpu::hwcap() & HWCAP_CRC32 != 0
}

#[target_feature(enable = "crc")]
fn crc32c_crc(seed: u32, bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<8>();
    let state = fold_words(!seed, words);
    !rest.iter().fold(state, |state, &byte| __crc32cb(state, byte))
}

#[target_feature(enable = "crc")]
fn crc32c_words_crc(seed: u32, words: &[u64]) -> u32 {
    !fold_words(!seed, words)
}

/// One lane. Three would gain less than on x86-64, where the instruction has the longer latency; whether they gain
/// anything on the cores of a DPU is to be measured there.
#[target_feature(enable = "crc")]
fn fold_words<W: Word>(state: u32, words: &[W]) -> u32 {
    words.iter().fold(state, |state, word| __crc32cd(state, word.value()))
}
