//! The core crates in one library for a target without an operating system.
//!
//! The library has no allocator, so rustc refuses to make it when any crate below it links `alloc`.

#![no_std]

use arch as _;
use kv_core as _;
use qp_wire as _;

#[cfg(feature = "planted-alloc")]
extern crate alloc;

#[panic_handler]
fn halt(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
