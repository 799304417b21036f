#!/usr/bin/env bash
# Installs what the checks of ci/ need and `cargo test --workspace` does not. As root it installs the Debian packages
# that are missing; for anybody else it prints the line to run and exits with 3. It asks the network only when something
# is missing, so a second run takes no time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
echo "setup: packages and toolchain that the checks need"

incomplete=0

# Prints those of the given packages that are not installed.
missing_of() {
    local package
    for package in "$@"; do
        if [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) != installed ]]; then
            echo "$package"
        fi
    done
}

# One apt at a time, also when somebody else's runs, and never at the price of a package that is there.
install() {
    local apt=(apt-get -o DPkg::Lock::Timeout=900)
    if [[ " $* " == *:arm64* ]]; then
        dpkg --add-architecture arm64
    fi
    # A source that does not answer is no reason to give up: the others may have the packages.
    "${apt[@]}" update -q || echo "setup: apt-get update failed; going on with the lists that are there"
    DEBIAN_FRONTEND=noninteractive "${apt[@]}" install -q -y --no-install-recommends --no-remove "$@"
}

# Sees to it that the given packages are installed, or says how.
provide() {
    local missing add_architecture=""
    mapfile -t missing < <(missing_of "$@")
    if ((${#missing[@]} == 0)) || { ((EUID == 0)) && install "${missing[@]}"; }; then
        return
    fi
    if [[ " ${missing[*]} " == *:arm64* ]]; then
        add_architecture="sudo dpkg --add-architecture arm64 && "
    fi
    echo "setup: run: ${add_architecture}sudo apt-get update &&" \
        "sudo apt-get install --no-install-recommends ${missing[*]}"
    incomplete=1
}

for subcommand in clippy fmt; do
    component=${subcommand/#fmt/rustfmt}
    # Asked for a component that rust-toolchain.toml names and that is not there, rustup itself may go and get it.
    if timeout 120 cargo "$subcommand" --version >/dev/null 2>&1; then
        continue
    elif ! command -v rustup >/dev/null; then
        echo "setup: run: curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
        incomplete=1
        break
    elif ! timeout 120 rustup component add "$component"; then
        echo "setup: run: rustup component add $component"
        incomplete=1
    fi
done

if command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; then
    # Several installations, so that a machine which cannot have one of them still gets the others. A C linker is for
    # every check, python3 for ci/demo.sh, shellcheck for ci/shell.sh.
    provide gcc libc6-dev python3 shellcheck
    # DPDK's headers, libraries and drivers, and what makes devices for them to work with; all of it for ci/dpdk.sh.
    provide dpdk dpdk-dev libdpdk-dev libclang-dev pkg-config iproute2 ethtool iputils-ping
    # For package/build.sh and ci/package.sh; `systemd-analyze` and lintian are used there if they happen to be there.
    provide dpkg binutils
    # For ci/etcd.sh, which starts one of its own, on ports of its own.
    provide etcd-server
    # Debian's Rust has the AArch64 standard library and the sources of `core`, whatever rustup can download. All of it
    # is for ci/aarch64.sh; ci/no-std.sh takes its compiler where rustup has no x86_64-unknown-none.
    provide rustc-web cargo-web rust-web-src libstd-rust-web-dev:amd64 libstd-rust-web-dev:arm64 \
        gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
    # For ci/dpdk-aarch64.sh: a root of its own for arm64's DPDK.
    provide mmdebstrap
else
    for program in cc python3 shellcheck; do
        if ! command -v "$program" >/dev/null; then
            echo "setup: install $program with the package manager of this system"
            incomplete=1
        fi
    done
    if ! rustup target list --installed 2>/dev/null | grep -qx x86_64-unknown-none; then
        echo "setup: run: rustup target add x86_64-unknown-none"
        incomplete=1
    fi
    echo "setup: ci/aarch64.sh needs Debian's packages and will be skipped here"
fi

if ((incomplete)); then
    exit 3
fi
echo "setup: everything is there"
