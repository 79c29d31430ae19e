#!/usr/bin/env python3
"""TERM under load: what was accepted or queued is answered, whole; what comes after gets our own 503;
exit code 0."""

import signal
import time

import tap
from load import Load, known
from service import STOP_S, Service, until

CLIENTS = 24


def begun(service, sig):
    """Sends the signal; the moments before it, and when the supervisor has closed its door."""
    before = time.monotonic()
    service.spawn.send_signal(sig)
    until(lambda: service.logged("drain"), 60, "the drain")
    return before, time.monotonic()


def drained(name, sig, faults):
    with Service(workers=2, faults=faults) as service:
        pictures = known(service)
        with Load(service, pictures, CLIENTS, patience_s=0.05) as load:
            until(lambda: load.count() > CLIENTS, 60, "answers")
            until(lambda: service.status()["queue"]["depth"] >= CLIENTS / 3, 60, "a queue")
            term, closed = begun(service, sig)
            tap.equal(service.spawn.wait(STOP_S), 0, f"{name}: exit code 0")
            end = time.monotonic()
            until(lambda: load.count("503 unavailable") > CLIENTS, 60, "503 by nginx itself")
        tap.note(f"{name}: {load.results}, {end - term:.2f} s from signal to end")
        tap.equal(load.not_logged(), {}, f"{name}: none is lost")
        taken = load.taken()
        held = [got for got in load.answers if got.end > term and got.id in taken]
        after = [got for got in load.answers if got.start > closed]
        tap.ok(len(held) >= CLIENTS / 3, f"{name}: requests were held", len(held))
        tap.equal({got.outcome for got in held}, {"200"}, f"{name}: all of them are answered 200")
        tap.ok({got.outcome for got in after} <= {"503 draining", "503 unavailable"},
               f"{name}: what comes after gets 503, our own", load.results)  # fmt: skip
        tap.ok(load.only("200", "503 draining", "503 unavailable"), f"{name}: nothing else", load.results)
        service.start_spawn()
        service.wait_ready()
        tap.equal(known(service), pictures, f"{name}: a new supervisor serves again")


def by_term():
    drained("TERM", signal.SIGTERM, "sleep=3@*")


def by_quit():
    drained("QUIT", signal.SIGQUIT, "sleep=1@*")


tap.run(by_term, by_quit)
