#!/usr/bin/env python3
"""The wall clock is set, by minutes, hours, years, forward and back, while requests run: log lines
have other times, and nothing else changes. Budgets, watchdog, back-off, quarantine and idle exit
go by a clock that nobody sets."""

# timeout: 180

import os
import signal
import time

import draw
import tap
from activator import Activated
from clock import HOUR_S, YEARS_S, Clock
from load import Load, known
from service import Service, until
from supervisor import Supervisor, wait_for

STEPS_S = (5, 300, 0, 300, 600, -300, HOUR_S, -HOUR_S, YEARS_S, -YEARS_S, 0)
PICTURE = draw.jpeg()


def under_load():
    """With a queue, so that requests stand in it while the clock is set; some minutes look as if
    they had stood there for that long."""
    with Clock() as clock, Service(workers=2, faults="sleep=2@*") as service:
        pictures, workers = known(service), service.all_workers()
        with Load(service, pictures, 8) as load:
            for step_s in STEPS_S:
                clock.set(step_s)
                n = load.count()
                until(lambda n=n: load.count() >= n + 12, 60, "answers")
        tap.ok(load.all_good(), f"set to {', '.join(map(str, STEPS_S))} s: every request gets 200", load.results)
        tap.equal(load.not_logged(), {}, "and is in nginx's log once")
        years = {line["time"][:4] for line in service.access() if "time" in line}
        tap.note(f"years in nginx's log: {sorted(years)}")
        tap.equal(service.workers(), workers, "nobody was replaced")
        status = service.status()
        tap.equal((status["verdicts"]["stuck"], status["verdicts"]["starved"]), (0, 0), "the watchdog saw nothing")
        tap.ok(any(line for line in service.logged("clock_stepped")), "workers say that the clock was set")
        tap.ok(status["uptime_ms"] < 1000 * HOUR_S, "uptime is what it was", status["uptime_ms"])


def watchdog():
    with Clock() as clock, Service(workers=2, faults="sleep=20@*~slow;loop@layer3.1~stuck:1",
                                   RESNET_STALL_TIMEOUT="1s", RESNET_REQUEST_TIMEOUT="60s") as service:  # fmt: skip
        with Load(service, known(service), 2) as load:
            clock.set(-YEARS_S)
            answer = service.post(PICTURE, {"X-Request-ID": "stuck-request"})
            clock.set(YEARS_S)
            slow = service.post(PICTURE, {"X-Request-ID": "slow-request"})
        tap.equal((answer.status, slow.status), (200, 200), "a stuck request is noticed, a slow one is not killed")
        tap.equal([line["request_id"] for line in service.logged("stuck")], ["stuck-request"], "and it alone")
        tap.ok(load.all_good(), "others get 200", load.results)


def quarantine():
    with Clock() as clock, Service(workers=3, faults="segv@layer2.0~poison", RESNET_QUARANTINE="300s") as service:
        for i in range(2):
            service.post(PICTURE, {"X-Request-ID": f"poison-{i}"})
        until(lambda: service.post(PICTURE).status == 422, 60, "the quarantine")
        for step_s in (YEARS_S, -YEARS_S):
            clock.set(step_s)
            tap.equal(service.post(PICTURE).status, 422, f"set by {step_s} s: a body is refused as before")
    with Clock() as clock, Service(workers=3, faults="segv@layer2.0~poison", RESNET_QUARANTINE="2s") as service:
        for i in range(2):
            service.post(PICTURE, {"X-Request-ID": f"poison-{i}"})
        clock.set(-YEARS_S)
        until(lambda: service.post(PICTURE, {"X-Request-ID": "harmless"}).status == 200, 60, "the end of it")
        tap.ok(True, "and let in when its time is over")


def back_off():
    with Clock() as clock, Supervisor(workers=1, mode="fail") as s:
        wait_for(lambda: len(s.logged("back_off")) >= 2, "two failures")
        clock.set(-YEARS_S)
        wait_for(lambda: len(s.logged("back_off")) >= 4, "two more")
        s.mode("ok")
        s.until()
        tap.ok(True, "set back: a worker is started again all the same")
        clock.set(YEARS_S)
        pid = s.pids()[0]
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: s.pids().get(0, pid) not in (0, pid), "another worker")
        tap.equal(s.work()[0], 200, "set forward: another one takes a dead worker's place")
        clock.set(-YEARS_S)
        s.signal(signal.SIGTERM)
        tap.equal(s.wait(), 0, "set back: it drains")


def idle_exit():
    with Clock() as clock, Activated(RESNET_IDLE_EXIT="300s") as service:
        tap.equal(service.post(PICTURE).status, 200, "started by a request")
        clock.set(YEARS_S)
        time.sleep(1)  # for something that must not come
        tap.equal((service.post(PICTURE).status, len(service.started_ns)), (200, 1), "set forward: it stays")
    with Clock() as clock, Activated(RESNET_IDLE_EXIT="500ms") as service:
        service.post(PICTURE)
        clock.set(-YEARS_S)
        service.until_asleep(1)
        tap.ok(True, "set back: it leaves when its time is over")


tap.run(under_load, watchdog, quarantine, back_off, idle_exit)
