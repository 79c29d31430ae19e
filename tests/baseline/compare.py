#!/usr/bin/env python3
"""compare.py [--seconds 2] [--rounds 3] [--weights FILE] [--check]: ours beside ONNX Runtime and
PyTorch, and AVX2 beside OpenBLAS, in one run in which all take turns, with the same weights, the same
images, shapes and thread counts. Writes BUILD/bench/compare.md.

A peer that cannot be had is skipped, aloud. A ratio of times that others' load has stretched is not
judged. --check: exit 1 when a ratio that is wanted is missed, or could not be judged.
"""

import argparse
import collections
import json
import os
import subprocess
import sys

import measure
from ready import BUILD, HERE, PLACE, PYTHON, export, install_from_npm, run

Cell = collections.namedtuple("Cell", "threads batch")
CELLS = [Cell(1, 1), Cell(4, 1), Cell(1, 8), Cell(4, 8)]
AVX2 = Cell(1, 1)
QUIET_SHARE, QUIET_S = 0.1, 10
DISTURBED = 0.05  # of the machine's CPU time, by others
TURN_S = 30  # on a busy machine PyTorch's threads wait for each other for minutes
ALIKE = 1e-4  # logits, as a share of the largest
MATRIX_ALGORITHMS = ("gemm", "direct")


def bench(*options, **variables):
    return lambda cell, seconds: measure.run_json(
        [os.path.join(BUILD, "bin", "resnet-bench"), "-m", os.path.join(PLACE, "resnet50.rnm"),
         "--json", "--threads", str(cell.threads), "--batch", str(cell.batch),
         "--seconds", str(seconds), *options], **variables)  # fmt: skip


def peer(command, model, *more):
    def run(cell, seconds):
        numbers = [str(cell.threads), str(cell.batch), str(seconds)]
        arguments = [os.path.join(PLACE, model), os.path.join(PLACE, "input.npy"), *numbers, *more]
        threads = {"OMP_NUM_THREADS": str(cell.threads)}
        return measure.run_json([*command, *arguments], cwd=PLACE, timeout=TURN_S, **threads)

    return run


TORCH = (PYTHON, os.path.join(HERE, "bench_torch.py"))
PEERS = {
    "ONNX Runtime": peer(("node", os.path.join(HERE, "bench_ort.js")), "resnet50.onnx"),
    "PyTorch, channels last": peer(TORCH, "resnet50.pth", "eager"),
    "PyTorch, jit": peer(TORCH, "resnet50.pth", "jit"),
}
OURS, OURS_AVX2, BLAS_AVX2 = "ours", "ours, avx2", "OpenBLAS engine, Haswell core"


# ---- who computes the same -----------------------------------------------------------------------


def our_logits():
    path = os.path.join(PLACE, "logits.json")
    text = run([os.path.join(BUILD, "bin", "resnet-classify"), "-m", os.path.join(PLACE, "resnet50.rnm"),
                "--tensor", os.path.join(PLACE, "input.npy"), "--logits", path + ".npy", "-k", "1"])  # fmt: skip
    with open(path + ".npy", "rb") as file:
        data = file.read()
    start = 10 + int.from_bytes(data[8:10], "little")
    return text, list(memoryview(data[start : start + 4000]).cast("f"))


def difference(a, b):
    return max(abs(x - y) for x, y in zip(a, b)) / max(map(abs, b))


def try_peers():
    """{name: (run, version)} of those that run, and that compute what ours computes."""
    _, ours = our_logits()
    found = {}
    for name, once in PEERS.items():
        try:
            if name == "ONNX Runtime":
                install_from_npm()
            tried = once(Cell(1, 1), 0)
        except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
            print(f"SKIP {name}: {error}", flush=True)
            continue
        apart = difference(ours, tried["logits"])
        if apart > ALIKE:
            raise RuntimeError(f"{name}: its logits are {apart:.1e} from ours: not the same network")
        print(f"{name} {tried['version']}: logits within {apart:.1e} of ours", flush=True)
        found[name] = (once, tried["version"])
    return found


# ---- measuring -----------------------------------------------------------------------------------


def take_turns(peers, options):
    """{(name, cell): [a result per round]}"""
    found = collections.defaultdict(list)
    turns = [(OURS, bench())] + [(name, once) for name, (once, _) in peers.items()]
    avx2 = [(OURS_AVX2, bench("--isa", "avx2", "--layers")),
            (BLAS_AVX2, bench("--isa", "blas", RESNET_ISA="avx2"))]  # fmt: skip
    plan = [(cell, turns) for cell in options.cells if cell.threads <= measure.CORES]
    if run_has_avx2():
        plan.append((AVX2, avx2))
    for number in range(1, options.rounds + 1):
        if not measure.wait_for_quiet(QUIET_SHARE, QUIET_S):
            print(f"round {number}: others use this machine, too", flush=True)
        for cell, names in plan:
            for name, once in names:
                try:
                    result = once(cell, options.seconds)
                except subprocess.TimeoutExpired:
                    print(f"SKIP {name}, {cell.threads} threads, batch {cell.batch}, in round "
                          f"{number}: nothing after {TURN_S} s", flush=True)  # fmt: skip
                    continue
                found[name, cell].append(result)
                print(f"round {number}: {cell.threads} threads, batch {cell.batch}, {name}: median "
                      f"{result['median_ms'] / cell.batch:.1f} ms an image, least "
                      f"{result['min_ms'] / cell.batch:.1f}, CPU/wall {result['cpu_per_wall']:.2f}, "
                      f"others {100 * result['others']:.0f} %", flush=True)  # fmt: skip
    return found


def run_has_avx2():
    version = run([os.path.join(BUILD, "bin", "resnet-bench"), "--version"])
    return any("avx2" in line for line in version.splitlines() if line.startswith("isa"))


class Times:
    """Of one name and cell: the median of the rounds' medians, the least of all, an image."""

    def __init__(self, cell, results):
        self.median = measure.median([r["median_ms"] for r in results]) / cell.batch
        self.least = min(r["min_ms"] for r in results) / cell.batch
        self.cpu_ms = min(r["cpu_ms"] for r in results) / cell.batch
        self.cpu_per_wall = measure.median([r["cpu_per_wall"] for r in results])
        self.others = measure.median([r["others"] for r in results])
        left = 1 - cell.threads / measure.CORES  # for others, without being in the way
        self.disturbed = self.others > 0.8 * left + DISTURBED


def matrix_share(results):
    """Of the measured AVX2 peak, over the layers that multiply matrices or convolve directly: the
    best round, as the peak is the best that was seen."""
    shares = []
    for result in results:
        rows = [r for r in result["layers"] if r["algorithm"].split()[0] in MATRIX_ALGORITHMS]
        work = sum(row.get("executed_gflop", row["gflop"]) for row in rows)
        ms = sum(row["median_ms"] for row in rows)
        shares.append(1e3 * work / ms / result["peak_gflops"])
    return max(shares)


# ---- what is wanted ------------------------------------------------------------------------------

Wanted = collections.namedtuple("Wanted", "what median least cpu limit disturbed")


def ratio(what, times, ours, other, limit):
    if ours not in times or other not in times:
        return None
    a, b = times[ours], times[other]
    cpu = a.cpu_ms / b.cpu_ms if ours[1].threads == 1 else None  # waiting may spin, or not
    return Wanted(what, a.median / b.median, a.least / b.least, cpu, limit,
                  a.disturbed or b.disturbed)


def wanted(times, found):
    ort = "ONNX Runtime"
    rows = [
        ratio("1 thread, batch 1: ours / ONNX Runtime", times, (OURS, Cell(1, 1)),
              (ort, Cell(1, 1)), 0.78),
        ratio("4 threads, batch 1: ours / ONNX Runtime", times, (OURS, Cell(4, 1)),
              (ort, Cell(4, 1)), 0.85),
        ratio("1 thread, batch 8: ours / ONNX Runtime", times, (OURS, Cell(1, 8)),
              (ort, Cell(1, 8)), 0.78),
        ratio("avx2, 1 thread: ours / OpenBLAS engine on its Haswell core", times,
              (OURS_AVX2, AVX2), (BLAS_AVX2, AVX2), 0.85),
    ]  # fmt: skip
    one, four = times.get((OURS, Cell(1, 1))), times.get((OURS, Cell(4, 1)))
    if one and four:  # by minima
        share = four.least / one.least
        rows.append(Wanted("ours, 4 threads / 1 thread (at most 1/3.1)", share, share, None, 1 / 3.1,
                           one.disturbed or four.disturbed))
    if (OURS_AVX2, AVX2) in times:
        share = 1 / matrix_share(found[OURS_AVX2, AVX2])
        rows.append(Wanted("avx2: measured peak / GEMM and direct layers (at most 1/0.85)", share,
                           share, None, 1 / 0.85, times[OURS_AVX2, AVX2].disturbed))  # fmt: skip
    return [row for row in rows if row]


def verdict(w):
    if w.disturbed:
        return "disturbed: not judged"
    return "reached" if w.median <= w.limit else "MISSED"


def cells(text):
    return [Cell(*map(int, case.split("x"))) for case in text.split(",")]


def page(found, peers, options):
    times = {key: Times(key[1], results) for key, results in found.items()}
    versions = ", ".join(f"{name} {version}" for name, (_, version) in peers.items()) or "no peer"
    ours = found[OURS, options.cells[0]][0]
    lines = ["# Ours beside others", "", *measure.stamp(), f"- {versions}",
             f"- ours: {ours['isa']}; weights {options.weights or 'random'}, the same for all; "
             f"{options.rounds} rounds of {options.seconds:g} s each, taking turns",
             "", "Milliseconds an image: median of the rounds' medians (least of all); CPU time of the best round.",
             ""]  # fmt: skip
    rows = [(name, cell.threads, cell.batch, f"{t.median:.1f} ({t.least:.1f})",
             f"{t.cpu_ms:.1f}", f"{t.cpu_per_wall:.2f}", f"{100 * t.others:.0f} %")
            for (name, cell), t in times.items()]  # fmt: skip
    rows.sort(key=lambda row: (row[2], row[1], "avx2" in row[0] or "Haswell" in row[0]))
    lines += measure.markdown(("", "threads", "batch", "ms", "CPU ms", "CPU/wall", "others' load"), rows)
    verdicts = wanted(times, found)
    lines += ["", "Ratios; less is better. The verdict goes by medians.", ""]
    rows = [(w.what, f"{w.median:.2f}", f"{w.least:.2f}", f"{w.cpu:.2f}" if w.cpu else "", f"{w.limit:.2f}",
             verdict(w)) for w in verdicts]  # fmt: skip
    lines += measure.markdown(("", "medians", "minima", "CPU time", "at most", ""), rows)
    return lines, all(verdict(w) == "reached" for w in verdicts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--weights", default="")
    parser.add_argument("--cells", type=cells, default=CELLS, help="THREADSxBATCH,...")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    peers = try_peers() if export(options.weights) else {}
    found = take_turns(peers, options)
    lines, good = page(found, peers, options)
    with open(os.path.join(PLACE, "compare.json"), "w", encoding="utf-8") as file:
        json.dump([[*key, result] for key, result in found.items()], file)
    print()
    measure.publish(os.path.join(BUILD, "bench", "compare.md"), lines)
    return 0 if good or not options.check else 1


if __name__ == "__main__":
    sys.exit(main())
