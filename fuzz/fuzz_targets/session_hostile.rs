//! See [`fuzz::check_session_hostile`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz::check_session_hostile(data);
});
