//! See [`fuzz::check_network_frame`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz::check_network_frame(data);
});
