#!/usr/bin/env python3
"""Every program is built so that a mistake in it is hard to use: position-independent, its tables
read-only once it is linked, no memory both writable and executable, stack and copies checked; and
the objects that are ours have landing pads (CET): the programs themselves say so where the C
library's start files do as well, which Debian 12's do not."""

import glob
import os
import re
import tempfile

import objects
import tap

CHECKED_COPIES = not objects.SANITIZED  # the sanitizers check them themselves


def faults(path):
    """What is missing in a program, by what readelf says of it."""
    head = objects.output("readelf", "-hW", path)
    segments = objects.output("readelf", "-lW", path)
    dynamic = objects.output("readelf", "-dW", path)
    symbols = objects.output("readelf", "--dyn-syms", "-W", path)
    stack = re.search(r"GNU_STACK.*", segments)
    wrong = {
        "not position-independent": not (re.search(r"Type:\s+DYN", head) and "PIE" in dynamic),
        "no RELRO": "GNU_RELRO" not in segments,
        "lazily bound": "BIND_NOW" not in dynamic,
        "an executable stack": not stack or "E" in stack[0].split()[6],
        "memory to write and execute": re.search(r"LOAD.* RWE ", segments),
        "a search path of its own": re.search(r"\((RPATH|RUNPATH)\)", dynamic),
        "text that is relocated": "TEXTREL" in dynamic,
        "no stack protector": "__stack_chk_fail" not in symbols,
        "no checked copies": CHECKED_COPIES and not re.search(r"__\w+_chk\b", symbols),
    }
    return [what for what, is_so in wrong.items() if is_so]


def programs():
    paths = sorted(glob.glob(os.path.join(objects.BUILD, "bin", "resnet-*")))
    tap.ok(len(paths) >= 6, "there are programs", paths)
    for path in paths:
        tap.equal(faults(path), [], os.path.basename(path))


def without_pads(path):
    """Members of an archive, or an object, whose note does not name both features."""
    wrong, members, name = [], 0, os.path.basename(path)
    for part in re.split(r"^File: ", objects.output("readelf", "-nW", path), flags=re.MULTILINE):
        if not part.strip():
            continue
        members += 1
        name = re.search(r"\((.+)\)", part.splitlines()[0])
        if not re.search(r"x86 feature:.*IBT.*SHSTK", part):
            wrong.append(name[1] if name else path)
    return members, wrong


def pads():
    if os.uname().machine != "x86_64":
        tap.skip("landing pads", "CET is x86-64's")
        return
    for path in sorted(glob.glob(os.path.join(objects.BUILD, "lib*.a"))):
        members, wrong = without_pads(path)
        tap.ok(members > 5, f"{os.path.basename(path)}: there are objects", members)
        tap.equal(wrong, [], f"{os.path.basename(path)}: each has landing pads")


def flags():
    """What leaves no trace that readelf sees."""
    with open(os.path.join(objects.BUILD, "flags"), encoding="utf-8") as file:
        tap.ok("-fstack-clash-protection" in file.read(), "stacks grow page by page")


def can_fail():
    weak = ("-no-pie", "-fno-stack-protector", "-U_FORTIFY_SOURCE", "-fcf-protection=none",
            "-Wl,-z,norelro,-z,lazy,-z,execstack,-rpath,/x,--enable-new-dtags")  # fmt: skip
    with tempfile.TemporaryDirectory() as directory:
        source, program = os.path.join(directory, "weak.c"), os.path.join(directory, "weak")
        with open(source, "w", encoding="utf-8") as file:
            file.write('#include <stdio.h>\nint main(void) { return puts("") < 0; }\n')
        objects.output("cc", "-w", *weak, "-o", program, source)
        for fault in faults(program):
            tap.ok(True, f"can fail: {fault}")
        found = len(faults(program))
        tap.equal(found, 6 + CHECKED_COPIES, "can fail: of all that a weak program lacks")
    if os.uname().machine == "x86_64":
        text, none = "int f(void) { return 0; }", ["-fcf-protection=none"]
        count = objects.snippet(text, lambda path: len(without_pads(path)[1]), flags=none)
        tap.equal(count, 1, "can fail: an object without landing pads")


tap.run(programs, pads, flags, can_fail)
