#!/usr/bin/env python3
"""tests/run: what it counts, and that the first lines about a failed test say what failed."""

import os
import subprocess
import tempfile
import textwrap

import tap

RUN = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "run")

FAILS_ONCE = """\
    #!/bin/sh
    echo '# the log of something'
    for n in 1 2 3 4 5 6 7; do echo "ok $n - passes"; done
    echo 'not ok 8 - the one'
    echo '# expected 3, found 4'
    echo 'ok 9 - passes'
    echo 'not ok 10 - left out # SKIP no such machine'
    echo '# afterwards'
    echo 1..10
    """


def run(script, *options):
    """(exit code, lines) of the runner with one test, a program of this text."""
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "some.t")
        with open(path, "w", encoding="ascii") as file:
            file.write(textwrap.dedent(script))
        os.chmod(path, 0o755)
        done = subprocess.run([RUN, "-b", directory, *options, path], capture_output=True, text=True,
                              timeout=120, check=False)  # fmt: skip
        return done.returncode, done.stdout.splitlines()


def failed_first():
    code, lines = run(FAILS_ONCE)
    tap.equal((code, lines[-1]), (1, "8 passed, 1 failed, 1 skipped"), "a failed point: exit code and count")
    tap.ok(lines[0].startswith("FAIL") and "8 passed, 1 failed, 1 skipped" in lines[0], "first the test", lines)
    shown = [line.strip() for line in lines[1:]]
    expected = ["SKIPPED left out: no such machine", "FAILED the one", "| not ok 8 - the one",
                "| # expected 3, found 4", "| ---- what else it printed", "| # the log of something",
                "| # afterwards", "| 1..10"]  # fmt: skip
    tap.equal(shown[: len(expected)], expected, "then the failed point, why, and only then the rest")
    tap.ok(not any("passes" in line for line in lines), "no point that passed", lines)
    code, lines = run(FAILS_ONCE, "-v")
    tap.equal(sum("passes" in line for line in lines), 8, "-v: those, too")


def other_ends():
    cases = {
        "all is well": ("echo ok 1\necho 1..1", 0, "1 passed, 0 failed, 0 skipped"),
        "an exit code": ("echo ok 1\necho 1..1\nexit 3", 1, "1 passed, 1 failed, 0 skipped"),
        "no plan": ("echo ok 1", 1, "1 passed, 1 failed, 0 skipped"),
        "a point too few": ("echo ok 1\necho 1..2", 1, "1 passed, 1 failed, 0 skipped"),
        "all skipped": ("echo '1..0 # SKIP why'", 1, "0 passed, 1 failed, 1 skipped"),
        "a process left behind": ("sleep 100 >/dev/null 2>&1 &\necho ok 1\necho 1..1", 1,
                                  "1 passed, 1 failed, 0 skipped"),
        "too slow": ("echo ok 1\necho 1..1\nexec sleep 100", 1, "1 passed, 2 failed, 0 skipped"),
    }  # fmt: skip
    for name, (script, code, last) in cases.items():
        options = ("-t", "10") if name == "too slow" else ()
        tap.equal((lambda c, l: (c, l[-1]))(*run("#!/bin/sh\n" + script, *options)), (code, last), name)


tap.run(failed_first, other_ends)
