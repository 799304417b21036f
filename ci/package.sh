#!/usr/bin/env bash
# As root, this machine's are installed into a root of their own; arm64's are unpacked. Nothing of this machine changes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
echo "package: Debian packages are built, looked through, installed, and serve a client with the configuration they bring"

for tool in dpkg dpkg-deb readelf strip; do
    if ! command -v "$tool" >/dev/null; then
        echo "SKIPPED package: no $tool; ci/setup.sh installs it or says how"
        exit 77
    fi
done

scratch=$(mktemp -d)
started=()
finish() {
    # Before the files go, which they may still write.
    ((${#started[@]} == 0)) || kill "${started[@]}" 2>/dev/null || true
    wait
    rm -rf "$scratch"
}
trap finish EXIT

fail() {
    echo "package: $*" >&2
    [[ ! -e $scratch/dpu.log ]] || tail -n 20 "$scratch"/*.log >&2
    exit 1
}

bash package/build.sh "$scratch/packages"
native=$(dpkg --print-architecture)
root=$scratch/$native
unpack() {
    local deb
    for deb in "$scratch/packages/"*"_$1.deb"; do
        [[ ! -e $deb ]] || dpkg-deb --extract "$deb" "$scratch/$1"
    done
}
if ((EUID == 0)); then
    # What they depend on is this machine's, of which this root knows nothing.
    mkdir -p "$root/var/lib/dpkg/"{info,updates}
    : >"$root/var/lib/dpkg/status"
    dpkg --root="$root" --log=/dev/null --force-script-chrootless --force-depends \
        --install "$scratch/packages/"*"_$native.deb" >"$scratch/install.log" 2>&1 ||
        fail "dpkg refuses to install: $(tail -n 3 "$scratch/install.log")"
else
    echo "SKIPPED package, installation: dpkg needs root for it; the packages are unpacked"
    unpack "$native"
fi
[[ $native == arm64 ]] || unpack arm64

# What each package must have, as dpkg tells it.
expect() {
    local deb=$1 file
    shift
    dpkg-deb --info "$deb" >"$scratch/info"
    dpkg-deb --contents "$deb" >"$scratch/contents"
    for file in "$@" "./usr/share/doc/$name/"{copyright,changelog.gz,changelog.Debian.gz,crates.gz,licences.gz}; do
        grep -q " $file\$" "$scratch/contents" || fail "${deb##*/} has no $file"
    done
    if awk '{ print $2 }' "$scratch/contents" | grep -qvx root/root; then
        fail "${deb##*/} has files that are not root's"
    fi
    if command -v lintian >/dev/null; then
        # What nobody can help: there is no bug report that asks for these packages.
        lintian --fail-on error --suppress-tags initial-upload-closes-no-bugs "$deb" || fail "lintian refuses ${deb##*/}"
    fi
}

for name in dpukv dpukv-host dpukv-dpu; do
    files=("./usr/bin/$name" "./usr/share/man/man1/$name.1.gz" "./usr/share/bash-completion/completions/$name"
        "./usr/share/fish/vendor_completions.d/$name.fish" "./usr/share/zsh/vendor-completions/_$name")
    if [[ $name != dpukv ]]; then
        side=${name#dpukv-}
        files+=("./etc/dpu-kv/$side.toml" "./usr/lib/systemd/system/$name.service"
            "./usr/share/doc/$name/examples/doca.conf")
    fi
    for deb in "$scratch/packages/${name}"_*.deb; do
        expect "$deb" "${files[@]}"
        if [[ $name != dpukv ]]; then
            dpkg-deb --ctrl-tarfile "$deb" | tar -xO ./conffiles | grep -qx "/etc/dpu-kv/$side.toml" ||
                fail "${deb##*/} would overwrite a changed configuration"
        fi
    done
done

export PATH="$root/usr/bin:$PATH"

# Other units of this machine, and programs that are not installed, are none of ours.
if command -v systemd-analyze >/dev/null; then
    for side in host dpu; do
        unit=$scratch/dpukv-$side.service
        sed "s|^ExecStart=|ExecStart=$root|" "$root/usr/lib/systemd/system/dpukv-$side.service" >"$unit"
        # With the drop-in beside it, too.
        install -D -m 644 -t "$unit.d" "$root/usr/share/doc/dpukv-$side/examples/doca.conf"
        findings=$(systemd-analyze verify --man=no --recursive-errors=no "$unit" 2>&1) || fail "$findings"
        [[ -z $findings ]] || fail "systemd-analyze says of the unit: $findings"
    done
else
    echo "package: no systemd-analyze; the units are not checked"
fi

# Only what another process of this machine may have is changed: ports and paths.
mkdir "$scratch"/run-{dpu,host}
dpu_config=$scratch/dpu.toml host_config=$scratch/host.toml
sed "s|^base_port = .*|base_port = 0|; s|^listen = .*:7599\"|listen = \"127.0.0.1:0\"|; s|/run/dpukv-dpu|$scratch/run-dpu|" \
    "$root/etc/dpu-kv/dpu.toml" >"$dpu_config"

# Prints what a side's line `ready` has under a name, once it is there.
ready() {
    local side=$1 name=$2 attempt
    for ((attempt = 0; attempt < 200; attempt++)); do
        if grep -qs '^ready ' "$scratch/$side.out"; then
            sed -n "s/^ready .*\b$name=\([^ ]*\).*/\1/p" "$scratch/$side.out"
            return
        fi
        sleep 0.1
    done
    fail "dpukv-$side does not become ready"
}

start() {
    local side=$1
    "dpukv-$side" --config "$scratch/$side.toml" >"$scratch/$side.out" 2>"$scratch/$side.log" &
    started+=($!)
}

start dpu
control=$(ready dpu control)
sed "s|^connect = .*|connect = \"$control\"|; s|^base_port = .*|base_port = 0|; s|/run/dpukv-host|$scratch/run-host|" \
    "$root/etc/dpu-kv/host.toml" >"$host_config"
start host
ready host side >/dev/null
server=$(ready dpu endpoints | cut -d, -f1)

timeout 20 dpukv --server "$server" set greeting hello
answer=$(timeout 20 dpukv --server "$server" get greeting) || fail "no answer to a GET"
[[ $answer == hello ]] || fail "GET says $answer instead of hello"
dpukv counters "$scratch/run-dpu/counters" | grep -q '^dpukv_hits' || fail "no counters are linked where the configuration says"

for pid in "${started[@]}"; do
    kill "$pid"
    timeout 20 tail --pid="$pid" -f /dev/null || fail "a side that is told to stop does not"
    status=0
    wait "$pid" || status=$?
    ((status == 0)) || fail "a side that is told to stop ends with $status"
done
started=()
echo "package: $native: one SET and one GET through both sides"

if [[ ! -d $scratch/arm64 || $native == arm64 ]]; then
    echo "package: arm64 packages were not built"
elif ! command -v qemu-aarch64 >/dev/null; then
    echo "package: no qemu-aarch64; what is in the arm64 packages was not run"
else
    for side in host dpu; do
        timeout 60 qemu-aarch64 -cpu cortex-a72 "$scratch/arm64/usr/bin/dpukv-$side" --check \
            --config "$scratch/arm64/etc/dpu-kv/$side.toml" || fail "dpukv-$side does not run on a Cortex-A72"
    done
    timeout 60 qemu-aarch64 -cpu cortex-a72 "$scratch/arm64/usr/bin/dpukv" --version
fi
(cd "$scratch/packages" && stat --format 'package: %n, %s bytes' ./*.deb)
