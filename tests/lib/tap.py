"""tap.py: test points for the .t scripts, counted by tests/run."""

import json
import os
import sys
import traceback

T = float(os.environ.get("T", "5"))  # seconds that a test of durations may take

_points = 0
_failed = 0


def note(text):
    for line in str(text).splitlines():
        print("# " + line, flush=True)


def ok(condition, name, detail=""):
    """One point. detail (text, or a function that makes it) is printed when it fails."""
    global _points, _failed
    _points += 1
    print(f"{'ok' if condition else 'not ok'} {_points} - {name}", flush=True)
    if not condition:
        _failed += 1
        note(detail() if callable(detail) else detail)
    return bool(condition)


def equal(found, expected, name):
    return ok(found == expected, name, f"expected {short(expected)}, found {short(found)}")


def short(value, most=1500):
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)"


def skip(name, reason):
    global _points
    _points += 1
    print(f"ok {_points} - {name} # SKIP {reason}", flush=True)


def skip_all(reason):
    print(f"1..0 # SKIP {reason}", flush=True)
    sys.exit(0)


def run(*tests):
    """Calls each test (a function; an exception is one failed point), prints the plan, exits."""
    for test in tests:
        try:
            test()
        except Exception as error:  # a test that breaks must not hide the others
            ok(False, f"{test.__name__}: {type(error).__name__}: {error}", traceback.format_exc())
    print(f"1..{_points}", flush=True)
    sys.exit(1 if _failed else 0)


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
