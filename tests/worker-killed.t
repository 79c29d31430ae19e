#!/usr/bin/env python3
"""kill -9 of a random worker, again and again under load: every client gets a whole 200, once."""

# timeout: 180

import concurrent.futures
import os
import random
import signal
import time

import tap
from load import Load, known
from service import Service, until

CLIENTS, WORKERS = 8, 4
LAYERS = 56  # of a ResNet-50, to stretch a request to about so many milliseconds


def kill_one(service):
    workers = service.workers()
    if workers:
        try:
            os.kill(random.choice(workers), signal.SIGKILL)
            return 1
        except ProcessLookupError:
            pass
    return 0


def weather(case):
    """Kills, and what came of it: (name, pause, kills, load, what nginx's log says otherwise, ready).
    As many answers as clients between two kills: a request has eight tries, however slow the machine."""
    name, faults = case
    with Service(workers=WORKERS, faults=faults) as service:
        start = time.monotonic()
        pictures = known(service)
        pause = max(0.2, 4 * (time.monotonic() - start) / len(pictures))
        end = time.monotonic() + max(tap.T, 1.5 * pause)
        with Load(service, pictures, CLIENTS) as load:
            time.sleep(pause / 4)
            kills = kill_one(service)
            while kills < 2 or time.monotonic() + pause <= end:
                n = load.count()
                time.sleep(pause)
                until(lambda n=n: load.count() >= n + CLIENTS, 60, "answers")
                kills += kill_one(service)
        differs = load.not_logged()
        service.until_idle(WORKERS)
        return name, pause, kills, load, differs, service.get("/health/ready").status


def everything():
    cases = [("as they come", None)]
    cases += [(f"{ms} ms", f"sleep={ms / LAYERS:.0f}@*") for ms in (50, 400, 2000)]
    with concurrent.futures.ThreadPoolExecutor(len(cases)) as pool:
        for name, pause, kills, load, differs, ready in pool.map(weather, cases):
            tap.note(f"{name}: killed every {pause:.2f} s, {kills} in all; answers: {load.results}")
            tap.ok(kills >= 2, f"{name}: workers were killed", kills)
            tap.ok(load.all_good(), f"{name}: every answer is 200, whole and right", load.results)
            tap.equal(differs, {}, f"{name}: none is lost or twice in nginx's log")
            tap.equal(ready, 200, f"{name}: there are four workers again, ready")


tap.run(everything)
