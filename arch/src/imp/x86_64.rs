//! x86-64. Whatever is not in the first CPUs of the kind is looked for at run time.

#![expect(unsafe_code, reason = "instructions of this CPU")]

use core::arch::asm;
use core::arch::x86_64::{
    __cpuid, __cpuid_count, _MM_HINT_T0, _mm_crc32_u8, _mm_crc32_u64, _mm_prefetch, _mm256_set_epi64x,
    _mm256_storeu_si256, _mm512_set_epi64, _mm512_storeu_epi64, _rdtsc,
};
use core::sync::atomic::{AtomicU8, Ordering, fence};

use super::portable::{self, times_x};
use crate::clock::{Tick, TickRate};
use crate::cpu::CpuFeatures;
use crate::crc32c::Word;
use crate::siphash::{SIPHASH_LANES, SipHashBlock, blocks, hash_lanes};

/// RDTSC without a fence: two of them execute in order, but not in order with loads around them.
#[inline]
pub(crate) fn now() -> Tick {
    // SAFETY: RDTSC is in every x86-64 CPU, and it touches no memory. An operating system that forbids it (CR4.TSD)
    // ends the process, which is no undefined behaviour.
    Tick(unsafe { _rdtsc() })
}

/// CPUID leaf 1, ECX: the instructions of SSE4.2.
const LEAF_1_ECX_SSE42: u32 = 1 << 20;
/// CPUID leaf 1, ECX: never set by a CPU, always by a hypervisor.
const LEAF_1_ECX_HYPERVISOR: u32 = 1 << 31;
/// CPUID leaf 7, ECX: UMONITOR, UMWAIT and TPAUSE. A hypervisor that does not let its guests have them hides the bit.
const LEAF_7_ECX_WAITPKG: u32 = 1 << 5;
/// CPUID leaf 0x8000_0007, EDX: the counter's rate is the same in all states of the CPU.
const LEAF_8000_0007_EDX_INVARIANT_TSC: u32 = 1 << 8;

/// Where hypervisors state their name, and the last of their leaves.
const LEAF_HYPERVISOR: u32 = 0x4000_0000;
/// The rate of the counter in kHz, in EAX. VMware invented it; KVM under QEMU (`vmware-cpuid-freq`) and ACRN have it
/// too.
const LEAF_HYPERVISOR_TIMING: u32 = 0x4000_0010;
/// Those whose leaf 0x4000_0010 is known to be the timing leaf. Others may use the number for something else.
const HYPERVISORS_WITH_TIMING: [&[u8; 12]; 3] = [b"VMwareVMware", b"KVMKVMKVM\0\0\0", b"ACRNACRNACRN"];

/// Trusts only exact statements. Leaf 0x16 is none: it has the frequency on the label, in MHz, and the counter runs up
/// to 1 % beside it (Linux measures again when it had to start from that leaf). In a virtual machine leaf 0x15 may
/// speak of the machine underneath, whose counter the hypervisor scales.
pub(crate) fn rate_from_cpu() -> Option<TickRate> {
    let hz = if __cpuid(1).ecx & LEAF_1_ECX_HYPERVISOR == 0 { hz_from_crystal()? } else { hz_from_hypervisor()? };
    TickRate::from_hz(hz)
}

fn hz_from_hypervisor() -> Option<u64> {
    let leaf = __cpuid(LEAF_HYPERVISOR);
    hz_stated_by([leaf.ebx, leaf.ecx, leaf.edx], leaf.eax, || __cpuid(LEAF_HYPERVISOR_TIMING).eax)
}

fn hz_stated_by(name: [u32; 3], leaf_max: u32, timing_khz: impl FnOnce() -> u32) -> Option<u64> {
    let [a, b, c] = name.map(u32::to_le_bytes);
    let is_known = HYPERVISORS_WITH_TIMING.iter().any(|known| known.iter().eq(a.iter().chain(&b).chain(&c)));
    (is_known && leaf_max >= LEAF_HYPERVISOR_TIMING).then(|| u64::from(timing_khz()) * 1_000)
}

fn hz_from_crystal() -> Option<u64> {
    if __cpuid(0).eax < 0x15 {
        return None;
    }
    let leaf = __cpuid(0x15);
    hz_of_crystal(leaf.eax, leaf.ebx, leaf.ecx)
}

/// The crystal's rate times a fraction, to the nearest Hz (Intel 64 and IA-32 Architectures Software Developer's
/// Manual, CPUID leaf 0x15). A CPU that leaves out one of the three numbers does not know.
fn hz_of_crystal(denominator: u32, numerator: u32, crystal_hz: u32) -> Option<u64> {
    if denominator == 0 || numerator == 0 || crystal_hz == 0 {
        return None;
    }
    // The product fits 64 bits with room for half a divisor: it is at most (2^32 - 1)^2.
    let product = u64::from(crystal_hz) * u64::from(numerator);
    (product + u64::from(denominator) / 2).checked_div(u64::from(denominator))
}

pub(crate) fn cpu_features() -> CpuFeatures {
    let steady_counter =
        __cpuid(0x8000_0000).eax >= 0x8000_0007 && __cpuid(0x8000_0007).edx & LEAF_8000_0007_EDX_INVARIANT_TSC != 0;
    CpuFeatures {
        sse42: __cpuid(1).ecx & LEAF_1_ECX_SSE42 != 0,
        waitpkg: __cpuid(0).eax >= 7 && __cpuid_count(7, 0).ecx & LEAF_7_ECX_WAITPKG != 0,
        steady_counter,
        ..CpuFeatures::default()
    }
}

#[inline]
pub(crate) fn spin_hint() {
    // PAUSE on this CPU.
    core::hint::spin_loop();
}

/// TPAUSE into C0.1, which takes less time to leave than C0.2 and saves less. The operating system bounds it, too
/// (`IA32_UMWAIT_CONTROL`, 100 us under Linux). It ends early for an interrupt.
#[inline]
pub(crate) fn pause_until(deadline: Tick) {
    const C0_1: u32 = 1;
    if !has_waitpkg() {
        return spin_hint();
    }
    let (low, high) = (deadline.0 as u32, (deadline.0 >> 32) as u32);
    // SAFETY: the CPU has TPAUSE, it was asked. The instruction changes flags and no memory.
    unsafe { asm!("tpause {:e}", in(reg) C0_1, in("eax") low, in("edx") high, options(nomem, nostack)) };
}

#[inline]
fn has_waitpkg() -> bool {
    static ANSWER: Answer = Answer::new();
    ANSWER.get(|| cpu_features().waitpkg)
}

#[inline]
pub(crate) fn prefetch_read<T>(line: &T) {
    // SAFETY: PREFETCHT0 is in every x86-64 CPU, and it faults on no address.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(core::ptr::from_ref(line).cast()) }
}

/// By its name, since the compiler emits a plain prefetch unless it is told that every CPU has PREFETCHW. Those
/// without it take it for a NOP: AMD has it in every 64-bit CPU (AMD64 Architecture Programmer's Manual, volume 3,
/// PREFETCHW), Intel since Broadwell, and earlier ones do nothing.
#[inline]
pub(crate) fn prefetch_write<T>(line: &T) {
    let address = core::ptr::from_ref(line).addr();
    // SAFETY: the instruction changes neither registers nor memory, and it faults on no address.
    unsafe {
        asm!("prefetchw [{}]", in(reg) address, options(nomem, nostack, preserves_flags));
    }
}

/// Needs no instruction: a coherent device sees the writes of a core in program order, so it is enough to keep the
/// compiler from moving them (Linux's `dma_wmb` is no more than that on x86). SFENCE would order non-temporal and
/// write-combining stores too, of which the core makes none; an SDK that maps its doorbells so has the fence there.
#[inline]
pub(crate) fn dma_write_barrier() {
    fence(Ordering::Release);
}

/// Needs no instruction either: loads are not reordered with loads.
#[inline]
pub(crate) fn dma_read_barrier() {
    fence(Ordering::Acquire);
}

#[inline]
pub(crate) fn siphash13_lanes<const BLOCKS: usize>(key: [u64; 2], word: impl Fn(usize, usize) -> u64) -> SipHashBlock {
    match vectors() {
        // SAFETY: the CPU has AVX-512F and VL, and the operating system keeps their registers; both were asked.
        Vectors::Avx512 => unsafe { siphash13_lanes_avx512::<BLOCKS>(key, word) },
        // SAFETY: the CPU has AVX2, and the operating system keeps its registers; both were asked.
        Vectors::Avx2 => unsafe { siphash13_lanes_avx2::<BLOCKS>(key, word) },
        Vectors::Sse2 => hash_lanes::<BLOCKS>(key, &blocks(word)),
    }
}

#[target_feature(enable = "avx512f,avx512vl")]
fn siphash13_lanes_avx512<const BLOCKS: usize>(key: [u64; 2], word: impl Fn(usize, usize) -> u64) -> SipHashBlock {
    let blocks = core::array::from_fn(|block| {
        let [a, b, c, d, e, f, g, h] = core::array::from_fn(|lane| word(block, lane).cast_signed());
        let vector = _mm512_set_epi64(h, g, f, e, d, c, b, a);
        let mut words = SipHashBlock::default();
        let into = words.as_mut_ptr().cast();
        // SAFETY: 64 bytes, at any alignment, into an array of as many.
        unsafe { _mm512_storeu_epi64(into, vector) };
        words
    });
    hash_lanes::<BLOCKS>(key, &blocks)
}

#[target_feature(enable = "avx2")]
fn siphash13_lanes_avx2<const BLOCKS: usize>(key: [u64; 2], word: impl Fn(usize, usize) -> u64) -> SipHashBlock {
    let blocks = core::array::from_fn(|block| {
        let [a, b, c, d, e, f, g, h] = core::array::from_fn(|lane| word(block, lane).cast_signed());
        let halves = [_mm256_set_epi64x(d, c, b, a), _mm256_set_epi64x(h, g, f, e)];
        let mut words = SipHashBlock::default();
        for (words, half) in words.chunks_exact_mut(SIPHASH_LANES / 2).zip(halves) {
            let into = words.as_mut_ptr().cast();
            // SAFETY: 32 bytes, at any alignment, into a piece of an array that has as many.
            unsafe { _mm256_storeu_si256(into, half) };
        }
        words
    });
    hash_lanes::<BLOCKS>(key, &blocks)
}

/// The widest vector instructions that may be used.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Vectors {
    Sse2 = 1,
    Avx2,
    Avx512,
}

/// Asks once, as [`Answer`] does.
#[inline]
fn vectors() -> Vectors {
    static ANSWER: AtomicU8 = AtomicU8::new(0);

    #[cold]
    fn ask() -> Vectors {
        let answer = vectors_of(__cpuid(1).ecx, __cpuid(0).eax, || __cpuid_count(7, 0).ebx, enabled_registers);
        // Two threads may both ask; they store the same answer, and nothing else depends on it.
        ANSWER.store(answer as u8, Ordering::Relaxed);
        answer
    }

    match ANSWER.load(Ordering::Relaxed) {
        answer if answer == Vectors::Sse2 as u8 => Vectors::Sse2,
        answer if answer == Vectors::Avx2 as u8 => Vectors::Avx2,
        answer if answer == Vectors::Avx512 as u8 => Vectors::Avx512,
        _ => ask(),
    }
}

/// Bits of CPUID and XCR0 as in the AMD64 and Intel 64 manuals: a CPU that has the instructions is not enough, the
/// operating system must save the registers.
fn vectors_of(leaf_1_ecx: u32, leaf_max: u32, leaf_7_ebx: impl Fn() -> u32, xcr0: impl Fn() -> u32) -> Vectors {
    const LEAF_1_ECX_OSXSAVE: u32 = 1 << 27;
    const LEAF_7_EBX_AVX2: u32 = 1 << 5;
    const LEAF_7_EBX_AVX512F_VL: u32 = 1 << 16 | 1 << 31;
    const XCR0_AVX: u32 = 0b110;
    const XCR0_AVX512: u32 = 0b1110_0110;
    if leaf_1_ecx & LEAF_1_ECX_OSXSAVE == 0 || leaf_max < 7 {
        return Vectors::Sse2;
    }
    let (features, enabled) = (leaf_7_ebx(), xcr0());
    let has = |bits, registers| features & bits == bits && enabled & registers == registers;
    if has(LEAF_7_EBX_AVX512F_VL, XCR0_AVX512) {
        Vectors::Avx512
    } else if has(LEAF_7_EBX_AVX2, XCR0_AVX) {
        Vectors::Avx2
    } else {
        Vectors::Sse2
    }
}

/// The low half of XCR0. Only where CPUID says that the operating system has set it up.
fn enabled_registers() -> u32 {
    let low: u32;
    // SAFETY: XGETBV with 0 is there when OSXSAVE is, which the caller has asked; it touches no memory.
    unsafe {
        asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") _, options(nomem, nostack, preserves_flags));
    }
    low
}

#[inline]
pub(crate) fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    if !has_crc32c_instructions() {
        return portable::crc32c(seed, bytes);
    }
    // SAFETY: the CPU has SSE4.2, it was asked.
    unsafe { crc32c_sse42(seed, bytes) }
}

#[inline]
pub(crate) fn crc32c_words(seed: u32, words: &[u64]) -> u32 {
    if !has_crc32c_instructions() {
        return portable::crc32c_words(seed, words);
    }
    // SAFETY: the CPU has SSE4.2, it was asked.
    unsafe { crc32c_words_sse42(seed, words) }
}

#[inline]
fn has_crc32c_instructions() -> bool {
    static ANSWER: Answer = Answer::new();
    ANSWER.get(|| cpu_features().sse42)
}

/// What the CPU has said to a question, once: CPUID takes a hundred cycles, and a thousand times as long where a hypervisor
/// answers.
struct Answer(AtomicU8);

impl Answer {
    const YES: u8 = 1;
    const NO: u8 = 2;

    const fn new() -> Self {
        Self(AtomicU8::new(0))
    }

    #[inline]
    fn get(&self, ask: impl FnOnce() -> bool) -> bool {
        match self.0.load(Ordering::Relaxed) {
            Self::YES => true,
            Self::NO => false,
            _ => self.fill(ask),
        }
    }

    #[cold]
    fn fill(&self, ask: impl FnOnce() -> bool) -> bool {
        let answer = ask();
        // Two threads may both ask; they store the same answer, and nothing else depends on it.
        self.0.store(if answer { Self::YES } else { Self::NO }, Ordering::Relaxed);
        answer
    }
}

#[target_feature(enable = "sse4.2")]
fn crc32c_sse42(seed: u32, bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<8>();
    let state = fold_words(!seed, words);
    !rest.iter().fold(state, |state, &byte| _mm_crc32_u8(state, byte))
}

#[target_feature(enable = "sse4.2")]
fn crc32c_words_sse42(seed: u32, words: &[u64]) -> u32 {
    !fold_words(!seed, words)
}

/// From here on three lanes are faster than one, in words. Below, the work of joining them is more than what they save
/// (measured on one AMD EPYC: equal at 35 words, 1.4 times as fast at 64, twice at 125).
const LANES_WORDS_MIN: usize = 40;

/// The longest lane, in words, for which [`LANE_SHIFTS`] has an entry.
const LANE_WORDS_MAX: usize = 64;

/// The instruction takes 3 cycles but starts anew in every cycle, so three independent sums cost as much as one (Gopal
/// and others, "Fast CRC Computation for iSCSI Polynomial Using CRC32 Instruction", Intel, 2011).
#[target_feature(enable = "sse4.2")]
fn fold_words<W: Word>(mut state: u32, mut words: &[W]) -> u32 {
    while words.len() >= LANES_WORDS_MIN {
        let lane_len = (words.len() / 3).min(LANE_WORDS_MAX);
        let Some((block, rest)) = words.split_at_checked(3 * lane_len) else { break };
        state = fold_lanes(state, block, lane_len);
        words = rest;
    }
    fold_lane(state, words)
}

#[target_feature(enable = "sse4.2")]
fn fold_lane<W: Word>(state: u32, words: &[W]) -> u32 {
    low_half(words.iter().fold(u64::from(state), |state, word| _mm_crc32_u64(state, word.value())))
}

/// Sums up a block of three lanes, `lane_len` words each, and joins the sums as if it had been one.
#[target_feature(enable = "sse4.2")]
fn fold_lanes<W: Word>(state: u32, block: &[W], lane_len: usize) -> u32 {
    let (lane_a, rest) = block.split_at(lane_len.min(block.len()));
    let (lane_b, lane_c) = rest.split_at(lane_len.min(rest.len()));
    let (mut a, mut b, mut c) = (u64::from(state), 0, 0);
    for ((word_a, word_b), word_c) in lane_a.iter().zip(lane_b).zip(lane_c) {
        a = _mm_crc32_u64(a, word_a.value());
        b = _mm_crc32_u64(b, word_b.value());
        c = _mm_crc32_u64(c, word_c.value());
    }
    // The instruction itself does the last step of both shifts, see LANE_SHIFTS.
    let shifted =
        carryless_product(low_half(a), lane_shift(2 * lane_len)) ^ carryless_product(low_half(b), lane_shift(lane_len));
    low_half(_mm_crc32_u64(0, shifted) ^ c)
}

fn low_half(word: u64) -> u32 {
    word as u32
}

/// What a sum is multiplied with to move it over the words of the lanes behind it, by the number of those words.
///
/// A move over n words is a multiplication by x^(64n). The entry is x^(64n - 33): one factor of x comes with the
/// product of two reflected numbers, which is one bit short, and 32 with the instruction that reduces the product.
static LANE_SHIFTS: [u32; 2 * LANE_WORDS_MAX + 1] = lane_shifts();

const fn lane_shifts() -> [u32; 2 * LANE_WORDS_MAX + 1] {
    let mut shifts = [0; 2 * LANE_WORDS_MAX + 1];
    // One word: x^31, which is bit 0. There is no entry for none.
    let mut power = 1;
    let mut words = 1;
    while words < shifts.len() {
        shifts[words] = power;
        let mut bit = 0;
        while bit < 64 {
            power = times_x(power);
            bit += 1;
        }
        words += 1;
    }
    shifts
}

fn lane_shift(words: usize) -> u32 {
    debug_assert!(words < LANE_SHIFTS.len(), "lanes are at most {LANE_WORDS_MAX} words long");
    LANE_SHIFTS.get(words).copied().unwrap_or(0)
}

/// The product of two polynomials over GF(2), from 16 ordinary multiplications of numbers with three zeros after each
/// bit, where carries find room (Pornin, "Constant-Time Mul", <https://www.bearssl.org/constanttime.html>).
///
/// PCLMULQDQ does it at once, but wants vector registers, which a kernel or a bare-metal program may not have. That
/// would save about 10 ns per batch.
fn carryless_product(a: u32, b: u32) -> u64 {
    const EVERY_FOURTH: u64 = 0x1111_1111_1111_1111;
    let split = |number: u32| [0, 1, 2, 3].map(|shift| u64::from(number) & (EVERY_FOURTH << shift));
    let [a0, a1, a2, a3] = split(a);
    let [b0, b1, b2, b3] = split(b);
    let c0 = (a0 * b0) ^ (a1 * b3) ^ (a2 * b2) ^ (a3 * b1);
    let c1 = (a0 * b1) ^ (a1 * b0) ^ (a2 * b3) ^ (a3 * b2);
    let c2 = (a0 * b2) ^ (a1 * b1) ^ (a2 * b0) ^ (a3 * b3);
    let c3 = (a0 * b3) ^ (a1 * b2) ^ (a2 * b1) ^ (a3 * b0);
    (c0 & EVERY_FOURTH) | (c1 & EVERY_FOURTH << 1) | (c2 & EVERY_FOURTH << 2) | (c3 & EVERY_FOURTH << 3)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_crystal_with_its_fraction_is_a_rate() {
        // A CPU with a crystal of 24 MHz and a fraction of 216/2 counts at 2592 MHz.
        assert_eq!(hz_of_crystal(2, 216, 24_000_000), Some(2_592_000_000));
        assert_eq!(hz_of_crystal(3, 2, 25_000_000), Some(16_666_667));
        assert_eq!(hz_of_crystal(u32::MAX, u32::MAX, u32::MAX), Some(u64::from(u32::MAX)));
        assert_eq!(hz_of_crystal(1, u32::MAX, u32::MAX), Some(u64::from(u32::MAX) * u64::from(u32::MAX)));
    }

    #[test]
    fn a_crystal_without_all_three_numbers_is_unknown() {
        assert_eq!(hz_of_crystal(0, 216, 24_000_000), None);
        assert_eq!(hz_of_crystal(2, 0, 24_000_000), None);
        assert_eq!(hz_of_crystal(2, 216, 0), None);
    }

    #[test]
    fn vectors_need_the_cpu_and_the_operating_system() {
        const OSXSAVE: u32 = 1 << 27;
        const ALL: u32 = 1 << 5 | 1 << 16 | 1 << 31;
        let of = |ecx, leaf_max, ebx, xcr0| vectors_of(ecx, leaf_max, || ebx, || xcr0) as u8;
        assert_eq!(of(OSXSAVE, 13, ALL, 0xe7), Vectors::Avx512 as u8);
        assert_eq!(of(OSXSAVE, 13, ALL, 0x07), Vectors::Avx2 as u8, "the system keeps no AVX-512 registers");
        assert_eq!(of(OSXSAVE, 13, 1 << 5, 0xe7), Vectors::Avx2 as u8);
        assert_eq!(of(OSXSAVE, 13, ALL, 0x03), Vectors::Sse2 as u8);
        assert_eq!(of(OSXSAVE, 6, ALL, 0xe7), Vectors::Sse2 as u8);
        assert_eq!(of(0, 13, ALL, 0xe7), Vectors::Sse2 as u8);
    }

    fn name(text: &[u8; 12]) -> [u32; 3] {
        let (words, _) = text.as_chunks::<4>();
        [words[0], words[1], words[2]].map(u32::from_le_bytes)
    }

    #[test]
    fn a_hypervisor_is_believed_when_it_is_known_and_has_the_leaf() {
        for known in HYPERVISORS_WITH_TIMING {
            assert_eq!(hz_stated_by(name(known), 0x4000_0010, || 2_596_146), Some(2_596_146_000));
            assert_eq!(hz_stated_by(name(known), 0x4000_0001, || unreachable!("it is not there")), None);
        }
        assert_eq!(hz_stated_by(name(b"Microsoft Hv"), 0x4000_0010, || unreachable!("not asked")), None);
    }

    proptest! {
        #[test]
        fn the_carryless_product_is_the_sum_of_shifted_factors(a: u32, b: u32) {
            let expected = (0..32).filter(|bit| b >> bit & 1 == 1).fold(0, |sum, bit| sum ^ (u64::from(a) << bit));
            prop_assert_eq!(carryless_product(a, b), expected);
        }
    }
}
