//! See [`fuzz::check_serve_hostile`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz::check_serve_hostile(data);
});
