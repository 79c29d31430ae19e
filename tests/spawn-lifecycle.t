#!/usr/bin/env python3
"""The supervisor alone, with fake workers: start, death of a worker, readiness, ends."""

import os
import signal
import stat
import threading
import time

import service
import tap
from supervisor import BIN, Supervisor, receive, runs, send, wait_for


def serves_and_drains():
    with Supervisor(workers=2) as s:
        status = s.until()
        tap.equal(len(status["workers"]), 2, "two workers run")
        wait_for(lambda: {w["state"] for w in s.status()["workers"]} == {"idle"}, "idle workers")
        tap.equal(s.work("/", b"x" * 100000)[2].split()[1], b"100000", "a request is answered")
        for name in ("work.sock", "shed.sock", "ctl.sock"):
            mode = os.stat(s.path(name))
            tap.ok(stat.S_ISSOCK(mode.st_mode), f"{name} is a socket")
            tap.equal(stat.S_IMODE(mode.st_mode), 0o660, f"{name} is 0660")
        with open(s.path("pid"), encoding="ascii") as file:
            tap.equal(int(file.read()), s.process.pid, "pid names the supervisor")
        s.signal(signal.SIGTERM)
        tap.equal(s.wait(), 0, "TERM: exit code 0")
        tap.equal(sorted(os.listdir(s.run_dir)), ["lock"], "only the lock is left behind")


def queue_is_open_before_any_worker():
    with Supervisor(workers=1, mode="fail") as s:
        connection = wait_for(lambda: try_send(s), "work.sock")
        wait_for(lambda: os.path.exists(s.path("ctl.sock")), "ctl.sock, which is made after it")
        tap.equal(s.get("/health/startup")[0], 503, "not started yet")
        tap.equal(s.get("/health/ready")[0], 503, "not ready yet")
        tap.equal(s.get("/health/live")[0], 200, "but alive")
        s.mode("ok")
        tap.equal(receive(connection)[0], 200, "a request from before the first worker is answered")
        s.until()
        tap.equal(s.get("/health/startup")[0], 200, "started")
        tap.equal(s.get("/health")[0], 200, "healthy")


def try_send(s):
    try:
        return send(s.path("work.sock"), {"DOCUMENT_URI": "/"})
    except OSError:
        return None


def killed_worker_is_replaced_at_once():
    with Supervisor(workers=2) as s:
        s.until()
        for _ in range(3):
            before = s.pids()
            os.kill(before[0], signal.SIGKILL)
            wait_for(lambda: is_another(s.status()["workers"], before[0]), "another worker")
        tap.equal(s.logged("back_off"), [], "no back-off for a worker killed from outside")
        status = s.status()
        tap.equal(status["ends"]["killed"], 3, "the ends are counted")
        tap.equal(status["workers"][0]["restarts"], 3, "and the restarts")


def is_another(workers, pid):
    return any(w["slot"] == 0 and w["pid"] != pid and w["state"] == "idle" for w in workers)


def worker_that_leaves_is_replaced():
    with Supervisor(workers=1, mode="leave 0.2") as s:
        s.until()
        wait_for(lambda: s.status()["ends"]["recycled"] >= 2, "two recycled workers")
        tap.equal(s.logged("back_off"), [], "no back-off for one that had served")


def survives_control():
    with Supervisor() as s:
        s.until()
        (pid,) = service.children(s.process.pid, "resnet-control")
        os.kill(pid, signal.SIGKILL)
        tap.equal(s.until()["state"], "serving", "a new resnet-control answers")


def supervisor_killed():
    with Supervisor(workers=2) as s:
        s.until()
        pids = list(s.pids().values())
        busy = [send(s.path("work.sock"), {"DOCUMENT_URI": "/sleep/10"}) for _ in range(2)]
        wait_for(lambda: all(w["state"] == "busy" for w in s.status()["workers"]), "busy workers")
        queued = send(s.path("work.sock"), {"DOCUMENT_URI": "/"})
        s.signal(signal.SIGKILL)
        s.wait()
        s.start()
        wait_for(lambda: (found := s.try_status()) and found["pid"] == s.process.pid, "its own /status")
        tap.equal(s.until()["pid"], s.process.pid, "another supervisor is let in at once")
        answers = [receive(c) for c in (*busy, queued)]
        tap.equal([a[0] for a in answers], [200] * 3, "the old workers answer what they held")
        wait_for(lambda: not any(runs(pid) for pid in pids), "the old workers to go")
        tap.ok(True, "and leave")
        tap.equal(s.work()[0], 200, "the new ones answer")


def stops_fast():
    with Supervisor(workers=2) as s:
        s.until()
        connection = send(s.path("work.sock"), {"DOCUMENT_URI": "/sleep/300"})
        wait_for(lambda: any(w["state"] == "busy" for w in s.status()["workers"]), "a busy worker")
        s.signal(signal.SIGINT)
        tap.equal(s.wait(), 0, "INT: exit code 0, without waiting for the request")
        connection.close()


def reopens_its_log():
    with Supervisor(start=False) as s:
        path = os.path.join(s.directory, "file.log")
        s.environment["RESNET_LOG"] = path
        s.start()
        s.until()
        os.rename(path, path + ".1")
        s.signal(signal.SIGUSR1)
        wait_for(lambda: os.path.exists(path), "a new log file")
        os.kill(s.pids()[0], signal.SIGKILL)
        wait_for(lambda: "event=worker_end" in read(path), "a line in the new file")
        tap.ok("event=serving" in read(path + ".1"), "lines before USR1 are in the old file")
        tap.ok("event=serving" not in read(path), "lines after it in the new one")


def loses_no_line():
    with Supervisor(workers=4, start=False) as s:
        path = os.path.join(s.directory, "file.log")
        s.environment["RESNET_LOG"] = path
        s.start()
        s.until()
        asked, stop, files = [], threading.Event(), [path]

        def flood():
            while not stop.is_set():
                s.work("/flood/200")
                asked.append(200)
                time.sleep(0.02)

        threads = [threading.Thread(target=flood) for _ in range(4)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + tap.T / 2
        while time.monotonic() < end:
            files.append(f"{path}.{len(files)}")
            os.rename(path, files[-1])
            s.signal(signal.SIGUSR1)
            wait_for(lambda: os.path.exists(path), "a new log file")
        stop.set()
        for thread in threads:
            thread.join()
        s.signal(signal.SIGTERM)
        s.wait()
        lines = "".join(read(name) for name in files).splitlines()
        found = [line for line in lines if line.startswith("event=flood ")]
        tap.note(f"{len(files) - 1} rotations, {len(found)} lines")
        tap.equal(len(found), sum(asked), "rotated under load, no line is lost, cut or mixed")
        tap.equal([x for x in lines if "event=" not in x], [], "and there is no half one")


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def usage():
    with Supervisor(start=False) as s:
        bad = s.run("resnet-spawn", "--no-such-option")
        tap.equal(bad.returncode, 64, "unknown option: exit code 64")
        tap.ok("--no-such-option" in bad.stderr, "and it is named", bad.stderr)
        test = s.run("resnet-spawn", "-t")
        tap.equal((test.returncode, test.stdout), (0, "model good\n"), "-t asks the worker")
        tap.equal(s.run("resnet-spawn", "--help").returncode, 0, "--help")
        for name in ("resnet-spawn", "resnet-control", "resnet-ctl"):
            version = s.run(name, "--version")
            tap.ok(version.stdout.startswith(name + " "), f"{name} --version", version.stdout)


def small():
    with Supervisor() as s:
        s.until()
        with open(f"/proc/{s.process.pid}/status", encoding="ascii") as file:
            rss = next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
        tap.note(f"resnet-spawn: VmRSS {rss} kB")
        if "/san-" in BIN:
            tap.skip("resnet-spawn takes 6 MiB at most", "a sanitizer's shadow counts, too")
        else:
            tap.ok(rss <= 6144, "resnet-spawn takes 6 MiB at most")


tap.run(
    serves_and_drains,
    queue_is_open_before_any_worker,
    killed_worker_is_replaced_at_once,
    worker_that_leaves_is_replaced,
    survives_control,
    supervisor_killed,
    stops_fast,
    reopens_its_log,
    loses_no_line,
    usage,
    small,
)
