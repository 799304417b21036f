#!/usr/bin/env bash
# What no compiler and no lint sees.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
echo "one-cfg: one file knows the CPU, unsafe stays where it is allowed, no file without a subject"

# So that `none` at the end of a pipe counts in this shell.
shopt -s lastpipe
findings=0
# Prints the finding $1 if standard input has a line, and the lines.
none() {
    local lines
    lines=$(cat)
    if [[ -n $lines ]]; then
        printf 'one-cfg: %s:\n%s\n' "$1" "$lines" >&2
        findings=$((findings + 1))
    fi
}

# Lines of Rust outside comments that match $1, in files below the other arguments.
code() {
    local pattern=$1
    shift
    grep -rnE --include='*.rs' --exclude-dir=target -- "$pattern" "$@" | grep -vE '^[^:]+:[0-9]+: *//' || true
}

code '\btarget_arch\b' . | { grep -v '^\./arch/src/imp/mod\.rs:' || true; } |
    none "cfg(target_arch) outside arch/src/imp/mod.rs"

code '\b(todo|unimplemented)!' . | none "unfinished code"

# `forbid` in a crate's root is the proof for that crate, and a search for its tests, which are crates of their own. The
# crates that may have `unsafe` are named here: `arch` for instructions, `shell-io` for the operating system and devices,
# `datagram` for system calls that no safe crate offers, `doca-sys`, `dpdk-sys` and what stands in for DOCA because a
# declaration of a C function is `unsafe` by itself.
for manifest in */Cargo.toml; do
    crate=${manifest%/*}
    case $crate in arch | datagram | doca-stand-in* | doca-sys | dpdk-sys | shell-io) continue ;; esac
    for root in "$crate"/src/lib.rs "$crate"/src/main.rs "$crate"/src/bin/*.rs; do
        [[ -e $root ]] || continue
        grep -q '^#!\[forbid(unsafe_code)\]' "$root" || echo "$root"
    done
done | none "a crate root without #![forbid(unsafe_code)]"
code '\bunsafe\b' . | { grep -vE '^\./(arch|datagram|doca-stand-in[a-z-]*|doca-sys|dpdk-sys|shell-io|ci/no-panic)/' || true; } |
    none "unsafe outside arch, datagram, shell-io and the bindings"

for crate in arch qp-wire kv-core; do
    grep -q '^#!\[no_std\]' "$crate/src/lib.rs" || echo "$crate"
done | none "a core crate without #![no_std]"

find . -path ./target -prune -o -path ./.git -prune -o -regextype posix-extended \
    -regex '.*/(utils?|common|helpers?|misc|types|prelude)(\.rs)?' -print |
    none "a file that says nothing about its subject"

if ((findings)); then
    exit 1
fi
