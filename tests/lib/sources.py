"""sources.py: the project's own files, for the guards that read them."""

import os

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDERS = ("kernels", "weights", "fcgi", "spawn", "nginx", "tests")
NOT_OURS = {".git", "build", "cache", "__pycache__"}


def files(suffixes=None, folders=None):
    """Paths relative to the top, sorted. Not asked of git: a release has none."""
    found = []
    for start in folders or [""]:
        for directory, names, entries in os.walk(os.path.join(TOP, start)):
            names[:] = [name for name in names if name not in NOT_OURS]
            found += [os.path.relpath(os.path.join(directory, e), TOP) for e in entries]
    found = [path for path in found if path != ".git"]
    return sorted(p for p in found if suffixes is None or p.endswith(suffixes))


def read(path):
    with open(os.path.join(TOP, path), encoding="utf-8", errors="surrogateescape") as file:
        return file.read()
