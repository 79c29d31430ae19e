#!/usr/bin/env python3
"""kill -9 of the supervisor under load, and a restart. Its workers finish their request and the queue
that they hold, then leave; a new one is let in at once. What clients see is measured."""

import os
import signal
import time

import tap
import web
from load import Load, known
from service import START_S, STOP_S, Service, children, until

OURS = ("resnet-fcgi", "resnet-control")


def all_gone(pids):
    return not [pid for pid in pids if os.path.exists(f"/proc/{pid}/exe")]


def is_heard(service):
    """Whether the new supervisor's resnet-control answers, and not once more the old one's."""
    try:
        answer = service.get("/status", port=service.inside)
        return answer.status == 200 and answer.json()["pid"] == service.spawn.pid
    except web.Broken:
        return False


def kill_and_restart(service, load, clients, wait_s):
    """-> when it was about to die, when a new one was ready, when the last old process had gone"""
    family = [pid for program in OURS for pid in children(service.spawn.pid, program)]
    dead = time.monotonic()
    service.spawn.kill()
    service.spawn.wait()
    time.sleep(wait_s)
    service.start_spawn()
    until(lambda: is_heard(service), START_S, "the new supervisor")
    service.wait_ready()
    ready = time.monotonic()
    until(lambda: all_gone(family), STOP_S, "the old processes to leave")
    gone = time.monotonic()
    good = load.good()
    until(lambda: load.good() > good + clients, 60, "answers again")
    return dead, ready, gone


def killed(name, faults, clients, wait_s=0):
    with Service(workers=2, faults=faults) as service:
        pictures, deaths = known(service), []
        with Load(service, pictures, clients, patience_s=0.05) as load:
            end = time.monotonic() + tap.T / 2
            while len(deaths) < 2 or time.monotonic() < end:
                time.sleep(0.3)
                deaths.append(kill_and_restart(service, load, clients, wait_s))
        tap.equal(load.not_logged(), {}, f"{name}: none is lost")
        taken = load.taken()
        held = [got for got in load.answers for dead, _, _ in deaths
                if got.start < dead < got.end and got.id in taken]  # fmt: skip
        refused = load.count() - load.good()
        tap.note(f"{name}: {len(deaths)} times kill -9, a new supervisor {wait_s} s later, ready "
                 f"{max(r - d for d, r, _ in deaths):.2f} s after it at most, the old workers gone "
                 f"{max(g - d for d, _, g in deaths):.2f} s after it; {len(held)} requests were held, "
                 f"{refused} of {load.count()} refused: {load.results}")  # fmt: skip
        lost = [got for got in held if got.outcome != "200"]
        tap.equal(lost, [], f"{name}: what was being served or queued is answered")
        tap.ok(load.only("200", "503 unavailable", "503 starting", "503 draining", "503 overloaded"),
               f"{name}: others get 200, or our own 503", load.results)  # fmt: skip
        late = [got for got in load.answers if got.outcome != "200"
                and not any(dead < got.end and got.start < ready for dead, ready, _ in deaths)]  # fmt: skip
        tap.equal(late, [], f"{name}: none of those once the new one is ready")
        tap.equal(known(service), pictures, f"{name}: the same answers as before")
        tap.equal(len(service.all_workers()), 2, f"{name}: two workers")


def as_they_come():
    killed("a small network", None, 8)


def with_a_queue():
    killed("50 ms and a queue", "sleep=1@*", 16)


def restarted_later():
    killed("restarted later", "sleep=1@*", 8, 1)


tap.run(as_they_come, with_a_queue, restarted_later)
