//! See [`fuzz::check_mica_request`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz::check_mica_request(data);
});
