//! See [`fuzz::check_mica_response`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz::check_mica_response(data);
});
