#!/usr/bin/env python3
"""resnet-bench measures what it says, and says what it cannot."""

import json
import subprocess

import service
import tap

KEYS = ["median_ms", "min_ms", "p99_ms", "precision", "isa", "threads", "batch"]


def bench(*options, **variables):
    return subprocess.run(
        [service.program("resnet-bench"), "--seconds", "0", *options],
        capture_output=True, text=True, timeout=100, check=False,
        env=service.clean_environment(**variables),
    )  # fmt: skip


def measured(*options, **variables):
    done = bench("--json", *options, **variables)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def a_packed_model():
    found = measured("-m", service.small_model(), "--batch", "2", "--layers")
    tap.equal([key for key in KEYS if key not in found], [], "the promised keys")
    tap.equal((found["arch"], found["batch"]), ("resnet50-w8", 2), "what was asked for")
    ordered = 0 < found["min_ms"] <= found["median_ms"] <= found["p99_ms"]
    tap.ok(ordered, "min <= median <= p99", found)
    tap.ok(found["cpu_per_wall"] > 0, "threads that really ran", found)
    tap.ok(0 < found["gflops"] and found["peak_percent"] < 110, "a rate below the peak", found)
    layers = found["layers"]
    tap.equal((len(layers), layers[0]["layer"], layers[-1]["layer"]), (56, "conv1", "fc"), "layers")
    work = sum(layer["gflop"] for layer in layers)
    tap.ok(abs(work - found["gflop"]) < 1e-3 * work, "their work is the network's", work)
    rows = bench("-m", service.small_model(), "--layers").stdout.splitlines()
    tap.equal(sum(row.startswith("layer2.") for row in rows), 13, "one row a layer")


def without_a_model():
    found = measured(RESNET_ISA="blas")
    tap.equal((found["arch"], found["isa"]), ("resnet50", "blas"), "a ResNet-50 of its own")
    tap.ok(abs(found["gflop"] - 8.178) < 0.01, "4.09 G multiply-adds", found["gflop"])


def a_stray_variable():
    model = ("-m", service.small_model())
    plain = measured(*model)["openblas_core"]
    stray = measured(*model, OPENBLAS_CORETYPE="Prescott")["openblas_core"]
    tap.equal(stray, plain, "OPENBLAS_CORETYPE in the environment changes nothing")


def engines():
    text = bench("--help").stdout
    for isa in ("ref", "blas"):
        tap.ok(isa in text, f"--help names {isa}", text)
        found = measured("-m", service.small_model(), "--isa", isa)
        tap.equal(found["isa"], isa, f"--isa {isa} is taken")


def wrong_usage():
    cases = [
        (("--iza",), 64, "--iza"),
        (("--isa", "sse9"), 64, "blas, ref"),
        (("--precision", "fp8"), 64, "fp32"),
        (("--threads", "0"), 64, "1 to 8"),
        (("--threads", "two"), 64, '"two"'),
        (("--batch", "1.5"), 64, "1.5"),
        (("stray.rnm",), 64, "stray.rnm"),
        (("-m", "/nonexistent.rnm"), 78, "/nonexistent.rnm"),
        (("-m", "/dev/null"), 78, "/dev/null"),
    ]
    for options, status, says in cases:
        done = bench(*options)
        good = done.returncode == status and says in done.stderr and done.stderr.count("\n") == 1
        tap.ok(good, f"{' '.join(options)}: exit {status}, one line", done)


tap.run(a_packed_model, without_a_model, a_stray_variable, engines, wrong_usage)
