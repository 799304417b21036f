//! The library, loaded once, and the lock around set-up.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use doca_sys::{Api, Generation, SharedFunctions};

use super::error::DocaError;

/// DOCA as it is installed.
pub(super) struct Library {
    api: Api,
    setup: Mutex<()>,
}

impl Library {
    /// Loads it from a directory, or from wherever it is installed.
    pub(super) fn load(directory: Option<&Path>) -> Result<Arc<Self>, DocaError> {
        // SAFETY: whoever configures the program, or its library path, vouches for what is installed there under DOCA's
        // names, as for every library that a program uses.
        let api = unsafe { Api::load(directory) }?;
        Ok(Arc::new(Self { api, setup: Mutex::new(()) }))
    }

    pub(super) fn shared(&self) -> &SharedFunctions {
        &self.api.shared
    }

    pub(super) fn generation(&self) -> &Generation {
        &self.api.generation
    }

    pub(super) fn api(&self) -> &Api {
        &self.api
    }

    /// Held during every call that is not made for a copy: nothing says that objects of one device may be made and
    /// destroyed at the same time.
    pub(super) fn setup(&self) -> MutexGuard<'_, ()> {
        // It guards no data.
        self.setup.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (generation, origin) = (self.api.generation_number(), self.api.origin());
        out.debug_struct("Library").field("generation", &generation).field("origin", &origin).finish_non_exhaustive()
    }
}
