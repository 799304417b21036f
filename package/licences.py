#!/usr/bin/env python3
"""Writes the licence texts of the crates that programs are linked with, each text once, with the crates that have it.

Standard input has the crates, a line "name vVERSION ..." each, as `cargo tree` prints them. The texts come from the
crates' sources, which are there once the programs are built; nothing is fetched.
"""

import json
import os
import re
import subprocess
import sys

TEXT = re.compile(r"^(licen[cs]e|copying|copyright|notice|unlicense)", re.IGNORECASE)


def sources():
    """The directory and the licence of each crate of this machine's kind, by name and version."""
    about = subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout
    host = re.search(r"^host: (.*)$", about, re.MULTILINE).group(1)
    command = ["cargo", "metadata", "--locked", "--offline", "--format-version", "1", "--filter-platform", host]
    metadata = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return {
        (package["name"], package["version"]): (os.path.dirname(package["manifest_path"]), package["license"])
        for package in metadata["packages"]
    }


def texts(directory):
    """The texts in a crate's directory, in the order of their files' names."""
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name)
        if TEXT.match(name) and os.path.isfile(path):
            with open(path, encoding="utf-8", errors="replace") as file:
                yield "\n".join(line.rstrip() for line in file.read().strip().splitlines())


def main():
    known = sources()
    crates_of, without = {}, []
    for line in sys.stdin:
        if not line.strip():
            continue
        name, version = line.split()[:2]
        crate = f"{name} {version.lstrip('v')}"
        directory, licence = known[name, version.lstrip("v")]
        found = list(dict.fromkeys(texts(directory)))
        for text in found:
            crates_of.setdefault(text, []).append(crate)
        if not found:
            without.append(f"{crate}: {licence}")
    for text, crates in crates_of.items():
        print("=" * 78, *crates, "-" * 78, text, "", sep="\n")
    if without:
        print("=" * 78, "Crates whose sources have no such text, with the licence that they name:", *without, sep="\n")


main()
