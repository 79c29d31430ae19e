#!/usr/bin/env python3
"""Nothing in the tree names a path outside it, holds a left-over, or is somebody else's data."""

import re

import sources
import tap

# Written in two parts, so that this file may be looked at too.
WORDS = {
    "a path of some machine": re.compile(r"(?<![\w.])/(wo" r"rk|ro" r"ot|ho" r"me/\w+)/\w"),
    "a merge left half done": re.compile(r"^(<{7}|={7}|>{7})( |$)", re.MULTILINE),
    "work left undone": re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b"),
    "dead code": re.compile(r"^\s*#\s*if\s+0\b", re.MULTILINE),
    "a blank at a line's end": re.compile(r"[ \t]+$", re.MULTILINE),
    "flags that change results": re.compile(r"-(ffast" r"-math|march=" r"native)\b"),
}
LARGEST_BYTES = 256 * 1024  # weights, photographs and references stay outside
TEXT = (".c", ".h", ".md", ".mk", ".py", ".t", ".sh", ".js", ".css", ".html", ".template",
        ".envsh", "GNUmakefile", "/run", ".1", ".5", ".8", ".tsv")  # fmt: skip
MAY_NAME_FLAGS = (".md", "words.t")


def found_in(text):
    return [what for what, pattern in WORDS.items() if pattern.search(text)]


def everything():
    paths = sources.files(TEXT)
    tap.ok(len(paths) > 50, "there are files", len(paths))
    wrong = []
    for path in paths:
        words = found_in(sources.read(path))
        if path.endswith(MAY_NAME_FLAGS):
            words = [word for word in words if word != "flags that change results"]
        wrong += [f"{path}: {word}" for word in words]
    tap.equal(wrong, [], "no file has what does not belong")


def sizes():
    import os

    paths = sources.files()
    size = {path: os.path.getsize(os.path.join(sources.TOP, path)) for path in paths}
    wrong = [path for path in paths if size[path] > LARGEST_BYTES]
    tap.equal(wrong, [], f"no file is larger than {LARGEST_BYTES} bytes")


def can_fail():
    for text in ("see /wo" "rk/x", "/ro" "ot/a", "<<<<<<< HEAD\n", "/* TO" "DO */", "#if 0\n",
                 "x \n", "-march=" "native"):  # fmt: skip
        tap.ok(found_in(text), f"can fail: {text.strip()!r}")
    tap.equal(found_in("int work(void);\n"), [], "and an innocent line passes")


tap.run(everything, sizes, can_fail)
