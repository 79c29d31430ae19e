#!/usr/bin/env python3
"""A service where memory runs out: a worker that has none at its start says so and is started again,
resnet-control answers or is replaced, resnet-spawn starts or leaves with a sentence, and keeps
replacing workers. What comes after is served."""
# timeout: 300

import contextlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import draw
import service
import tap
from scarce import FOR_EVER, Scarce
from supervisor import Supervisor, wait_for
from worker import Worker

LONG = tap.T >= 60
PHOTO = draw.jpeg()
TRIES = 1 << 30 if LONG else 8
# What the worker asks for before it calls them: they do not survive less.
SPARED = ("libfcgi", "libseccomp")
WAIT_S = 240 if service.SANITIZED else 60


def numbers(count):
    """Of the allocations that are made to fail: all, or some at equal distances, the last too."""
    step = max(1, count // TRIES)
    return sorted({*range(1, count + 1, step), count})


# ---- a worker's start ----------------------------------------------------------------------------


def start_worker(memory, n, how_many):
    """What became of it: "ready", or its exit code; the log lines; whether any allocation failed."""
    memory.fail(n, how_many)
    worker = Worker(**memory.environment)
    try:
        worker.start()
        wait_for(lambda: worker.process.poll() is not None or worker.events("ready"), "a worker", WAIT_S)
        failed = memory.failed
        if worker.process.poll() is None:
            memory.enough()
            answer = worker.predict(PHOTO).json.get("predictions")
            return ("ready" if worker.stop() == 0 else "left badly"), worker.lines(), failed, answer
        return worker.process.returncode, worker.lines(), failed, None
    finally:
        if worker.process.poll() is None:
            worker.process.kill()
            worker.process.wait()
        worker.remove()


def a_workers_start():
    with Scarce("resnet-fcgi", SPARED) as memory:
        good = start_worker(memory, 1 << 40, 1)
        count = starting_allocations(memory)
        wrong, refused, tried = [], 0, 0
        for how_many in (1, FOR_EVER):
            for n in sorted({*range(1, 16), *numbers(count)}):
                found, lines, failed, answer = start_worker(memory, n, how_many)
                tried += 1
                said = [line for line in lines if " event=start_failed " in line and "memory" in line.lower()
                        or "temporarily unavailable" in line]  # fmt: skip
                refused += found == 75
                if found == "ready" and answer == good[3]:
                    continue
                if found != 75 or not said:
                    wrong.append((n, how_many, found, failed, lines[-3:]))
        tap.ok(not wrong and refused > 0,
               f"a worker's start: {count} allocations, {tried} tries, {refused} left with 75", wrong)  # fmt: skip


def starting_allocations(memory):
    memory.fail(0)
    with Worker(**memory.environment) as worker:
        worker.wait_ready()
        return memory.seen


# ---- resnet-spawn and resnet-control, with fake workers -------------------------------------------


@contextlib.contextmanager
def supervisor(memory, **how):
    with Supervisor(environment=memory.environment, **how) as running:
        yield running


def a_worker_that_is_started_again():
    """With the real worker: the supervisor goes on, and has its reason."""
    with Scarce("resnet-fcgi", SPARED) as memory:
        memory.fail(4, FOR_EVER)
        with supervisor(memory, workers=1, start=False) as running:
            running.install(service.program("resnet-fcgi"))
            running.environment.update(RESNET_MODEL=service.small_model())
            running.start()
            wait_for(lambda: len(running.logged("back_off")) >= 2, "two failed starts", WAIT_S)
            tap.ok(running.process.poll() is None, "the supervisor stays", running.log)
            tap.ok("memory" in str(running.try_status()["reason"]), "and says why nobody serves", running.status)
            memory.enough()
            running.until()
            tap.equal(running.get("/health")[0], 200, "with enough memory the service is there")


def spawn_starts(memory, n, how_many):
    """"serves", or the exit code; what it said."""
    memory.fail(n, how_many)
    with supervisor(memory, workers=1) as running:
        def settled():
            return running.process.poll() is not None or (running.try_status() or {}).get("state") == "serving"

        wait_for(settled, "a supervisor that serves or leaves", WAIT_S)
        if running.process.poll() is None:
            return "serves", ""
        return running.process.returncode, running.log()


def spawns_start():
    with Scarce("resnet-spawn") as memory:
        spawn_starts(memory, 0, 1)
        count, wrong, left = memory.seen, [], 0
        for how_many in (1, FOR_EVER):
            for n in numbers(count):
                found, said = spawn_starts(memory, n, how_many)
                left += found != "serves"
                if found != "serves" and (found not in (75, 78) or "start_failed" not in said):
                    wrong.append((n, how_many, found, said[-500:]))
        tap.ok(not wrong and left, f"resnet-spawn's start: {count} allocations, {left} times it left", wrong)


def spawn_goes_on():
    """A worker dies, a reload: whatever is allocated for them fails, once and for ever."""
    with Scarce("resnet-spawn") as memory, supervisor(memory, workers=2) as running:
        running.until()
        failures = 0
        for n in range(1, 4):
            for how_many in (1, FOR_EVER):
                memory.fail(n, how_many)
                pid = min(running.pids().values())
                os.kill(pid, 9)
                wait_for(lambda: replaced(running, pid), "another worker", WAIT_S)
                generation = running.status()["generation"]
                running.signal(1)
                wait_for(lambda: reloaded(running, generation), "another generation", WAIT_S)
                failures += memory.failed
                memory.enough()
        tap.ok(True, f"deaths and reloads: {failures} allocations failed")
        tap.equal(running.work()[0], 200, "and requests are served")


def replaced(running, pid):
    workers = (running.try_status() or {"workers": []})["workers"]
    return len(workers) == 2 and all(w["state"] == "idle" and w["pid"] != pid for w in workers)


def reloaded(running, generation):
    status = running.try_status() or {}
    return (status.get("generation") == generation + 1 and status["state"] == "serving"
            and [w["state"] for w in status["workers"]] == ["idle"] * 2)  # fmt: skip


REQUESTS = [("/health", "GET", "ctl.sock"), ("/health/ready", "GET", "ctl.sock"), ("/metrics", "GET", "ctl.sock"),
            ("/status", "GET", "ctl.sock"), ("/v2/models/resnet50", "GET", "ctl.sock"),
            ("/v2/repository/index", "POST", "ctl.sock"), ("/ping", "GET", "ctl.sock"),
            ("/nowhere", "GET", "ctl.sock"), ("/predict", "GET", "ctl.sock"), ("/predict", "POST", "shed.sock")]  # fmt: skip


def asked(running, request):
    """The status; None: it ended before the first byte, or nobody is there at this moment."""
    path, method, sock = request
    try:
        return running.get(path, method, sock, RESNET_LISTENER="internal")[0]
    except (OSError, ValueError, AssertionError, KeyError, IndexError):
        return None


def whole_again(running, request, good):
    return asked(running, request) == good


def controls_requests():
    with Scarce("resnet-control", SPARED) as memory, supervisor(memory, workers=1) as running:
        running.until()
        for request in REQUESTS:
            good, wrong, failures, most = asked(running, request), [], 0, 24 if LONG else 6
            for how_many in (1, FOR_EVER):
                for n in range(1, most):
                    memory.fail(n, how_many)
                    found = asked(running, request)
                    failed = memory.failed
                    memory.enough()
                    failures += failed
                    if found not in (good, None) and found < 500:
                        wrong.append((n, how_many, found))
                    wait_for(lambda: whole_again(running, request, good), f"{request} again", WAIT_S)
                    if not failed:
                        break
            tap.ok(not wrong and good, f"resnet-control: {request[1]} {request[0]} is {good}, {failures} failures", wrong)
        tap.ok("signal" not in " ".join(running.logged("control_end")), "and it was never ended by a signal")


def controls_start():
    """It is started again until it can."""
    with Scarce("resnet-control", SPARED) as memory:
        memory.fail(0)
        with supervisor(memory, workers=1) as running:
            running.until()
            count = memory.seen
        for n in numbers(count) if LONG else numbers(count)[::2]:
            memory.fail(n, 1)
            with supervisor(memory, workers=1) as running:
                running.until()
        tap.ok(count > 0, f"resnet-control's start: {count} allocations")
        memory.fail(1, FOR_EVER)
        with supervisor(memory, workers=1) as running:
            wait_for(lambda: memory.failed, "a start without memory", WAIT_S)
            memory.enough()
            running.until()
            tap.equal(asked(running, REQUESTS[0]), 200, "and later, when there is memory")


tap.run(a_workers_start, a_worker_that_is_started_again, spawns_start, spawn_goes_on, controls_requests,
        controls_start)  # fmt: skip
