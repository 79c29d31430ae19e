"""worker.py: one resnet-fcgi alone on a unix socket, as spawn-fcgi would start it.

    with Worker() as worker:
        answer = worker.predict(draw.jpeg())

Leaving the block sends TERM and insists on exit code 0.
"""

import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

import fcgi_client
import service
import tap


class Worker:
    def __init__(self, flags=(), wrapper=(), model=None, listener=None, faults=None, inherits=(),
                 **environment):
        """wrapper: a command line in front (strace, valgrind). listener: a listening socket that
        stays the caller's; without it there is one that only the worker holds. faults: what
        RESNET_FAULT says (fcgi/faults.h) to the program of `make faults`. inherits: descriptors.
        environment: RESNET_*."""
        self.directory = tempfile.mkdtemp(prefix="resnet-w.")
        self.path = os.path.join(self.directory, "work.sock")
        self.log = os.path.join(self.directory, "log")
        self.model = model or service.small_model()
        self.flags, self.wrapper, self.environment = list(flags), list(wrapper), environment
        self.process, self.listener, self.inherits = None, listener, inherits
        self.program = service.program("resnet-fcgi")
        self.faults_done = os.path.join(self.directory, "faults")
        if faults:
            self.program = os.path.join(service.BUILD, "faults", "bin", "resnet-fcgi")
            self.environment.setdefault("RESNET_FAULT_STATE", self.faults_done)
            self.environment["RESNET_FAULT"] = faults

    def __enter__(self):
        self.start()
        return self

    def start(self):
        if self.listener:
            self.path = self.listener.getsockname()
            self._start(self.listener)
            return
        with self.listening() as listener:
            self._start(listener)

    def listening(self):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path)
        listener.listen(64)
        return listener

    def remove(self):
        shutil.rmtree(self.directory, ignore_errors=True)

    def _start(self, listener):
        environment = service.clean_environment(**self.environment)
        if self.wrapper:  # a leak check cannot work while another traces
            options = [environment.get("ASAN_OPTIONS", ""), "detect_leaks=0"]
            environment["ASAN_OPTIONS"] = ":".join(filter(None, options))
        command = [*self.wrapper, self.program, "--model", self.model]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command + self.flags, stdin=listener, stderr=log, pass_fds=self.inherits,
                env=environment,
            )  # fmt: skip

    def __exit__(self, kind, *_):
        code = self.stop(signal.SIGKILL if kind else signal.SIGTERM)
        if kind:
            tap.note(service.tail(self.log))
        self.remove()
        if not kind and code != 0:
            raise AssertionError(f"resnet-fcgi ended with {code}")

    def pid(self):
        """The worker's own, also behind a wrapper; known when it is ready."""
        if not self.wrapper:
            return self.process.pid
        self.wait_ready()
        return int(re.search(r" pid=(\d+)", self.events("ready")[0])[1])

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            os.kill(self.pid(), number)
        return self.process.wait(service.STOP_S)

    def exchange(self, wire):
        return fcgi_client.exchange(self.path, wire)

    def predict(self, body, **params):
        return fcgi_client.predict(self.path, body, **params)

    def connect(self):
        return fcgi_client.connect(self.path)

    def wait_ready(self, seconds=service.START_S):
        service.until(lambda: self.events("ready"), seconds, "resnet-fcgi ready")

    # ---- what it says -----------------------------------------------------------------------
    def lines(self):
        """Of its log; one that is still being written is left out."""
        with open(self.log, encoding="utf-8") as log:
            return log.read().rpartition("\n")[0].splitlines()

    def events(self, name):
        """Log lines of one event."""
        return [line for line in self.lines() if f" event={name} " in line or
                (line.startswith("{") and json.loads(line)["event"] == name)]  # fmt: skip

    def times_done(self, fault=0):
        """How often the worker has done itself that harm."""
        with open(self.environment["RESNET_FAULT_STATE"], "rb") as file:
            return struct.unpack_from("=16q", file.read())[fault]

    def request_line(self, request_id, seconds=60):
        """The log line of a request: it is written after the answer."""
        key = f" request_id={request_id} "
        return service.until(
            lambda: [line for line in self.events("request") if key in line], seconds, "log line"
        )[0]

    # ---- what the kernel says ----------------------------------------------------------------
    def status(self, key):
        """An entry of /proc/PID/status, in KiB or as a count."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            for line in file:
                if line.startswith(key + ":"):
                    return int(line.split()[1])
        raise KeyError(key)

    def cpu_ns(self):
        with open(f"/proc/{self.process.pid}/schedstat", encoding="ascii") as file:
            return int(file.read().split()[0])


def seconds_of(function):
    start = time.monotonic()
    value = function()
    return time.monotonic() - start, value
