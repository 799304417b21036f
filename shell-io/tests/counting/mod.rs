//! An allocator that counts, for each thread by itself. A test program that names this module uses it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static CALL_COUNT: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    CALL_COUNT.set(CALL_COUNT.get() + 1);
}

// SAFETY: every call goes to the system's allocator unchanged; counting neither allocates nor unwinds, since the counter
// is a number that needs neither initialisation nor destruction.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count();
        // SAFETY: the caller's promises are those that the system's allocator asks for, and it made the block.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often the allocator is called while `work` is done.
pub(crate) fn calls_during(work: impl FnOnce()) -> u64 {
    let before = CALL_COUNT.get();
    work();
    CALL_COUNT.get() - before
}
