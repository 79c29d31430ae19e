#!/usr/bin/env python3
"""Each folder's README is its map: it names every file, and no file that is not there. And every
program has a man page."""

import os
import re

import sources
import tap

FOLDERS = ("kernels", "weights", "fcgi", "spawn", "nginx", "tests")
KINDS = (".c", ".h", ".sh", ".py", ".template", ".envsh", ".tsv")
PROGRAMS = {
    "weights": ("resnet-pack",),
    "fcgi": ("resnet-fcgi", "resnet-classify"),
    "spawn": ("resnet-spawn", "resnet-control", "resnet-ctl"),
    "tests": ("resnet-bench", "resnet-load"),
}
# Named as a whole: `unit/*.c`.
AS_A_WHOLE = re.compile(r"tests/(unit|fixtures|bench|fuzz)/|nginx/html/|\.t$")


def unnamed(paths, text):
    """Files whose name, or whose stem, no word of the map is. A folder inside, `ref/`, may be named
    as a whole."""
    words = set(re.findall(r"[\w.+-]+/?", text))
    missing = []
    for path in paths:
        name = os.path.basename(path)
        inside = {part + "/" for part in path.split("/")[1:-1]}
        if not ({name, name.split(".")[0]} | inside) & words:
            missing.append(path)
    return missing


def vanished(text, paths):
    """Names of C files in the map that are nowhere."""
    there = {os.path.basename(path) for path in paths}
    named = set(re.findall(r"`(?:[\w-]+/)?([\w-]+\.c)`", text)) - {"fuzz_NAME.c"}
    return sorted(named - there)


def maps():
    for folder in FOLDERS:
        paths = sources.files(KINDS, [folder])
        text = sources.read(f"{folder}/README.md")
        mapped = [path for path in paths if not AS_A_WHOLE.search(path)]
        tap.ok(mapped, f"{folder}: there are files")
        tap.equal(unnamed(mapped, text), [], f"{folder}: README names every file")
        everywhere = sources.files(".c")
        tap.equal(vanished(text, everywhere), [], f"{folder}: and none that is gone")


def fuzzers():
    """They have a README of their own."""
    paths = [path[len("tests/") :] for path in sources.files(KINDS, ["tests/fuzz"])]
    text = sources.read("tests/fuzz/README.md")
    tap.ok(len(paths) > 10, "tests/fuzz: there are files")
    tap.equal(unnamed(paths, text), [], "tests/fuzz: README names every file")
    tap.equal(vanished(text, sources.files(".c")), [], "tests/fuzz: and none that is gone")


def man_pages():
    for folder, programs in PROGRAMS.items():
        for program in programs:
            pages = [p for p in sources.files((".1", ".8"), [folder]) if f"/{program}." in p]
            tap.equal(len(pages), 1, f"{program}: a man page beside its source")


def can_fail():
    text = "| `gemm.c` | blocking | `old.c` | gone |"
    tap.equal(unnamed(["kernels/gemm.c", "kernels/new.c"], text), ["kernels/new.c"], "can fail: new")
    tap.equal(vanished(text, ["kernels/gemm.c"]), ["old.c"], "can fail: gone")


tap.run(maps, fuzzers, man_pages, can_fail)
