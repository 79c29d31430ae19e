#!/usr/bin/env python3
"""kill -9 of the supervisor under load, and a restart. Its workers finish their request and the queue
that they hold, then leave; a new one is let in at once. What clients see is measured."""

import os
import signal
import time

import tap
from load import Load, known
from service import Service, children, until

OURS = ("resnet-fcgi", "resnet-control")


def all_gone(pids):
    return not [pid for pid in pids if os.path.exists(f"/proc/{pid}/exe")]


def killed(name, faults, clients):
    with Service(workers=2, faults=faults) as service:
        pictures = known(service)
        family = [pid for program in OURS for pid in children(service.spawn.pid, program)]
        with Load(service, pictures, clients, patience_s=0.05) as load:
            until(lambda: load.count() > clients, 60, "answers")
            time.sleep(0.2)
            service.spawn.kill()
            service.spawn.wait()
            dead = time.monotonic()
            service.start_spawn()
            service.wait_ready()
            ready = time.monotonic()
            until(lambda: all_gone(family), 60, "the old processes to leave")
            gone = time.monotonic()
            good = load.good()
            until(lambda: load.good() > good + clients, 60, "answers again")
        held = [got for got in load.answers if got.start < dead - 0.1 and got.end > dead]
        lost = [got for got in held if got.outcome != "200"]
        refused = sum(n for outcome, n in load.results.items() if outcome != "200")
        tap.note(f"{name}: kill -9, then a new supervisor ready after {ready - dead:.2f} s, the old "
                 f"workers gone after {gone - dead:.2f} s; of {len(held)} requests held {len(lost)} "
                 f"were not answered 200; {refused} were refused meanwhile: {load.results}")  # fmt: skip
        tap.equal(lost, [], f"{name}: what was being served or queued is answered")
        tap.ok(load.only("200", "503 unavailable", "503 starting", "503 draining", "503 overloaded"),
               f"{name}: others get 200, or our own 503", load.results)  # fmt: skip
        after = [got for got in load.answers if got.start > ready]
        tap.equal({got.outcome for got in after}, {"200"}, f"{name}: from its readiness on, only 200")
        tap.equal(known(service), pictures, f"{name}: the same answers as before")
        tap.equal(len(service.workers()), 2, f"{name}: two workers")


def as_they_come():
    killed("a small network", None, 8)


def with_a_queue():
    killed("50 ms and a queue", "sleep=1@*", 16)


tap.run(as_they_come, with_a_queue)
