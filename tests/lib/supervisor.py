"""supervisor.py: resnet-spawn in a temporary directory, with fake workers, and a FastCGI client
that never retries."""

import contextlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BIN = os.path.join(os.path.abspath(os.environ.get("BUILD", "build")), "bin")
WAIT_S = 60  # bound of every wait; nothing is expected to take so long


def record(kind, content):
    return struct.pack(">BBHHBx", 1, kind, 1, len(content), 0) + content


def request(params, body=b""):
    pairs = b"".join(
        struct.pack(">II", len(k) | 1 << 31, len(v) | 1 << 31) + k.encode() + v.encode()
        for k, v in params.items()
    )
    data = record(1, b"\0\1" + bytes(6)) + record(4, pairs) + record(4, b"")
    for at in range(0, len(body), 32768):
        data += record(5, body[at : at + 32768])
    return data + record(5, b"")


def parse(wire):
    """(status, {header: value}, body) of a whole answer; anything less is an error."""
    text, at, ended = b"", 0, False
    while at + 8 <= len(wire):
        _, kind, _, n, padding = struct.unpack_from(">BBHHBx", wire, at)
        content = wire[at + 8 : at + 8 + n]
        at += 8 + n + padding
        if kind == 6:
            text += content
        ended = ended or kind == 3
    if not ended:
        raise ConnectionError(f"no whole answer in {len(wire)} bytes")
    head, _, body = text.partition(b"\r\n\r\n")
    lines = [line.partition(": ") for line in head.decode().split("\r\n")]
    headers = {name.lower(): value for name, _, value in lines}
    return int(headers["status"][:3]), headers, body


def send(path, params, body=b"", timeout=WAIT_S):
    """A connection on which the whole request has been written."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(timeout)
    try:
        connection.connect(path)
        connection.sendall(request(params, body))
    except OSError:
        connection.close()
        raise
    return connection


def receive(connection):
    with connection:
        wire = b""
        while piece := connection.recv(65536):
            wire += piece
    return parse(wire)


def wait_for(condition, what, seconds=WAIT_S):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise TimeoutError(f"waited {seconds} s for {what}")


def runs(pid):
    """Whether the process is there and not a zombie that nobody has reaped yet."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rsplit(b")", 1)[1].split()[0] != b"Z"
    except OSError:
        return False


class Supervisor:
    """with Supervisor(workers=2) as s: ... ; mode: see fake_worker.py"""

    def __init__(self, workers=2, mode="ok", environment=None, run_dir=None, start=True, **popen):
        self.directory = tempfile.mkdtemp(prefix="resnet-spawn-")
        self.run_dir = run_dir or os.path.join(self.directory, "run")
        self.bin = os.path.join(self.directory, "bin")
        self.log_path = os.path.join(self.directory, "log")
        self.process = None
        os.mkdir(self.bin)
        for name in ("resnet-spawn", "resnet-control", "resnet-ctl"):
            shutil.copy(os.path.join(BIN, name), self.bin)
        self.install(os.path.join(HERE, "fake_worker.py"))
        self.mode(mode)
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("RESNET_")}
        self.environment.update(
            FAKE_DIR=self.directory,
            RESNET_RUN_DIR=self.run_dir,
            RESNET_WORKERS=str(workers),
            RESNET_START_TIMEOUT="60s",
            RESNET_DRAIN_TIMEOUT="60s",
        )
        self.environment.update(environment or {})
        if start:
            self.start(**popen)

    def install(self, worker):
        """A new worker program, as a package would: written aside, then renamed."""
        aside = os.path.join(self.bin, ".new")
        shutil.copy(worker, aside)
        os.chmod(aside, 0o755)
        os.rename(aside, os.path.join(self.bin, "resnet-fcgi"))

    def mode(self, text):
        aside = os.path.join(self.directory, "mode.new")
        with open(aside, "w", encoding="ascii") as file:
            file.write(text)
        os.rename(aside, os.path.join(self.directory, "mode"))

    def start(self, *arguments, before=(), **popen):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*before, os.path.join(self.bin, "resnet-spawn"), *arguments],
                stderr=log, env=self.environment, **{"stdin": subprocess.DEVNULL, **popen},
            )  # fmt: skip

    def run(self, program, *arguments):
        return subprocess.run(
            [os.path.join(self.bin, program), *arguments], env=self.environment,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WAIT_S, check=False,
        )  # fmt: skip

    def path(self, name):
        return os.path.join(self.run_dir, name)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def logged(self, event):
        whole = self.log().rpartition("\n")[0].splitlines()  # not what is still being written
        return [line for line in whole if f" event={event} " in line + " "]

    def signal(self, sig):
        self.process.send_signal(sig)

    def wait(self, seconds=WAIT_S):
        return self.process.wait(seconds)

    def work(self, path="/", body=b""):
        return receive(send(self.path("work.sock"), {"DOCUMENT_URI": path}, body))

    def get(self, path, method="GET", sock="ctl.sock", body=b"", **params):
        params = {"REQUEST_METHOD": method, "DOCUMENT_URI": path, **params}
        return receive(send(self.path(sock), params, body))

    def status(self):
        return json.loads(self.get("/status", RESNET_LISTENER="internal")[2])

    def try_status(self):
        with contextlib.suppress(OSError, ValueError):
            return self.status()

    def until(self, state="serving"):
        """Waits until /status says so; returns it."""
        return wait_for(
            lambda: (status := self.try_status()) and status["state"] == state and status, state
        )

    def state(self, slot=0):
        """What that worker does; None when there is none at this moment."""
        workers = self.status()["workers"]
        return next((worker["state"] for worker in workers if worker["slot"] == slot), None)

    def pids(self):
        return {worker["slot"]: worker["pid"] for worker in self.status()["workers"]}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.signal(signal.SIGINT)
            try:
                self.wait()
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


class Clients:
    """Threads that ask all the time, one connection a request, and keep every answer."""

    def __init__(self, supervisor, n, path="/", body=b""):
        self.answers, self.errors = [], []
        self.stopped = threading.Event()
        target = supervisor.path("work.sock")

        def ask():
            while not self.stopped.is_set():
                try:
                    self.answers.append(receive(send(target, {"DOCUMENT_URI": path}, body)))
                except (OSError, ConnectionError) as error:
                    self.errors.append(error)
                    time.sleep(0.01)

        self.threads = [threading.Thread(target=ask, daemon=True) for _ in range(n)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.threads:
            thread.join(WAIT_S)
