#!/usr/bin/env python3
"""A request's budget counts from the moment nginx passed it on; what cannot be in time, or what
nobody waits for, is dropped within one layer, and costs a worker nothing before it is begun."""
# timeout: 180

import concurrent.futures
import contextlib
import os
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import draw
import fcgi_client as fcgi
import service
import tap
from worker import Worker

PHOTO = draw.jpeg()
LAYER_MS = 100
BUDGET_S = 60
EVERY_LAYER = f"sleep={LAYER_MS}@*"


def msec(ago_s=0.0):
    """nginx's $msec, of a while ago"""
    return f"{time.time() - ago_s:.3f}"


def stage_ms(line, stage):
    return float(re.search(rf" {stage}_ms=([\d.]+)", line)[1])


def spent_in_the_queue():
    with Worker(RESNET_REQUEST_TIMEOUT=f"{BUDGET_S}s") as worker:
        for name, params in (
            ("older than RESNET_REQUEST_TIMEOUT", {"MSEC": msec(BUDGET_S + 10)}),
            ("older than X-Request-Timeout-Ms",
             {"MSEC": msec(5), "HTTP_X_REQUEST_TIMEOUT_MS": 2000}),
            ("a budget of 0", {"HTTP_X_REQUEST_TIMEOUT_MS": 0}),
        ):  # fmt: skip
            answer = worker.predict(PHOTO, HTTP_X_REQUEST_ID="late-one", **params)
            tap.equal((answer.status, answer.code), (504, "deadline_exceeded"), f"{name}: 504")
        line = worker.request_line("late-one")
        tap.ok(stage_ms(line, "decode") == 0 and stage_ms(line, "infer") == 0, "nothing computed", line)
        more = {"HTTP_X_REQUEST_TIMEOUT_MS": 3000 * BUDGET_S}  # a client cannot raise it
        answer = worker.predict(PHOTO, MSEC=msec(5), **more)
        tap.equal(answer.status, 200, f"5 s old, of {BUDGET_S}: 200")
        answer = worker.predict(PHOTO, MSEC=msec(BUDGET_S + 5), **more)
        tap.equal(answer.status, 504, f"{BUDGET_S + 5} s old, of {BUDGET_S}: 504")
        for name, ago_s in (("an hour back", 3600), ("in the future", -5)):
            tap.equal(worker.predict(PHOTO, MSEC=msec(ago_s)).status, 200, f"a clock {name}: age 0")
        answer = worker.predict(PHOTO, HTTP_X_REQUEST_TIMEOUT_MS="soon")
        tap.equal((answer.status, answer.code), (400, "bad_request"), "a budget that is no number")


def spent_between_layers():
    with Worker(faults=EVERY_LAYER) as worker:
        worker.wait_ready()
        fit = 30  # layers, of more than fifty
        budget_ms = fit * LAYER_MS
        answer = worker.predict(PHOTO, HTTP_X_REQUEST_TIMEOUT_MS=budget_ms,
                                HTTP_X_REQUEST_ID="too-slow")  # fmt: skip
        tap.equal((answer.status, answer.code), (504, "deadline_exceeded"), "in the network: 504")
        tap.ok(str(budget_ms) in answer.json["error"], "naming the budget", answer.json)
        tap.ok(1 <= worker.times_done() <= fit + 1, "after the layers that fit, and one",
               worker.times_done())  # fmt: skip


def refused_beforehand():
    """Once it is known how long an answer takes, a budget that is too short is refused at once."""
    with Worker(faults="sleep=5000@layer1.0") as worker:
        answer = worker.predict(PHOTO, HTTP_X_REQUEST_TIMEOUT_MS=4000)
        tap.equal(answer.status, 504, "nothing known yet: tried")
        tap.equal(worker.times_done(), 1, "(it was begun)")
        tap.equal(worker.predict(PHOTO).status, 200, "a patient one: 200")
        answer = worker.predict(PHOTO, HTTP_X_REQUEST_TIMEOUT_MS=4000)
        tap.equal(answer.status, 504, "then a budget below the service time: 504")
        tap.ok("would not finish" in answer.json["error"], "which says why", answer.json)
        tap.equal(worker.times_done(), 2, "and was not begun")
        tap.equal(worker.predict(PHOTO, HTTP_X_REQUEST_TIMEOUT_MS=60000).status, 200, "a longer one")


def hung_up_between_layers():
    with Worker(faults=EVERY_LAYER) as worker:
        worker.wait_ready()  # it has made the file that counts layers
        most = 0
        for i in range(5):
            before = worker.times_done()
            name = f"hangs-up-{i}"
            with worker.connect() as peer:
                peer.sendall(fcgi.request(PHOTO, HTTP_X_REQUEST_ID=name))
                service.until(lambda: worker.times_done() > before + i, 60, "layers")
            done = worker.times_done()
            line = worker.request_line(name)
            most = max(most, worker.times_done() - done)
            if "status=499 code=cancelled" not in line:
                tap.ok(False, "cancelled", line)
        tap.ok(most <= 1, "a client hangs up: at most one layer more", f"{most} layers")


def hung_up_in_the_queue():
    with Worker(faults="sleep=3000@conv1:1") as worker:
        worker.wait_ready()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            first = pool.submit(worker.predict, PHOTO)
            service.until(lambda: worker.events("fault"), 60, "the first one in the network")
            os.kill(worker.process.pid, signal.SIGSTOP)  # it takes none of them before they hang up
            for i in range(5):
                with worker.connect() as peer:
                    peer.sendall(fcgi.request(PHOTO, HTTP_X_REQUEST_ID=f"gone-already-{i}"))
            os.kill(worker.process.pid, signal.SIGCONT)
            tap.equal(first.result().status, 200, "the one before them: 200")
        lines = [worker.request_line(f"gone-already-{i}") for i in range(5)]
        tap.ok(all("status=499" in x and stage_ms(x, "decode") == 0 for x in lines),
               "five that hung up in the queue: dropped, nothing computed", "\n".join(lines))  # fmt: skip
        with worker.connect() as peer:
            peer.sendall(fcgi.request(PHOTO))
            peer.shutdown(1)
            tap.equal(fcgi.Answer(fcgi.read_to_end(peer)).status, 200,
                      "one that only ended its sending still waits")  # fmt: skip


PARENT = """
import os, subprocess, sys, time
worker = subprocess.Popen(sys.argv[2:], stdin=0, pass_fds=[int(sys.argv[1])])
print(worker.pid, flush=True)
time.sleep(600)
"""


def is_gone(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0] in "ZX"
    except OSError:
        return True


def the_supervisor_dies():
    """It is killed in mid-request, with more in the queue than the worker would serve otherwise: all
    are answered, then the worker goes."""
    worker = Worker(faults="sleep=3000@conv1:1", RESNET_MAX_REQUESTS=2)  # not started by itself: for its directory
    ready, ready_end = os.pipe()
    with worker.listening() as listener:
        parent = subprocess.Popen(
            [sys.executable, "-c", PARENT, str(ready_end), worker.program, "--model", worker.model,
             "--ready-fd", str(ready_end)],
            stdin=listener, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, pass_fds=[ready_end],
            env=service.clean_environment(**worker.environment),
        )  # fmt: skip
    os.close(ready_end)
    pid = int(parent.stdout.readline())
    try:
        tap.equal(os.read(ready, 9), b"R", "a worker under a supervisor is ready")
        with contextlib.ExitStack() as stack:
            peers = [stack.enter_context(worker.connect()) for _ in range(6)]  # the queue has them
            for peer in peers:
                peer.sendall(fcgi.request(PHOTO))
            service.until(lambda: worker.times_done() > 0, 60, "one in the network")
            os.kill(pid, signal.SIGSTOP)  # it goes no further before its parent's end
            parent.kill()
            parent.wait()
            os.kill(pid, signal.SIGCONT)
            tap.equal([fcgi.Answer(fcgi.read_to_end(peer)).status for peer in peers], [200] * 6,
                      "kill -9 of the supervisor: the request and the queue are answered")  # fmt: skip
        service.until(lambda: is_gone(pid), 60, "the worker's end")
        tap.ok(True, "then the worker leaves")
    finally:
        os.close(ready)
        parent.stdout.close()
        parent.kill()
        parent.wait()
        if not is_gone(pid):
            os.kill(pid, signal.SIGKILL)
        worker.remove()


tap.run(
    spent_in_the_queue,
    spent_between_layers,
    refused_beforehand,
    hung_up_between_layers,
    hung_up_in_the_queue,
    the_supervisor_dies,
)
