//! What is built with the feature `bindings`.

use std::env;
use std::path::PathBuf;
use std::process::Command;

/// The oldest DPDK that is supported: the first release with today's names of macros and with `rxmode.mtu`.
const OLDEST: &str = "22.11";

/// The long-term releases whose interfaces are told apart, oldest first. A release counts as the newest of these that
/// is not newer than itself.
const RELEASES: [(u32, u32); 3] = [(22, 11), (23, 11), (24, 11)];

/// The functions that are called, as a regular expression each.
const FUNCTIONS: &[&str] = &[
    "dpukv_.*",
    "rte_eal_init",
    "rte_thread_(un)?register",
    "rte_eth_dev_(adjust_nb_rx_tx_desc|close|get_port_by_name|start|stop)",
    "rte_eth_dev_rx_intr_(ctl_q_get_fd|disable|enable)",
    "rte_eth_(macaddr_get|rx_queue_setup|tx_queue_setup|stats_get)",
    "rte_eth_xstats_(get|get_names)",
    "rte_flow_destroy",
    "rte_mempool_avail_count",
    "rte_pktmbuf_pool_create",
    "rte_ring_create",
];

/// Types and constants that no function's signature names.
const NAMES: &[&str] = &["DPUKV_.*"];

/// Types that are only ever pointed to. Their layouts differ between releases, and the shim knows them.
const OPAQUE: &[&str] = &["rte_mbuf", "rte_mempool", "rte_ring", "rte_device", "rte_flow", "rte_eth_fp_ops"];

/// Finds DPDK, writes `bindings.rs` to the output directory and compiles the shim.
pub(super) fn generate() -> Result<(), String> {
    println!("cargo::rerun-if-changed=src/shim.h");
    println!("cargo::rerun-if-changed=src/shim.c");
    // Its environment variables are watched by it; it also says what to link.
    let library = pkg_config::Config::new().atleast_version(OLDEST).probe("libdpdk").map_err(|error| {
        format!(
            "DPDK {OLDEST} or newer is needed: {error}. On Debian: apt-get install libdpdk-dev libclang-dev pkg-config"
        )
    })?;
    let flags = compiler_flags()?;
    tell_release(&library.version)?;
    bind(&flags)?;
    compile(&flags);
    Ok(())
}

/// What DPDK wants its users to be compiled with. The crate `pkg-config` keeps include paths and definitions only; the
/// headers need `-include rte_config.h` and `-march` as well.
fn compiler_flags() -> Result<Vec<String>, String> {
    let program = env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".to_owned());
    let output = Command::new(&program).args(["--cflags", "libdpdk"]).output();
    let output = output.map_err(|error| format!("{program} does not start: {error}"))?;
    let text = String::from_utf8(output.stdout).map_err(|_| format!("{program} gives flags that are no text"))?;
    if output.status.success() {
        Ok(text.split_whitespace().map(str::to_owned).collect())
    } else {
        Err(format!("{program} --cflags libdpdk fails: {}", String::from_utf8_lossy(&output.stderr)))
    }
}

/// Makes `cfg(dpdk_release = "…")` of the version.
fn tell_release(version: &str) -> Result<(), String> {
    let known = RELEASES.map(|(year, month)| format!("\"{year}.{month}\"")).join(", ");
    println!("cargo::rustc-check-cfg=cfg(dpdk_release, values({known}))");
    let mut numbers = version.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    let (Some(year), Some(month)) = (numbers.next(), numbers.next()) else {
        return Err(format!("DPDK has a version that is not understood: {version}"));
    };
    let release = RELEASES.into_iter().rfind(|known| *known <= (year, month));
    let (year, month) = release.ok_or_else(|| format!("DPDK {version} is older than {OLDEST}"))?;
    println!("cargo::rustc-cfg=dpdk_release=\"{year}.{month}\"");
    println!("cargo::metadata=version={version}");
    Ok(())
}

fn bind(flags: &[String]) -> Result<(), String> {
    let mut builder = bindgen::Builder::default()
        .header("src/shim.h")
        .clang_args(flags)
        .use_core()
        .prepend_enum_name(false)
        .generate_comments(false)
        .derive_default(false)
        .allowlist_recursively(true)
        .formatter(bindgen::Formatter::None);
    for function in FUNCTIONS {
        builder = builder.allowlist_function(function);
    }
    for name in NAMES {
        builder = builder.allowlist_type(name).allowlist_var(name);
    }
    for name in OPAQUE {
        builder = builder.opaque_type(name);
    }
    let bindings = builder.generate().map_err(|error| format!("DPDK's headers cannot be read: {error}"))?;
    let directory = env::var("OUT_DIR").map_err(|error| error.to_string())?;
    let path = PathBuf::from(directory).join("bindings.rs");
    bindings.write_to_file(&path).map_err(|error| format!("{}: {error}", path.display()))
}

fn compile(flags: &[String]) {
    let mut build = cc::Build::new();
    build.file("src/shim.c").warnings(true).extra_warnings(true);
    for flag in flags {
        // DPDK's own headers are not ours to be warned of.
        match flag.strip_prefix("-I") {
            Some(path) => build.flag("-isystem").flag(path),
            None => build.flag(flag),
        };
    }
    build.compile("dpukv_dpdk_shim");
}
