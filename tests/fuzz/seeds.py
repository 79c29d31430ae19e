"""seeds.py: what the fuzzers begin with. Pictures and weights are drawn here; texts, and whatever
once was a finding, are files in corpus/NAME. A file's name says what it is.

    python3 tests/fuzz/seeds.py DIRECTORY [NAME...]    draws them into DIRECTORY/NAME
"""

import glob
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))
import seeds_bodies  # noqa: E402
import seeds_http  # noqa: E402
import seeds_logs  # noqa: E402
import seeds_pictures  # noqa: E402
import seeds_texts  # noqa: E402
import seeds_weights  # noqa: E402

MODULES = (seeds_bodies, seeds_http, seeds_logs, seeds_pictures, seeds_texts, seeds_weights)
DRAWN = {name: draw for module in MODULES for name, draw in module.DRAWN.items()}


def names():
    """Of all fuzzers, by their sources."""
    found = glob.glob(os.path.join(HERE, "fuzz_*.c"))
    return sorted(os.path.basename(path)[len("fuzz_") : -len(".c")] for path in found)


def draw(directory, wanted):
    for name in wanted:
        if name not in DRAWN:
            continue
        to = os.path.join(directory, name)
        os.makedirs(to, exist_ok=True)
        for title, content in DRAWN[name]().items():
            with open(os.path.join(to, title), "wb") as file:
                file.write(content)


def directories(name, drawn):
    """Those that there are."""
    both = [os.path.join(drawn, name), os.path.join(HERE, "corpus", name)]
    return [path for path in both if os.path.isdir(path)]


if __name__ == "__main__":
    draw(sys.argv[1], sys.argv[2:] or names())
