#!/usr/bin/env python3
"""One supervisor a run directory, decided by flock."""

import os
import signal

import tap
from supervisor import Supervisor, wait_for


def second_is_refused():
    with Supervisor() as s:
        s.until()
        second = s.run("resnet-spawn")
        tap.equal(second.returncode, 75, "a second supervisor: exit code 75")
        tap.ok(f"pid {s.process.pid}," in second.stderr, "its sentence names the first", second.stderr)
        tap.equal(s.work()[0], 200, "the first goes on")
        tap.ok(os.path.exists(s.path("pid")), "and keeps its pid file")


def stale_files_do_not_matter():
    with Supervisor() as s:
        s.until()
        s.signal(signal.SIGKILL)
        s.wait()
        tap.ok(os.path.exists(s.path("work.sock")), "a killed supervisor leaves its sockets")
        s.start()
        wait_for(lambda: s.until()["pid"] == s.process.pid, "its own answer")  # not that of before
        tap.equal(s.work()[0], 200, "another one starts over them")


def bad_directory():
    with Supervisor(start=False) as s:
        s.environment["RESNET_RUN_DIR"] = "/proc/nowhere"
        result = s.run("resnet-spawn")
        tap.equal(result.returncode, 78, "a run directory that cannot be made: 78")
        tap.ok("/proc/nowhere" in result.stderr and "RESNET_RUN_DIR" in result.stderr,
               "the sentence says which, and where to look", result.stderr)  # fmt: skip
        deep = os.path.join(s.directory, "x" * 100)
        s.environment["RESNET_RUN_DIR"] = deep
        result = s.run("resnet-spawn")
        tap.equal(result.returncode, 78, "a path too long for a socket: 78")
        tap.ok("107" in result.stderr, "the sentence tells the limit", result.stderr)


def nobody_there():
    with Supervisor(start=False) as s:
        for command, code in (("health", 1), ("status", 75), ("reload", 75), ("drain", 75)):
            result = s.run("resnet-ctl", command)
            tap.ok(result.returncode == code and s.run_dir in result.stderr,
                   f"resnet-ctl {command} without a supervisor: {code}", result)  # fmt: skip
        tap.equal(s.run("resnet-ctl", "health", "nonsense").returncode, 64, "unknown health: 64")
        tap.equal(s.run("resnet-ctl", "nonsense").returncode, 64, "unknown command: 64")


tap.run(second_is_refused, stale_files_do_not_matter, bad_directory, nobody_there)
