#!/usr/bin/env python3
"""Every symbol that a folder exports carries the folder's prefix, and so leads to it."""

import os

import objects
import tap

PREFIXES = {
    "libkernels.a": "kn_",
    "libweights.a": "wt_",
    "libfcgi-app.a": "fcgi_",
    "libspawn.a": "spawn_",
}


def strangers(archive, prefix):
    """Exported names without the prefix. None when nothing is exported at all."""
    names = objects.defined(archive)
    return sorted(name for name in names if not name.startswith(prefix)) if names else None


def archives():
    for name, prefix in PREFIXES.items():
        wrong = strangers(os.path.join(objects.BUILD, name), prefix)
        tap.equal(wrong, [], f"{name}: every export begins with {prefix}")


def can_fail():
    text = "int kn_good(void) { return 1; } int helper(void) { return 2; } static int z;"
    wrong = objects.snippet(text, lambda path: strangers(path, "kn_"))
    tap.equal(wrong, ["helper"], "can fail: a name without prefix")
    none = objects.snippet("static int z;", lambda path: strangers(path, "kn_"))
    tap.equal(none, None, "an archive that exports nothing is not a clean one")


tap.run(archives, can_fail)
