#!/usr/bin/env python3
"""Every parser takes its fuzzer's seeds, and every file that once broke one, without harm. What a
fuzzer does with them is in tests/fuzz/. Memory that runs out in between does them none either."""

import os
import subprocess
import sys
import tempfile

import tap

BUILD = os.environ["BUILD"]
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "fuzz"))
try:
    import seeds  # noqa: E402
except ImportError:
    tap.skip_all("Pillow (python3-pil) is not here to draw with")


# Each file again with its first allocation failing, its second, and so on.
MOST_FAILURES = "8" if "/san-" in BUILD + "/" else "64" if tap.T >= 60 else "24"


def replay(program, *arguments):
    return subprocess.run(
        [program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        errors="replace", timeout=400,
    )  # fmt: skip


def program_of(name):
    return os.path.join(BUILD, "tests", "fuzz-" + name)


def files(directories):
    return sum(len(os.listdir(directory)) for directory in directories)


def every_parser():
    tap.ok(len(seeds.names()) >= 10, "there are fuzzers", seeds.names())
    with tempfile.TemporaryDirectory() as drawn:
        seeds.draw(drawn, seeds.names())
        for name in seeds.names():
            directories = seeds.directories(name, drawn)
            done = replay(program_of(name), "-v", "-m", MOST_FAILURES, *directories)
            expected = f"{files(directories)} files\n"
            tap.ok(
                done.returncode == 0 and done.stdout == expected and expected != "0 files\n",
                f"{name}: {expected.strip()}", f"{done.returncode} {done.stdout} {done.stderr[-3000:]}",
            )  # fmt: skip


def can_fail():
    program = program_of("base64")
    with tempfile.TemporaryDirectory() as empty:
        tap.equal(replay(program, empty).returncode, 1, "can fail: no file was replayed")
        tap.equal(replay(program, empty + "/x").returncode, 1, "can fail: a file is not there")


tap.run(every_parser, can_fail)
