#!/usr/bin/env python3
"""A worker is killed at its first write, at its second, and so on until it has no more of them:
the client always gets a whole answer, the same as ever. Never a short one."""

# timeout: 300

import concurrent.futures
import os
import signal
import subprocess

import draw
import service
import tap
import web
from bare import Bare

PICTURE = draw.jpeg()
WRITES = "write,writev,sendto,sendmsg,pwrite64"
CLIENTS, ROUNDS, MOST = 4, 2, 40


def strace_works():
    command = ["strace", "-qq", "-o", "/dev/null", "-e", "trace=write", "-e",
               "inject=write:signal=KILL:when=1", "sh", "-c", "echo x"]  # fmt: skip
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return b"x" not in done.stdout.split(), done.stdout.decode("utf-8", "replace")


def outcome(bare, picture):
    try:
        answer = bare.post(picture)
        return answer.status, answer.json().get("predictions")
    except (web.Broken, ValueError) as error:
        return "broken", str(error)


def is_stopped(worker):
    with open(f"/proc/{worker.pid}/stat", "rb") as file:
        return file.read().rsplit(b")", 1)[1].split()[0] == b"T"


def ask(bare, first, worker, expected):
    """Four clients at once, twice. Returns what was not as expected. As long as the worker lives,
    all is its: the first one stands still."""
    first.send_signal(signal.SIGSTOP)
    service.until(lambda: is_stopped(first), 60, "the first worker to stand still")
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        jobs = [pool.submit(outcome, bare, PICTURE) for _ in range(CLIENTS * ROUNDS)]
        try:
            service.until(lambda: worker.poll() is not None or all(job.done() for job in jobs),
                          60, "all answers, or the worker's end")  # fmt: skip
        finally:
            first.send_signal(signal.SIGCONT)
        return [job.result() for job in jobs if job.result() != (200, expected)]


def everything():
    works, text = strace_works()
    if not works:
        return tap.skip("a worker killed at each write", f"strace cannot trace here: {text.strip()}")
    with Bare() as bare:
        first = bare.worker()
        expected = bare.post(PICTURE).json()["predictions"]
        killed_serving = 0
        for number in range(1, MOST + 1):
            # -D: the worker stays our child, and strace becomes its grandchild's affair
            worker = bare.worker(
                "strace", "-D", "-qq", "-f", "-o", os.path.join(bare.directory, "strace"),
                "-e", f"trace={WRITES}", "-e", f"inject={WRITES}:signal=KILL:when={number}",
                ASAN_OPTIONS="detect_leaks=0",
            )  # fmt: skip
            wrong = ask(bare, first, worker, expected)
            tap.equal(wrong, [], f"killed at write {number}: every answer whole and right")
            if worker.poll() is None:
                bare.leave(worker)
            elif worker.was_ready:
                killed_serving += 1
            if worker.returncode == 0:
                break
        tap.note(f"{killed_serving} of {number} workers were killed while they served")
        tap.ok(killed_serving >= 3, "and workers were killed while they served")
    return None


tap.run(everything)
