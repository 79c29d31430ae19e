#!/usr/bin/env python3
"""TERM: what is accepted or queued is answered, what comes after is refused, exit code 0."""

import concurrent.futures
import errno
import os
import signal
import subprocess
import threading

import tap
from supervisor import Supervisor, receive, send, wait_for


def busy(s, n):
    wait_for(lambda: sum(w["state"] == "busy" for w in s.status()["workers"]) == n, f"{n} busy")


def hold(s, n):
    """So many requests, each in a worker until release()."""
    held = [send(s.path("work.sock"), {"DOCUMENT_URI": "/until/released"}) for _ in range(n)]
    busy(s, n)
    return held


def release(s):
    with open(os.path.join(s.directory, "released"), "wb"):
        pass


def refused(s):
    try:
        send(s.path("work.sock"), {"DOCUMENT_URI": "/"}).close()
    except OSError as error:
        return error.errno in (errno.ECONNREFUSED, errno.ENOENT)
    return False


def answers_what_is_queued(sig):
    with Supervisor(workers=2) as s:
        s.until()
        held = hold(s, 2)
        held += [send(s.path("work.sock"), {"DOCUMENT_URI": "/sleep/0.1"}) for _ in range(10)]
        s.signal(sig)
        s.until("draining")
        tap.ok(refused(s), "a request that comes after is refused at once")
        ready, shed = s.get("/health/ready"), s.get("/predict", "POST", "shed.sock")
        tap.ok(ready[0] == 503 and b"draining" in ready[2], "/health/ready: draining", ready)
        tap.ok(shed[0] == 503 and b"draining" in shed[2], "shed: 503 draining", shed)
        tap.ok(int(shed[1]["retry-after"]) > 0, "with Retry-After")
        tap.equal(s.get("/health/live")[0], 200, "/health/live: still alive")
        s.signal(sig)
        release(s)
        tap.equal([receive(c)[0] for c in held], [200] * 12, "all that was queued is answered")
        tap.equal(s.wait(), 0, "exit code 0")


def by_term():
    answers_what_is_queued(signal.SIGTERM)


def by_quit():
    answers_what_is_queued(signal.SIGQUIT)


def by_resnet_ctl():
    with Supervisor() as s:
        s.until()
        held = hold(s, 1)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            told = pool.submit(s.run, "resnet-ctl", "drain")
            s.until("draining")
            tap.ok(not told.done(), "resnet-ctl drain waits")
            release(s)
            result = told.result()
        tap.equal((result.returncode, result.stdout), (0, "drained\n"), "and says when it is over")
        tap.equal(receive(held[0])[0], 200, "the request was answered")
        tap.equal(s.wait(), 0, "exit code 0")


def under_load():
    with Supervisor(workers=2) as s:
        s.until()
        answers, lost = [], []
        ended = threading.Event()

        def ask():
            while not ended.is_set():
                try:
                    connection = send(s.path("work.sock"), {"DOCUMENT_URI": "/sleep/0.02"})
                except OSError:
                    return  # refused before anything was sent: nginx would ask elsewhere
                try:
                    answers.append(receive(connection)[0])
                except (OSError, ConnectionError) as error:
                    lost.append(error)

        threads = [threading.Thread(target=ask, daemon=True) for _ in range(16)]
        for thread in threads:
            thread.start()
        wait_for(lambda: len(answers) > 50, "answers")
        s.signal(signal.SIGTERM)
        tap.equal(s.wait(), 0, "exit code 0 under load")
        ended.set()
        for thread in threads:
            thread.join(30)
        tap.note(f"{len(answers)} answers")
        tap.equal(lost, [], "no request that was taken is lost")


def time_out():
    with Supervisor(workers=1, environment={"RESNET_DRAIN_TIMEOUT": "500ms"}) as s:
        s.until()
        held = hold(s, 1)
        s.signal(signal.SIGTERM)
        tap.equal(s.wait(), 75, "a drain that takes too long is cut off: exit code 75")
        tap.ok(s.logged("drain_timeout"), "and the log says so")
        held[0].close()


def while_starting():
    with Supervisor(workers=1, mode="slow 0.5") as s:
        held = wait_for(lambda: try_send(s), "work.sock")
        s.signal(signal.SIGTERM)
        tap.equal(receive(held)[0], 200, "a request queued before the first worker is answered")
        tap.equal(s.wait(), 0, "exit code 0")
    longer = {"RESNET_START_TIMEOUT": "120s"}  # than a drain may take
    with Supervisor(workers=1, mode="hang", environment=longer) as s:
        wait_for(lambda: s.try_status(), "/status")
        s.signal(signal.SIGTERM)
        tap.equal(s.wait(), 0, "with nothing queued, a starting worker is not waited for")


def slow_to_bind():
    """In front of a program: between its pid file and its sockets is time. Nothing, if none can be traced."""
    command = ["strace", "-D", "-qq", "-o", "/dev/null", "-e", "trace=bind", "-e", "inject=bind:delay_enter=300000"]
    try:
        works = subprocess.run([*command, "true"], capture_output=True, timeout=60, check=False).returncode == 0
    except FileNotFoundError:
        works = False
    return command if works else []


def at_once():
    """As soon as there is a pid to be told."""
    no_leak_check = {"ASAN_OPTIONS": "detect_leaks=0"}  # it does not work in who is traced
    with Supervisor(workers=1, mode="hang", environment=no_leak_check, start=False) as s:
        s.start(before=slow_to_bind())
        while not os.path.exists(s.path("pid")) and s.process.poll() is None:
            pass
        s.signal(signal.SIGTERM)
        tap.equal(s.wait(), 0, "TERM before all is open: exit code 0")
        tap.ok(not os.path.exists(s.path("work.sock")), "and no socket is left", os.listdir(s.run_dir))


def try_send(s):
    try:
        return send(s.path("work.sock"), {"DOCUMENT_URI": "/"})
    except OSError:
        return None


def worker_dies_meanwhile():
    with Supervisor(workers=1) as s:
        s.until()
        first = hold(s, 1)
        held = [send(s.path("work.sock"), {"DOCUMENT_URI": "/"}) for _ in range(3)]
        pid = s.pids()[0]
        s.signal(signal.SIGTERM)
        s.until("draining")
        os.kill(pid, signal.SIGKILL)
        tap.equal([receive(c)[0] for c in held], [200] * 3, "a new worker answers the queue")
        tap.equal(s.wait(), 0, "exit code 0")
        first[0].close()


tap.run(by_term, by_quit, by_resnet_ctl, under_load, time_out, while_starting,
        at_once, worker_dies_meanwhile)  # fmt: skip
