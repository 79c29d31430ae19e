#!/usr/bin/env python3
"""table.py [--seconds 2]: resnet-bench over engines, threads and batches, and layer by layer for the
best engine on one core. Writes BUILD/bench/README-table.md."""

import argparse
import os
import subprocess

import measure

BUILD = os.path.join(measure.TOP, os.environ.get("BUILD", "build"))
BENCH = os.path.join(BUILD, "bin", "resnet-bench")
TOO_SLOW = ("ref",)  # seconds a pass
BATCHES = (1, 8)
LAYER_FROM = 0.01  # of the whole: below it a layer is summed up


def engines():
    done = subprocess.run([BENCH, "--version"], capture_output=True, text=True, check=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith("isa:"))
    return [name for name in line[len("isa:") :].replace(",", " ").split() if name not in TOO_SLOW]


def bench(seconds, *options):
    return measure.run_json([BENCH, "--json", "--seconds", str(seconds), *options])


def whole_network(names, seconds):
    rows = []
    for isa in names:
        for threads in sorted({1, 2, 4, measure.CORES} & set(range(1, min(measure.CORES, 8) + 1))):
            for batch in BATCHES:
                r = bench(seconds, "--isa", isa, "--threads", str(threads), "--batch", str(batch))
                rows.append((isa, threads, batch, f"{r['median_ms'] / batch:.1f}",
                             f"{r['min_ms'] / batch:.1f}", f"{r['gflops']:.0f}",
                             f"{r['peak_gflops']:.0f}", f"{r['cpu_per_wall']:.2f}",
                             f"{100 * r['others']:.0f} %"))  # fmt: skip
    heads = ("engine", "threads", "batch", "median ms", "least ms", "GFLOP/s", "peak", "CPU/wall",
             "others' load")  # fmt: skip
    return measure.markdown(heads, rows)


def layer_row(row, peak):
    work = row.get("executed_gflop", row["gflop"])
    rate = 1e3 * work / row["median_ms"] if row["median_ms"] > 0 else 0
    shape = "×".join(map(str, row["in"])) + " → " + "×".join(map(str, row["out"]))
    kernel = f"{row['kernel'][0]}×{row['kernel'][1]}/{row['stride']}"
    bound = f"{100 * row['bound_ms'] / row['median_ms']:.0f} %" if row.get("bound_ms") else ""
    return (row["layer"], f"{shape} {kernel}", row["algorithm"], f"{row['median_ms']:.2f}",
            f"{work:.3f}", f"{rate:.0f}", f"{100 * rate / peak:.0f} %" if peak else "", bound)  # fmt: skip


def layers(seconds, isa):
    r = bench(seconds, "--isa", isa, "--layers")
    total = sum(row["median_ms"] for row in r["layers"])
    large = [row for row in r["layers"] if row["median_ms"] >= LAYER_FROM * total]
    rows = [layer_row(row, r["peak_gflops"]) for row in large]
    rest = total - sum(row["median_ms"] for row in large)
    rows.append((f"{len(r['layers']) - len(large)} smaller ones", "", "", f"{rest:.2f}") + ("",) * 4)
    heads = ("layer", "shape", "algorithm", "ms", "GFLOP executed", "GFLOP/s", "of peak", "of bound")
    return [f"{isa}, 1 thread, batch 1, measured peak {r['peak_gflops']:.0f} GFLOP/s "
            f"({measure.HONESTLY}):", "", *measure.markdown(heads, rows)]  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=2)
    options = parser.parse_args()
    names = engines()
    lines = ["# A forward pass of ResNet-50", "", *measure.stamp(), "",
             f"Milliseconds an image ({measure.HONESTLY}); GFLOP/s count two operations for each "
             "multiply-add of the network's definition, so Winograd may exceed the measured peak.",
             "", *whole_network(names, options.seconds), "", *layers(options.seconds, names[0])]  # fmt: skip
    measure.publish(os.path.join(BUILD, "bench", "README-table.md"), lines)


if __name__ == "__main__":
    main()
