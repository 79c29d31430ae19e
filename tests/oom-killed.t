#!/usr/bin/env python3
"""The kernel's OOM killer: it takes a worker in the middle of a request, or (oom.group, Kubernetes) the
whole service at once. A worker's request is run by another; where nobody is left clients get our
503, and a supervisor that is started again answers."""

# timeout: 180

import contextlib
import os
import signal
import subprocess
import threading

import draw
import tap
from cgroup import Memory, Unavailable
from load import Load, known
from service import Service, children, clean_environment, program, until

LARGE = bytes(40 << 20)  # no picture, and has to be held to know that
SPARE = 4 << 20
TRIES = 8  # of nginx, for one request


def answers(load, more=20):
    n = load.good()
    until(lambda: load.good() >= n + more, 60, "answers")


class Short:
    """No room for a large body until the kernel has killed for it."""

    def __init__(self, group):
        self.group, self.before = group, group.kills()
        until(self._squeeze, 60, "the limit")
        self.thread = threading.Thread(target=self._lift)
        self.thread.start()

    def _squeeze(self):
        """The kernel refuses a limit below what is in use meanwhile."""
        try:
            self.group.limit(self.group.usage() + SPARE)
            return True
        except OSError:
            return False

    def _lift(self):
        try:
            until(lambda: self.group.kills() > self.before, 60, "a kill")
        finally:
            self.group.lift()

    def over(self):
        self.thread.join()
        return self.group.kills() - self.before


def one_worker(group):
    with Service(workers=3, before=group.command, RESNET_MAX_BODY="48MiB") as service:
        pictures = known(service)
        with Load(service, pictures, 4) as load:
            answers(load)
            short = Short(group)
            large = service.post(LARGE, {"X-Request-ID": "the-large-one"})
            kills = short.over()
            answers(load)
        tap.ok(kills >= 1, "the kernel killed for want of memory", kills)
        tap.ok(large.status == 415 or (large.status == 503 and kills >= TRIES),
               "the request in the middle of which it did is run by another worker", (large, kills))  # fmt: skip
        tap.ok(load.all_good(), "the others only see 200", load.results)
        tap.equal(load.not_logged(), {}, "and are in nginx's log once")
        until(lambda: service.status()["ends"]["killed"], 60, "it to be reaped")
        ends = service.status()["ends"]
        tap.equal((ends["killed"] >= 1, ends["crashed"]), (True, 0), "counted as killed, not as a crash")
        tap.equal(service.status()["quarantine"]["inputs"], [], "no body is blamed")
        told = why(service, [line["request_id"] for line in service.logged("lost")])
        tap.ok("want of memory" in told, "resnet-ctl why names it", told)
        service.until_idle(3)
        tap.equal(known(service), pictures, "the same answers as before")


def why(service, lost):
    if not lost:
        return "none was lost, hence for want of memory nothing to tell"
    command = [program("resnet-ctl"), "why", lost[0], "--from", service.log, service.access_log]
    return subprocess.run(command, env=clean_environment(**service.environment), stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60, check=False).stdout  # fmt: skip


def kill_all(service):
    """As the kernel does with a group: everybody, before anybody can do anything about it."""
    spawn = service.spawn.pid
    family = [spawn, *children(spawn, "resnet-control"), *children(spawn, "resnet-fcgi")]
    for pid in family:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    service.spawn.wait()
    until(lambda: not [pid for pid in family if os.path.exists(f"/proc/{pid}/exe")], 60, "their end")


def everybody_at_once():
    with Service(workers=3, faults="sleep=1@*") as service:
        pictures = known(service)
        with Load(service, pictures, 8, patience_s=0.05) as load:
            answers(load)
            before = sorted(os.listdir(service.run_dir))
            kill_all(service)
            until(lambda: load.count("503 unavailable") >= 20, 60, "what clients get meanwhile")
            left = sorted(os.listdir(service.run_dir))
            service.start_spawn()
            service.wait_ready()
            answers(load)
        tap.equal(left, before, "all killed at once: sockets, lock and pid file are left lying about")
        tap.ok(load.only("200", "503 unavailable", "503 starting"),
               "clients get 200, or our 503 with Retry-After; never a 502, never nothing", load.results)  # fmt: skip
        tap.equal(load.not_logged(), {}, "and so says nginx's log")
        with open(os.path.join(service.run_dir, "pid"), encoding="ascii") as file:
            tap.equal(int(file.read()), service.spawn.pid, "the pid file is the new one's")
        tap.equal(service.post(draw.jpeg()).status, 200, "a supervisor that is started again answers")
        tap.equal(known(service), pictures, "as before")
        tap.equal(len(service.all_workers()), 3, "with all its workers")


def one_of_them():
    try:
        with Memory() as group:
            one_worker(group)
    except Unavailable as error:
        tap.skip("a worker killed for want of memory", str(error))


tap.run(one_of_them, everybody_at_once)
