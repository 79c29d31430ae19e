#!/usr/bin/env python3
"""Workers without the supervisor's sockets: under spawn-fcgi, under multiwatch, and resnet-spawn on
a socket that spawn-fcgi has opened. /predict and /health answer; TERM in mid-request finishes it."""

import concurrent.futures
import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile

import draw
import service
import tap
import web

PICTURE = draw.jpeg()
MANY = 8  # pictures in one request
ID = "terminated-in-the-middle"
WORKER = service.program("resnet-fcgi", service.FAULTS)
HELD = {"RESNET_FAULT": f"sleep=10000@layer2.0~{ID}:1"}


class Alone:
    """spawn-fcgi with `arguments` on run/work.sock, and nginx in front. ctl.sock is work.sock."""

    def __init__(self, arguments, links=("ctl.sock",), **environment):
        self.arguments, self.links = arguments, links
        self.directory = tempfile.mkdtemp(prefix="resnet-t.")
        self.run_dir = os.path.join(self.directory, "run")
        self.log = os.path.join(self.directory, "log")
        self.environment = {
            "RESNET_MODEL": service.small_model(),
            "RESNET_RUN_DIR": self.run_dir,
            **environment,
        }
        self.nginx = service.Nginx(self.directory, self.environment)
        self.process = None

    def __enter__(self):
        os.makedirs(self.run_dir)
        command = ["spawn-fcgi", "-s", os.path.join(self.run_dir, "work.sock"), "-M", "0660"]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command + self.arguments, env=service.clean_environment(**self.environment),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory,
            )  # fmt: skip
        for link in self.links:
            os.symlink("work.sock", os.path.join(self.run_dir, link))
        try:
            self.nginx.start()
            service.until(self.ready, service.START_S, "an answer")
        except BaseException:
            self.__exit__(True)
            raise
        return self

    def ready(self):
        try:
            return web.request(self.nginx.port, "GET", "/health").status == 200
        except web.Broken:
            return False

    def post(self, body, headers=None):
        return web.request(self.nginx.port, "POST", "/predict", body, headers)

    def __exit__(self, kind, *_):
        if kind:
            tap.note(service.tail(self.log))
        if self.nginx.process:
            self.nginx.stop()
        if self.process.poll() is None:  # multiwatch and resnet-spawn end their workers themselves
            self.process.terminate()
            self.process.wait(service.STOP_S)
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):  # on its way out already
                os.kill(pid, signal.SIGTERM)
        service.until(lambda: not self.pids(), service.STOP_S, "the workers' end")
        shutil.rmtree(self.directory, ignore_errors=True)

    def pids(self):
        """resnet-fcgi processes of this test: they have its directory as their own."""
        programs = (WORKER, service.program("resnet-fcgi"))
        found = []
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                if (os.readlink(f"/proc/{entry}/cwd") == self.directory
                        and os.readlink(f"/proc/{entry}/exe") in programs):
                    found.append(int(entry))
            except OSError:
                pass
        return sorted(found)

    def said(self, event):
        """Pids of the workers that have logged it."""
        with open(self.log, encoding="utf-8") as log:
            return [int(pid) for pid in re.findall(rf" pid=(\d+) .*event={event} .*\n", log.read())]


def answers(alone, name):
    answer = alone.post(PICTURE)
    tap.equal(answer.status, 200, f"{name}: /predict")
    tap.equal(len(answer.json()["predictions"]), 5, f"{name}: five predictions")
    health = web.request(alone.nginx.port, "GET", "/health")
    tap.equal((health.status, health.json()["status"]), (200, "healthy"), f"{name}: /health")
    bad = alone.post(b"no picture" * 1000)
    tap.equal((bad.status, bad.code()), (415, "unsupported_media_type"), f"{name}: an error")


def term_in_mid_request(alone, name):
    body, kind = web.multipart([("file", "a.jpg", None, draw.jpeg(seed=i)) for i in range(MANY)])
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        request = pool.submit(alone.post, body, {"Content-Type": kind, "X-Request-ID": ID})
        pid = service.until(lambda: alone.said("fault"), 60, "a worker in the middle of it")[0]
        os.kill(pid, signal.SIGTERM)
        in_the_middle = not request.done()
        answer = request.result()
    tap.ok(in_the_middle, f"{name}: TERM came in mid-request")
    tap.equal(answer.status, 200, f"{name}: and it was finished")
    tap.equal(len(answer.json()["results"]), MANY, f"{name}: whole")
    service.until(lambda: pid not in alone.pids(), service.STOP_S, "the worker's end")
    tap.ok(True, f"{name}: then the worker left")


def fork_two():
    logs = ["/bin/sh", "-c", 'exec "$0" 2>>log', WORKER]  # spawn-fcgi leaves those it forks no stderr
    with Alone(["-F", "2", "--", *logs], **HELD) as alone:
        service.until(lambda: len(alone.said("ready")) == 2, service.START_S, "two workers")
        answers(alone, "spawn-fcgi -F 2")
        term_in_mid_request(alone, "spawn-fcgi -F 2")
        tap.equal(alone.post(PICTURE).status, 200, "spawn-fcgi -F 2: the other one answers")


def multiwatch():
    watch = ["-n", "--", shutil.which("multiwatch"), "-f", "2", "--", WORKER]
    with Alone(watch, **HELD) as alone:
        service.until(lambda: len(alone.said("ready")) == 2, service.START_S, "two workers")
        answers(alone, "multiwatch")
        term_in_mid_request(alone, "multiwatch")
        service.until(lambda: len(alone.said("ready")) == 3, service.START_S, "a new worker")
        tap.equal(alone.post(PICTURE).status, 200, "multiwatch: replaced")


def supervisor():
    with Alone(["-n", "--", service.program("resnet-spawn"), "--workers", "2"], ()) as alone:
        answers(alone, "resnet-spawn")
        alone.process.send_signal(signal.SIGTERM)
        tap.equal(alone.process.wait(service.STOP_S), 0, "resnet-spawn: TERM drains, exit 0")
        path = os.path.join(alone.run_dir, "work.sock")
        tap.ok(os.path.exists(path), "resnet-spawn: an adopted socket is not removed")


tap.run(fork_two, multiwatch, supervisor)
