#!/usr/bin/env python3
"""The load simulation that this project began with: 2 waves of 50 requests, 4 at a time. 100 of 100
with 1, 2 and 4 workers, right after a cold start and across a rolling reload."""

import signal

import tap
from load import Load, known, unknown
from service import START_S, Service, until

WAVES, REQUESTS, AT_A_TIME = 2, 50, 4


def two_waves(service, pictures, harm=lambda: None):
    """Good answers of all; harm is done in the middle of each wave."""
    good = 0
    for _ in range(WAVES):
        with Load(service, pictures, AT_A_TIME, REQUESTS) as load:
            until(lambda load=load: load.count() >= REQUESTS / 5, 60, "some answers")
            harm()
            load.join()
        good += load.good()
        if not load.all_good():
            tap.note(load.results)
    return good


def story(workers):
    with Service(workers=workers, cold=True) as service:
        service.start_spawn()
        service.until_listening()
        good = two_waves(service, unknown())
        tap.equal(good, WAVES * REQUESTS, f"{workers} workers: right after a cold start")
        pictures = known(service)
        good = two_waves(service, pictures, lambda: service.spawn.send_signal(signal.SIGHUP))
        tap.equal(good, WAVES * REQUESTS, f"{workers} workers: across a rolling reload")
        until(lambda: service.status()["reload"]["ok"] >= 1, START_S, "the reload")
        tap.equal(service.status()["ends"]["crashed"], 0, f"{workers} workers: none crashed")


def one_worker():
    story(1)


def two_workers():
    story(2)


def four_workers():
    story(4)


tap.run(one_worker, two_workers, four_workers)
