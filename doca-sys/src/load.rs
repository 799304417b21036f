//! Where the libraries are, and what they offer.

use std::env;
use std::ffi::{CStr, OsStr, OsString, c_char, c_void};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW, Symbol};

use super::functions::{PeFunctions, SharedFunctions, WorkqFunctions};

/// A directory to look in before all others, as NVIDIA's own programs have it.
const DIRECTORY_VARIABLE: &str = "DOCA_SDK_LIB_PATH";

/// Where the SDK is installed.
const PREFIX: &str = "/opt/mellanox/doca";

/// The names under which a library is looked for, after `libdoca_common` or `libdoca_dma`.
const SUFFIXES: [&str; 3] = [".so.2", ".so.1", ".so"];

/// The functions of one generation.
#[derive(Clone, Copy, Debug)]
pub enum Generation {
    /// Generation 1: work queues.
    Workq(WorkqFunctions),
    /// Generation 2: progress engine.
    Pe(PeFunctions),
}

/// The interface of the DOCA that is installed.
#[derive(Clone, Debug)]
pub struct Api {
    /// What both generations have.
    pub shared: SharedFunctions,
    /// What only the present one has.
    pub generation: Generation,
    origin: String,
    version: Option<String>,
}

/// Why there is no interface.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A library is not there, or does not load.
    #[error("{library} cannot be loaded from {places}: {cause}")]
    Library {
        /// Its name, without what follows it.
        library: &'static str,
        /// Where it was looked for.
        places: String,
        /// What the loader says of the last attempt.
        cause: String,
    },
    /// A library lacks what is needed.
    #[error("{origin} has no function {symbol}: DOCA 1.5 and DOCA 2.5 or newer are supported")]
    Symbol {
        /// The library.
        origin: String,
        /// The function.
        symbol: &'static str,
    },
}

impl Api {
    /// Loads the libraries: from `directory` alone if there is one, otherwise from the directory in `DOCA_SDK_LIB_PATH`,
    /// from where the system looks for libraries, and from where the SDK is installed. They stay loaded.
    ///
    /// # Safety
    /// What is found under the libraries' names is DOCA, or behaves as it does. Loading a library runs its code.
    ///
    /// # Errors
    /// [`LoadError`]: a library or a function is missing.
    pub unsafe fn load(directory: Option<&Path>) -> Result<Self, LoadError> {
        let places = places(directory);
        // SAFETY: the caller vouches for the library.
        let (common, origin) = unsafe { open("libdoca_common", &places) }?;
        // SAFETY: as above.
        let (dma, _) = unsafe { open("libdoca_dma", &places) }?;
        let find = |symbol: &'static CStr| {
            let known = address(&common, symbol).or_else(|| address(&dma, symbol));
            let name = symbol.to_str().unwrap_or_default();
            known.ok_or_else(|| LoadError::Symbol { origin: origin.clone(), symbol: name })
        };
        // SAFETY: the caller vouches for the functions; the libraries are never unloaded.
        let shared = unsafe { SharedFunctions::find(find) }?;
        let generation = if find(c"doca_pe_create").is_ok() {
            // SAFETY: as above.
            Generation::Pe(unsafe { PeFunctions::find(find) }?)
        } else {
            // SAFETY: as above.
            Generation::Workq(unsafe { WorkqFunctions::find(find) }?)
        };
        // SAFETY: as above.
        let version = unsafe { version(&common, &generation) };
        // Their functions are called until the process ends, and their destructors with it.
        std::mem::forget((common, dma));
        Ok(Self { shared, generation, origin, version })
    }

    /// The interface of the libraries that the program is linked with.
    #[cfg(all(feature = "link", any(doca_generation = "1", doca_generation = "2")))]
    pub fn linked() -> Self {
        #[cfg(doca_generation = "1")]
        let generation = Generation::Workq(WorkqFunctions::linked());
        #[cfg(doca_generation = "2")]
        let generation = Generation::Pe(PeFunctions::linked());
        Self { shared: SharedFunctions::linked(), generation, origin: "linked".to_owned(), version: None }
    }

    /// 1 or 2.
    pub const fn generation_number(&self) -> u8 {
        match self.generation {
            Generation::Workq(_) => 1,
            Generation::Pe(_) => 2,
        }
    }

    /// The file that `libdoca_common` was loaded from; its name ends with its version.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The release, as the library tells it; generation 1 does not.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }
}

/// One place to look in: a directory, or with `None` wherever the system looks.
struct Place(Option<PathBuf>);

impl Place {
    fn file(&self, name: &str) -> OsString {
        self.0.as_ref().map_or_else(|| name.into(), |directory| directory.join(name).into_os_string())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(directory) => write!(out, "{}", directory.display()),
            None => out.write_str("the system's libraries"),
        }
    }
}

fn places(directory: Option<&Path>) -> Vec<Place> {
    if let Some(directory) = directory {
        return vec![Place(Some(directory.to_owned()))];
    }
    let installed = [format!("{PREFIX}/lib/{}-linux-gnu", env::consts::ARCH), format!("{PREFIX}/lib64")];
    let told = env::var_os(DIRECTORY_VARIABLE).map(|directory| Place(Some(directory.into())));
    let installed = installed.into_iter().map(|directory| Place(Some(directory.into())));
    told.into_iter().chain([Place(None)]).chain(installed).collect()
}

/// Loads a library from the first place that has it, and says which file that was.
///
/// # Safety
/// It is the library of that name.
unsafe fn open(name: &'static str, places: &[Place]) -> Result<(Library, String), LoadError> {
    let mut cause = String::new();
    for place in places {
        for suffix in SUFFIXES {
            let file = place.file(&format!("{name}{suffix}"));
            // SAFETY: the caller vouches for it. What it has is visible to the libraries that are loaded after it.
            match unsafe { Library::open(Some(&file), RTLD_NOW | RTLD_GLOBAL) } {
                Ok(library) => return Ok((library, file_behind(name, &file))),
                // A file that is there and does not load says more than one that is not.
                Err(error) if cause.is_empty() || Path::new(&file).exists() => cause = error.to_string(),
                Err(_) => {}
            }
        }
    }
    let places = places.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Err(LoadError::Library { library: name, places, cause })
}

/// The file behind a name that was given to the loader: what links lead to, or what is mapped where the system has chosen.
fn file_behind(name: &str, told: &OsStr) -> String {
    let path = Path::new(told);
    let file = if path.is_absolute() {
        fs::canonicalize(path).ok()
    } else {
        fs::read_to_string("/proc/self/maps").ok().and_then(|maps| mapped(&maps, name))
    };
    file.unwrap_or_else(|| path.to_owned()).to_string_lossy().into_owned()
}

/// The first file of a table of mappings whose name begins like this.
fn mapped(maps: &str, name: &str) -> Option<PathBuf> {
    let paths = maps.lines().filter_map(|line| line.find('/').map(|begin| Path::new(&line[begin..])));
    let mut named = paths.filter(|path| path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(name)));
    named.next().map(Path::to_owned)
}

/// What the library says of its release. The function is an experimental one, of generation 2.
///
/// # Safety
/// The library is DOCA's, or behaves as it does.
unsafe fn version(library: &Library, generation: &Generation) -> Option<String> {
    type Runtime = unsafe extern "C" fn() -> *const c_char;
    let Generation::Pe(_) = generation else { return None };
    // SAFETY: the function of this name has this signature in this generation.
    let runtime = unsafe { library.get::<Runtime>(b"doca_version_runtime\0") }.ok()?;
    // SAFETY: it takes nothing.
    let text = unsafe { runtime() };
    if text.is_null() {
        return None;
    }
    // SAFETY: it is a C string, and the library's for as long as the process lives.
    Some(unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

fn address(library: &Library, symbol: &CStr) -> Option<*mut c_void> {
    // SAFETY: the address is not used here.
    let found = unsafe { library.get::<*mut c_void>(symbol.to_bytes_with_nul()) };
    found.ok().map(Symbol::into_raw).filter(|address| !address.is_null())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_without_libraries_is_named_with_what_was_looked_for() {
        // SAFETY: nothing is there to be loaded.
        let error = unsafe { Api::load(Some(Path::new("/nowhere"))) }.expect_err("nothing is there").to_string();
        assert!(error.starts_with("libdoca_common cannot be loaded from /nowhere: "), "{error}");
        assert!(error.contains("/nowhere/libdoca_common.so"), "{error}");
    }

    #[test]
    fn the_file_that_the_system_has_chosen_is_the_one_that_is_mapped() {
        let maps = "55d0-55d1 r-xp 00000000 08:01 7   /usr/bin/dpukv\n\
                    7f00-7f01 r--p 00000000 08:01 9   /opt/doca/lib/libdoca_common.so.2.9.0\n\
                    7f02-7f03 rw-p 00000000 00:00 0\n";
        assert_eq!(mapped(maps, "libdoca_common"), Some("/opt/doca/lib/libdoca_common.so.2.9.0".into()));
        assert_eq!(mapped(maps, "libdoca_dma"), None);
    }

    #[test]
    fn a_named_directory_is_the_only_place() {
        assert_eq!(places(Some(Path::new("/here"))).len(), 1);
        assert!(places(None).iter().any(|place| place.0.is_none()));
    }
}
