#!/usr/bin/env python3
"""The failure that this project began with: a request takes longer than the classic 30 s heartbeat.
It is slow, not stuck: it is answered 200, others are served meanwhile, and no worker is killed."""

import threading
import time

import draw
import tap
from load import Load, known, without_id
from service import Service

HEARTBEAT_S, LAYERS = 30, 56
LONGER_S = 5  # the watchdog looks twice a second, if it gets the CPU
ID = "stretched-request"


def everything():
    layer_ms = (HEARTBEAT_S + LONGER_S) * 1000 // LAYERS
    with Service(workers=2, faults=f"sleep={layer_ms}@*~{ID}") as service:
        pictures, workers = known(service), service.all_workers()
        found = []

        def ask():
            start = time.monotonic()
            answer = service.post(draw.jpeg(), {"X-Request-ID": ID})
            found.append((answer.status, without_id(answer), time.monotonic() - start))

        thread = threading.Thread(target=ask)
        thread.start()
        others = {}
        while thread.is_alive():
            with Load(service, pictures, 2, 10) as load:
                load.join()
            for outcome, n in load.results.items():
                others[outcome] = others.get(outcome, 0) + n
            time.sleep(0.5)
        status, body, seconds = found[0]
        tap.note(f"{seconds:.1f} s; others meanwhile: {others}")
        tap.equal(status, 200, "a request stretched past 30 s is answered 200")
        tap.equal(body, pictures[0][1], "with the same bits as ever")
        tap.ok(seconds > HEARTBEAT_S, "it did take longer", seconds)
        tap.equal(set(others), {"200"}, "others are served meanwhile")
        tap.equal(service.workers(), workers, "by the same workers as at first")
        verdict = 'resnet_watchdog_verdicts_total{verdict="%s"}'
        tap.ok(service.metric(verdict % "slow") >= 1, "verdict: slow", service.metrics)
        tap.equal(service.metric(verdict % "stuck"), 0, "not stuck")


tap.run(everything)
