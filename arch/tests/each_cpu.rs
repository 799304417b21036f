//! What every CPU must do, run twice: for the CPU at hand, and for the portable one that it is compared with.
//!
//! `native` is what callers get. On AArch64 it learns from the kernel first whether it has instructions for CRC32C;
//! until it has learned, it uses the code that `portable` is.

use std::hash::Hasher;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use arch::{CACHE_LINE_LEN, CACHE_PADDING_LEN, CachePadded, RateMeasurement};
use proptest::prelude::*;

/// The checksum as the definition has it: one bit after the other, and no table.
fn crc32c_by_definition(seed: u32, bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!seed, |state, &byte| {
        (0..8).fold(
            state ^ u32::from(byte),
            |state, _| if state & 1 == 1 { state >> 1 ^ 0x82F6_3B78 } else { state >> 1 },
        )
    })
}

/// Bytes without a pattern that a wrong shift could map to itself.
fn pseudo_random_bytes(len: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..len).map(next).collect()
}

/// Eight different inputs of one length.
fn siphash_inputs(len: usize) -> [Vec<u8>; 8] {
    let bytes = pseudo_random_bytes(64);
    std::array::from_fn(|lane| bytes[lane..lane + len].to_vec())
}

fn siphashes_of_std(len: usize) -> [u64; 8] {
    siphash_inputs(len).map(|input| {
        let mut hasher = std::hash::DefaultHasher::new();
        hasher.write(&input);
        hasher.finish()
    })
}

/// A word of one of these inputs as SipHash pads them.
fn siphash_word(len: usize, block: usize, lane: usize) -> u64 {
    let input = &siphash_inputs(len)[lane];
    let mut bytes = [0; 8];
    let part = &input[8 * block..len.min(8 * block + 8)];
    bytes[..part.len()].copy_from_slice(part);
    if block == len / 8 {
        bytes[7] = len as u8;
    }
    u64::from_le_bytes(bytes)
}

/// Tells the crate what the kernel told this process. On a system without that file nothing is told.
fn learn_from_kernel() {
    const AT_HWCAP: usize = 16;
    let auxv = std::fs::read("/proc/self/auxv").unwrap_or_default();
    let (words, _) = auxv.as_chunks::<{ size_of::<usize>() }>();
    let (pairs, _) = words.as_chunks::<2>();
    let hwcap = pairs.iter().map(|pair| pair.map(usize::from_ne_bytes)).find(|[kind, _]| *kind == AT_HWCAP);
    if let Some([_, hwcap]) = hwcap {
        // SAFETY: it is the word that the kernel gave to this process.
        unsafe { arch::learn_from_hwcap(hwcap) };
    }
}

macro_rules! each_cpu {
    ($name:ident, $cpu:path) => {
        mod $name {
            use super::*;
            use $cpu as cpu;

            /// `DefaultHasher` of std is SipHash-1-3 with both halves of the key 0. Other keys are compared in `kv-core`.
            #[test]
            fn eight_hashes_are_those_of_siphash_1_3() {
                for len in 0..8 {
                    let word = |len| move |block, lane| siphash_word(len, block, lane);
                    assert_eq!(cpu::siphash13_lanes::<1>([0, 0], word(len)), siphashes_of_std(len));
                    assert_eq!(cpu::siphash13_lanes::<2>([0, 0], word(8 + len)), siphashes_of_std(8 + len));
                    assert_eq!(cpu::siphash13_lanes::<5>([0, 0], word(32 + len)), siphashes_of_std(32 + len));
                }
            }

            #[test]
            fn the_checksum_of_nothing_is_the_seed() {
                assert_eq!(cpu::crc32c(0, b""), 0);
                assert_eq!(cpu::crc32c(0xDEAD_BEEF, b""), 0xDEAD_BEEF);
                assert_eq!(cpu::crc32c_words(0xDEAD_BEEF, &[]), 0xDEAD_BEEF);
            }

            #[test]
            fn the_checksums_of_rfc_3720_come_out() {
                learn_from_kernel();
                let ascending: [u8; 32] = std::array::from_fn(|index| index as u8);
                let descending: [u8; 32] = std::array::from_fn(|index| 31 - index as u8);
                assert_eq!(cpu::crc32c(0, &[0; 32]), 0x8A91_36AA);
                assert_eq!(cpu::crc32c(0, &[0xFF; 32]), 0x62A8_AB43);
                assert_eq!(cpu::crc32c(0, &ascending), 0x46DD_794E);
                assert_eq!(cpu::crc32c(0, &descending), 0x113F_DB5C);
                assert_eq!(cpu::crc32c(0, b"123456789"), 0xE306_9283);
            }

            #[test]
            fn every_length_at_every_alignment_has_the_defined_checksum() {
                learn_from_kernel();
                let bytes = pseudo_random_bytes(308);
                for offset in 0..8 {
                    for len in 0..=300 {
                        let input = &bytes[offset..offset + len];
                        let expected = crc32c_by_definition(7, input);
                        assert_eq!(cpu::crc32c(7, input), expected, "{len} bytes from {offset}");
                    }
                }
            }

            #[test]
            fn every_count_of_words_up_to_a_jumbo_frame_has_the_checksum_of_their_bytes() {
                learn_from_kernel();
                let bytes = pseudo_random_bytes(9_000);
                let (chunks, _) = bytes.as_chunks::<8>();
                let words: Vec<u64> = chunks.iter().copied().map(u64::from_le_bytes).collect();
                let mut expected = 7;
                for count in 0..=words.len() {
                    assert_eq!(cpu::crc32c_words(7, &words[..count]), expected, "{count} words");
                    assert_eq!(cpu::crc32c(7, chunks[..count].as_flattened()), expected, "{count} times 8 bytes");
                    expected = crc32c_by_definition(expected, chunks.get(count).map_or(&[], |chunk| chunk.as_slice()));
                }
            }

            #[test]
            fn a_flipped_bit_changes_the_checksum() {
                learn_from_kernel();
                let mut bytes = pseudo_random_bytes(1_000);
                let intact = cpu::crc32c(0, &bytes);
                for bit in 0..bytes.len() * 8 {
                    bytes[bit / 8] ^= 1 << (bit % 8);
                    assert_ne!(cpu::crc32c(0, &bytes), intact, "bit {bit}");
                    bytes[bit / 8] ^= 1 << (bit % 8);
                }
            }

            proptest! {
                #[test]
                fn a_checksum_goes_on_where_it_stopped(
                    seed: u32, bytes in proptest::collection::vec(any::<u8>(), 0..2_000), cut: prop::sample::Index,
                ) {
                    learn_from_kernel();
                    let (head, tail) = bytes.split_at(cut.index(bytes.len() + 1));
                    let whole = cpu::crc32c(seed, &bytes);
                    prop_assert_eq!(cpu::crc32c(cpu::crc32c(seed, head), tail), whole);
                    prop_assert_eq!(crc32c_by_definition(seed, &bytes), whole);
                }
            }

            #[test]
            fn readings_of_one_thread_do_not_decrease() {
                let mut last = cpu::now();
                for _ in 0..100_000 {
                    let now = cpu::now();
                    assert!(now >= last, "{now:?} after {last:?}");
                    last = now;
                }
            }

            #[test]
            fn the_counter_moves() {
                let start = cpu::now();
                assert!((0..100_000_000).any(|_| cpu::now().since(start) > 0));
            }

            #[test]
            fn a_stated_rate_is_one_that_counters_have_and_does_not_change() {
                let stated = cpu::rate_from_cpu();
                assert_eq!(cpu::rate_from_cpu(), stated);
                if let Some(rate) = stated {
                    assert!((1_000_000..=10_000_000_000).contains(&rate.hz()), "{rate:?}");
                }
            }

            #[test]
            fn a_prefetch_changes_nothing_and_takes_any_place() {
                let values = [1_u64, 2, 3];
                for value in &values {
                    cpu::prefetch_read(value);
                    cpu::prefetch_write(value);
                }
                // A value without bytes may have any address, and nothing is mapped there.
                cpu::prefetch_read(&());
                cpu::prefetch_write(&());
                assert_eq!(values, [1, 2, 3]);
            }

            #[test]
            fn a_pause_ends_whatever_its_deadline_is() {
                let (before, began) = (cpu::now(), Instant::now());
                for ticks in [0, 1, 1_000] {
                    cpu::pause_until(arch::Tick(cpu::now().0.wrapping_add(ticks)));
                }
                cpu::pause_until(before);
                assert!(began.elapsed().as_secs() < 10);
            }

            #[test]
            fn what_was_written_before_a_flag_is_there_when_the_flag_is_seen() {
                const ROUNDS: u64 = 1_000;
                let (data, flag, taken) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
                thread::scope(|scope| {
                    scope.spawn(|| {
                        for round in 1..=ROUNDS {
                            data.store(round, Ordering::Relaxed);
                            cpu::dma_write_barrier();
                            flag.store(round, Ordering::Relaxed);
                            wait_for(|| taken.load(Ordering::Acquire) == round, cpu::spin_hint);
                        }
                    });
                    for round in 1..=ROUNDS {
                        wait_for(|| flag.load(Ordering::Relaxed) == round, cpu::spin_hint);
                        cpu::dma_read_barrier();
                        assert_eq!(data.load(Ordering::Relaxed), round);
                        taken.store(round, Ordering::Release);
                    }
                });
            }

            #[test]
            fn the_features_do_not_change_and_are_of_one_kind_of_cpu() {
                learn_from_kernel();
                let features = cpu::cpu_features();
                assert_eq!(cpu::cpu_features(), features);
                assert!(!((features.sse42 || features.waitpkg) && (features.crc || features.lse)), "{features:?}");
                assert_eq!(features.has_crc32c_instructions(), features.sse42 || features.crc);
            }
        }
    };
}

/// Waits with the hint under test, and lets the other thread run when both share a core.
fn wait_for(mut is_true: impl FnMut() -> bool, spin_hint: fn()) {
    while !is_true() {
        for _ in 0..16 {
            spin_hint();
        }
        thread::yield_now();
    }
}

each_cpu!(native, arch);
each_cpu!(portable, arch::portable);

#[test]
fn a_measured_rate_agrees_with_the_stated_one() {
    let os_clock = Instant::now();
    // A pair of readings that an interruption pulled apart would make the rate wrong: take another pair.
    let read_both = || {
        loop {
            let before_ns = os_clock.elapsed().as_nanos() as u64;
            let tick = arch::now();
            let after_ns = os_clock.elapsed().as_nanos() as u64;
            if after_ns - before_ns < 1_000_000 {
                return (tick, before_ns);
            }
        }
    };
    let (start, start_ns) = read_both();
    let measurement = RateMeasurement::start(start, start_ns);
    let measured = loop {
        let (end, end_ns) = read_both();
        if end_ns - start_ns >= 20_000_000 {
            break measurement.finish(end, end_ns).expect("both clocks moved");
        }
    };
    // 1 ms of 20 ms at either end is 10 %.
    if let Some(stated) = arch::rate_from_cpu() {
        assert!(measured.hz().abs_diff(stated.hz()) <= stated.hz() / 8, "measured {measured:?}, stated {stated:?}");
    }
    // A counter that may change its rate, or one of calls, can show anything.
    if arch::cpu_features().steady_counter {
        assert!((1_000_000..=10_000_000_000).contains(&measured.hz()), "{measured:?}");
    }
}

#[test]
fn padded_values_share_no_cache_line() {
    let pair = [CachePadded::new(AtomicBool::new(false)), CachePadded::new(AtomicBool::new(true))];
    let [first, second] = pair.each_ref().map(|value| std::ptr::from_ref(value).addr());
    assert_eq!(second - first, CACHE_PADDING_LEN);
    assert_eq!(first % CACHE_PADDING_LEN, 0);
    assert_eq!(size_of::<CachePadded<[u8; CACHE_PADDING_LEN + 1]>>(), 2 * CACHE_PADDING_LEN);
    assert_eq!(CACHE_LINE_LEN, 64);
}

#[test]
fn a_padded_value_is_used_like_the_value() {
    let mut padded = CachePadded::new(41);
    *padded += 1;
    assert_eq!(*padded, 42);
    assert_eq!(padded.into_inner(), 42);
    assert_eq!(CachePadded::<u32>::default(), CachePadded::new(0));
}
