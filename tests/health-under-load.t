#!/usr/bin/env python3
"""However long the queue is, /health/live and /health/ready are answered, and quickly; with half a
CPU, too. How quickly is measured."""

# alone
# timeout: 180

import time

import tap
from cgroup import Cgroup, Unavailable
from load import Load, Prober, known, percentile
from service import Service, model

WORKERS, BACKLOG, CLIENTS = 2, 16, 64


def overloaded(name, service):
    pictures = known(service, 1)
    with Prober(service.port, ("/health/live", "/health/ready")) as prober:
        with Load(service, pictures, CLIENTS, patience_s=1) as load:
            time.sleep(max(3, tap.T))
    for path, found in prober.found.items():
        ms = [1000 * seconds for seconds in found["seconds"]]
        tap.note(f"{name}: {path}: {len(ms)} times, p50 {percentile(ms, 0.5):.2f} ms, "
                 f"p99 {percentile(ms, 0.99):.2f} ms, largest {max(ms):.2f} ms")  # fmt: skip
        tap.equal(set(found["outcomes"]), {"200"}, f"{name}: {path} never fails")
        tap.ok(len(ms) > 20, f"{name}: {path} was asked often", len(ms))
    tap.note(f"{name}: {load.results}")
    tap.ok(load.only("200", "503 overloaded"), f"{name}: clients get 200 or 503", load.results)
    tap.ok(load.count("503 overloaded") > 0 and load.good() > 0, f"{name}: it was overload",
           load.results)  # fmt: skip


OPTIONS = {"workers": WORKERS, "RESNET_BACKLOG": BACKLOG, "RESNET_THREADS": 1}


def whole_machine():
    with Service(model=model("1/2"), **OPTIONS) as service:
        overloaded("no quota", service)


def half_a_cpu():
    try:
        with Cgroup() as group:
            with Service(model=model("1/2"), before=group.command, **OPTIONS) as service:
                group.limit(0.5)
                overloaded("half a CPU", service)
                tap.ok(group.throttled() > 0, "half a CPU: it was throttled")
                group.lift()
    except Unavailable as error:
        tap.skip("half a CPU", str(error))


tap.run(whole_machine, half_a_cpu)
