#!/usr/bin/env python3
"""Clients that hang up, and clients that never get to the point, cost nobody anything: work for a
client that has gone stops at the next layer, each is counted, and no worker is lost or held."""

# timeout: 180

import concurrent.futures
import os
import random
import signal
import socket
import time

import draw
import tap
import web
from load import Load, known
from service import Service, until

PICTURE = draw.jpeg()
GONE, SLOW, SILENT = 1000, 200, 200


def begin(service, data):
    connection = socket.create_connection(("127.0.0.1", service.port), web.TIMEOUT_S)
    connection.sendall(data)
    return connection


def hang_up_after(service, seconds):
    connection = begin(service, web.compose("POST", "/predict", PICTURE))
    time.sleep(seconds)
    connection.close()


def left_early(service):
    """How many requests nginx has given up because their client had gone."""
    return sum(line["status"] == 499 for line in service.access())


def total(metrics, name):
    return sum(int(v) for k, v in metrics.items() if k.split("{")[0] == name)


def in_the_middle(service):
    """The worker, once it has some layers behind it."""
    return next((worker for worker in service.busy() if (worker["layer"] or 0) > 2), None)


def stops_at_the_next_layer():
    """The layer at the moment of hanging up, and the last one that was begun after it. The worker is
    stopped there until nginx has noticed."""
    with Service(workers=1, faults="sleep=600@*") as service:
        for i in range(3):
            connection = begin(service, web.compose("POST", "/predict", PICTURE))
            pid = until(lambda: in_the_middle(service), 60, "layer 2")["pid"]
            os.kill(pid, signal.SIGSTOP)
            connection.close()
            until(lambda n=i + 1: left_early(service) == n, 60, "nginx's line")
            layers = [service.busy()[0]["layer"]]
            os.kill(pid, signal.SIGCONT)
            while busy := service.busy():
                layers.append(busy[0]["layer"] or 0)  # none any more: it is giving up
                time.sleep(0.01)
            tap.ok(max(layers) <= layers[0] + 1, "one layer more at most", layers)
        metrics = service.metrics()
        name = 'resnet_cancelled_total{reason="hangup"}'
        tap.equal(metrics.get(name), 3, "three hung up in mid-inference")


def answered(metrics):
    return int(metrics.get('resnet_requests_total{code="200"}', 0))


def counted(service):
    """Metrics once nobody works and they agree, or None. nginx may still pass on what was begun."""
    service.until_idle(8)
    metrics = service.metrics()
    ended = answered(metrics) + total(metrics, "resnet_cancelled_total")
    return metrics if total(metrics, "resnet_attempts_total") == ended else None


def a_thousand():
    with Service(workers=8, faults="sleep=1@*", RESNET_BACKLOG=GONE + 100) as service:
        pictures, workers = known(service), service.all_workers()
        moments = [random.uniform(0.005, 0.08) for _ in range(GONE)]
        with Load(service, pictures, 2, patience_s=0.1) as load:
            with concurrent.futures.ThreadPoolExecutor(24) as pool:
                list(pool.map(lambda s: hang_up_after(service, s), moments))
            service_answers = load.count()
        metrics = until(lambda: counted(service), 60, "every request dequeued to be finished or cancelled")
        cancelled = total(metrics, "resnet_cancelled_total")
        attempts = total(metrics, "resnet_attempts_total")
        done = answered(metrics)
        tap.note(f"{GONE} hung up, {service_answers} others: {attempts} dequeued, {done} finished; "
                 + ", ".join(f"{k} {v:.0f}" for k, v in metrics.items() if "cancelled" in k))  # fmt: skip
        tap.ok(load.all_good(), "others get 200 meanwhile", load.results)
        tap.ok(True, "every request dequeued was finished or counted as cancelled")
        tap.ok(cancelled > GONE / 2, "most of them were noticed", metrics)
        stayed = load.good() + len(pictures)
        tap.ok(stayed <= done <= stayed + GONE - cancelled, "and what was finished was wanted, or just "
               "missed", (done, stayed))  # fmt: skip
        tap.equal(service.workers(), workers, "no worker was lost")
        tap.equal(sum(service.status()["ends"].values()), 0, "none ended")


def drip(service, data, connections):
    """Sends data on all of them, a few bytes now and then. Returns what a request meanwhile got, and
    whether a worker was held after it."""
    found = set()
    for at in range(0, len(data), 8):
        for connection in connections:
            connection.sendall(data[at : at + 8])
        found.add(service.post(PICTURE).status)
        service.until_idle(1)
    return found


def slow_and_silent():
    with Service(workers=1, RESNET_BACKLOG=8) as service:
        pictures = known(service)
        data = web.compose("POST", "/predict", PICTURE)
        slow = [begin(service, data[: -len(PICTURE)]) for _ in range(SLOW)]
        silent = [begin(service, b"") for _ in range(SILENT)]
        tap.equal(drip(service, PICTURE[:80], slow), {200}, "in the middle of it others get 200")
        tap.ok(True, f"{SLOW} slow uploads and {SILENT} silent connections hold no worker")
        with Load(service, pictures, 2, 50) as load:
            load.join()
        tap.ok(load.all_good(), "others get 200", load.results)
        found, rest = set(), PICTURE[80:]
        for i, connection in enumerate(slow):
            for other in slow[i + 1 :]:  # nginx ends an upload that stands still for a minute
                other.sendall(rest[i : i + 1])
            with connection:
                connection.sendall(rest[i:])
                found.add(web.parse(web.read_all(connection)).status)
        tap.equal(found, {200}, "an upload that comes to its end is answered")
        for connection in silent:
            connection.close()
        tap.equal(service.get("/health/ready").status, 200, "and it is ready")


tap.run(stops_at_the_next_layer, a_thousand, slow_and_silent)
