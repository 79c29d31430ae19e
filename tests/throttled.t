#!/usr/bin/env python3
"""A container that is throttled to a twentieth of a CPU is slow, and says why: its workers are starved,
never stuck, and every request is answered."""

# timeout: 300

import time

import tap
import why
from cgroup import Cgroup, Unavailable
from load import Load, known
from service import Service

SHARE, STALL_MS = 0.05, 500
LOOK_S = 100  # at most
VERDICT = 'resnet_watchdog_verdicts_total{verdict="%s"}'


def told(service):
    """The kernel counts a pause when it is over: what was seen before that cannot name the quota."""
    starved = service.logged("starved")
    seen = [line for line in starved if int(line.get("throttled_ms", 0)) > 0]
    line = (seen or starved)[0]
    done = why.tell(line["request_id"], *why.logs_of(service, line["request_id"]))
    tap.ok("Answered 200" in done.stdout and "watchdog: starved" in done.stdout, "resnet-ctl why: starved", done.stdout)
    if seen:
        tap.ok("its cgroup's quota was used up for " in done.stdout, "and by what", done.stdout)
    else:
        tap.skip("and by what", "no pause of the quota was over when somebody looked")


def until_seen(service):
    """When a pause ends, supervisor and workers run again, and only who looks before they have ticked
    finds them starved: on a loaded machine that may take some periods."""
    start = time.monotonic()
    while (took := time.monotonic() - start) < LOOK_S:
        if took >= max(8, tap.T) and service.logged("starved"):
            return
        time.sleep(0.1)


def throttled(group):
    with Service(workers=2, before=group.command, RESNET_ISA="ref",
                 RESNET_STALL_TIMEOUT=f"{STALL_MS}ms") as service:  # fmt: skip
        pictures = known(service)
        service.until_idle(2)  # ready is who loads first
        workers = service.workers()
        group.limit(SHARE, period_us=1_000_000)
        with Load(service, pictures, 2) as load:
            until_seen(service)
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
        told(service)
        throttled_s = metrics.get("resnet_cpu_throttled_seconds_total", 0)
        tap.ok(throttled_s > 0, "resnet_cpu_throttled_seconds_total tells", metrics)


def everything():
    try:
        with Cgroup() as group:
            throttled(group)
    except Unavailable as error:
        tap.skip("throttled to a twentieth of a CPU", str(error))


tap.run(everything)
