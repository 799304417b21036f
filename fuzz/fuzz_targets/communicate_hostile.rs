//! See [`fuzz::check_communicate_hostile`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz::check_communicate_hostile(data);
});
