//! See [`fuzz::check_ring_hostile`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz::check_ring_hostile(data);
});
