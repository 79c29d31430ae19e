#!/usr/bin/env python3
"""A worker that was taken over writes rubbish, all over what it shares: its own page and the crew's,
while it lives, and before it dies. Nobody who reads there crashes, hangs, or takes it for a string,
a head line, or an order; the next worker in its place finds all in order."""

# timeout: 240

import json
import os
import signal
import threading

import draw
import tap
import web
from service import Service, children, until

WORKERS = 2
PICTURE, POISON = draw.jpeg(), draw.jpeg(seed=2)
FAULTS = "attack=scribble@decode~attack-scribble;attack=die@decode~attack-die"
PAGE_BYTES = 4096
HEADERS = {"server", "date", "content-type", "content-length", "connection", "cache-control", "allow",
           "retry-after", "vary"}  # fmt: skip
PATHS = ("/status", "/health", "/health/ready", "/metrics", "/v2/models/resnet50/config", "/v2/models/stats",
         "/v1/models/resnet50/metadata")  # fmt: skip


class Readers(threading.Thread):
    """Asks for all that is told of the pages, until stopped, and keeps what was not told well."""

    def __init__(self, service):
        super().__init__(daemon=True)
        self.service, self.stopped, self.wrong, self.asked = service, threading.Event(), [], 0

    def run(self):
        while not self.stopped.is_set():
            for path in PATHS:
                try:
                    self.look(path, self.service.get(path, port=self.service.inside))
                except (web.Broken, ValueError, OSError) as error:
                    self.wrong.append((path, repr(error)))
                self.asked += 1

    def look(self, path, answer):
        if answer.status not in (200, 503):
            self.wrong.append((path, answer.status))
        if path == "/metrics" and answer.status == 200:
            self.samples(answer.body.decode())
        else:
            json.loads(answer.body)
        others = {name for name, _ in answer.headers} - HEADERS
        if not all(name.startswith("x-") for name in others):
            self.wrong.append((path, others))

    def samples(self, text):
        for line in text.splitlines():
            if not line.startswith("#"):
                float(line.rsplit(" ", 1)[1])

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.join(120)


def pages_of(pid):
    """[(name, address)] of each 4096 bytes that it shares and may write; [] before it has them."""
    found = []
    with open(f"/proc/{pid}/maps", encoding="utf-8") as file:
        for line in file:
            for name in ("resnet-slot", "resnet-crew"):
                if f"memfd:{name}" in line and line.split()[1][:2] == "rw":
                    begin, end = (int(at, 16) for at in line.split()[0].split("-"))
                    found += [(name, at) for at in range(begin, end, PAGE_BYTES)]
    return found


def attack(service, kind, number):
    """One page of a worker, of whichever gets the request that is meant for it."""
    service.until_idle(WORKERS)
    victims = {}
    for pid in service.workers():
        name, address = pages_of(pid)[number]
        victims[f"attack-{kind}-{pid}-{address:x}"] = pid

    def hit():
        for request_id in victims:
            service.post(POISON, {"X-Request-ID": request_id})
        told = [line["request_id"] for line in service.logged("attacked") if line["error"] == "none"]
        crashed = [int(line["pid"]) for line in service.logged("crashed")]
        return [pid for r, pid in victims.items() if r in told or pid in crashed]

    found = until(hit, 100, f"{kind} in {name}")
    if kind == "die":  # each has said so before its end
        until(lambda: not set(found) & set(service.workers()), 60, "their end")
    return f"{kind} in {name}, {number}", found


def replace(service, pids):
    """What it says of itself is its own affair; its successor's is not. A dead one's page may say that it
    is idle, until the supervisor has seen its end and has started another."""
    for pid in set(pids) & set(service.workers()):
        os.kill(pid, signal.SIGKILL)
    until(lambda: len(set(service.workers()) - set(pids)) == WORKERS, 60, "their successors")
    service.until_idle(WORKERS)


def supervisors(service):
    return service.spawn.pid, children(service.spawn.pid, "resnet-control")


def everything():
    with Service(workers=WORKERS, faults=FAULTS, RESNET_QUARANTINE="0") as service:
        service.until_idle(WORKERS)
        who = supervisors(service)
        expected = service.post(PICTURE).json()["predictions"]
        n = len(pages_of(service.workers()[0]))
        tap.equal(n, 3, "a worker shares its own page and the crew's")
        died = killed = 0
        for kind in ("scribble", "die"):
            for number in range(n):
                with Readers(service) as readers:
                    name, hit = attack(service, kind, number)
                tap.ok(readers.asked, f"{name}: told of {readers.asked} times")
                tap.equal(readers.wrong[:3], [], f"{name}: whatever is told is well-formed")
                tap.equal(supervisors(service), who, f"{name}: supervisor and control are the same")
                lives = [pid for pid in hit if pid in service.workers()]
                tap.equal(lives, hit if kind == "scribble" else [], f"{name}: the worker's end")
                answers = [service.post(PICTURE) for _ in range(2 * WORKERS)]
                tap.ok(all(a.status in (200, 503, 504) for a in answers), f"{name}: whole answers", answers)
                replace(service, hit)
                killed, died = killed + len(lives), died + len(hit) - len(lives)
                found = [service.post(PICTURE) for _ in range(2 * WORKERS)]
                tap.ok(all(a.status == 200 and a.json()["predictions"] == expected for a in found),
                       f"{name}: who comes after it answers as ever", found)  # fmt: skip
        ends = service.status()["ends"]
        tap.equal((ends["crashed"], ends["killed"]), (died, killed), "each ended as it had to")
        tap.equal(sum(ends.values()), died + killed, "and nobody else did")


tap.run(everything)
