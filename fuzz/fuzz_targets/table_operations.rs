//! See [`fuzz::check_table_operations`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz::check_table_operations(data);
});
