//! See [`fuzz::check_process_hostile`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz::check_process_hostile(data);
});
