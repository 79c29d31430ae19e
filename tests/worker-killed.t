#!/usr/bin/env python3
"""kill -9 of a random worker, again and again under load: every client gets a whole 200, once."""

# timeout: 180

import os
import random
import signal
import time

import tap
from load import Load, known
from service import Service, until

CLIENTS, WORKERS = 8, 4
LAYERS = 56  # of a ResNet-50, to stretch a request to about so many milliseconds


def service_time(service, pictures):
    """Seconds that one request takes, alone."""
    start = time.monotonic()
    known(service, len(pictures))
    return (time.monotonic() - start) / len(pictures)


def kill_one(service):
    workers = service.workers()
    if workers:
        try:
            os.kill(random.choice(workers), signal.SIGKILL)
            return 1
        except ProcessLookupError:
            pass
    return 0


def killed_all_the_time(name, seconds, faults=None):
    with Service(workers=WORKERS, faults=faults) as service:
        pictures = known(service)
        pause = max(0.2, 4 * service_time(service, pictures))
        kills = 0
        with Load(service, pictures, CLIENTS) as load:
            end = time.monotonic() + max(seconds, 2.2 * pause)
            time.sleep(pause / 2)
            while time.monotonic() < end:
                kills += kill_one(service)
                time.sleep(pause)
        tap.note(f"{name}: killed every {pause:.2f} s, {kills} in all; answers: {load.results}")
        tap.ok(kills >= 2, f"{name}: workers were killed", kills)
        tap.ok(load.all_good(), f"{name}: every answer is 200, whole and right", load.results)
        tap.equal(load.not_logged(), {}, f"{name}: none is lost or twice in nginx's log")
        until(lambda: len(service.workers()) == WORKERS, 60, "four workers again")
        tap.ok(True, f"{name}: there are four workers again")
        tap.equal(service.get("/health/ready").status, 200, f"{name}: and it is ready")


def as_they_come():
    killed_all_the_time("a small network", tap.T)


def after_50_ms():
    killed_all_the_time("50 ms", tap.T, f"sleep={50 / LAYERS:.0f}@*")


def after_400_ms():
    killed_all_the_time("400 ms", tap.T, f"sleep={400 / LAYERS:.0f}@*")


def after_2000_ms():
    killed_all_the_time("2000 ms", tap.T, f"sleep={2000 / LAYERS:.0f}@*")


tap.run(as_they_come)
