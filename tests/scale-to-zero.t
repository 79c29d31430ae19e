#!/usr/bin/env python3
"""RESNET_IDLE_EXIT on a socket that systemd keeps: the service leaves when nobody asks, the next
request starts it, and no request gets anything but its 200; not in the moment of leaving, either."""

# timeout: 240

import statistics
import threading
import time

import draw
import tap
import web
from activator import Activated
from service import SANITIZED, real_model
from service import model as whole_model

PICTURE = draw.jpeg()
ROUNDS = 20
IDLE_MS = 150


def ask(service, answers, times):
    start = time.monotonic()
    try:
        answers.append(service.post(PICTURE).status)
    except web.Broken as error:
        answers.append(str(error))
    times.append(time.monotonic() - start)


def poll(condition):
    end = time.monotonic() + 60
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the service does not leave")
        time.sleep(0.0005)


def two_clients(service, answers, times):
    threads = [threading.Thread(target=ask, args=(service, answers, times)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def rounds():
    answers, times = [], []
    with Activated(RESNET_IDLE_EXIT=f"{IDLE_MS}ms") as service:
        tap.equal(service.get("/health").status, 503, "asleep, /health says 503 and wakes nobody")
        tap.equal(service.started_ns, [], "nobody was started")
        for _ in range(ROUNDS):
            lives = len(service.lives)
            two_clients(service, answers, times)
            service.until_asleep(lives + 1)
        tap.equal(answers, [200] * 2 * ROUNDS, f"{ROUNDS} idle exits and first requests of two clients: all 200")
        tap.equal(set(service.lives), {0}, "each left with exit code 0")
        tap.equal(len(service.logged("idle_exit")), len(service.lives), "and said why")
    tap.note(f"first answers: median {statistics.median(times):.3f} s, {min(times):.3f} to {max(times):.3f}")


def real_size():
    """What one client waits for who wakes the network that people deploy: printed, not asserted."""
    if SANITIZED:
        return tap.skip("the whole network", "a sanitizer's start is its own")
    answers, times = [], []
    model, name = real_model(), "real weights"
    if not model:
        model, name = whole_model("1", "int8"), "synthetic weights"
    with Activated(model=model, RESNET_PRECISION="int8", RESNET_IDLE_EXIT=f"{IDLE_MS}ms") as service:
        for n in range(ROUNDS):
            ask(service, answers, times)
            service.until_asleep(n + 1)
    tap.equal(answers, [200] * ROUNDS, "the whole network in int8, woken again and again: all 200")
    tap.note(f"ResNet-50 in int8, {name}: first answer {statistics.median(times):.3f} s after it was asked "
             f"(median of {ROUNDS}, {min(times):.3f} to {max(times):.3f})")  # fmt: skip
    return None


def stopping(service):
    return sum("STOPPING" in message for message in service.told)


def in_the_moment_of_leaving():
    """Requests that come from 0 to 19 ms after the service has said that it leaves."""
    answers, times, delay_ms = [], [], 0
    with Activated(RESNET_IDLE_EXIT=f"{IDLE_MS}ms") as service:
        end = time.monotonic() + tap.T
        ask(service, answers, times)
        while time.monotonic() < end or len(answers) < 10:
            left = stopping(service)
            poll(lambda: stopping(service) > left or service.asleep())
            time.sleep(delay_ms / 1000)
            ask(service, answers, times)
            delay_ms = (delay_ms + 7) % 20
        tap.note(f"{len(answers)} requests, {len(service.lives)} idle exits in between")
        tap.equal(set(answers), {200}, "requests in the moment of leaving: all 200")


def a_busy_service_stays():
    """Where this test itself was kept waiting for that long, the service had nothing to do."""
    idle_s = 2
    with Activated(RESNET_IDLE_EXIT=f"{idle_s}s") as service:
        pauses, begun = 0, time.monotonic()
        last = begun
        while last < begun + 3 * idle_s:
            sent = time.monotonic()
            service.post(PICTURE)
            pauses += time.monotonic() - last > idle_s
            last = sent
            time.sleep(0.2)
        tap.ok(len(service.started_ns) <= 1 + pauses, "with a request now and then it stays",
               (len(service.started_ns), pauses))  # fmt: skip


tap.run(rounds, real_size, in_the_moment_of_leaving, a_busy_service_stays)
