#!/usr/bin/env python3
"""A worker that somebody stopped (SIGSTOP, a debugger, swap) is starved, not stuck: it is reported,
kept until its budget's end, and finishes when it may go on."""

import os
import signal
import threading
import time

import draw
import tap
from load import Load, known, without_id
from service import Service, until

STALL_MS, BUDGET_S, GRACE_S = 500, 8, 5
VERDICT = 'resnet_watchdog_verdicts_total{verdict="%s"}'


class Asked:
    """One request in the background, and the worker that has it."""

    def __init__(self, service, request_id, **headers):
        self.answer, self.start = None, time.monotonic()
        headers = {"X-Request-ID": request_id, **headers}
        self.thread = threading.Thread(target=self._ask, args=(service, headers))
        self.thread.start()
        self.worker = until(lambda: self._taken(service, request_id), 60, "a worker")[0]

    def _taken(self, service, request_id):
        mine = (w for w in service.busy() if w["request_id"] == request_id)
        return [w for w in mine if w["stage"] == "infer"]  # its budget is known by then

    def _ask(self, service, headers):
        self.answer = service.post(draw.jpeg(), headers)
        self.seconds = time.monotonic() - self.start

    def wait(self):
        self.thread.join()
        return self.answer


def service():
    """What is to be frozen takes eight seconds, so that it can be caught at it."""
    return Service(workers=2, faults="sleep=150@*~frozen", RESNET_STALL_TIMEOUT=f"{STALL_MS}ms")


def goes_on():
    with service() as s:
        pictures, workers = known(s), s.all_workers()
        asked = Asked(s, "frozen-for-a-while")
        pid = asked.worker["pid"]
        os.kill(pid, signal.SIGSTOP)
        with Load(s, pictures, 2) as load:
            until(lambda: s.metric(VERDICT % "starved") >= 1, 60, "the verdict")
            time.sleep(2 * STALL_MS / 1000)
        tap.ok(True, "stopped: verdict starved")
        tap.ok(load.all_good(), "others get 200 meanwhile", load.results)
        tap.equal(s.workers(), workers, "it is not killed")
        os.kill(pid, signal.SIGCONT)
        answer = asked.wait()
        tap.equal(answer.status, 200, "continued: its client gets 200")
        tap.equal(without_id(answer), pictures[0][1], "the right one")
        slot = f"/{asked.worker['slot']}.{asked.worker['generation']}"
        tap.ok(answer.header("x-served-by").endswith(slot), "from that very worker", answer)
        tap.equal((s.workers(), s.metric(VERDICT % "stuck")), (workers, 0), "and nobody was killed")


def stays_frozen():
    with service() as s:
        pictures = known(s)
        asked = Asked(s, "frozen-for-ever", **{"X-Request-Timeout-Ms": 1000 * BUDGET_S})
        os.kill(asked.worker["pid"], signal.SIGSTOP)
        with Load(s, pictures, 1) as load:
            answer = asked.wait()
        tap.note(f"frozen for ever: answered after {asked.seconds:.1f} s")
        tap.equal((answer.status, answer.code()), (504, "deadline_exceeded"), "frozen for ever: 504")
        tap.ok(asked.seconds >= BUDGET_S + GRACE_S, "not killed before its budget's end and 5 s")
        tap.ok(load.all_good(), "others get 200 meanwhile", load.results)
        gone = asked.worker["pid"]
        until(lambda: len(now := s.workers()) == 2 and gone not in now, 60, "two workers, others than it")
        tap.ok(True, "then it is replaced")
        tap.equal([x["request_id"] for x in s.logged("stuck")], ["frozen-for-ever"], "and named")


tap.run(goes_on, stays_frozen)
