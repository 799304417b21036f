//! See [`fuzz::check_request_slot`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz::check_request_slot(data);
});
