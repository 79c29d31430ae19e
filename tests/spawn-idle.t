#!/usr/bin/env python3
"""An idle service costs nothing: no periodic wake-ups anywhere. (The fake workers sleep, too.)"""
# alone

import os
import time

import tap
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


def idle():
    with Supervisor(workers=4) as s:
        s.until()
        s.work()
        time.sleep(0.5)
        pids = [s.process.pid, *children(s.process.pid)]
        before = [usage(pid) for pid in pids]
        time.sleep(tap.T)
        after = [usage(pid) for pid in pids]
        cpu_ms = sum(a[0] - b[0] for a, b in zip(after, before)) / 1e6
        switches = sum(a[1] - b[1] for a, b in zip(after, before))
        tap.note(f"{len(pids)} processes, {tap.T} s: {cpu_ms:.3f} ms of CPU, {switches} switches")
        tap.equal(len(pids), 6, "supervisor, control and four workers")
        tap.ok(cpu_ms < 5 * tap.T / 20, "less than 5 ms of CPU in 20 s")
        tap.ok(switches < 60 * tap.T / 20, "fewer than 60 voluntary switches in 20 s")


tap.run(idle)
