//! See [`fuzz::check_directory_entry`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz::check_directory_entry(data);
});
