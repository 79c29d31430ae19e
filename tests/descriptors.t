#!/usr/bin/env python3
"""Too few descriptors. At the start: a sentence, or it does with what there is. While it runs,
worker, resnet-control and supervisor wait without burning their core, lose nothing, and go on when
there are some again."""

import concurrent.futures
import os
import resource
import signal
import socket
import subprocess
import tempfile

import draw
import service
import tap
from service import Service, children, clean_environment, program, until
from supervisor import Supervisor, request, wait_for

PICTURE = draw.jpeg()
MOST = 128  # nothing here needs so many
# who looks for leaks at the end needs descriptors, too
NO_LEAKS = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}


class Limited:
    """with Limited(pid): it gets no further descriptor. keep: so many more it does."""

    def __init__(self, pids, keep=0):
        self.pids, self.keep, self.before = pids, keep, {}

    def __enter__(self):
        for pid in self.pids:
            taken = {int(fd) for fd in os.listdir(f"/proc/{pid}/fd")}
            free = [fd for fd in range(max(taken) + 2 + self.keep) if fd not in taken]
            soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (free[self.keep], hard))
            self.before[pid] = soft, hard
        return self

    def __exit__(self, *_):
        for pid, limits in self.before.items():
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


def sleeps(pid):
    """How often it has gone to sleep by itself."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("voluntary_ctxt"))


def naps(pid, name):
    """Who tries again and again without a pause never goes to sleep."""
    first = sleeps(pid)
    until(lambda: sleeps(pid) > first + 4, 60, f"{name} that pauses between two tries")
    tap.ok(True, f"{name}: pauses between two tries")


def ask(path, document="/health/ready"):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(60)
    connection.connect(path)
    connection.sendall(request({"REQUEST_METHOD": "GET", "DOCUMENT_URI": document}))
    return connection


def whole(connection):
    with connection:
        wire = b""
        while piece := connection.recv(65536):
            wire += piece
    return b"Status: 200" in wire


# ---- at the start ---------------------------------------------------------------------------------
def with_limit(n, *command):
    return ["sh", "-c", f'ulimit -n {n} && exec "$@"', "sh", *command]


def serves(s):
    status = s.try_status()
    return status and status["state"] == "serving"


def supervisor_starts():
    refusals = 0
    with Supervisor(start=False, environment=NO_LEAKS) as s:
        for limit in range(4, MOST, 4 if service.SANITIZED else 1):
            s.process = None
            if os.path.exists(s.log_path):
                os.unlink(s.log_path)
            s.start(before=with_limit(limit))
            wait_for(lambda: s.process.poll() is not None or serves(s), "the end, or service")
            if s.process.poll() is None:
                break
            said = s.log()
            good = s.process.returncode == 75 and "RLIMIT_NOFILE" in said
            if not (good or (s.process.returncode == 127 and "shared libraries" in said)):
                tap.equal((s.process.returncode, said), 75, f"resnet-spawn, {limit} descriptors")
            refusals += good
        tap.ok(refusals > 5, f"resnet-spawn: {refusals} limits too low, each with 75 and a sentence")
        tap.equal(s.work()[0], 200, f"resnet-spawn: {limit} descriptors are enough")


def start_worker(listener, path, limit):
    """Its exit code and what it says; None where it became ready, and answers."""
    read_fd, write_fd = os.pipe()
    command = with_limit(limit, program("resnet-fcgi"), "--ready-fd", str(write_fd))
    worker = subprocess.Popen(
        command, stdin=listener, stderr=subprocess.PIPE, pass_fds=[write_fd], text=True,
        env=clean_environment(RESNET_MODEL=service.small_model(), **NO_LEAKS),
    )  # fmt: skip
    os.close(write_fd)
    with open(read_fd, "rb") as ready, worker:
        is_ready = ready.read() == b"R"
        if is_ready:
            tap.ok(whole(ask(path)), f"resnet-fcgi, {limit} descriptors: ready, and it answers")
            worker.terminate()
        said = worker.stderr.read()
        return None if is_ready else worker.wait(service.STOP_S), said


def worker_starts():
    refusals = 0
    with tempfile.TemporaryDirectory(prefix="resnet-t.") as directory:
        with socket.socket(socket.AF_UNIX) as listener:
            path = os.path.join(directory, "work.sock")
            listener.bind(path)
            listener.listen(8)
            for limit in range(4, MOST):
                code, said = start_worker(listener, path, limit)
                if code is None:
                    break
                good = code in (75, 78) and "Too many open files" in said
                if not (good or (code == 127 and "shared libraries" in said)):
                    tap.equal((code, said), 75, f"resnet-fcgi, {limit} descriptors")
                refusals += good
    tap.ok(refusals > 0, f"resnet-fcgi: {refusals} limits too low, each with a sentence")
    tap.ok(code is None, f"resnet-fcgi: {limit} descriptors are enough")


# ---- while it runs --------------------------------------------------------------------------------
def workers_wait():
    with Service(workers=2) as running, concurrent.futures.ThreadPoolExecutor(4) as pool:
        # who starts needs descriptors for that, and is idle before it has closed the last of them
        until(lambda: len(running.logged("ready")) == 2, service.START_S, "two workers")
        workers = running.workers()
        with Limited(workers):
            answers = [pool.submit(running.post, PICTURE) for _ in range(4)]
            until(lambda: len(running.logged("accept_failed")) == 2, 60, "both say so")
            for pid in workers:
                naps(pid, "a worker")
            tap.ok(not any(a.done() for a in answers), "workers: the requests wait")
            until(lambda: running.get("/health/live").status == 200, 60, "workers: live meanwhile")
        statuses = [a.result().status for a in answers]
        tap.equal(statuses, [200] * 4, "workers: all are answered when there are descriptors")
        tap.equal(running.workers(), workers, "workers: the same")
        tap.equal(len(running.logged("accept_failed")), 2, "workers: said once each")


def control_waits():
    with Supervisor() as s:
        s.until()
        pid = children(s.process.pid, "resnet-control")[0]
        with Limited([pid]):
            waiting = [ask(s.path("ctl.sock")) for _ in range(8)]
            wait_for(lambda: s.logged("accept_failed"), "what it says")
            naps(pid, "resnet-control")
        tap.equal([whole(c) for c in waiting], [True] * 8,
                  "resnet-control: all are answered when there are descriptors")  # fmt: skip
        wait_for(lambda: s.get("/health/live")[0] == 200, "resnet-control: who comes later")
        silent = []
        with Limited([pid], keep=4):
            for _ in range(12):
                silent.append(socket.socket(socket.AF_UNIX))
                silent[-1].connect(s.path("ctl.sock"))
            tap.ok(whole(ask(s.path("ctl.sock"))), "resnet-control: who sends nothing gives way")
        for connection in silent:
            connection.close()
        tap.equal(children(s.process.pid, "resnet-control"), [pid], "resnet-control: the same")


def supervisor_waits():
    with Supervisor(start=False) as s:
        s.environment["RESNET_LOG"] = s.log_path
        s.start()
        s.until()
        first = s.pids()
        with Limited([s.process.pid]):
            os.kill(first[0], signal.SIGKILL)
            wait_for(lambda: s.logged("fork"), "what it says")
            tap.equal(s.work()[0], 200, "supervisor: the other worker serves")
            result = s.run("resnet-ctl", "reload")
            tap.equal(result.returncode, 1, "supervisor: a reload fails")
            tap.ok("RLIMIT_NOFILE" in result.stderr, "and says why", result.stderr)
            s.signal(signal.SIGUSR1)
            wait_for(lambda: s.logged("log_reopen"), "why the log is the old one")
            wait_for(lambda: s.get("/health/live")[0] == 200, "supervisor: live")
            naps(s.process.pid, "supervisor")
        wait_for(lambda: s.state(0) == "idle", "the worker's successor")
        tap.equal(s.run("resnet-ctl", "reload").returncode, 0, "supervisor: a reload, later")
        tap.equal(s.work()[0], 200, "supervisor: a request, later")


tap.run(supervisor_starts, worker_starts, workers_wait, control_waits, supervisor_waits)
