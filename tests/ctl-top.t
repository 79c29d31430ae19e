#!/usr/bin/env python3
"""resnet-ctl top: live on a terminal, which is left as it was found; plain text everywhere else."""

import os
import pty
import select
import signal
import subprocess
import termios
import time

import tap
from supervisor import WAIT_S, Supervisor, receive, send, wait_for

ENTER, LEAVE = b"\x1b[?1049h\x1b[?25l", b"\x1b[?25h\x1b[?1049l"


class Top:
    """resnet-ctl top on a terminal of its own."""

    def __init__(self, s):
        self.master, slave = pty.openpty()
        self.before = termios.tcgetattr(slave)
        command = [os.path.join(s.bin, "resnet-ctl"), "top"]
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave,
                                        env=s.environment, start_new_session=True)  # fmt: skip
        self.slave, self.output = slave, b""

    def read(self):
        """What is there; a terminal gives it in pieces."""
        while select.select([self.master], [], [], 0.05)[0]:
            self.output += os.read(self.master, 65536)

    def until(self, condition, what):
        deadline = time.monotonic() + WAIT_S
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {WAIT_S} s for {what}: {self.output!r}")
            self.read()

    def ended(self):
        """Its exit code, once it has gone and all is read."""
        self.until(lambda: self.process.poll() is not None, "its end")
        self.read()
        self.after = termios.tcgetattr(self.slave)
        os.close(self.slave)
        os.close(self.master)
        return self.process.returncode


def leaves(s, how, end, code):
    top = Top(s)
    top.until(lambda: top.output.count(b"REQUESTS") >= 2, "two screens")
    tap.ok(top.output.startswith(ENTER), f"{how}: a screen of its own", top.output[:200])
    end(top)
    tap.equal(top.ended(), code, f"{how}: exit code {code}")
    tap.ok(LEAVE in top.output, f"{how}: the screen of before comes back", top.output[-200:])
    tap.equal(top.after, top.before, f"{how}: and the terminal's settings")
    return top.output


def on_a_terminal():
    with Supervisor(workers=2) as s:
        s.until()
        held = send(s.path("work.sock"), {"DOCUMENT_URI": "/sleep/15", "HTTP_X_REQUEST_ID": "seen-in-top"})
        wait_for(lambda: any(w["state"] == "busy" for w in s.status()["workers"]), "a busy one")
        output = leaves(s, "q", lambda top: os.write(top.master, b"q"), 0)
        tap.ok(b"busy" in output and b"infer" in output, "it shows who is busy, and in which stage", output)
        receive(held)
        leaves(s, "SIGINT", lambda top: top.process.send_signal(signal.SIGINT), 0)
        leaves(s, "service gone", lambda _: s.signal(signal.SIGKILL), 75)
        s.wait()


def elsewhere():
    with Supervisor(workers=2) as s:
        s.until()
        for arguments in (("top",), ("top", "--once")):
            told = s.run("resnet-ctl", *arguments)
            rows = [line for line in told.stdout.splitlines() if " idle " in line]
            tap.ok(told.returncode == 0 and len(rows) == 2 and "\x1b" not in told.stdout,
                   f"{' '.join(arguments)}: one table, no control characters", told)  # fmt: skip
        told = s.run("resnet-ctl", "top", "--twice")
        tap.ok(told.returncode == 64 and "--once" in told.stderr, "anything else: 64", told)


tap.run(on_a_terminal, elsewhere)
