#!/usr/bin/env python3
"""Neither `kill -HUP` of resnet-spawn nor `nginx -s reload` costs a client its answer."""

import signal
import time

import draw
import tap
from service import Load, Service, until

PICTURE = draw.jpeg()


def generation(service):
    return service.get("/status", port=service.inside).json()["generation"]


def while_reloading(service, process, every_s, expected):
    """Signals `process` again and again for T seconds under load. Returns how often."""
    signals = 0
    with Load(service, PICTURE, check=lambda a: a.json()["predictions"] == expected) as load:
        end = time.monotonic() + tap.T
        while time.monotonic() < end:
            process.send_signal(signal.SIGHUP)
            signals += 1
            time.sleep(every_s)
    tap.note(f"{signals} reloads, answers: {load.results}")
    tap.ok(load.all_good(), "every answer is 200, whole and right", load.results)
    return signals


def everything():
    with Service(workers=2) as service:
        expected = service.post(PICTURE).json()["predictions"]
        first, workers = generation(service), service.workers()
        while_reloading(service, service.spawn, 1, expected)
        until(lambda: generation(service) > first, 60, "a new generation")
        tap.ok(generation(service) > first, "HUP: a new generation serves")
        until(lambda: len(service.workers()) == 2, 60, "the old workers to leave")
        tap.ok(not set(workers) & set(service.workers()), "HUP: the first workers have left")
        while_reloading(service, service.nginx.process, 2, expected)
        tap.equal(service.post(PICTURE).json()["predictions"], expected, "and the same bits still")


tap.run(everything)
