#!/usr/bin/env python3
"""Files stay below 600 lines and functions below 80 (a micro-kernel 250): what one can read."""

import re

import sources
import tap

FILE_LINES, FUNCTION_LINES, MICRO_KERNEL_LINES = 600, 80, 250
MICRO_KERNEL = re.compile(r"kernels/(avx2|avx512[a-z0-9]*|neon)/")


def long_functions(text, limit):
    """(first line, length) of each `{` ... `}` in the first column that is longer than limit."""
    wrong, start, functions = [], None, 0
    for number, line in enumerate(text.splitlines(), 1):
        if line == "{":
            start = number
        elif line.startswith("}") and start:
            functions += 1
            if number - start + 1 > limit:
                wrong.append((start, number - start + 1))
            start = None
    return functions, wrong


def file_lengths():
    paths = sources.files((".c", ".h", ".py", ".sh", ".t", ".js", "/run", "rules.mk", ".md"))
    tap.ok(len(paths) > 50, "there are files", len(paths))
    wrong = [(p, n) for p in paths if (n := sources.read(p).count("\n")) > FILE_LINES]
    tap.equal(wrong, [], f"no file is longer than {FILE_LINES} lines")


def function_lengths():
    total, wrong = 0, []
    for path in sources.files(".c"):
        limit = MICRO_KERNEL_LINES if MICRO_KERNEL.match(path) else FUNCTION_LINES
        count, found = long_functions(sources.read(path), limit)
        total += count
        wrong += [f"{path}:{line}: {length} lines" for line, length in found]
    tap.ok(total > 200, "there are functions", total)
    tap.equal(wrong, [], "no function is too long")


def can_fail():
    text = "int f(void)\n{\n" + "    x();\n" * 79 + "}\n"
    tap.equal(long_functions(text, 80), (1, [(2, 81)]), "can fail: a function of 81 lines")
    tap.equal(long_functions(text, 81), (1, []), "and of 81 where 81 are allowed")


tap.run(file_lengths, function_lengths, can_fail)
