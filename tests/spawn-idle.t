#!/usr/bin/env python3
"""An idle service costs nothing: no periodic wake-ups anywhere."""
# alone
# timeout: 300

import time

import draw
import tap
from service import Service
from supervisor import Supervisor


def usage(pid):
    """(nanoseconds on a CPU, voluntary switches)"""
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
        cpu_ns = int(file.read().split()[0])
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        switches = next(int(x.split()[1]) for x in file if x.startswith("voluntary_ctxt"))
    return cpu_ns, switches


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(x) for x in file.read().split()]


def used(pids):
    """(ms of CPU, switches) in T seconds"""
    before = [usage(pid) for pid in pids]
    time.sleep(tap.T)
    after = [usage(pid) for pid in pids]
    cpu_ms = sum(a[0] - b[0] for a, b in zip(after, before)) / 1e6
    switches = sum(a[1] - b[1] for a, b in zip(after, before))
    tap.note(f"{len(pids)} processes, {tap.T} s: {cpu_ms:.3f} ms of CPU, {switches} switches")
    return cpu_ms, switches


def check(pids, n):
    """Once more, if need be: what they still had to do after the start comes late on a busy machine."""
    tap.equal(len(pids), n, "supervisor, control, workers")
    cpu_limit_ms, switch_limit = 5 * tap.T / 20, 60 * tap.T / 20
    for _ in range(3):
        cpu_ms, switches = used(pids)
        if cpu_ms < cpu_limit_ms and switches < switch_limit:
            break
    tap.ok(cpu_ms < cpu_limit_ms, "less than 5 ms of CPU in 20 s")
    tap.ok(switches < switch_limit, "fewer than 60 voluntary switches in 20 s")


def fake_workers():
    with Supervisor(workers=4) as s:
        s.until()
        s.work()
        check([s.process.pid, *children(s.process.pid)], 6)


def real_workers():
    with Service(workers=4) as service:
        service.until_idle(4)
        for _ in range(8):
            service.post(draw.jpeg())
        service.get("/health")
        check([service.spawn.pid, *children(service.spawn.pid)], 6)


tap.run(fake_workers, real_workers)
