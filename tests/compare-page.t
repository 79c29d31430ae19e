#!/usr/bin/env python3
"""What `make compare` says of what it measured: medians, ratios, and no verdict where others were in
the way."""

import os
import sys

import service
import tap

sys.path.insert(0, os.path.join(service.TOP, "tests", "baseline"))

import through_page
from through_page import MANY


def result(per_second, others=0.0, bad=0):
    asked = {"per_second": per_second, "p50_ms": 10, "p99_ms": 20, "good": 99, "bad": bad,
             "others": others, "cpu_ms": 50}  # fmt: skip
    return {"1": asked, MANY[0]: {**asked, "per_second": per_second / 2}, MANY[1]: asked, "first_s": 1,
            "health": {"p50_ms": 1, "max_ms": 2, "bad": 0}, "pss_bytes": 2**20}  # fmt: skip


def results(**rates):
    names = {"fp32": "ours, fp32", "int8": "ours, int8", "modern": "modern, fp32",
             "modern8": "modern, int8", "jit": "old, jit", "tuned": "old, tuned"}  # fmt: skip
    found = {names[k]: [result(*v) if isinstance(v, tuple) else result(v)] for k, v in rates.items()}
    return {"speed": {"stamp": ["- some day"], "stacks": found}, "versions": {},
            "settings": {name: "as it comes" for name in found}}  # fmt: skip


def verdicts(**rates):
    rows, good = through_page.ratios(results(**rates))
    return {row[0]: row[1:] for row in rows}, good


def ratios():
    found, good = verdicts(fp32=60, int8=200, modern=40, modern8=100, jit=30, tuned=20)
    tap.equal(found["ours, fp32 / modern, fp32"], ("1.50", "1.5", "reached"), "just reached")
    tap.equal(found["ours, int8 / modern, int8"], ("2.00", "2.0", "reached"), "int8 has its own")
    tap.equal(found["ours, fp32 / old, jit"], ("2.00", "1.8", "reached"), "the best old one counts")
    tap.ok(good, "all reached: good")
    found, good = verdicts(fp32=59, modern=40)
    tap.equal(found["ours, fp32 / modern, fp32"][-1], "MISSED", "just missed")
    tap.ok(not good, "one missed: not good")
    found, good = verdicts(fp32=(60, 0.3), modern=40)
    tap.equal(found["ours, fp32 / modern, fp32"][-1], "disturbed: not judged", "others were in the way")
    tap.ok(not good, "not judged: not good")
    found, good = verdicts(fp32=60)
    tap.equal((found, good), ({}, False), "nobody to compare with: not good")


def table():
    given = results(fp32=(60.04, 0, 3), modern=40)
    given["speed"]["stacks"]["ours, fp32"] += [result(10), result(90)]
    text = "\n".join(through_page.page(given)[0])
    tap.ok("| images/s | **60.0** | **40.0** |" in text, "the median of three rounds", text)
    tap.ok("| 9 of 900 | 0 of 297 |" in text, "failures are added up", text)
    given["harm"] = {"stamp": [], "stacks": {"modern, fp32": [{
        "kill": {"requests": 50, "failed": 2, "longest_ms": 1234, "reasons": []},
        "reload": {"requests": 60, "failed": 0, "longest_ms": 99, "reasons": []}}]}}  # fmt: skip
    text = "\n".join(through_page.page(given)[0])
    tap.ok("longest wait, s |  | 2 of 50; 1.23 |" in text, "who was not measured has an empty cell", text)


tap.run(ratios, table)
