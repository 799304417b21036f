//! What the stand-in does beside DOCA's functions: faults on demand, and a count of what is alive.

use std::ffi::{CString, c_char};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use libloading::os::unix::Library;

/// Held by each test: a library has one set of faults and one count for the whole process.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A library that stands in for DOCA's.
pub(crate) struct Control(Library);

impl Control {
    pub(crate) fn of(directory: &Path) -> Self {
        // SAFETY: the library is ours and does nothing when it is loaded.
        Self(unsafe { Library::new(directory.join("libdoca_common.so")) }.expect("the library"))
    }

    /// Sets what goes wrong from now on.
    pub(crate) fn faults(&self, text: &str) {
        let text = CString::new(text).expect("a text without NUL");
        // SAFETY: the function has this signature.
        let set = unsafe { self.0.get::<unsafe extern "C" fn(*const c_char)>(b"doca_stand_in_faults\0") };
        let set = set.expect("the function");
        // SAFETY: it takes a C string.
        unsafe { set(text.as_ptr()) };
    }

    /// How many of DOCA's objects are alive.
    pub(crate) fn live_count(&self) -> usize {
        self.count(b"doca_stand_in_live_count\0")
    }

    /// How often the device was asked to call.
    pub(crate) fn armed_count(&self) -> usize {
        self.count(b"doca_stand_in_armed_count\0")
    }

    fn count(&self, symbol: &[u8]) -> usize {
        // SAFETY: the functions that are asked for have this signature.
        let count = unsafe { self.0.get::<unsafe extern "C" fn() -> usize>(symbol) };
        let count = count.expect("the function");
        // SAFETY: it takes nothing.
        unsafe { count() }
    }
}
