//! Every decoder of `qp-wire` behind an exported function, in a library that links only when none of them can panic.
//!
//! The panic handler calls a symbol that nobody defines. The optimiser drops the handler when nothing reaches it; what is
//! left over makes the linker name the symbol. So a decoder that passes here has no index, slice or arithmetic whose
//! check the optimiser could not prove, whatever its input is. Each function reads all that a decoder gives, because
//! a value that nobody reads is decoded by nobody.

#![no_std]

use core::slice;

unsafe extern "C" {
    /// Defined nowhere.
    fn a_decoder_can_panic() -> !;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: it never runs: a library in which this is reachable does not link.
    unsafe { a_decoder_can_panic() }
}

/// The input of an exported function.
///
/// # Safety
/// `bytes` points to `len` bytes that are readable, and not written, for as long as the result lives.
unsafe fn input<'a>(bytes: *const u8, len: usize) -> &'a [u8] {
    // SAFETY: the caller's promise is the requirement.
    unsafe { slice::from_raw_parts(bytes, len) }
}

/// What the check has to refuse: an index that nothing bounds.
///
/// # Safety
/// As for [`input`].
#[cfg(feature = "planted-panic")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn planted(bytes: *const u8, len: usize) -> u64 {
    // SAFETY: the caller's promise is the requirement.
    let bytes = unsafe { input(bytes, len) };
    u64::from(bytes[usize::from(bytes[0])])
}

/// # Safety
/// As for [`input`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dummy(bytes: *const u8, len: usize) -> u64 {
    // SAFETY: the caller's promise is the requirement.
    let bytes = unsafe { input(bytes, len) };
    bytes.iter().map(|&byte| u64::from(byte)).fold(0, u64::wrapping_add)
}
