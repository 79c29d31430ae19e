#!/usr/bin/env python3
"""The watchdog: what ticks is kept however long, what gets no CPU until its budget ends; what burns
CPU without a tick is ended, named, and remembered."""
# timeout: 240

import os
import re
import signal
import threading
import time

import tap
from supervisor import Supervisor, receive, runs, send, wait_for

SMALL = {"RESNET_STALL_TIMEOUT": "400ms", "RESNET_THREADS": "1"}


def ask(s, path, nginx_id="n" * 32, **params):
    """Sends a request that somebody waits for; [answer] or [exception] once there is one."""
    params = {"DOCUMENT_URI": path, "REQUEST_ID": nginx_id, **params}
    connection, got = send(s.path("work.sock"), params), []

    def wait():
        try:
            got.append(receive(connection))
        except (OSError, ConnectionError) as error:
            got.append(error)

    threading.Thread(target=wait, daemon=True).start()
    return got


def field(line, name):
    return re.search(rf" {name}=(\S+)", line)[1]


def line_of(s, event):
    return wait_for(lambda: s.logged(event), f"event={event}")[0]


def replaced(s, pid):
    """Waits for the successor of slot 0's worker: all that is said of its end comes before."""
    wait_for(lambda: s.pids().get(0, 0) not in (0, pid), "another worker")


def slow_is_kept():
    with Supervisor(workers=1, environment={"RESNET_REQUEST_TIMEOUT": "12s"}) as s:
        s.until()
        got = ask(s, "/tick/8")
        wait_for(lambda: got, "the answer")
        tap.equal(got[0][0], 200, "a request that ticks is answered, however slow")
        tap.equal(len(s.logged("slow")), 1, "and reported once")
        tap.equal(s.logged("starved") + s.logged("stuck"), [], "nothing worse")
        tap.ok(int(field(s.logged("slow")[0], "wall_ms")) >= 3000, "after a quarter of its budget")


def stuck_is_ended():
    with Supervisor(workers=2, environment=SMALL) as s:
        s.until()
        before = set(s.pids().values())
        got = ask(s, "/burn/60", nginx_id="a" * 32, HTTP_X_REQUEST_ID="poison-1")
        line = line_of(s, "stuck")
        tap.equal(
            [field(line, x) for x in ("request_id", "nginx_id", "stage", "layer")],
            ["poison-1", "a" * 32, "infer", "7"],
            "a loop is stuck, and named: request, stage and layer",
        )
        cpu_ms = int(field(line, "cpu_ms"))
        tap.ok(400 <= cpu_ms < 30000, f"once it has burnt its limit of CPU time: {cpu_ms} ms")
        end = line_of(s, "worker_end")
        tap.ok("end=stuck how=signal:6" in end, "SIGABRT ends it", end)
        wait_for(lambda: got, "the end of the connection")

        def successors():
            pids = set(s.pids().values())
            return len(pids) == 2 and 0 not in pids and pids - before

        new = wait_for(successors, "another worker")
        tap.equal(len(new), 1, "it is replaced, the other is not")
        tap.equal(field(line_of(s, "death"), "count"), "1", "its death is recorded")
        tap.equal(s.status()["ends"]["stuck"], 1, "and counted")


def stuck_and_deaf():
    """A process that is stopped runs no handler."""
    with Supervisor(workers=1, environment={**SMALL, "RESNET_REQUEST_TIMEOUT": "1s"}) as s:
        s.until()
        pid = s.pids()[0]
        start = time.monotonic()
        got = ask(s, "/tick/30")
        wait_for(lambda: s.state() == "busy", "a busy worker")
        os.kill(pid, signal.SIGSTOP)
        line_of(s, "starved")
        tap.ok(runs(pid), "a stopped worker is starved, and kept")
        line = line_of(s, "stuck")
        waited = time.monotonic() - start
        tap.ok(waited > 6, f"until 5 s past its budget: {waited:.1f} s")
        tap.ok(int(field(line, "cpu_ms")) < 400, "whatever its CPU time", line)
        end = line_of(s, "worker_end")
        tap.ok("end=stuck how=signal:9" in end, "SIGABRT it cannot hear, SIGKILL it gets", end)
        wait_for(lambda: got, "the end of the connection")
        s.until()
        tap.equal(s.work()[0], 200, "the next one answers")


def stopped_goes_on():
    with Supervisor(workers=1, environment=SMALL) as s:
        s.until()
        pid = s.pids()[0]
        got = ask(s, "/tick/8")
        wait_for(lambda: s.state() == "busy", "a busy worker")
        os.kill(pid, signal.SIGSTOP)
        line_of(s, "starved")
        os.kill(pid, signal.SIGCONT)
        wait_for(lambda: got, "the answer")
        tap.equal(got[0][0], 200, "a worker that was stopped and goes on answers")
        tap.ok(s.logged("starved"), "starved")
        tap.ok(s.logged("running"), "then running again")
        tap.equal(s.logged("stuck"), [], "never stuck")


def blocked_is_starved():
    with Supervisor(workers=1, environment=SMALL) as s:
        s.until()
        got = ask(s, "/sleep/7")
        wait_for(lambda: got, "the answer")
        tap.equal(got[0][0], 200, "a worker that sleeps is waited for")
        tap.equal((len(s.logged("starved")), s.logged("stuck")), (1, []), "starved, not stuck")


def deaths_by_request():
    with Supervisor(workers=1) as s:
        s.until()
        for i, (path, nginx_id) in enumerate(
            (("/crash", "a" * 32), ("/crash", "b" * 32), ("/crash", "a" * 32), ("/crash", ""))
        ):
            pid = s.pids()[0]
            got = ask(s, path, nginx_id=nginx_id)
            wait_for(lambda g=got: g, "the end of the connection")
            replaced(s, pid)
            tap.equal(s.status()["ends"]["crashed"], i + 1, "a crash")
        found = [(field(x, "nginx_id")[0], field(x, "count")) for x in s.logged("death")]
        tap.equal(found, [("a", "1"), ("b", "1"), ("a", "2")], "crashes are counted by nginx's id")


def others_doing_is_no_death():
    with Supervisor(workers=1) as s:
        s.until()
        for sig, end in ((signal.SIGKILL, "killed"), (signal.SIGTERM, "recycled")):
            pid = s.pids()[0]
            got = ask(s, "/sleep/7")
            wait_for(lambda: s.state() == "busy", "a busy worker")
            os.kill(pid, sig)
            wait_for(lambda g=got: g, "the end of the connection")
            replaced(s, pid)
            tap.equal(s.status()["ends"][end], 1, end)
        wait_for(lambda: s.state() == "idle", "an idle worker")
        pid = s.pids()[0]
        os.kill(pid, signal.SIGSEGV)
        replaced(s, pid)
        tap.equal(s.status()["ends"]["crashed"], 1, "a crash of an idle worker")
        tap.equal(s.logged("death"), [], "killed, asked to leave, or crashed while idle: no death")


def stuck_while_leaving():
    """It has to be seen, and told to leave, before it has burnt its limit."""
    patient = {"RESNET_STALL_TIMEOUT": "2s", "RESNET_DRAIN_TIMEOUT": "60s"}
    with Supervisor(workers=1, environment={**SMALL, **patient}) as s:
        s.until()
        got = ask(s, "/burn/60")
        wait_for(lambda: s.state() == "busy", "a busy worker")
        tap.equal(s.run("resnet-ctl", "reload").returncode, 0, "a reload beside a looping worker")
        wait_for(lambda: got, "the end of the connection")
        tap.ok("end=stuck" in line_of(s, "worker_end"), "which is watched while it leaves, too")


def sleeps_afterwards():
    with Supervisor(workers=2, environment=SMALL) as s:
        s.until()
        for _ in range(20):
            s.work()
        got = ask(s, "/tick/0.3")
        wait_for(lambda: got, "the answer")
        wait_for(lambda: {w["state"] for w in s.status()["workers"]} == {"idle"}, "idle workers")

        def switches():
            with open(f"/proc/{s.process.pid}/status", encoding="ascii") as file:
                return sum(int(x.split()[1]) for x in file if "ctxt_switches" in x)

        def quiet():
            before = switches()
            time.sleep(2)
            return switches() - before <= 2

        wait_for(quiet, "the supervisor to sleep")
        tap.ok(True, "with nobody busy, the supervisor sleeps")


tap.run(
    slow_is_kept,
    stuck_is_ended,
    stuck_and_deaf,
    stopped_goes_on,
    blocked_is_starved,
    deaths_by_request,
    others_doing_is_no_death,
    stuck_while_leaving,
    sleeps_afterwards,
)
