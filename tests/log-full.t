#!/usr/bin/env python3
"""A log that takes nothing, because it may not grow, is a full device, or a pipe that nobody reads:
requests and health are answered as ever, and what was lost is counted and told once there is room."""

import fcntl
import os
import re
import resource

import draw
import tap
import web
from service import START_S, Service, until

PICTURE = draw.jpeg()
F_SETPIPE_SZ = 1031


def lost(text):
    """How many lines each log_lost speaks of."""
    return [int(n) for n in re.findall(r" event=log_lost lines=(\d+) reason=", text)]


def ids(text):
    """Of requests in the log; whether the line is whole."""
    return re.findall(r" event=request request_id=(\S+) .*\n", text)


def has_started(text):
    """Whether supervisor and both workers have said all that they say at the start."""
    return " event=serving " in text and text.count(" event=ready ") == 2


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def asks(service, name, n=6):
    """Requests and health, while the log takes nothing. Returns the requests' ids."""
    answers = [service.post(PICTURE) for _ in range(n)]
    tap.equal([a.status for a in answers], [200] * n, f"{name}: requests are answered")
    for probe in ("live", "ready"):
        until(lambda p=probe: service.get("/health/" + p).status == 200, 60, f"{name}: {probe}")
    return [a.header("x-request-id") for a in answers]


def asks_once(service):
    """One more request, whichever worker takes it."""
    answer = service.post(PICTURE)
    if answer.status != 200:
        raise web.Broken(str(answer))


def a_file_that_may_not_grow():
    service = Service(workers=2, cold=True)
    log = service.environment["RESNET_LOG"] = os.path.join(service.directory, "own.log")
    with service:
        service.start_spawn()
        service.wait_ready()
        before = asks(service, "before")
        until(lambda: set(before) <= set(ids(read(log))), 60, "their lines")
        until(lambda: has_started(read(log)), START_S, "the lines of the start")
        workers = service.all_workers()
        soft, hard = resource.prlimit(service.spawn.pid, resource.RLIMIT_FSIZE)
        end = os.path.getsize(log) + 50
        resource.prlimit(service.spawn.pid, resource.RLIMIT_FSIZE, (end, hard))
        gone = asks(service, "a file that may not grow")
        until(lambda: os.path.getsize(log) == end, 60, "the beginning of a line")
        tap.equal(service.workers(), workers, "nobody died")
        resource.prlimit(service.spawn.pid, resource.RLIMIT_FSIZE, (soft, hard))
        after = asks(service, "once it may")
        until(lambda: set(after) <= set(ids(read(log))), 60, "their lines")
        # a worker may not have written its line of before yet
        until(lambda: sum(lost(text := read(log))) + len(set(gone) & set(ids(text))) >= len(gone),
              60, "a line, or that it is lost, of each request")  # fmt: skip
        text = read(log)
        there = set(gone) & set(ids(text))  # a worker says its line after the answer
        tap.ok(len(there) < len(gone), "lines were lost", text)
        tap.ok(sum(lost(text)) >= len(gone) - len(there), "all that were are counted, and told", text)
        cut = [line for line in text.splitlines() if not re.match(r"\d{4}-.* event=\S+", line)]
        tap.equal(len(cut), 1, "one line was cut, and the next begins on its own")


def a_full_device():
    service = Service(workers=2, cold=True)
    with service:
        with open("/dev/full", "ab", buffering=0) as full:
            service.start_spawn(stderr=full)
        service.wait_ready()
        workers = service.all_workers()
        asks(service, "stderr is /dev/full")
        tap.equal(service.workers(), workers, "stderr is /dev/full: nobody died")


def a_pipe_that_nobody_reads():
    service = Service(workers=2, cold=True)
    read_fd, write_fd = os.pipe()
    with service, open(read_fd, "rb", buffering=0) as reader:
        fcntl.fcntl(write_fd, F_SETPIPE_SZ, 4096)
        service.start_spawn(stderr=write_fd)
        tap.ok(not fcntl.fcntl(write_fd, fcntl.F_GETFL) & os.O_NONBLOCK, "the pipe is as it was")
        os.close(write_fd)
        service.wait_ready()
        workers = service.all_workers()
        asks(service, "a pipe that nobody reads", 24)
        tap.equal(service.workers(), workers, "a pipe that nobody reads: nobody died")
        os.set_blocking(read_fd, False)
        text = []

        def told():
            asks_once(service)
            text.append((reader.read(65536) or b"").decode())
            return lost("".join(text))

        tap.ok(until(told, 60, "log_lost")[0] > 0, "once somebody reads, it is told how much was lost", text)
        reader.close()
        asks(service, "a pipe whose reader has gone")
        tap.equal(service.workers(), workers, "a pipe whose reader has gone: nobody died")


tap.run(a_file_that_may_not_grow, a_full_device, a_pipe_that_nobody_reads)
