#!/usr/bin/env python3
"""No object outside the ISA folders has an AVX register in it: it would crash on another CPU, and
an inline function compiled with AVX can be kept by the linker for every caller."""

import os
import platform
import re

import objects
import tap

# resnet-bench's probe of the peak asks the CPU first, and shares no inline function.
ISA_FOLDER = re.compile(r"/kernels/(avx2|avx512[a-z0-9]*|amx|neon)/|/fcgi/avx2/|/tests/bench/peak\.o$")
WIDE = re.compile(r"%[yz]mm\d|\bzmm|%k[0-7]\b")


def wide_instructions(path):
    """Instructions with ymm, zmm or mask registers; None when there is no instruction at all."""
    lines = objects.output("objdump", "-d", "--no-show-raw-insn", path).splitlines()
    code = [line for line in lines if re.match(r"^\s+[0-9a-f]+:\t", line)]
    return [line.strip() for line in code if WIDE.search(line)] if code else None


def all_objects():
    root = os.path.join(objects.BUILD, "obj")
    for directory, _, names in os.walk(root):
        for name in names:
            path = os.path.join(directory, name)
            if name.endswith(".o") and not ISA_FOLDER.search(path):
                yield path


def everything():
    paths = sorted(all_objects())
    tap.ok(len(paths) > 20, "there are objects to look at", f"{len(paths)} below {objects.BUILD}/obj")
    looked_at, wrong = 0, []
    for path in paths:
        found = wide_instructions(path)
        looked_at += found is not None
        if found:
            wrong.append((os.path.relpath(path, objects.BUILD), found[0]))
    tap.ok(looked_at > 20, "and they have instructions", looked_at)
    tap.equal(wrong, [], "no ymm, no zmm, no mask register")


def can_fail():
    text = "void f(float *x, int n) { for (int i = 0; i < n; i++) x[i] *= 2; }"
    for flag in ("-mavx2", "-mavx512f"):
        flags = ("-O3", flag)
        wide = objects.snippet(text, wide_instructions, kind="o", flags=flags)
        tap.ok(wide, f"can fail: the same loop with {flag}")
    plain = objects.snippet(text, wide_instructions, kind="o", flags=("-O3",))
    tap.equal(plain, [], "a loop without it is clean")
    tap.equal(objects.snippet("", wide_instructions, kind="o"), None, "no code is not clean code")


if platform.machine() != "x86_64":
    tap.skip_all(f"instructions of x86_64 are looked for, and this is {platform.machine()}")
tap.run(everything, can_fail)
