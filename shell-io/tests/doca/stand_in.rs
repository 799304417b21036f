//! Where the libraries are that stand in for DOCA's.
//!
//! They are built beside this test, and loaded from a directory in which they stand under DOCA's names.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The generations of the interface, as the libraries are named.
pub(crate) const GENERATIONS: [&str; 2] = ["workq", "pe"];

/// The address of a device that copies.
pub(crate) const DEVICE: &str = "0000:03:00.0";

/// A directory to load a generation from.
pub(crate) fn directory(generation: &str) -> PathBuf {
    let exe = std::env::current_exe().expect("this test");
    let library = exe.parent().expect("its directory").join(format!("libdoca_stand_in_{generation}.so"));
    assert!(library.exists(), "{} is not built", library.display());
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("doca-{generation}"));
    std::fs::create_dir_all(&directory).expect("a directory");
    for name in ["libdoca_common.so", "libdoca_dma.so"] {
        let link = directory.join(name);
        // Another test may have made it a moment ago.
        let _ = symlink(&library, &link);
        assert_eq!(std::fs::read_link(&link).expect("a link"), library, "remove {}", link.display());
    }
    directory
}
