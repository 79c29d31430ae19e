#!/usr/bin/env python3
"""kill -9 of a random worker, again and again under load: every client gets a whole 200."""

import os
import random
import signal
import time

import draw
import tap
from service import Load, Service, until

PICTURE = draw.jpeg()
CLIENTS = 8


def service_time(service):
    """Seconds that one request takes, alone."""
    start = time.monotonic()
    for _ in range(10):
        service.post(PICTURE)
    return (time.monotonic() - start) / 10


def kill_one(service):
    workers = service.workers()
    if workers:
        try:
            os.kill(random.choice(workers), signal.SIGKILL)
            return 1
        except ProcessLookupError:
            pass
    return 0


def everything():
    with Service(workers=4) as service:
        expected = service.post(PICTURE).json()["predictions"]
        pause = max(0.2, 4 * service_time(service))
        kills = 0
        with Load(service, PICTURE, CLIENTS, lambda a: a.json()["predictions"] == expected) as load:
            end = time.monotonic() + tap.T
            while time.monotonic() < end:
                kills += kill_one(service)
                time.sleep(pause)
        tap.note(f"a worker killed every {pause:.2f} s, {kills} in all; answers: {load.results}")
        tap.ok(kills >= 3, "workers were killed", kills)
        tap.ok(load.all_good(), "every answer is 200, whole and right", load.results)
        until(lambda: len(service.workers()) == 4, 60, "four workers again")
        tap.ok(True, "there are four workers again")
        tap.equal(service.get("/health/ready").status, 200, "and it is ready")


tap.run(everything)
