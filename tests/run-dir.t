#!/usr/bin/env python3
"""A run directory without room, or that is read-only: at the start a sentence that says what to do,
and nothing left behind; while the service runs, nothing that anybody notices."""

import contextlib
import os
import re
import signal
import socket

import mounts
import tap
from service import children
from supervisor import Supervisor, receive, runs, send, wait_for

LEAST_INODES = 6  # the directory, lock, pid, three sockets


def refused(s, name, code, *parts):
    """What a start says; it leaves no socket and no pid that somebody would believe."""
    result = s.run("resnet-spawn")
    tap.equal(result.returncode, code, f"{name}: {code}")
    missing = [part for part in parts if part not in result.stderr]
    tap.ok(not missing, f"{name}: a sentence", (missing, result.stderr))
    left = [x for x in os.listdir(s.run_dir) if "sock" in x or "pid" in x]
    tap.equal(left, [], f"{name}: no socket and no pid is left")


def serves(s, name):
    tap.equal(s.work()[0], 200, f"{name}: a request is answered")
    tap.equal(s.get("/health/ready")[0], 200, f"{name}: ready")


def stops(s, name):
    s.signal(signal.SIGTERM)
    tap.equal(s.wait(), 0, f"{name}: it drains and ends with 0")


def full_at_the_start():
    with Supervisor(start=False) as s:
        for inodes in range(1, LEAST_INODES):
            with mounts.small(s.run_dir, f"size=1m,nr_inodes={inodes}"):
                refused(s, f"room for {inodes} files", 75, s.run_dir, "No space left", "make room")
        with mounts.small(s.run_dir, "size=4k"):
            refused(s, "room for 4096 bytes", 75, s.run_dir, "No space left", "make room")
        with mounts.small(s.run_dir, f"size=1m,nr_inodes={LEAST_INODES}"):
            s.start()
            s.until()
            serves(s, f"room for {LEAST_INODES} files")
            stops(s, f"room for {LEAST_INODES} files")


def an_adopted_queue_waits():
    with Supervisor(start=False) as s:
        listening, early = adopted(s)
        with mounts.small(s.run_dir, "size=4k"):
            s.start(stdin=listening)
            tap.equal(s.wait(), 75, "an adopted socket, and no room: 75")
        s.start(stdin=listening)
        tap.equal(receive(early)[0], 200, "what was queued is answered once there is room")
        stops(s, "an adopted socket")
        listening.close()


def adopted(s):
    path = os.path.join(s.directory, "adopted.sock")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen(16)
    return listening, send(path, {"DOCUMENT_URI": "/"})


def lives_on(s, name):
    """Everything that a running service does."""
    serves(s, name)
    before = s.pids()
    os.kill(before[0], signal.SIGKILL)
    wait_for(lambda: s.pids().get(0, before[0]) != before[0] and s.state(0) == "idle", "another worker")
    control = children(s.process.pid, "resnet-control")[0]
    os.kill(control, signal.SIGKILL)
    wait_for(lambda: not runs(control) and s.try_status(), "another resnet-control")
    result = s.run("resnet-ctl", "reload")
    tap.equal(result.returncode, 0, f"{name}: reload")
    wait_for(lambda: not set(before.values()) & set(s.pids().values()), "only new workers")
    serves(s, f"{name}, then killed and reloaded")


def full_while_it_runs():
    with Supervisor(start=False) as s, mounts.small(s.run_dir, "size=256k,nr_inodes=32"):
        s.start()
        s.until()
        mounts.fill(s.run_dir)
        with contextlib.suppress(OSError):
            for i in range(32):
                open(os.path.join(s.run_dir, f"filler{i}"), "x", encoding="ascii").close()
        lives_on(s, "a full run directory")
        stops(s, "a full run directory")
        s.start()
        s.until()
        serves(s, "started again in what that left")
        stops(s, "started again in what that left")


def read_only_at_the_start():
    with Supervisor(start=False) as s:
        os.makedirs(s.run_dir)
        with mounts.read_only(s.run_dir):
            refused(s, "a read-only run directory", 78, s.run_dir, "Read-only", "RESNET_RUN_DIR")
        logs = os.path.join(s.directory, "logs")
        log = s.environment["RESNET_LOG"] = os.path.join(logs, "own.log")
        os.makedirs(logs)
        with mounts.read_only(logs):
            refused(s, "a read-only log directory", 78, log, "Read-only", "RESNET_LOG")


def read_only_while_it_runs():
    with Supervisor(start=False) as s:
        logs = os.path.join(s.directory, "logs")
        log = s.log_path = s.environment["RESNET_LOG"] = os.path.join(logs, "own.log")
        os.makedirs(logs)
        s.start()
        s.until()
        with mounts.read_only(s.run_dir), mounts.read_only(logs):
            lives_on(s, "read-only directories")
            s.signal(signal.SIGUSR1)
            wait_for(lambda: s.logged("log_reopen"), "the log's line")
            tap.ok("Read-only" in s.logged("log_reopen")[0], "USR1: it says why the log is the old one")
            serves(s, "read-only directories, after USR1")
        os.rename(log, log + ".1")
        s.signal(signal.SIGUSR1)
        wait_for(lambda: os.path.exists(log) and s.logged("log_reopen"), "the new file")
        serves(s, "writable again")
        stops(s, "writable again")


def the_logs_disk_is_full():
    flood = 500
    with Supervisor(start=False) as s:
        logs = os.path.join(s.directory, "logs")
        log = s.environment["RESNET_LOG"] = os.path.join(logs, "own.log")
        with mounts.small(logs, "size=64k,nr_inodes=1"):
            refused(s, "no room for a log", 75, log, "No space left", "make room", "RESNET_LOG")
        with mounts.small(logs, "size=64k"):
            s.log_path = log
            s.start()
            s.until()
            filler = mounts.fill(logs)
            tap.equal(s.work(f"/flood/{flood}")[0], 200, "a full log: a request is answered")
            lives_on(s, "a full log")
            os.unlink(filler)
            s.signal(signal.SIGUSR1)
            wait_for(lambda: s.logged("log_lost"), "how much was lost")
            lost = sum(int(re.search(r" lines=(\d+)", x)[1]) for x in s.logged("log_lost"))
            # what was left of the file's last page takes some
            tap.ok(lost > flood / 2, "a full log: it is told how much was lost", s.logged("log_lost"))
            stops(s, "a full log")


mounts.private()
tap.run(full_at_the_start, an_adopted_queue_waits, full_while_it_runs, read_only_at_the_start,
        read_only_while_it_runs, the_logs_disk_is_full)
