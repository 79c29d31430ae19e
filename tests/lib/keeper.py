"""keeper.py REPORT_FD TIMEOUT COMMAND...: runs one test, and answers for every process it starts.

The keeper is the subreaper of all that the test leaves behind: nothing can escape it by double
forking or by a session of its own. It bounds the test's time, and writes to REPORT_FD one JSON
object: {"exit": code or -signal, "timeout": bool, "left": ["pid command line", ...]}.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
# For processes that are already on their way out; LeakSanitizer takes its time.
GRACE_S = 60.0 if "/san-" in os.environ.get("BUILD", "") + "/" else 20.0


def prctl(option, value):
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def parents():
    """{pid: parent} of every process that is not a zombie."""
    table = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rsplit(b")", 1)[1].split()
        except OSError:
            continue
        if fields[0] not in (b"Z", b"X"):
            table[int(name)] = int(fields[1])
    return table


def descendants(root):
    table = parents()
    found, edge = [], {root}
    while edge:
        edge = {pid for pid, parent in table.items() if parent in edge}
        found += sorted(edge)
    return found


def command_line(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except OSError:
        return "?"


def reap():
    """Collects whatever has ended. Returns False when there is no child at all."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return True
    except ChildProcessError:
        return False


def kill_all():
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for pid in descendants(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if not reap():
            return
        time.sleep(0.02)


def run(timeout_s, command):
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
    test = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + timeout_s
    while test.poll() is None and time.monotonic() < deadline and not stopped:
        try:
            test.wait(0.2)
        except subprocess.TimeoutExpired:
            pass
    timeout = test.poll() is None
    if timeout:  # a test cleans up on SIGTERM, if it still can
        test.terminate()
        try:
            test.wait(10)
        except subprocess.TimeoutExpired:
            pass
    deadline = time.monotonic() + GRACE_S
    while reap() and time.monotonic() < deadline:
        time.sleep(0.02)
    left = [f"{pid} {command_line(pid)}" for pid in descendants(os.getpid())]
    kill_all()
    code = test.returncode
    return {"exit": code if code is not None else -9, "timeout": timeout, "left": left}


def main():
    report_fd, timeout_s, command = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    os.set_inheritable(report_fd, False)
    report = run(timeout_s, command)
    os.write(report_fd, json.dumps(report).encode())


if __name__ == "__main__":
    main()
