#!/usr/bin/env bash
# Builds Debian packages: dpukv (the command), dpukv-host and dpukv-dpu (a side with its unit and configuration, each
# of which needs dpukv). They are for this machine's architecture and, where Debian's cross toolchain is, for arm64.
#   package/build.sh [--native] [DIRECTORY]      --native: this machine's alone; DIRECTORY: target/package by default
# The command is a package of its own since both sides may be installed on one machine, and a file has one owner.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

native_only=""
if [[ ${1-} == --native ]]; then
    native_only=1
    shift
fi
target_dir=${CARGO_TARGET_DIR:-target}
out=${1:-$target_dir/package}
maintainer="The DPU-KV authors <dpu-kv@localhost>"
programs=(dpukv dpukv-host dpukv-dpu)

for tool in dpkg-deb dpkg readelf strip python3; do
    if ! command -v "$tool" >/dev/null; then
        echo "package: $tool is missing; run: sudo apt-get install dpkg binutils python3" >&2
        exit 1
    fi
done

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
# Dates come from the last commit, so that one commit makes the same packages twice.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"

# Where Debian's toolchain is, cross-building needs no other.
cross=aarch64-unknown-linux-gnu
can_cross() {
    [[ -z $native_only && $native != arm64 ]] || return 1
    local file
    for file in /usr/bin/{cargo,rustc,aarch64-linux-gnu-gcc,aarch64-linux-gnu-strip} "/usr/lib/rustlib/$cross"; do
        if [[ ! -e $file ]]; then
            echo "package: no arm64 packages: $file is missing; ci/setup.sh installs it or says how"
            return 1
        fi
    done
}

build_cross() (
    unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS CARGO_BUILD_TARGET RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER
    # Where ci/aarch64.sh builds with the same compiler, so that what both need is built once.
    export RUSTC=/usr/bin/rustc CARGO_TARGET_DIR=$target_dir/aarch64
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    /usr/bin/cargo build --locked --release --target "$cross" -p dpukv -p shell-host -p shell-dpu
)

# The C library that a binary needs is the one with the newest version of any symbol that it asks for.
libc_of() {
    readelf --wide --version-info "$@" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -1 | cut -d_ -f2
}

# Writes the licence of our own code, and below it what crates of others are linked in, under which licence.
copyright() {
    cat <<TEXT
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: DPU-KV

Files: *
Copyright: 2026 The DPU-KV authors
License: Expat or Apache-2.0
 On Debian systems, the text of Apache-2.0 is in /usr/share/common-licenses/Apache-2.0. The programs contain the Rust
 crates that crates.gz beside this file lists with their licences; licences.gz has the texts. They also contain Rust's
 standard library (Expat or Apache-2.0).

License: Expat
$(sed 's/^$/./; s/^/ /' LICENSE-MIT)

License: Apache-2.0
 See /usr/share/common-licenses/Apache-2.0.
TEXT
}

# Puts the documents that every package has into the tree $1 of the package $2.
documents() {
    local doc=$1/usr/share/doc/$2
    mkdir -p "$doc"
    copyright >"$doc/copyright"
    gzip -9nc "$work/crates" >"$doc/crates.gz"
    gzip -9nc "$work/licences" >"$doc/licences.gz"
    gzip -9nc CHANGELOG.md >"$doc/changelog.gz"
    gzip -9n >"$doc/changelog.Debian.gz" <<TEXT
$2 ($version) unstable; urgency=medium

  * Built from the repository; changelog.gz says what is new.

 -- $maintainer  $(date --utc --rfc-email --date "@$SOURCE_DATE_EPOCH")
TEXT
}

# Puts the manual pages and completions of the program $2 into the tree $1. A command's pages belong to it, too.
manual() {
    local tree=$1 program=$2 pages
    pages=("$work/manual/man/man1/$program.1")
    if [[ $program == dpukv ]]; then
        mapfile -t pages < <(find "$work/manual/man/man1" -name '*.1' ! -name dpukv-host.1 ! -name dpukv-dpu.1 | sort)
    fi
    install -D -m 644 -t "$tree/usr/share/man/man1" "${pages[@]}"
    gzip -9n "$tree"/usr/share/man/man1/*.1
    local file
    for file in bash-completion/completions/"$program" fish/vendor_completions.d/"$program".fish \
        zsh/vendor-completions/_"$program"; do
        install -D -m 644 "$work/manual/$file" "$tree/usr/share/$file"
    done
}

# Puts what makes a side a service into the tree $1: its unit, its configuration and the maintainer's scripts.
service() {
    local tree=$1 side=$2 unit=dpukv-$2.service config=$1/etc/dpu-kv/$2.toml
    install -d "$tree/usr/lib/systemd/system" "$tree/etc/dpu-kv"
    sed "s/@SIDE@/$side/g" package/side.service >"$tree/usr/lib/systemd/system/$unit"
    # The example is what cargo test checks; the one difference is where the counters are linked.
    sed "/^\[counters\]/,/^\[/s|^file = \"\"|file = \"/run/dpukv-$side/counters\"|" \
        "shell-$side/$side.example.toml" >"$config"
    grep -q "^file = \"/run/dpukv-$side/counters\"" "$config"
    echo "/etc/dpu-kv/$side.toml" >"$tree/DEBIAN/conffiles"
    install -D -m 644 package/doca.conf "$tree/usr/share/doc/dpukv-$side/examples/doca.conf"
    install -m 755 package/postinst "$tree/DEBIAN/postinst"
    sed "s/@UNIT@/$unit/" package/prerm >"$tree/DEBIAN/prerm"
    chmod 755 "$tree/DEBIAN/prerm"
}

describe() {
    case $1 in
    dpukv)
        echo "Description: DPU-KV: the command
 Reads, writes and measures DPU-KV, a key-value store whose communication
 engine can move from the host's CPU to a DPU. It says what a machine has and
 lacks, and runs all designs on one machine."
        ;;
    dpukv-host)
        echo "Description: DPU-KV: the host side of a server
 Keeps the table in the host's memory, and has the cores that look into it. The
 unit is not started before somebody does."
        ;;
    dpukv-dpu)
        echo "Description: DPU-KV: the DPU side of a server
 Takes, parses and answers packets on the cores of a DPU, or beside the host
 side on one machine. The unit is not started before somebody does."
        ;;
    esac
}

# Makes the package $1 for the architecture $2 of the binary in $3, which $4 strips.
package() {
    local name=$1 arch=$2 binaries=$3 strip=$4 tree=$work/$2/$1 depends
    install -d "$tree/DEBIAN" "$tree/usr/bin"
    "$strip" --strip-unneeded -o "$tree/usr/bin/$name" "$binaries/$name"
    chmod 755 "$tree/usr/bin/$name"
    manual "$tree" "$name"
    documents "$tree" "$name"
    depends="libc6 (>= $(libc_of "$tree/usr/bin/$name")), libgcc-s1"
    if [[ $name != dpukv ]]; then
        service "$tree" "${name#dpukv-}"
        depends="dpukv (= $version), $depends"
    fi
    {
        echo "Package: $name
Version: $version
Architecture: $arch
Maintainer: $maintainer
Installed-Size: $(du -sk --apparent-size --exclude DEBIAN "$tree" | cut -f1)
Depends: $depends
Section: database
Priority: optional"
        describe "$name"
    } >"$tree/DEBIAN/control"
    (cd "$tree" && find . -type f ! -path './DEBIAN/*' -printf '%P\n' | sort | xargs md5sum >DEBIAN/md5sums)
    chmod -R u=rwX,go=rX "$tree"
    dpkg-deb --root-owner-group -Zxz --build "$tree" "$out/${name}_${version}_$arch.deb"
}

# The crates of others that are linked in: `name vVERSION: licence` each. Both architectures have the same.
foreign_crates() {
    cargo tree --locked --edges normal --prefix none --format '{p}: {l}' -p dpukv -p shell-host -p shell-dpu |
        sed "s/ (\*)$//; /^$/d; \|($PWD/|d; s/ (proc-macro)//" | sort -u
}

native=$(dpkg --print-architecture)
cargo build --locked --release -p dpukv -p shell-host -p shell-dpu
"$target_dir/release/dpukv" manual "$work/manual"
foreign_crates >"$work/crates"
tr -d : <"$work/crates" | python3 package/licences.py >"$work/licences"
for name in "${programs[@]}"; do
    package "$name" "$native" "$target_dir/release" strip
done
if can_cross; then
    build_cross
    for name in "${programs[@]}"; do
        package "$name" arm64 "$target_dir/aarch64/$cross/release" aarch64-linux-gnu-strip
    done
fi
