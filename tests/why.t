#!/usr/bin/env python3
"""For everything that a request can do to a worker, and a worker to a request, `resnet-ctl why ID`
tells the true story, from the logs as they are: what nginx, the supervisor and the workers wrote."""

# timeout: 300

import concurrent.futures
import json
import os
import signal
import socket

import tap
import web
from load import known
from service import SANITIZED, Service, until
from why import BUSY, holds, logs_of, picture, post, tell, told

STALL_MS, BUDGET_S = 1000, 6


def crashes(log_format):
    faults = ("segv@layer2.0~why-segv:1;abrt@decode~why-abrt:1;segv@write~why-write:1;"
              "loop@layer3.1~why-stuck:1;attack=open@decode~why-attack:1;segv@layer1.0~why-poison;fail@decode~why-fail:1")  # fmt: skip
    with Service(workers=3, faults=faults, RESNET_STALL_TIMEOUT=f"{STALL_MS}ms",
                 RESNET_LOG_FORMAT=log_format) as service:  # fmt: skip
        known(service)
        statuses = {"segv": 200, "abrt": 200, "write": 200, "stuck": 200, "poison": 500, "fail": 413}
        if not SANITIZED:  # else there is no sandbox
            statuses["attack"] = 200
        for name, status in statuses.items():
            answer = post(service, f"why-{name}")
            tap.equal(answer.status, status, f"{name}, {log_format}: {status}")
            told(service, name, workers=3)
        if log_format == "json":
            every_line_is_json(service.log)


def every_line_is_json(path):
    """Warnings of the very start and backtraces, too."""
    with open(path, encoding="utf-8") as file:
        events = {json.loads(line)["event"] for line in file if line.endswith("\n")}
    wanted = {"configuration", "start", "ready", "request", "crashed", "backtrace", "lost"}
    tap.ok(wanted <= events, "every line is JSON", events)


def in_logfmt():
    crashes("logfmt")


def in_json():
    crashes("json")


def killed_and_left():
    """kill -9 of a worker in the middle; a client that does not wait."""
    with Service(workers=2, faults="sleep=600000@layer2.0~why-killed:1;sleep=200@*~why-hangup",
                 RESNET_REQUEST_TIMEOUT="60s") as service:  # fmt: skip
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            asked = pool.submit(post, service, "why-killed")
            os.kill(holds(service, "why-killed", "layer2.0")["pid"], signal.SIGKILL)
            tap.equal(asked.result().status, 200, "killed: 200")
        told(service, "killed", workers=2)
        with socket.create_connection(("127.0.0.1", service.port), 60) as connection:
            headers = {"X-Request-ID": "why-hangup"}
            connection.sendall(web.compose("POST", "/predict", picture("why-hangup"), headers))
            holds(service, "why-hangup")
        told(service, "hangup", workers=2, layers=True)


def frozen():
    with Service(workers=1, faults="sleep=120@*~why-frozen",
                 RESNET_STALL_TIMEOUT=f"{STALL_MS}ms") as service:  # fmt: skip
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            asked = pool.submit(post, service, "why-frozen")
            pid = holds(service, "why-frozen")["pid"]
            os.kill(pid, signal.SIGSTOP)
            until(lambda: service.logged("starved"), 60, "the verdict")
            os.kill(pid, signal.SIGCONT)
            tap.equal(asked.result().status, 200, "frozen: 200")
        until(lambda: service.logged("running"), 60, "the next verdict")
        told(service, "frozen", without=(), layers=True)


def blocked():
    """Without progress, and without burning CPU, until its time is over and more."""
    with Service(workers=2, faults="sleep=600000@layer2.0~why-blocked:1",
                 RESNET_REQUEST_TIMEOUT=f"{BUDGET_S}s",
                 RESNET_STALL_TIMEOUT=f"{STALL_MS}ms") as service:  # fmt: skip
        tap.equal(post(service, "why-blocked").status, 504, "blocked: 504")
        told(service, "blocked", workers=2, without=BUSY[2:])


def slow():
    """Slow is a quarter of the budget."""
    with Service(workers=1, faults="sleep=150@*~why-slow", RESNET_REQUEST_TIMEOUT="16s",
                 RESNET_SLOWLOG="2s") as service:  # fmt: skip
        tap.equal(post(service, "why-slow").status, 200, "slow: 200")
        until(lambda: any("layers" in line for line in service.logged("slow")), 60, "the slow log")
        told(service, "slow", without=(*BUSY[:2], "RESNET_SLOWLOG"), layers=True)
        done = tell("why-slow", *logs_of(service, "why-slow"))
        tap.ok("slowest layers, in ms: " in done.stdout, "the slow log is part of it", done.stdout)


tap.run(in_logfmt, in_json, killed_and_left, frozen, blocked, slow)
