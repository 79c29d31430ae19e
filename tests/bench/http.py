#!/usr/bin/env python3
"""http.py [--seconds 3] [--rounds 3] [--image FILE] [--precision fp32]: photographs through nginx, against what the
parts take by themselves: resnet-bench on every core at once, and one pass on several. Takes turns;
writes BUILD/bench/http.md. Decoding and resizing are what the workers' own counters say of that turn."""

import argparse
import json
import os
import subprocess

import measure
import service
from measure import CORES

BENCH = service.program("resnet-bench")
LOAD = service.program("resnet-load")
CLIENTS = 8
WIDE = min(4, CORES)
LEAST_RATE = {"fp32": 0.85, "bf16": 0.85, "int8": 0.75}
MOST_P50 = 1.25


def full_model():
    path = service.real_model()
    if path:
        return path
    path = os.path.join(service.BUILD, "models", "full.rnm")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    command = [service.program("resnet-pack"), "random", "--seed", "1", "--precision", "fp32,bf16,int8"]
    subprocess.run([*command, "-o", path], check=True, env=measure.environment(), timeout=120)
    return path


def command(model, threads, options):
    return [BENCH, "-m", model, "--json", "--precision", options.precision,
            "--threads", str(threads), "--seconds", str(options.seconds)]  # fmt: skip


def forward_on_every_core(model, options):
    """Milliseconds of a pass, one process a core, all at once; others' load meanwhile."""
    with measure.Others() as others:
        many = [subprocess.Popen(command(model, 1, options), stdout=subprocess.PIPE, text=True,
                                 env=measure.environment()) for _ in range(CORES)]  # fmt: skip
        found = [json.loads(one.communicate(timeout=120)[0]) for one in many]
    means = [one["cpu_ms"] / one["cpu_per_wall"] for one in found]  # a rate is made of means
    return sum(means) / CORES, others.share


def forward_alone(model, options):
    return measure.run_json(command(model, WIDE, options))["median_ms"]


def stage(metrics, name, what):
    return metrics[f'resnet_request_duration_seconds_{what}{{stage="{name}"}}']


def load(served, clients, seconds, image):
    """What the clients saw, "prepare_ms" (decode and resize) and "infer_ms" of these requests added."""
    before = served.metrics()
    found = measure.run_json([LOAD, "--json", "--quiet", "--waves", "1", "--duration", str(seconds),
                              "--concurrency", str(clients), f"http://127.0.0.1:{served.port}", image])  # fmt: skip
    after = served.metrics()

    def mean_ms(*names):
        count = stage(after, names[0], "count") - stage(before, names[0], "count")
        total = sum(stage(after, n, "sum") - stage(before, n, "sum") for n in names)
        return 1000 * total / count

    if not found["ok"]:
        raise RuntimeError("nothing was answered")
    return {**found, "prepare_ms": mean_ms("decode", "resize"), "infer_ms": mean_ms("infer")}


def one_round(served, model, options):
    every, others = forward_on_every_core(model, options)
    many = load(served, CLIENTS, options.seconds, options.image)
    wide = forward_alone(model, options)
    one = load(served, 1, options.seconds, options.image)
    possible = 1000 * CORES / (every + many["prepare_ms"])
    least = wide + one["prepare_ms"]
    return {
        "every": every, "many": many, "possible": possible, "rate": many["per_second"] / possible,
        "wide": wide, "one": one, "least": least, "p50": one["p50_ms"] / least,
        "others": others,
    }  # fmt: skip


def page(rounds, options):
    def of(*keys):
        def get(found):
            for key in keys:
                found = found[key]
            return found

        return measure.median([get(found) for found in rounds])

    rows = [
        (f"{CLIENTS} clients: images/s", f"{of('many', 'per_second'):.1f}"),
        ("p50, p99 ms", f"{of('many', 'p50_ms'):.1f}, {of('many', 'p99_ms'):.1f}"),
        ("decode + resize, inference ms there", f"{of('many', 'prepare_ms'):.1f}, {of('many', 'infer_ms'):.1f}"),
        (f"forward pass, {CORES} processes of one thread at once, ms", f"{of('every'):.1f}"),
        (f"**of {CORES} cores ÷ (forward + decode + resize)** (at least {LEAST_RATE[options.precision]})", f"**{of('rate'):.2f}**"),
        ("one client: p50, p99 ms", f"{of('one', 'p50_ms'):.1f}, {of('one', 'p99_ms'):.1f}"),
        ("decode + resize, inference ms there", f"{of('one', 'prepare_ms'):.1f}, {of('one', 'infer_ms'):.1f}"),
        (f"forward pass, {WIDE} threads, ms", f"{of('wide'):.1f}"),
        (f"**p50 ÷ (forward + decode + resize)** (at most {MOST_P50})", f"**{of('p50'):.2f}**"),
    ]  # fmt: skip
    image = os.path.basename(options.image)
    lines = ["# Through nginx", "", *measure.stamp(),
             f"- {CORES} workers, {options.precision}, RESNET_THREADS=auto, {image}, a connection a request; "
             f"{len(rounds)} rounds of {options.seconds:g} s each, medians; "
             f"others' load {100 * of('others'):.0f} %", ""]  # fmt: skip
    return lines + measure.markdown(("", ""), rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--image", default=os.path.join(service.TOP, "tests/fixtures/demo.jpg"))
    parser.add_argument("--precision", choices=sorted(LEAST_RATE), default="fp32")
    options = parser.parse_args()
    model = full_model()
    with service.Service(workers=CORES, model=model, RESNET_PRECISION=options.precision) as served:
        load(served, CORES, 1, options.image)  # everything is touched once
        rounds = [one_round(served, model, options) for _ in range(options.rounds)]
    measure.publish(os.path.join(service.BUILD, "bench", "http.md"), page(rounds, options))


if __name__ == "__main__":
    main()
