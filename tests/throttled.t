#!/usr/bin/env python3
"""A container that is throttled to a twentieth of a CPU is slow, and says why: its workers are starved,
never stuck, and every request is answered."""

# timeout: 180

import time

import tap
from cgroup import Cgroup, Unavailable
from load import Load, known
from service import Service

SHARE, STALL_MS = 0.05, 500
VERDICT = 'resnet_watchdog_verdicts_total{verdict="%s"}'


def throttled(group):
    with Service(workers=2, before=group.command, RESNET_ISA="ref",
                 RESNET_STALL_TIMEOUT=f"{STALL_MS}ms") as service:  # fmt: skip
        pictures, workers = known(service), service.workers()
        group.limit(SHARE, period_us=1_000_000)
        with Load(service, pictures, 2) as load:
            time.sleep(max(8, tap.T))
        group.lift()
        took = [got.end - got.start for got in load.answers]
        tap.note(f"{SHARE} of a CPU: {load.results}, {min(took):.2f} to {max(took):.2f} s; "
                 f"throttled {group.throttled()} times")  # fmt: skip
        tap.ok(group.throttled() > 3, "it was throttled", group.throttled)
        tap.ok(load.all_good(), "every request gets 200", load.results)
        metrics = service.metrics()
        tap.ok(metrics.get(VERDICT % "starved", 0) >= 1, "verdict: starved", metrics)
        tap.equal(metrics.get(VERDICT % "stuck"), 0, "never stuck")
        tap.equal(service.workers(), workers, "nobody was killed")
        throttled_s = metrics.get("resnet_cpu_throttled_seconds_total", 0)
        tap.ok(throttled_s > 0, "resnet_cpu_throttled_seconds_total tells", metrics)


def everything():
    try:
        with Cgroup() as group:
            throttled(group)
    except Unavailable as error:
        tap.skip("throttled to a twentieth of a CPU", str(error))


tap.run(everything)
