#!/usr/bin/env python3
"""HUP: workers are replaced one by one; no request is lost; a bad new generation changes nothing."""
# timeout: 240

import concurrent.futures
import contextlib
import os
import signal
import threading
import time

import tap
from supervisor import Clients, Supervisor, wait_for


def generations(s):
    return sorted(w["generation"] for w in s.status()["workers"] if w["state"] != "draining")


def replaces_all_under_load():
    with Supervisor(workers=3) as s:
        s.until()
        before = set(s.pids().values())
        with Clients(s, 8, "/sleep/0.02") as clients:
            end = time.monotonic() + tap.T
            reloads = 0
            while time.monotonic() < end or reloads < 2:
                result = s.run("resnet-ctl", "reload")
                tap.ok(result.returncode == 0, "resnet-ctl reload: 0", result.stderr)
                reloads += 1
        wait_for(lambda: len(s.pids()) == 3, "the old workers to leave")
        tap.equal(generations(s), [reloads + 1] * 3, "all workers are of the newest generation")
        tap.ok(not before & set(s.pids().values()), "none of them is an old process")
        tap.note(f"{reloads} reloads, {len(clients.answers)} answers")
        tap.equal(clients.errors, [], "no request was lost")
        tap.equal({a[0] for a in clients.answers}, {200}, "and every answer is 200")


def takes_the_program_on_disk():
    with Supervisor(workers=2) as s:
        s.until()
        new = os.path.join(s.directory, "new.py")
        with open(os.path.join(s.bin, "resnet-fcgi"), encoding="utf-8") as file:
            text = file.read()
        with open(new, "w", encoding="utf-8") as file:
            file.write(text.replace('f"{who} {stdin}', 'f"{who} {stdin} new'))
        s.install(new)
        tap.ok(b"new" not in s.work()[2], "the old program answers")
        tap.equal(s.run("resnet-ctl", "reload").returncode, 0, "reload")
        wait_for(lambda: {w["generation"] for w in s.status()["workers"]} == {2}, "the old ones to leave")
        tap.ok(b"new" in s.work()[2], "the new program answers")


def respawns_take_their_own_generation():
    with Supervisor(workers=2) as s:
        s.until()
        program = os.path.join(s.bin, "resnet-fcgi")
        for what in ("another program on disk", "no program on disk"):
            if what[0] == "n":
                os.unlink(program)
            else:
                with open(os.path.join(s.directory, "bad"), "w", encoding="ascii") as file:
                    file.write("#!/bin/sh\nexit 78\n")
                s.install(os.path.join(s.directory, "bad"))
            result = s.run("resnet-ctl", "reload")
            tap.equal(result.returncode, 1, f"{what}: a reload fails")
            tap.ok(result.stderr.startswith("resnet-ctl: reload: 0 of 2"), "and says so", result)
            old = s.pids()
            for pid in old.values():
                os.kill(pid, signal.SIGKILL)
            wait_for(lambda o=old: len(s.pids()) == 2 and not set(o.values()) & {0, *s.pids().values()},
                     "two other workers")  # fmt: skip
            wait_for(lambda: generations(s) == [1, 1] and ready(s) == 2, "both ready")
            tap.equal(s.work()[0], 200, "workers that are replaced are the old program's")
        tap.equal(s.logged("back_off"), [], "none of them failed")


def ready(s):
    return sum(w["state"] == "idle" for w in s.status()["workers"])


def bad_generation_changes_nothing():
    with Supervisor(workers=2) as s:
        s.until()
        before = s.pids()
        for mode, words in (
            ("config", "does not want to start"),
            ("fail", "does not want to start"),
        ):
            s.mode(mode)
            result = s.run("resnet-ctl", "reload")
            tap.equal(result.returncode, 1, f"{mode}: resnet-ctl reload says 1")
            tap.ok(words in result.stderr, "and why, in the worker's words", result.stderr)
            tap.ok(words in s.status()["reason"], "so does /status")
            tap.ok(any(words in x for x in s.logged("reload_failed")), "and the log")
            tap.equal(s.pids(), before, "the old workers are still there")
            tap.equal(s.work()[0], 200, "and answer")
        tap.equal(s.get("/health/ready")[0], 200, "ready all the time")
        s.mode("ok")
        tap.equal(s.run("resnet-ctl", "reload").returncode, 0, "then a good one")
        tap.equal(s.status()["reason"], None, "clears the reason")


def slow_generation_is_given_up():
    with Supervisor(workers=1, environment={"RESNET_START_TIMEOUT": "5s"}) as s:
        s.until()
        s.mode("hang")
        result = s.run("resnet-ctl", "reload")
        tap.equal(result.returncode, 1, "a worker that is not ready in time")
        tap.ok("RESNET_START_TIMEOUT" in result.stderr, "is reported", result.stderr)
        tap.equal(s.work()[0], 200, "and not missed")


def second_is_remembered_once():
    with Supervisor(workers=1) as s:
        s.until()
        s.mode("hang")
        s.signal(signal.SIGHUP)
        pid = wait_for(lambda: starting(s), "a new worker")
        for _ in range(4):
            s.signal(signal.SIGHUP)
            time.sleep(0.05)
        s.mode("ok")
        os.kill(pid, signal.SIGKILL)  # another one takes its place, and ends the first reload
        wait_for(lambda: s.status()["reload"]["ok"] == 2, "the second reload")
        time.sleep(0.5)
        reload = s.status()["reload"]
        tap.equal((reload["ok"], reload["active"]), (2, False), "five HUPs during a reload are one more reload")
        tap.equal(s.status()["generation"], 3, "generation 3")


def during_the_start():
    with Supervisor(workers=1, mode="slow 4") as s:
        wait_for(lambda: s.try_status(), "/status")
        s.signal(signal.SIGHUP)
        s.until()
        wait_for(lambda: s.status()["reload"]["ok"] == 1, "the reload")
        tap.equal(s.status()["generation"], 2, "a HUP during the start is done after it")


def asked_twice_during_the_start():
    with Supervisor(workers=1, mode="hang") as s:
        wait_for(lambda: (status := s.try_status()) and status["workers"], "/status")
        s.signal(signal.SIGHUP)
        wait_for(lambda: s.status()["reload"]["active"], "the first to be known")
        pid = starting(s)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            second = pool.submit(s.run, "resnet-ctl", "reload")
            time.sleep(0.5)  # else it may ask when the start is over, which is easy
            s.mode("ok")
            os.kill(pid, signal.SIGKILL)
            result = second.result()
        tap.equal(result.returncode, 0, "resnet-ctl reload after a HUP during the start")
        tap.equal(s.status()["generation"], 2, "waits for the one that comes of both")


def new_worker_killed():
    with Supervisor(workers=1) as s:
        s.until()
        s.mode("slow 4")
        s.signal(signal.SIGHUP)
        for _ in range(2):
            pid = wait_for(lambda: starting(s), "a new worker")
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: starting(s) != pid, "its end")
        wait_for(lambda: s.status()["reload"]["ok"] == 1, "the reload")
        tap.equal(s.status()["reload"]["failed"], 0, "a new worker that somebody kills: another one")


def starting(s):
    return next((w["pid"] for w in s.status()["workers"] if w["state"] == "starting"), 0)


def worker_killed_during_reload():
    with Supervisor(workers=2) as s:
        s.until()
        stop = threading.Event()

        def kill():
            while not stop.wait(0.3):
                pids = [w["pid"] for w in s.status()["workers"] if w["state"] == "idle"]
                if pids:
                    with contextlib.suppress(ProcessLookupError):  # it has just been replaced
                        os.kill(pids[0], signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        for _ in range(5):
            s.signal(signal.SIGHUP)
            time.sleep(tap.T / 5)
        stop.set()
        killer.join()
        wait_for(lambda: not s.status()["reload"]["active"], "the last reload")

        def settled():
            workers = s.status()["workers"]
            return len(workers) == 2 and all(w["state"] == "idle" for w in workers)

        wait_for(settled, "two idle workers")
        tap.ok(True, "two workers are left, however they died")
        tap.equal(s.status()["reload"]["failed"], 0, "no reload failed")


tap.run(
    replaces_all_under_load,
    takes_the_program_on_disk,
    respawns_take_their_own_generation,
    bad_generation_changes_nothing,
    slow_generation_is_given_up,
    second_is_remembered_once,
    during_the_start,
    asked_twice_during_the_start,
    new_worker_killed,
    worker_killed_during_reload,
)
