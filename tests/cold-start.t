#!/usr/bin/env python3
"""A cold start costs waiting, not errors: what is sent from the first moment on is answered, however
long the model takes to load; what does not fit into the queue is told so; and without any backend
the answer is still ours."""

import os
import signal
import time

import tap
from load import Load, fault_of_error, known, unknown
from service import Service, until

LOAD_MS = 4000


def no_backend(service):
    for method, path in (("POST", "/predict"), ("GET", "/health"), ("GET", "/health/live")):
        answer = service.get(path, method=method)
        tap.equal((answer.status, answer.code()), (503, "unavailable"), f"no backend: {method} {path}")
        wrong = fault_of_error(answer, answer.header("x-request-id"))
        tap.equal(wrong, None, f"no backend: {method} {path}: our JSON")


def from_the_first_moment():
    with Service(workers=2, cold=True) as service:
        no_backend(service)
        service.start_spawn()
        service.until_listening()
        with Load(service, unknown()) as load:
            service.wait_ready()
            until(lambda: load.count() > 100, 60, "answers")
        tap.note(load.results)
        tap.ok(load.all_good(), "from the first moment on every request gets 200", load.results)
        tap.ok(load.agrees_with(known(service)), "the right one")
        tap.equal(load.not_logged(), {}, "none is lost")


def slow_load():
    with Service(workers=2, cold=True, faults=f"sleep={LOAD_MS}@load") as service:
        start = time.monotonic()
        service.start_spawn()
        service.until_listening()
        told = []
        with Load(service, unknown()) as load:
            until(lambda: service.get("/status", port=service.inside).status == 200, 60, "resnet-control")
            while not told or told[-1][2] != 200:
                before = service.status()["generation"]
                answer = service.get("/health/startup")
                told.append((before, service.status()["generation"], answer.status))
                time.sleep(0.02)
            until(lambda: load.count() > 50, 60, "answers")
        early = [got for got in load.answers if got.end < start + LOAD_MS / 2000]
        tap.equal(early, [], "a slow load: nobody is answered before it is done")
        tap.ok(load.all_good(), "then every request gets 200", load.results)
        wrong = [x for x in told if x not in ((0, 0, 503), (1, 1, 200)) and x[0] == x[1]]
        tap.equal(wrong, [], "/health/startup tells the truth throughout")
        tap.ok(len(told) > 5, "it was asked often", told)
        tap.equal(service.get("/health/live").status, 200, "alive")


def past_the_backlog():
    """The first worker loads until it is killed."""
    with Service(workers=1, cold=True, faults="sleep=100000@load:1", RESNET_BACKLOG=4) as service:
        service.start_spawn()
        service.until_listening()
        with Load(service, unknown(), 24, patience_s=0.2) as load:
            until(lambda: load.count("503 starting") > 20, 60, "503")
            tap.equal(service.get("/health/live").status, 200, "past the backlog: alive")
            ready = service.get("/health/ready")
            tap.equal(ready.status, 503, "and not ready")
            until(lambda: service.logged("fault"), 60, "a worker that loads")
            (worker,) = service.workers()
            killed = time.monotonic()
            os.kill(worker, signal.SIGKILL)
            service.wait_ready()
            until(lambda: load.good() > 20, 60, "answers")
        tap.note(load.results)
        tap.ok(load.only("200", "503 starting", "503 overloaded"), "200, or 503", load.results)
        early = [got.outcome for got in load.answers if got.end < killed]
        tap.equal(set(early), {"503 starting"}, "before the first worker: 503 starting, paced")


tap.run(from_the_first_moment, slow_load, past_the_backlog)
