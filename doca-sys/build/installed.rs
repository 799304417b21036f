//! What is done with a feature: finding DOCA by `pkg-config`, and reading its headers.

use pkg_config::Library;

/// The first release of the second generation.
const SECOND: (u32, u32) = (2, 5);

/// Finds DOCA and does what the features ask for.
pub(super) fn use_it() -> Result<(), String> {
    let found = ["doca-common", "doca-dma"].map(|name| {
        pkg_config::Config::new().cargo_metadata(cfg!(feature = "link")).probe(name).map_err(|error| error.to_string())
    });
    match found {
        [Ok(common), Ok(dma)] => {
            let generation = if version_of(&common.version)? < SECOND { "1" } else { "2" };
            println!("cargo::rustc-cfg=doca_generation=\"{generation}\"");
            verify(&common, &dma)
        }
        [Err(error), _] | [_, Err(error)] if cfg!(feature = "link") => {
            Err(format!("DOCA is to be linked, and pkg-config does not find it: {error}"))
        }
        _ => {
            println!("cargo::warning=DOCA's headers are not installed: its declarations are not compared with them");
            Ok(())
        }
    }
}

fn version_of(version: &str) -> Result<(u32, u32), String> {
    let mut numbers = version.split('.').map_while(|number| number.parse().ok());
    numbers.next().zip(numbers.next()).ok_or_else(|| format!("DOCA has a version that is not understood: {version}"))
}

#[cfg(not(feature = "verify-bindgen"))]
fn verify(_: &Library, _: &Library) -> Result<(), String> {
    Ok(())
}

/// Writes what the headers declare to the output directory, where it stays: they are not ours to hand on.
#[cfg(feature = "verify-bindgen")]
fn verify(common: &Library, dma: &Library) -> Result<(), String> {
    let paths = common.include_paths.iter().chain(&dma.include_paths).map(|path| format!("-I{}", path.display()));
    let headers = ["doca_dma.h", "doca_ctx.h", "doca_mmap.h", "doca_buf.h", "doca_buf_inventory.h", "doca_dev.h"];
    let optional = ["doca_pe.h", "doca_error.h", "doca_types.h"]
        .map(|name| format!("#if __has_include(<{name}>)\n#include <{name}>\n#endif\n"));
    let text = headers.map(|name| format!("#include <{name}>\n")).concat() + &optional.concat();
    let bindings = bindgen::Builder::default()
        .header_contents("all.h", &text)
        .clang_args(paths)
        .clang_arg("-DDOCA_ALLOW_EXPERIMENTAL_API")
        .use_core()
        .prepend_enum_name(false)
        .generate_comments(false)
        .layout_tests(false)
        .allowlist_function("doca_.*")
        .allowlist_type("doca_.*")
        .allowlist_var("DOCA_.*")
        .formatter(bindgen::Formatter::None)
        .generate()
        .map_err(|error| format!("DOCA's headers cannot be read: {error}"))?;
    let directory = std::env::var("OUT_DIR").map_err(|error| error.to_string())?;
    let path = std::path::Path::new(&directory).join("headers.rs");
    bindings.write_to_file(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    println!("cargo::rustc-cfg=doca_headers");
    Ok(())
}
