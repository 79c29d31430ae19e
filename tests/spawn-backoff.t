#!/usr/bin/env python3
"""Workers that cannot start, or crash soon after, are started again ever more slowly."""

import os
import re
import signal

import tap
from supervisor import Supervisor, wait_for

PATIENT = {"RESNET_START_TIMEOUT": "60s"}  # longer than any worker here takes on purpose


def delays(s):
    return [int(re.search(r" ms=(\d+)", line)[1]) for line in s.logged("back_off")]


def first_generation_configuration():
    with Supervisor(workers=2, mode="config") as s:
        tap.equal(s.wait(), 78, "exit code 78 of a first worker is the supervisor's")
        tap.ok(any("does not want to start" in x for x in s.logged("start_failed")),
               "and the worker's sentence is in the log", s.log)  # fmt: skip


def failing_start():
    with Supervisor(workers=1, mode="fail") as s:
        wait_for(lambda: len(delays(s)) >= 4, "four failures")
        tap.equal(delays(s)[:4], [100, 200, 400, 800], "each wait is twice the last")
        status = s.status()
        tap.equal(status["state"], "starting", "the service is still starting")
        tap.ok("does not want to start" in status["reason"], "and says why it does not")
        health = s.get("/health")
        tap.equal(health[0], 503, "/health: 503")
        tap.ok(b'"status":"starting"' in health[2], "starting", health)
        s.mode("ok")
        s.until()
        tap.equal(s.status()["reason"], None, "once it starts, there is no reason any more")


def crash_after_start():
    with Supervisor(workers=1, mode="crash 0.1") as s:
        wait_for(lambda: len(delays(s)) >= 3, "three crashes")
        tap.equal(delays(s)[:3], [100, 200, 400], "a crash within five seconds counts")
        tap.ok(s.status()["ends"]["crashed"] >= 3, "as a crash")


def start_timeout():
    with Supervisor(workers=1, mode="hang", environment={"RESNET_START_TIMEOUT": "300ms"}) as s:
        wait_for(lambda: len(delays(s)) >= 2, "two time-outs")
        tap.ok(s.status()["ends"]["start_timeout"] >= 2, "a worker not ready in time is killed")


def killed_before_readiness():
    with Supervisor(workers=1, mode="slow 20", environment=PATIENT) as s:
        for _ in range(3):
            pid = wait_for(lambda: starting(s), "a worker that starts")
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: started_after(s, pid), "another worker")
        s.mode("ok")  # who is starting may have read the old one, and takes its time
        s.until()
        tap.equal(delays(s), [], "a worker that somebody kills is replaced at once, ready or not")


def killed_before_readiness_for_ever():
    with Supervisor(workers=1, mode="slow 20", environment=PATIENT) as s:
        for _ in range(6):
            pid = wait_for(lambda: starting(s), "a worker that starts")
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda p=pid: starting(s) != p, "its end")
        wait_for(lambda: len(delays(s)) >= 3, "the last one's line")  # its slot is vacant before
        tap.equal(delays(s), [100, 200, 400], "one that is killed ever again is not: the kernel does")
        s.mode("ok")
        s.until()
        pid = s.pids()[0]
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: started_after(s, pid), "another worker")
        tap.equal(s.status()["ends"]["killed"], 7, "each of them was killed")
        tap.equal(len(delays(s)), 3, "once one was ready, it counts from the start")


def starting(s):
    status = s.try_status() or {"workers": []}
    return next((w["pid"] for w in status["workers"] if w["state"] == "starting"), 0)


def started_after(s, pid):
    workers = s.status()["workers"]
    return workers and workers[0]["pid"] not in (0, pid)


def configuration_error_later():
    with Supervisor(workers=1) as s:
        s.until()
        s.mode("config")
        os.kill(s.pids()[0], signal.SIGKILL)
        wait_for(lambda: len(delays(s)) >= 2, "two failures")
        tap.ok(s.process.poll() is None, "78 after the first generation does not end the service")
        tap.equal(s.get("/health/ready")[0], 503, "no worker: not ready")
        s.mode("ok")
        wait_for(lambda: s.get("/health/ready")[0] == 200, "a worker")
        tap.ok(True, "it is tried again until it starts")


tap.run(
    first_generation_configuration,
    failing_start,
    crash_after_start,
    start_timeout,
    killed_before_readiness,
    killed_before_readiness_for_ever,
    configuration_error_later,
)
