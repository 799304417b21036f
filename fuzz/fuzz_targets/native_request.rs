//! See [`fuzz::check_native_request`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz::check_native_request(data);
});
