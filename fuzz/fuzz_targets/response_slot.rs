//! See [`fuzz::check_response_slot`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz::check_response_slot(data);
});
