#!/usr/bin/env python3
"""A worker that makes no progress any more, burning CPU or blocked, is reported with all there is to
know, made to tell where it is, killed and replaced; its client is answered by another one."""

# timeout: 180

import time

import draw
import tap
from load import Load, known, without_id
from service import Service, until

STALL_MS, BUDGET_S, GRACE_S = 1000, 10, 5
VERDICT = 'resnet_watchdog_verdicts_total{verdict="%s"}'


def order_of_death(service, pid):
    """Positions in the log: the verdict, the worker's own last words, its end."""
    with open(service.log, encoding="utf-8", errors="replace") as file:
        lines = list(file)

    def first(*words):
        found = [i for i, line in enumerate(lines) if all(word in line for word in words)]
        return found[0] if found else None

    return (first("event=stuck"), first(f"pid={pid} ", "event=crashed", "signal=ABRT"),
            first("event=worker_end", f"worker_pid={pid} "))  # fmt: skip


def replaced(service, workers):
    """Those of the workers that are no more, once somebody is in their place."""
    until(lambda: set(workers) - set(service.workers()), 60, "a worker's end")
    return set(workers) - set(service.all_workers())


def loops_for_ever(place, stage, layer):
    request_id = f"loops-in-{place}"
    with Service(workers=2, faults=f"loop@{place}~{request_id}:1",
                 RESNET_STALL_TIMEOUT=f"{STALL_MS}ms") as service:  # fmt: skip
        pictures, workers = known(service), service.all_workers()
        with Load(service, pictures, 2) as load:
            answer = service.post(draw.jpeg(), {"X-Request-ID": request_id})
        tap.equal(answer.status, 200, f"{place}: the client gets 200, from another worker")
        tap.equal(without_id(answer), pictures[0][1], f"{place}: the right one")
        tap.ok(load.all_good(), f"{place}: others only see 200", load.results)
        stuck = service.logged("stuck")
        tap.equal(len(stuck), 1, f"{place}: one line in the log")
        line = stuck[0]
        tap.note(line)
        found = (line["request_id"], line["stage"], int(line["layer"]) > 0)
        tap.equal(found, (request_id, stage, stage == "infer"), f"{place}: it names request, stage, layer")
        tap.ok(len(line["nginx_id"]) == 32 and int(line["bytes_in"]) == len(draw.jpeg())
               and int(line["wall_ms"]) >= STALL_MS, f"{place}: and the rest", line)  # fmt: skip
        cpu_ms = int(line["cpu_ms"])
        tap.ok(cpu_ms >= STALL_MS * 0.9, f"{place}: after that much CPU time, not before", cpu_ms)
        last = service.logged("crashed")[0]
        tap.ok(last["request_id"] == request_id and last.get("layer", "").startswith(layer),
               f"{place}: so do the worker's own last words", last)  # fmt: skip
        gone = replaced(service, workers)
        tap.equal(len(gone), 1, f"{place}: it alone is replaced")
        at = order_of_death(service, gone.pop())
        tap.ok(None not in at and list(at) == sorted(at),
               f"{place}: verdict, then its own last words on SIGABRT, then its end", at)  # fmt: skip
        metrics = service.metrics()
        tap.equal(metrics.get(VERDICT % "stuck"), 1, f"{place}: verdict: stuck, once")


def in_a_layer():
    loops_for_ever("layer3.1", "infer", "layer3.1")


def in_the_decoder():
    loops_for_ever("decode", "decode", "")


def blocked():
    """Sleeping is not burning: it has until the budget's end and a little longer."""
    with Service(workers=2, faults="sleep=600000@layer2.0~blocked-for-ever:1",
                 RESNET_STALL_TIMEOUT=f"{STALL_MS}ms") as service:  # fmt: skip
        pictures, workers = known(service), service.all_workers()
        headers = {"X-Request-ID": "blocked-for-ever", "X-Request-Timeout-Ms": BUDGET_S * 1000}
        start = time.monotonic()
        with Load(service, pictures, 1) as load:
            answer = service.post(draw.jpeg(), headers)
        seconds = time.monotonic() - start
        tap.note(f"blocked: {seconds:.1f} s")
        tap.equal((answer.status, answer.code()), (504, "deadline_exceeded"), "blocked: 504")
        tap.ok(seconds >= BUDGET_S + GRACE_S, "blocked: not killed before its budget's end and 5 s")
        tap.ok(load.all_good(), "blocked: others only see 200", load.results)
        tap.equal([x["request_id"] for x in service.logged("stuck")], ["blocked-for-ever"],
                  "blocked: reported as stuck in the end")  # fmt: skip
        tap.ok(service.metric(VERDICT % "starved") >= 1, "blocked: it was starved before")
        tap.equal(len(replaced(service, workers)), 1, "blocked: it alone is replaced")


tap.run(in_a_layer, in_the_decoder, blocked)
