#!/usr/bin/env python3
"""Every C file is as .clang-format says. Versions of clang-format disagree, so it has to be 14."""

import os
import shutil
import subprocess
import tempfile

import sources
import tap

VERSION = "version 14."


def complaints(paths):
    """Paths that clang-format would change."""
    done = subprocess.run(
        [TOOL, "--style=file", "--dry-run", *paths], cwd=sources.TOP, timeout=300, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if "[-Wclang-format-violations]" in line]
    return sorted({line.split(":")[0] for line in lines})


def everything():
    paths = sources.files((".c", ".h"))
    tap.ok(len(paths) > 50, "there are files", len(paths))
    tap.equal(complaints(paths), [], "every file is formatted")


def can_fail():
    with tempfile.TemporaryDirectory(dir=os.path.join(sources.TOP, "build")) as directory:
        path = os.path.join(directory, "x.c")
        with open(path, "w", encoding="utf-8") as file:
            file.write("int  f( void ){return 1;}\n")
        tap.equal(len(complaints([path])), 1, "can fail: one that is not")


TOOL = shutil.which("clang-format-14") or shutil.which("clang-format")
if not TOOL:
    tap.skip_all("clang-format is not here")
if VERSION not in subprocess.run([TOOL, "--version"], stdout=subprocess.PIPE, check=True).stdout.decode():
    tap.skip_all("clang-format is not of version 14")
tap.run(everything, can_fail)
